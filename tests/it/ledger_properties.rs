//! The ledger against a model, over random sequences of its verbs. Here: a provider that counts
//! each identifier once and loses answers, crashes, conflicting copies, changing routes and
//! accounts, archives; and what holds after every step. Never here: a wire, a directed case. Read
//! next: [`crate::regressions`].

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::{AccountRule, Route, WindowRule};
use tallyd::delivery::settle::settle;
use tallyd::domain::answer::Outcome;
use tallyd::domain::names::{AccountName, CustomerName, RouteName};
use tallyd::domain::provider_facts::ClockReading;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::state::HoldReason;
use tallyd::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};
use tallyd::ledger::delivery::{DeliveryLedger, Leased};
use tallyd::ledger::intake::{Admission, Admitted, IntakeLedger};
use tallyd::ledger::operator::{BookFilter, OperatorLedger};
use tallyd::posting::poster::Poster;
use tallyd::service::Service;
use tallyd::store::ARCHIVE_AGE_DAYS;
use tallyd::store::sqlite::SqliteLedger;
use tallyd::store::sqlite::archive::{Archiving, Checked, Wanted};

use crate::support::journey::{provider_name, record, route};
use crate::support::stand_in::{StandIn, agreeable, answer, ledger, settings, terms};
use crate::support::stripe::NOON;

const START: Timestamp = Timestamp::from_seconds(NOON);
const SEEDS: u64 = 200;
const STEPS: u64 = 20;
const METERS: [&str; 2] = ["calls", "bytes"];
const CUSTOMERS: u64 = 3;

/// A reproducible stream of numbers.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// Sums by (meter, account).
type Sums = BTreeMap<(String, String), Quantity>;

fn add(sums: &mut Sums, place: (String, String), quantity: &Quantity) {
    let sum = sums.entry(place).or_insert_with(Quantity::zero);
    *sum = &*sum + quantity;
}

/// The ledger under test, and the model of what it was told.
struct Trial {
    chance: Chance,
    folder: tempfile::TempDir,
    now: Timestamp,
    ledger: Arc<SqliteLedger>,
    provider: Arc<StandIn>,
    routes: Vec<Route>,
    accruer: Accruer,
    /// What was booked first under each id.
    booked: BTreeMap<String, Admitted>,
    in_flight: Vec<Leased>,
    /// What the provider counted: identifier to (meter, account, quantity).
    counted: BTreeMap<String, (String, String, Quantity)>,
}

fn imported(meter: &str, window: WindowRule) -> Route {
    Route { account: AccountRule::Imported, window, ..route(meter) }
}

/// All usage, whatever the window.
fn all_routes(window: WindowRule) -> Vec<Route> {
    METERS.map(|meter| imported(meter, window)).into()
}

async fn accruer(ledger: &Arc<SqliteLedger>, routes: &[Route], now: Timestamp) -> Accruer {
    let prefixes = HashMap::from([(provider_name(), "cus_")]);
    Accruer::adopt(ledger.clone(), routes.to_vec(), prefixes, now).await.unwrap()
}

