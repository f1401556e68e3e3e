//! One run: a world in which the program's own rooms are stepped, crash, and are started again.
//! Here: time, the process, and what is done in which order. Never here: a check (see
//! [`crate::auditor`]). Read next: [`crate::scenario`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tallyd::accrual::route::Route;
use tallyd::accrual::widen::Widening;
use tallyd::clock::ManualClock;
use tallyd::domain::time::Timestamp;
use tallyd::provider::Provider as _;
use tallyd::schedule::{Schedule, Zone};
use tallyd::service::StepError;
use tallyd::store::Settings;
use tallyd::store::sqlite::SqliteLedger;

use crate::auditor::Auditor;
use crate::chance::Chance;
use crate::cutover::Plan;
use crate::doors::Sources;
use crate::faults::{Class, Faults};
use crate::months::Webhooks;
use crate::plants::{Plant, Planted};
use crate::ports::Ports;
use crate::process::{Part, Process, adopt, begin};
use crate::run::{Rooms, SCARCE, Setup, WIDENED_FROM};
use crate::scenario::Scenario;
use crate::scene::{Episodes, Scene, Stage, Trace};
use crate::server::{Billing, DAY, HOUR, Keeps, MINUTE, SECOND, Server};
use crate::wire::{Wire, declared, pin};
use crate::workload::{self, provider_name};

/// When every run begins, by true time.
pub(crate) const START: i64 = 1_790_000_000 * SECOND;
/// The page cache of a run's ledger, in KiB: it is small.
const CACHE_KIB: u32 = 2_048;

/// How something that was asked of the process ended.
pub(crate) enum Ended<T> {
    /// With this.
    Well(T),
    /// With an error, after which the process goes on.
    Later,
    /// The process is gone.
    Gone,
}

/// The world of one run.
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) chance: Chance,
    pub(crate) auditor: Auditor,
    pub(crate) routes: Vec<Route>,
    pub(crate) folder: tempfile::TempDir,
    rooms: Rooms,
    scarce: bool,
    /// Whether windows are widened then.
    widening: Widening,
    /// When what is due is told; nothing where it is told at once.
    flush: Option<Schedule>,
    pub(crate) plant: Option<Plant>,
    pub(crate) process: Option<Process>,
    /// True time.
    pub(crate) truth: i64,
    /// How far this host's clock is ahead of true time, and how much it gains in an hour.
    ahead: i64,
    gains: i64,
    pub(crate) sources: Sources,
    pub(crate) scenario: Scenario,
    /// Whether anything is billed in this run.
    pub(crate) months: bool,
    /// What customers do about their subscriptions follows from this.
    pub(crate) turns: Chance,
    pub(crate) webhooks: Webhooks,
    /// How the run is taken over from another program, if it is.
    pub(crate) plan: Option<Plan>,
}

/// When what is due is told, in one of six runs: each half an hour, some times a day, or once,
/// where clocks are set forward and back. A planted bug is looked for without it.
fn flush(setup: &Setup) -> Option<Schedule> {
    let mut chance = Chance::of(setup.seed, "flush");
    if setup.plant.is_some() || !chance.one_in(6) {
        return None;
    }
    let texts = ["*/30 * * * *", "15 */4 * * *", "30 2 * * *"];
    let text = texts[usize::try_from(chance.below(3)).expect("it is small")];
    let zone = Zone::parse("America/New_York").expect("there is one");
    Some(Schedule::parse(text).expect("it is cron text").in_zone(zone))
}

