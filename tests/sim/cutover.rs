//! A cutover: another program told the provider before, and the program under test takes over,
//! perhaps after a time in shadow, perhaps too late. Here: how a run is taken over, and what the
//! other program tells meanwhile. Never here: what must hold of it (see [`crate::auditor`]). Read
//! next: [`crate::server`].

use std::collections::{BTreeMap, BTreeSet};

use tallyd::domain::cutover::{Cutover, Mode, Telling};
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::record::UsageRecord;
use tallyd::domain::time::Timestamp;

use crate::amount::Amount;
use crate::chance::Chance;
use crate::plants::Plant;
use crate::server::{HOUR, MINUTE, Takeover};
use crate::workload::account_of;
use crate::world::{START, World};

/// How the program is configured at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It tells all, as nobody has said yet that another program told some.
    Unaware,
    /// All is booked, and nothing told.
    Shadow,
    /// It tells what is of the cutover's instants and later.
    Live,
}

/// The cutover of a run.
pub(crate) struct Plan {
    pub(crate) takeover: Takeover,
    pub(crate) phase: Phase,
    chance: Chance,
    /// Records that the other program told.
    told: BTreeSet<String>,
    /// How often a process began.
    begun: u64,
}

impl Plan {
    /// The cutover that follows from a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed, "cutover");
        let mut instant = || chance.between(START - 12 * HOUR, START + 20 * HOUR) / MINUTE * MINUTE;
        let (all, of_bytes, of_account) = (instant(), instant(), instant());
        let mut takeover = Takeover { all, ..Takeover::default() };
        if chance.one_in(2) {
            takeover.meters.insert("bytes".to_owned(), of_bytes);
        }
        if chance.one_in(2) {
            takeover.accounts.insert(account_of("c1"), of_account);
        }
        let phase = *chance.pick(&[Phase::Unaware, Phase::Shadow, Phase::Live]);
        Self { takeover, phase, chance, told: BTreeSet::new(), begun: 0 }
    }

    /// How the program is configured now, as its config says it.
    pub(crate) fn telling(&self) -> Telling {
        let at = |micros: &i64| Timestamp::from_micros(*micros);
        let Takeover { all, meters, accounts } = &self.takeover;
        let meter = |name: &String| ProviderMeter::new(name).expect("it is a name");
        let account = |name: &String| AccountName::new(name).expect("it is a name");
        let cutover = Cutover {
            all: Some(at(all)),
            meters: meters.iter().map(|(name, from)| (meter(name), at(from))).collect(),
            accounts: accounts.iter().map(|(name, from)| (account(name), at(from))).collect(),
        };
        match self.phase {
            Phase::Unaware => Telling::default(),
            Phase::Shadow => Telling { mode: Mode::Shadow, cutover: Cutover::default() },
            Phase::Live => Telling { mode: Mode::Live, cutover },
        }
    }
}

impl World {
    /// How a process that begins now is to tell, and how its posting does, as a bug may have it.
    pub(crate) fn tellings(&mut self) -> Option<(Telling, Telling)> {
        let plan = self.plan.as_mut()?;
        plan.begun += 1;
        let (telling, again) = (plan.telling(), plan.begun > 1);
        let mut posts = telling.clone();
        match self.plant {
            Some(Plant::ToldBeforeForgotten) if again => posts.cutover = Cutover::default(),
            Some(Plant::ShadowLeaks) => posts.mode = Mode::Live,
            Some(_) | None => {}
        }
        Some((telling, posts))
    }

    /// The provider's watch knows by now how the program tells.
    pub(crate) fn watched(&self) {
        let Some(plan) = &self.plan else { return };
        let mut scene = self.stage.scene();
        let foreign = &mut scene.server.foreign;
        foreign.is_known |= plan.phase == Phase::Live;
        foreign.came_late |= plan.phase == Phase::Unaware;
        foreign.in_shadow = plan.phase == Phase::Shadow;
    }

    /// Now and then the config is changed, and the process started with it.
    pub(crate) async fn take_over(&mut self) {
        let Some(plan) = &mut self.plan else { return };
        if !plan.chance.one_in(6) {
            return;
        }
        let next = match plan.phase {
            Phase::Unaware if plan.chance.one_in(3) => Phase::Shadow,
            Phase::Unaware | Phase::Shadow => Phase::Live,
            Phase::Live if plan.chance.one_in(2) => Phase::Shadow,
            Phase::Live => return,
        };
        self.enter(next).await;
    }

    /// The program tells for good.
    pub(crate) async fn go_live(&mut self) {
        if self.plan.as_ref().is_some_and(|plan| plan.phase != Phase::Live) {
            self.enter(Phase::Live).await;
        }
    }

    async fn enter(&mut self, next: Phase) {
        self.kill();
        self.note(format!("{next:?} from now"));
        self.stage.scene().reach(format!("cutover: {next:?}"));
        if let Some(plan) = &mut self.plan {
            plan.phase = next;
        }
        // What is told by then is told as before.
        self.stage.scene().server.foreign.in_shadow = false;
        self.start().await;
    }

    /// The other program tells what is its own of new records, as they come.
    pub(crate) fn others_tell(&mut self, records: &[UsageRecord]) {
        let Some(plan) = &mut self.plan else { return };
        let mut scene = self.stage.scene();
        for record in records {
            let (account, at) = (account_of(record.customer.as_str()), record.occurred_at.micros());
            let is_count = record.meter.as_str() == "jobs";
            let meter = if is_count { "counted" } else { record.meter.as_str() };
            let is_its = at < plan.takeover.of(meter, &account);
            if is_its && plan.told.insert(record.id.as_str().to_owned()) {
                let said = Amount::parse(&record.quantity.to_string()).expect("it is plain text");
                let value = if is_count { Amount::of(1, 0) } else { said };
                scene.server.foreign_tells(meter, &account, at, value);
            }
        }
    }

    /// The instants of a run that is taken over.
    pub(crate) fn takeover(seed: u64, taken_over: bool) -> Option<Plan> {
        taken_over.then(|| Plan::of(seed))
    }
}

/// What is written off as told before, by record and meter: what its lines come to, and where.
pub(crate) type Before = BTreeMap<(i64, String), (Amount, BTreeSet<i64>)>;
