//! One seed from its beginning to its end. Here: what a run is set to, and what it came to. Never
//! here: several of them (see [`crate::campaign`]). Read next: [`crate::campaign`].

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tallyd::domain::fold::Fold;
use tallyd::domain::names::ProviderMeter;
use tallyd::domain::time::Timestamp;
use tallyd::provider::Provider;
use tallyd::provider::chargebee::settings::ItemPrice;
use tallyd::provider::chargebee::{self, Chargebee};
use tallyd::provider::counting::OnUnknown;
use tallyd::provider::cryptolens::{self, Cryptolens};
use tallyd::provider::planship::{self, Planship};
use tallyd::provider::stripe::settings::Channel;
use tallyd::provider::stripe::{self, Stripe};
use tallyd::store::sqlite::{SqliteLedger, backup};

use crate::auditor::Violation;
use crate::billing::CLOSES_AFTER_HOURS;
use crate::faults::Class;
use crate::plants::Plant;
use crate::scenario::{Scenario, play};
use crate::server::{Adds, DECIMALS};
use crate::wire::Room;
use crate::wire::declared;
use crate::workload::{
    GAUGE_METERS, ITEM_PRICES, LEVEL_PRICES, Meters, TOTAL_METERS, provider_name,
};
use crate::world::World;

/// Steps of a run, unless it is told otherwise.
pub(crate) const STEPS: u64 = 24;

/// What a run is set to.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    pub(crate) steps: u64,
    /// Classes that are switched off.
    pub(crate) without: BTreeSet<Class>,
    /// The classes that are in, where it is not left to the seed.
    pub(crate) only: Option<BTreeSet<Class>>,
    pub(crate) plant: Option<Plant>,
    pub(crate) verbose: bool,
    /// Where a copy of the ledger is left, as it is at the end.
    pub(crate) keep: Option<PathBuf>,
}

impl Setup {
    pub(crate) fn of(seed: u64, scenario: Scenario) -> Self {
        Self {
            seed,
            scenario,
            steps: STEPS,
            without: BTreeSet::new(),
            only: None,
            plant: None,
            verbose: false,
            keep: None,
        }
    }

    /// A run that failed once: `scenario seed steps`, and the classes that were switched off.
    pub(crate) fn remembered(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [scenario, seed, steps, without @ ..] = words.as_slice() else { panic!("{line}") };
        let number = |text: &str| text.parse().expect("it is a number");
        let without = without.iter().flat_map(|names| names.split(','));
        Self {
            steps: number(steps),
            without: without.filter_map(Class::named).collect(),
            ..Self::of(number(seed), Scenario::named(scenario))
        }
    }

    /// The command that runs it again.
    pub(crate) fn replay(&self) -> String {
        let mut command = format!(
            "cargo test --test sim -- replay --seed {} --scenario {} --steps {}",
            self.seed,
            self.scenario.name(),
            self.steps
        );
        if !self.without.is_empty() {
            let names: Vec<&str> = self.without.iter().map(|class| class.name()).collect();
            command.push_str(&format!(" --without {}", names.join(",")));
        }
        if let Some(plant) = self.plant {
            command.push_str(&format!(" --plant {}", plant.name()));
        }
        command
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) digest: String,
    pub(crate) violation: Option<Violation>,
    pub(crate) struck: BTreeMap<Class, u64>,
    pub(crate) reached: BTreeMap<String, u64>,
    pub(crate) lines: Vec<String>,
    /// Simulated time, in seconds.
    pub(crate) seconds: i64,
}

/// Entries that an account takes where they are scarce.
pub(crate) const SCARCE: usize = 3;
/// From how many of them on an account's windows are months, in half of those runs.
pub(crate) const WIDENED_FROM: usize = 2;

/// The program's rooms of providers.
#[derive(Clone)]
pub(crate) struct Rooms {
    stripe: Room,
    /// One most of whose meters keep totals.
    totals: Room,
    /// One most of whose meters bill the last value.
    gauges: Room,
    /// One that is told by its stream.
    stream: Room,
    site: Room,
    /// One whose accounts take [`SCARCE`] entries.
    scarce_site: Room,
    /// One of whose prices' entries one counts, with and without that limit.
    levels: Room,
    scarce_levels: Room,
    /// An account whose keys are only counted for.
    records: Room,
    /// A product that takes reports.
    reports: Room,
}

impl Rooms {
    fn new() -> Self {
        let stripe = |meters, channel| {
            let stripe = Stripe::new(&stripe::settings::Settings {
                name: provider_name(),
                api: "http://127.0.0.1:9".to_owned(),
                stream_api: "http://127.0.0.1:9".to_owned(),
                channel,
                key: "sk_test_simulation".to_owned().into(),
                account: None,
                meters,
                webhook_secrets: Vec::new(),
                timeout_millis: 1_000,
            });
            Room::billed(Arc::new(stripe.expect("its settings are right")))
        };
        let site = |prices: Meters, usages_max: usize| {
            let item_price = |(name, adds): &(&str, Adds)| ItemPrice {
                id: ProviderMeter::new(name).expect("it is a name"),
                aggregation: match adds {
                    Adds::Values | Adds::Distinct | Adds::Events | Adds::Totals(_) => Fold::Sum,
                    Adds::Newest => Fold::Last,
                    Adds::Largest => Fold::Max,
                    Adds::Gauge => Fold::Gauge,
                },
            };
            let site = Chargebee::new(chargebee::settings::Settings {
                name: provider_name(),
                site: "simulation-test".to_owned(),
                api: "http://127.0.0.1:9".to_owned(),
                key: "test_simulation".to_owned().into(),
                item_prices: prices.iter().map(item_price).collect(),
                decimals: DECIMALS,
                usages_max: u32::try_from(usages_max).unwrap_or(u32::MAX),
                invoices_close_after_hours: CLOSES_AFTER_HOURS,
                webhooks: None,
                rate_per_minute: 100,
                timeout_millis: 1_000,
            });
            Room::billed(Arc::new(site.expect("its settings are right")))
        };
        Self {
            stripe: stripe(Vec::new(), Channel::V1),
            totals: stripe(declared(&TOTAL_METERS), Channel::V1),
            gauges: stripe(declared(&GAUGE_METERS), Channel::V1),
            stream: stripe(Vec::new(), Channel::Stream),
            site: site(&ITEM_PRICES, usize::MAX),
            scarce_site: site(&ITEM_PRICES, SCARCE),
            levels: site(&LEVEL_PRICES, usize::MAX),
            scarce_levels: site(&LEVEL_PRICES, SCARCE),
            records: Room { provider: records(), billing: None },
            reports: Room { provider: reports(), billing: None },
        }
    }