impl Trial {
    async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path(), START).await;
        let routes = vec![imported("calls", WindowRule::Hour)];
        let accruer = accruer(&ledger, &routes, START).await;
        Self {
            chance: Chance(seed),
            folder,
            now: START,
            ledger,
            provider: agreeable(START),
            routes,
            accruer,
            booked: BTreeMap::new(),
            in_flight: Vec::new(),
            counted: BTreeMap::new(),
        }
    }

    /// A copy of a booked record, another record under a booked id, or a new one.
    fn arriving(&mut self) -> Admitted {
        let known = u64::try_from(self.booked.len()).unwrap();
        let id = self.chance.below(known + 3);
        let id = format!("r{id}");
        if let Some(booked) = self.booked.get(&id)
            && !self.chance.one_in(3)
        {
            return booked.clone();
        }
        let customer = format!("c{}", self.chance.below(CUSTOMERS));
        let meter = METERS[usize::try_from(self.chance.below(2)).unwrap()];
        let quantity = format!("{}.{}", self.chance.below(4), self.chance.below(1_000));
        let ago = i64::try_from(self.chance.below(10_000)).unwrap();
        record(&id, &customer, meter, &quantity, self.now.plus_seconds(-ago)).into()
    }

    async fn accept(&mut self) {
        let count = self.chance.below(9);
        let batch: Vec<Admitted> = (0..count).map(|_| self.arriving()).collect();
        // In one request, or in several that share a transaction.
        let parts: Vec<Vec<Admitted>> = if self.chance.one_in(2) {
            vec![batch.clone()]
        } else {
            batch.iter().map(|each| vec![each.clone()]).collect()
        };
        let booking = parts.into_iter().map(|part| self.ledger.accept(part, Vec::new(), self.now));
        let admissions = futures_util::future::join_all(booking).await;
        let admissions: Vec<Admission> =
            admissions.into_iter().flat_map(|each| each.unwrap()).collect();
        assert_eq!(admissions.len(), batch.len());
        for (each, admission) in batch.into_iter().zip(admissions) {
            let id = each.record.id.as_str().to_owned();
            match (self.booked.get(&id), admission) {
                (None, Admission::Accepted(_)) => drop(self.booked.insert(id, each)),
                (Some(first), Admission::Duplicate(_)) => assert_eq!(first.record, each.record),
                (Some(first), Admission::Conflict(_)) => assert_ne!(first.record, each.record),
                (known, admission) => panic!("{id}: {known:?} came to {admission:?}"),
            }
        }
    }

    async fn import(&mut self, customer: u64) {
        let pair = (
            CustomerName::new(&format!("c{customer}")).unwrap(),
            AccountName::new(&format!("cus_{customer}")).unwrap(),
        );
        self.ledger.import_accounts(&provider_name(), &[pair], self.now).await.unwrap();
    }

    async fn adopt(&mut self, routes: Vec<Route>) {
        self.routes = routes;
        self.accruer = accruer(&self.ledger, &self.routes, self.now).await;
    }

    async fn change_routes(&mut self) {
        let window = [WindowRule::Record, WindowRule::Hour, WindowRule::Day]
            [usize::try_from(self.chance.below(3)).unwrap()];
        let mut routes = all_routes(window);
        if self.chance.one_in(3) {
            routes.pop();
        }
        if self.chance.one_in(3) {
            routes[0].name = RouteName::new("renamed").unwrap();
        }
        self.adopt(routes).await;
    }

    async fn post(&mut self) {
        let reading = ClockReading { provider_at: self.now, local_at: self.now };
        self.ledger.read_clock(&provider_name(), reading).await.unwrap();
        let provider = self.provider.clone();
        let poster = Poster::new(provider_name(), self.ledger.clone(), provider);
        poster.run_once(self.now).await.unwrap();
    }

    async fn lease(&mut self, limit: u32) {
        let leases = self.ledger.lease(&provider_name(), terms(self.now, limit)).await.unwrap();
        self.in_flight.extend(leases.leased);
        let mut lanes: Vec<(String, String)> =
            self.in_flight.iter().map(|each| (each.meter.to_string(), account(each))).collect();
        let count = lanes.len();
        lanes.sort();
        lanes.dedup();
        assert_eq!(lanes.len(), count, "two in flight for one customer and meter");
    }

    /// The provider counts what it has not counted yet; answers whether it had.
    fn count(&mut self, leased: &Leased) -> bool {
        let body = String::from_utf8(leased.body.clone()).unwrap();
        let (account, quantity) = body.split_once(' ').unwrap();
        let said = (
            leased.meter.to_string(),
            account.to_owned(),
            Quantity::parse_unbounded(quantity).unwrap(),
        );
        match self.counted.insert(leased.identifier.to_string(), said.clone()) {
            Some(before) => {
                assert_eq!(before, said, "a name said two things");
                true
            }
            None => false,
        }
    }

    /// What one attempt comes to, at the provider and here.
    fn attempt(&mut self, leased: &Leased, kind: u64) -> Outcome {
        match kind {
            0..=7 => match self.count(leased) {
                true => Outcome::Duplicate,
                false => Outcome::Accepted,
            },
            8 | 9 => {
                if self.chance.one_in(2) {
                    self.count(leased);
                }
                if self.chance.one_in(2) { Outcome::Unknown } else { Outcome::Failed }
            }
            10 => Outcome::Busy,
            11 => Outcome::RateLimited,
            12 => Outcome::NotSent,
            13 => Outcome::Unauthorized,
            _ if self.counted.contains_key(leased.identifier.as_str()) => Outcome::Duplicate,
            _ => Outcome::Refused(HoldReason::ValueRefused),
        }
    }

    async fn settle(&mut self, kinds: u64) {
        let keep = usize::try_from(self.chance.below(3)).unwrap().min(self.in_flight.len());
        let ended = self.in_flight.split_off(keep);
        let mut settlements = Vec::new();
        for leased in &ended {
            let kind = self.chance.below(kinds);
            let outcome = self.attempt(leased, kind);
            settlements.push(settle(leased, answer(outcome), &settings(), self.now));
        }
        let reading = ClockReading { provider_at: self.now, local_at: self.now };
        self.ledger.settle(&provider_name(), settlements, Some(reading), self.now).await.unwrap();
    }

    /// The process ends, with requests in flight; another begins.
    async fn crash(mut self) -> Self {
        for leased in std::mem::take(&mut self.in_flight) {
            if self.chance.one_in(2) {
                self.count(&leased);
            }
        }
        let Self {
            chance,
            folder,
            now,
            routes,
            booked,
            counted,
            ledger: before,
            accruer: gone,
            ..
        } = self;
        drop((before, gone));
        let ledger = ledger(folder.path(), now).await;
        ledger.recover_in_flight(now).await.unwrap();
        let accruer = accruer(&ledger, &routes, now).await;
        let (provider, in_flight) = (agreeable(START), Vec::new());
        Self { chance, folder, now, ledger, provider, routes, accruer, booked, in_flight, counted }
    }

    /// What was taken is proven; and what of it may go does so, as if all of it were long ago.
    async fn archive(&self) {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("ledger"));
        let mut connection = options.connect().await.unwrap();
        let proven = "UPDATE meter_event SET state = 'settled' WHERE state = 'accepted'";
        connection.execute(proven).await.unwrap();
        connection.close().await.unwrap();
        let file = (0..).map(|number| self.folder.path().join(format!("archive-{number}")));
        let file = file.into_iter().find(|file| !file.exists()).unwrap();
        let wanted = Wanted { file: file.clone(), before: self.now, age_days: ARCHIVE_AGE_DAYS };
        let later = self.now.plus_micros(i64::from(ARCHIVE_AGE_DAYS) * MICROS_PER_DAY);
        let mut watch = |_| ControlFlow::Continue(());
        match self.ledger.archive(&wanted, later, &mut watch).await.unwrap() {
            Archiving::Made(_) => match self.ledger.verify_archive(&file).await.unwrap() {
                Checked::Archive(_, found) => assert_eq!(found.findings, Vec::<String>::new()),
                Checked::Refused(why) => panic!("{why}"),
            },
            Archiving::Nothing => assert!(!file.exists()),
            other @ (Archiving::Stopped | Archiving::Refused(_)) => panic!("{other:?}"),
        }
    }

    async fn step(mut self) -> Self {
        match self.chance.below(17) {
            0..=3 => self.accept().await,
            4..=6 => drop(self.accruer.run_once(self.now).await.unwrap()),
            7 | 8 => self.post().await,
            9 | 10 => {
                let limit = u32::try_from(1 + self.chance.below(6)).unwrap();
                self.lease(limit).await;
            }
            11 | 12 => self.settle(15).await,
            13 => {
                let customer = self.chance.below(CUSTOMERS);
                self.import(customer).await;
            }
            14 => self.change_routes().await,
            15 => self.archive().await,
            _ if self.chance.one_in(2) => return self.crash().await,
            _ => {
                let hours = if self.chance.one_in(8) { 30 } else { 2 };
                self.now = self.now.plus_micros(hours * MICROS_PER_HOUR);
            }
        }
        self
    }

    /// What the provider holds.
    fn truth(&self) -> Sums {
        let mut truth = Sums::new();
        for (meter, account, quantity) in self.counted.values() {
            add(&mut truth, (meter.clone(), account.clone()), quantity);
        }
        truth
    }

    /// What holds after every step: the ledger's own verification, and the bracket around what the
    /// provider counted.
    async fn check(&self) {
        assert_eq!(self.ledger.verify().await.unwrap().findings, Vec::<String>::new());
        let mut truth = self.truth();
        for line in self.ledger.books(&BookFilter::default()).await.unwrap() {
            let place = (line.meter.clone(), line.account.clone());
            let holds = truth.remove(&place).unwrap_or_else(Quantity::zero);
            assert!(line.low <= holds && holds <= line.high, "{holds} is outside of {line:?}");
            assert!(holds <= line.accrued, "{holds} is more than was used: {line:?}");
        }
        assert_eq!(truth, Sums::new(), "told, and in no book");
    }

    /// Every cause of waiting is removed, and everything is told.
    async fn drain(&mut self) {
        for customer in 0..CUSTOMERS {
            self.import(customer).await;
        }
        self.adopt(all_routes(WindowRule::Hour)).await;
        while self.accruer.run_once(self.now).await.unwrap().more {}
        // First what is due; then an hour ends, then a day, so that their windows are told too.
        for hours in [0, 1, 24] {
            self.now = self.now.plus_micros(hours * MICROS_PER_HOUR);
            self.post().await;
            loop {
                // Long enough for any backoff.
                self.now = self.now.plus_seconds(300);
                self.lease(100).await;
                if self.in_flight.is_empty() {
                    break;
                }
                self.settle(8).await;
            }
        }
        let mut used = Sums::new();
        for admitted in self.booked.values() {
            let record = &admitted.record;
            let account = record.customer.as_str().replace('c', "cus_");
            add(&mut used, (record.meter.to_string(), account), &record.quantity);
        }
        let mut accrued = Sums::new();
        for line in self.ledger.books(&BookFilter::default()).await.unwrap() {
            assert_eq!(line.told, line.accrued, "something was left untold: {line:?}");
            let place = (line.meter.clone(), line.account.clone());
            assert!(line.pending.is_zero() && line.uncertain.is_zero(), "not drained: {line:?}");
            if line.held.is_zero() {
                let holds = self.truth().remove(&place).unwrap_or_else(Quantity::zero);
                assert_eq!(holds, line.accrued, "{line:?}");
            }
            add(&mut accrued, place, &line.accrued);
        }
        assert_eq!(accrued, used, "what was used is not what was accrued");
    }
}

fn account(leased: &Leased) -> String {
    let body = String::from_utf8(leased.body.clone()).unwrap();
    body.split_once(' ').unwrap().0.to_owned()
}

async fn run(seed: u64) {
    let mut trial = Trial::new(seed).await;
    for _ in 0..STEPS {
        trial = trial.step().await;
        trial.check().await;
    }
    trial.drain().await;
    trial.check().await;
}

#[test]
fn whatever_happens_in_whatever_order_the_ledger_stays_conserved_and_brackets_the_truth() {
    // Two threads, each with its own seeds; a panic says which.
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for seed in (half..SEEDS).step_by(2) {
                    let said = SaidOnPanic(seed);
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .unwrap()
                        .block_on(run(seed));
                    drop(said);
                }
            });
        }
    });
}

/// Names the seed when its run panics.
struct SaidOnPanic(u64);

impl Drop for SaidOnPanic {
    #[expect(clippy::print_stderr, reason = "a failing seed has to be named")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the failing seed is {}", self.0);
        }
    }
}
