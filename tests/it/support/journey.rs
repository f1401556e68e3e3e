//! The rooms of the journey, stepped by hand over a real ledger and the sandbox. Here: the world
//! that a test drives. Never here: an expectation of its own. Read next: `crate::journey`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::{AccountRule, Aggregate, Route, WindowRule, policies_by_meter};
use tallyd::clock::{Clock, ManualClock};
use tallyd::delivery::Rate;
use tallyd::delivery::courier::Courier;
use tallyd::domain::cutover::{Mode, Telling};
use tallyd::domain::names::{
    CustomerName, MeterName, ProviderMeter, ProviderName, RecordId, RouteName, SourceName,
};
use tallyd::domain::policies::Policies;
use tallyd::domain::provider_facts::MeterPin;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::{Properties, UsageRecord};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::cutover::{Adoption, CutoverLedger};
use tallyd::ledger::delivery::DeliveryLedger;
use tallyd::ledger::intake::{Admission, IntakeLedger};
use tallyd::ledger::operator::{BookFilter, OperatorLedger};
use tallyd::posting::poster::Poster;
use tallyd::provider::shadowed::Shadowed;
use tallyd::provider::stripe::{Stripe, settings};
use tallyd::provider::{NoticeReader, Provider};
use tallyd::reconcile::listener::Listener;
use tallyd::reconcile::settler::Settler;
use tallyd::sandbox::stripe::BookLine;
use tallyd::service::{IDLE_SECONDS_MAX, Service, Step};
use tallyd::store::sqlite::SqliteLedger;

use super::stripe::Running;

/// The one provider instance of a test's world.
pub(crate) fn provider_name() -> ProviderName {
    ProviderName::new("stripe.main").unwrap()
}

/// A route of hourly sums from `meter` to the meter of the same name.
pub(crate) fn route(meter: &str) -> Route {
    Route {
        name: RouteName::new(meter).unwrap(),
        meter: MeterName::new(meter).unwrap(),
        matches: BTreeMap::new(),
        provider: provider_name(),
        provider_meter: ProviderMeter::new(meter).unwrap(),
        window: WindowRule::Hour,
        aggregate: Aggregate::Sum,
        scale: Quantity::one(),
        account: AccountRule::Identity,
        settle_micros: 0,
        policies: Policies::default(),
    }
}

/// A usage record from the source `web`.
pub(crate) fn record(
    id: &str,
    customer: &str,
    meter: &str,
    quantity: &str,
    occurred_at: Timestamp,
) -> UsageRecord {
    UsageRecord {
        source: SourceName::new("web").unwrap(),
        id: RecordId::new(id).unwrap(),
        customer: CustomerName::new(customer).unwrap(),
        meter: MeterName::new(meter).unwrap(),
        quantity: Quantity::parse(quantity).unwrap(),
        occurred_at,
        properties: Properties::new(),
    }
}

/// What a test may set of its world.
pub(crate) struct Setting {
    pub(crate) rate_per_second: u32,
    pub(crate) timeout_millis: u32,
    /// By which webhooks are proven to be the provider's.
    pub(crate) webhook_secrets: Vec<&'static str>,
    pub(crate) reads_per_month: u32,
    /// What the operator said of meters.
    pub(crate) declared: Vec<MeterPin>,
    /// Whether the provider is told, and from when on.
    pub(crate) telling: Telling,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            rate_per_second: 1_000,
            timeout_millis: 2_000,
            webhook_secrets: Vec::new(),
            reads_per_month: tallyd::reconcile::READS_PER_MONTH,
            declared: Vec::new(),
            telling: Telling::default(),
        }
    }
}