    /// The room of a run, where entries may be scarce.
    pub(crate) fn of(&self, scenario: Scenario, scarce: bool) -> Room {
        let room = match (scenario, scarce) {
            (Scenario::Swarm | Scenario::Directed | Scenario::Months | Scenario::Cutover, _) => {
                &self.stripe
            }
            (Scenario::Totals, _) => &self.totals,
            (Scenario::Gauges, _) => &self.gauges,
            (Scenario::Stream, _) => &self.stream,
            (Scenario::Site, false) => &self.site,
            (Scenario::Site, true) => &self.scarce_site,
            (Scenario::Levels, false) => &self.levels,
            (Scenario::Levels, true) => &self.scarce_levels,
            (Scenario::Records, _) => &self.records,
            (Scenario::Reports, _) => &self.reports,
        };
        room.clone()
    }
}

/// An account at Cryptolens that is told everything once.
fn records() -> Arc<dyn Provider> {
    let product = |(name, _): &(&str, Adds)| ProviderMeter::new(name).expect("it is a name");
    let account = Cryptolens::new(cryptolens::settings::Settings {
        name: provider_name(),
        api: "http://127.0.0.1:9".to_owned(),
        token: "simulation".to_owned().into(),
        products: ITEM_PRICES.iter().map(product).collect(),
        on_unknown: OnUnknown::Hold,
        livemode: false,
        timeout_millis: 1_000,
    });
    Arc::new(account.expect("its settings are right"))
}

/// A product at Planship that is told everything once.
fn reports() -> Arc<dyn Provider> {
    let metering_id = |(name, _): &(&str, Adds)| ProviderMeter::new(name).expect("it is a name");
    let product = Planship::new(planship::settings::Settings {
        name: provider_name(),
        api: "http://127.0.0.1:9".to_owned(),
        client_id: "simulation".to_owned(),
        client_secret: "simulation".to_owned().into(),
        product: "simulation".to_owned(),
        metering_ids: ITEM_PRICES.iter().map(metering_id).collect(),
        on_unknown: OnUnknown::Hold,
        livemode: false,
        timeout_millis: 1_000,
    });
    Arc::new(product.expect("its settings are right"))
}

/// What all runs of a thread share.
pub(crate) struct Bench {
    runtime: tokio::runtime::Runtime,
    rooms: Rooms,
    /// An empty ledger with a name that never changes.
    template: Vec<u8>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let template = runtime.block_on(template());
        Self { runtime, rooms: Rooms::new(), template }
    }

    /// Runs one seed. A panic, the program's or the simulation's own, is a violation too.
    pub(crate) fn run(&self, setup: &Setup) -> Outcome {
        let run = AssertUnwindSafe(|| self.runtime.block_on(self.world(setup)));
        std::panic::catch_unwind(run).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            let what = said.unwrap_or_else(|| "a panic without words".to_owned());
            let violation = Some(Violation { invariant: "no-panic", what });
            Outcome { violation, ..Outcome::default() }
        })
    }

    async fn world(&self, setup: &Setup) -> Outcome {
        let mut world = World::new(setup, self.rooms.clone(), &self.template).await;
        let begun = world.stage.scene().server.now;
        let violation = play(&mut world, setup.scenario, setup.steps).await.err();
        world.kill();
        if let Some(keep) = &setup.keep {
            let copied = backup::copy(&world.path(), keep).await;
            copied.expect("the ledger can be copied");
        }
        let mut scene = world.stage.scene();
        for (rule, count) in scene.server.ruled.clone() {
            *scene.reached.entry(format!("rule: {rule}")).or_default() += count;
        }
        Outcome {
            digest: scene.trace.digest(),
            violation,
            struck: scene.faults.struck.clone(),
            reached: scene.reached.clone(),
            lines: std::mem::take(&mut scene.trace.lines),
            seconds: (scene.server.now - begun) / crate::server::SECOND,
        }
    }
}

/// The bytes of an empty ledger. Its name is set, as chance would make every run another.
async fn template() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("ledger");
    let settings = tallyd::store::Settings { path: path.clone(), cache_kib: 2_048 };
    let now = Timestamp::from_seconds(1_790_000_000);
    let ledger = SqliteLedger::open(&settings, "simulation", now).await;
    ledger.expect("a ledger can be made").close().await;
    name_it(&path).await;
    std::fs::read(&path).expect("the ledger can be read")
}

async fn name_it(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut ledger = options.connect().await.expect("the ledger opens");
    sqlx::raw_sql("UPDATE ledger SET id = '0123456789abcdef'; PRAGMA wal_checkpoint(TRUNCATE);")
        .execute(&mut ledger)
        .await
        .expect("the ledger takes a name");
    ledger.close().await.expect("it closes");
}