impl World {
    pub(crate) async fn new(setup: &Setup, rooms: Rooms, template: &[u8]) -> Self {
        let folder = match std::fs::metadata("/dev/shm") {
            Ok(_) => tempfile::tempdir_in("/dev/shm"),
            Err(_) => tempfile::tempdir(),
        };
        let folder = folder.expect("a folder can be made");
        std::fs::write(folder.path().join("ledger"), template).expect("the ledger can be laid out");
        let mut chance = Chance::of(setup.seed, "world");
        let window = chance.between(24 * HOUR, 48 * HOUR);
        let skew = chance.between(-2 * MINUTE, 2 * MINUTE);
        let (months, keeps) = (setup.scenario.bills(), setup.scenario.keeps());
        let meters = setup.scenario.meters();
        let billing = Billing::new(Chance::of(setup.seed, "billing"), keeps, months);
        let mut server = Server::new(keeps, START + skew, window, meters, billing);
        let scarce = keeps == Keeps::Entries && chance.one_in(4);
        if scarce {
            server.entries_max = SCARCE;
        }
        let plan = Self::takeover(setup.seed, setup.scenario == Scenario::Cutover);
        server.foreign.takeover = plan.as_ref().map(|plan| plan.takeover.clone());
        let widens = scarce && Chance::of(setup.seed, "widened").one_in(2);
        let mut without = setup.without.clone();
        without.extend(Class::ALL.iter().filter(|class| !class.is_of(keeps)));
        let scene = Scene {
            server,
            faults: Faults::of(setup.seed, &without, setup.only.as_ref()),
            trace: Trace::new(setup.verbose),
            episodes: Episodes::default(),
            witnesses: BTreeMap::new(),
            reached: BTreeMap::new(),
            plant: setup.plant,
            crashed: false,
            stalled: 0,
            may_be_there: false,
            stale: BTreeSet::new(),
            told_fresh: None,
            rolled_back: false,
            lacks: false,
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(START)));
        let stage = Stage::new(scene, clock);
        let path = folder.path().join("ledger");
        let mut auditor = Auditor::new(stage.clone(), path);
        auditor.widened_from = widens.then_some(WIDENED_FROM);
        let from = u32::try_from(WIDENED_FROM).expect("it is small");
        Self {
            auditor,
            stage,
            chance,
            routes: workload::all_routes(keeps, meters),
            folder,
            rooms,
            scarce,
            widening: widens.then(|| (provider_name(), from)).into_iter().collect(),
            flush: flush(setup),
            plant: setup.plant,
            process: None,
            truth: START,
            ahead: 0,
            gains: 0,
            sources: Sources::default(),
            scenario: setup.scenario,
            months,
            turns: Chance::of(setup.seed, "months"),
            webhooks: Webhooks::default(),
            plan,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    pub(crate) fn note(&self, line: String) {
        self.stage.scene().trace.note(line);
    }

    /// Lets true time pass; this host's clock follows as it does.
    pub(crate) fn pass(&mut self, micros: i64) {
        let mut scene = self.stage.scene();
        self.truth += micros + std::mem::take(&mut scene.stalled);
        self.ahead += self.gains * (micros / SECOND) / (HOUR / SECOND);
        let to = scene.server.now + micros;
        scene.server.advance(to);
        self.stage.clock.set(Timestamp::from_micros(self.truth + self.ahead));
    }

    /// Steps this host's clock. A daemon that runs looks at it every few seconds, so that what it
    /// saw last is from just before: it can tell a step back.
    pub(crate) async fn step_clock(&mut self, micros: i64) {
        self.step(Part::Delivery).await;
        self.ahead += micros;
        self.stage.clock.set(Timestamp::from_micros(self.truth + self.ahead));
    }

    /// Sets this host's clock right.
    pub(crate) fn right_clock(&mut self) {
        self.ahead = 0;
        self.stage.clock.set(Timestamp::from_micros(self.truth));
    }

    /// Sets how much this host's clock gains in an hour.
    pub(crate) fn drift(&mut self, gains: i64) {
        self.gains = gains;
    }

    /// What the provider keeps of usage.
    pub(crate) fn keeps(&self) -> Keeps {
        self.stage.scene().server.keeps
    }

    /// Whether a process runs.
    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Ends the process where it is.
    pub(crate) fn kill(&mut self) {
        if self.process.take().is_some() {
            self.note("killed".to_owned());
            self.lose_intent();
        }
        let mut scene = self.stage.scene();
        scene.crashed = false;
        scene.server.nobody_waits();
    }

    /// Where the intent is not on disk, a crash forgets it.
    fn lose_intent(&mut self) {
        let before = self.path().with_extension("before-intent");
        if self.plant == Some(Plant::NoIntent) && before.exists() {
            self.auditor.reopen();
            for kept in ["ledger-wal", "ledger-shm"] {
                drop(std::fs::remove_file(self.folder.path().join(kept)));
            }
            std::fs::rename(before, self.path()).expect("the older ledger takes its place");
            let fence = self.path().with_extension("fence-before-intent");
            drop(std::fs::rename(fence, self.path().with_extension("fence")));
        }
    }

    /// Starts a process, if none runs; answers whether one does.
    pub(crate) async fn start(&mut self) -> bool {
        if self.is_up() {
            return true;
        }
        let settings = Settings { path: self.path(), cache_kib: CACHE_KIB };
        let now = self.stage.now();
        let ledger = SqliteLedger::open(&settings, "simulation", now).await;
        let inner = Arc::new(ledger.expect("the ledger opens after a crash"));
        let planted = Planted { plant: self.plant, path: self.path(), stage: self.stage.clone() };
        let ports = Arc::new(Ports { inner, stage: self.stage.clone(), planted });
        let beside = SqliteConnectOptions::new().filename(self.path()).read_only(true);
        let beside = beside.connect().await.expect("the ledger can be read beside the program");
        let room = self.rooms.of(self.scenario, self.scarce);
        let wire = Arc::new(Wire::new(room, self.stage.clone(), beside));
        let meters = self.scenario.meters();
        wire.adopt_meters(meters.iter().map(|(meter, adds)| pin(meter, *adds)).collect());
        let prefix = match self.keeps() {
            Keeps::Events => "cus_",
            Keeps::Entries | Keeps::Counts(_) => "",
        };
        let begun = self.guarded(begin(ports.clone(), self.routes.clone(), prefix, now)).await;
        let Ended::Well(mut accruer) = begun else {
            self.kill();
            return false;
        };
        let tellings = self.tellings();
        if let Some((telling, _)) = &tellings {
            let adopting = adopt(ports.clone(), telling.clone(), self.routes.clone(), now);
            let Ended::Well(()) = self.guarded(adopting).await else {
                self.kill();
                return false;
            };
            self.watched();
            let cut = telling.cutover.clone();
            if self.plant != Some(Plant::UncutAtBillFrom) {
                accruer = accruer.cutting_over(BTreeMap::from([(provider_name(), cut)]));
            }
        }
        self.note("started".to_owned());
        self.stage.scene().reach("process started");
        let totals = declared(meters).into_iter().filter(|pin| pin.span.is_some());
        let whole = totals.map(|pin| (provider_name(), pin.meter)).collect();
        let accruer = accruer.widening(self.widening.clone()).keeping_whole(whole);
        let process = Process::new(ports, wire, accruer, &self.routes, &self.stage);
        let process = process.flushing(self.flush.clone());
        self.process = Some(match tellings {
            Some((telling, posts)) => process.telling(&telling, posts),
            None => process,
        });
        true
    }

    /// Awaits something of the process, for as long as the process lives.
    pub(crate) async fn guarded<T>(
        &self,
        work: impl Future<Output = Result<T, StepError>>,
    ) -> Ended<T> {
        let ended = tokio::select! {
            biased;
            result = work => result,
            () = self.stage.ends.notified() => return Ended::Gone,
        };
        match ended {
            Ok(done) => Ended::Well(done),
            Err(StepError::Later(_)) => Ended::Later,
            Err(StepError::Fatal(error)) => {
                let mut scene = self.stage.scene();
                let expected = scene.crashed;
                scene.trace.note(format!("fatal: {error}"));
                if !expected {
                    let what = format!("the ledger failed by itself: {error:?}");
                    scene.server.wrongs.push(("no-contradiction", what));
                }
                Ended::Gone
            }
        }
    }

    /// Steps a part once; answers whether there is more to do.
    pub(crate) async fn step(&mut self, part: Part) -> bool {
        let Some(process) = &self.process else { return false };
        let ended = self.guarded(process.service(part).run_once(self.stage.now())).await;
        match ended {
            Ended::Well(step) => {
                self.note(format!("{part:?} {:?}", step.counts));
                step.more || step.did_something()
            }
            Ended::Later => {
                // Answers that could not be recorded are gone with the step. A daemon keeps them
                // until it can; here it is as if it were started anew.
                if matches!(part, Part::Delivery) {
                    self.kill();
                }
                false
            }
            Ended::Gone => {
                self.kill();
                false
            }
        }
    }

    /// Starts again with other routes.
    pub(crate) async fn reconfigure(&mut self, routes: Vec<Route>) {
        self.kill();
        self.note(format!("{} routes", routes.len()));
        for route in &routes {
            self.auditor.configured(route);
        }
        self.routes = routes;
        self.start().await;
    }

    /// The whole ledger, as its own verification sees it.
    pub(crate) async fn verify(&mut self) -> Vec<String> {
        let Some(process) = &self.process else { return Vec::new() };
        use tallyd::ledger::operator::OperatorLedger as _;
        match process.ports.inner.verify().await {
            Ok(found) => found.findings,
            Err(error) => vec![error.to_string()],
        }
    }
}

/// How long a month's downtime is: longer than the provider takes usage back.
pub(crate) const MONTH: i64 = 36 * DAY;