/// One run of the daemon's rooms over a ledger. Dropping it without [`World::close`] is a crash.
pub(crate) struct World {
    pub(crate) ledger: Arc<SqliteLedger>,
    pub(crate) accruer: Accruer,
    pub(crate) poster: Poster,
    pub(crate) courier: Courier,
    /// Not stepped with the others: what it reads costs hours of waiting.
    pub(crate) settler: Settler,
    /// Not stepped with the others either: most tests have no subscriptions.
    pub(crate) listener: Listener,
    /// The provider that the rooms tell.
    pub(crate) provider: Arc<dyn Provider>,
    /// What reads webhooks, where there are secrets to prove them by.
    pub(crate) notices: Option<Arc<dyn NoticeReader>>,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) async fn open(
        folder: &Path,
        sandbox: &Running,
        clock: &Arc<ManualClock>,
        routes: Vec<Route>,
        setting: Setting,
    ) -> Self {
        let store = tallyd::store::Settings { path: folder.join("ledger"), cache_kib: 2_048 };
        let ledger = Arc::new(SqliteLedger::open(&store, "a test", clock.now()).await.unwrap());
        ledger.recover_in_flight(clock.now()).await.unwrap();
        let stripe = Stripe::new(&settings::Settings {
            name: provider_name(),
            api: sandbox.url.clone(),
            stream_api: sandbox.url.clone(),
            channel: settings::Channel::V1,
            key: "sk_test_journey".to_owned().into(),
            account: None,
            meters: setting.declared.clone(),
            webhook_secrets: setting.webhook_secrets.iter().map(|&text| text.into()).collect(),
            timeout_millis: setting.timeout_millis,
        });
        let reader = Arc::new(stripe.unwrap());
        let stripe: Arc<dyn Provider> = match setting.telling.mode {
            Mode::Live => reader.clone(),
            Mode::Shadow => Arc::new(Shadowed::new(reader.clone())),
        };
        let meters = routes.iter().map(|route| route.provider_meter.clone()).collect();
        let adopted = ledger
            .adopt_telling(&provider_name(), &setting.telling, &meters, clock.now())
            .await
            .unwrap();
        assert!(matches!(adopted, Adoption::Adopted { .. }), "{adopted:?}");
        let prefixes = HashMap::from([(provider_name(), "cus_")]);
        let policies = policies_by_meter(&routes, &provider_name());
        let accruer = Accruer::adopt(ledger.clone(), routes, prefixes, clock.now()).await.unwrap();
        let totals = setting.declared.iter().filter(|pin| pin.span.is_some());
        let whole = totals.map(|pin| (provider_name(), pin.meter.clone())).collect();
        let accruer = accruer.keeping_whole(whole);
        let poster = Poster::new(provider_name(), ledger.clone(), stripe.clone());
        let poster = poster.following(policies).telling(setting.telling.clone());
        let cutovers = [(provider_name(), setting.telling.cutover.clone())];
        let accruer = accruer.cutting_over(cutovers.into());
        let delivery = tallyd::delivery::Settings {
            provider: provider_name(),
            rate: Rate::per_second(setting.rate_per_second),
            batched_rate: None,
            limited_pause_seconds: 1,
            concurrency: 32,
            attempt_timeout_millis: setting.timeout_millis,
            backoff_first_millis: 500,
            backoff_seconds_max: 300,
            pause_probe_seconds: 60,
            free_bytes_min: 0,
        };
        let observer = Arc::new(|_| ());
        let settling = tallyd::reconcile::Settings {
            provider: provider_name(),
            reads_per_month: setting.reads_per_month,
        };
        let listener =
            Listener::new(settling.clone(), ledger.clone(), stripe.clone(), reader.clone());
        let settler = Settler::new(settling, ledger.clone(), stripe.clone(), Arc::new(|_| ()))
            .telling(setting.telling.clone());
        let courier = Courier::new(delivery, ledger.clone(), stripe, clock.clone(), observer);
        let courier = courier.in_mode(setting.telling.mode);
        let notices = reader.notice_reader();
        let provider: Arc<dyn Provider> = reader;
        let clock = clock.clone();
        Self { ledger, accruer, poster, courier, settler, listener, provider, notices, clock }
    }

    pub(crate) async fn accept(&self, records: Vec<UsageRecord>) -> Vec<Admission> {
        let records = records.into_iter().map(Into::into).collect();
        self.ledger.accept(records, Vec::new(), self.clock.now()).await.unwrap()
    }

    /// Steps every room once; answers what they did.
    pub(crate) async fn step(&self) -> Vec<Step> {
        let rooms: [&dyn Service; 3] = [&self.accruer, &self.poster, &self.courier];
        let mut steps = Vec::new();
        for room in rooms {
            steps.push(room.run_once(self.clock.now()).await.unwrap());
        }
        steps
    }

    /// Books and posts what is due, and sends nothing.
    pub(crate) async fn accruer_and_poster(&self) {
        let rooms: [&dyn Service; 2] = [&self.accruer, &self.poster];
        for room in rooms {
            while room.run_once(self.clock.now()).await.unwrap().did_something() {}
        }
    }

    /// Steps until nothing is left to do, moving the clock to whatever falls due next, but not past
    /// `until`.
    pub(crate) async fn run_until(&self, until: Timestamp) {
        let mut quiet = 0;
        while quiet < 2 {
            let steps = self.step().await;
            if steps.iter().any(|step| step.more || step.did_something()) {
                quiet = 0;
                continue;
            }
            let next = steps.iter().filter_map(|step| step.wake_at).min();
            match next {
                Some(at) if at <= until => {
                    self.clock.set(at.max(self.clock.now().plus_micros(1_000)));
                    quiet = 0;
                }
                // As every service does, looks again after a while though nothing rang.
                Some(_) | None => {
                    self.clock.advance_micros(IDLE_SECONDS_MAX * 1_000_000);
                    quiet += 1;
                }
            }
        }
    }

    /// The ledger's verification must find nothing.
    pub(crate) async fn verify(&self) {
        let verification = self.ledger.verify().await.unwrap();
        assert_eq!(verification.findings, Vec::<String>::new());
    }

    /// The ledger's books, by (meter, account): what is accrued, and what certainly arrived or may
    /// have.
    pub(crate) async fn accrued(&self) -> BTreeMap<(String, String), String> {
        let lines = self.ledger.books(&BookFilter::default()).await.unwrap();
        lines
            .into_iter()
            .map(|line| ((line.meter, line.account), line.accrued.to_string()))
            .collect()
    }
}

/// The sandbox's books in the same form.
pub(crate) fn provider_books(lines: Vec<BookLine>) -> BTreeMap<(String, String), String> {
    lines
        .into_iter()
        .map(|line| {
            let total = line.total.normalized().to_plain_string();
            ((line.event_name, line.customer), total)
        })
        .collect()
}
