//! The alarm of silence over a real ledger: who is heard through accrual, when a silence is told,
//! once, and when it is over. Here: what lasts from one run to the next. Never here: cadences by
//! themselves (`domain::silence` tests those). Read next: [`crate::journey`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tallyd::accrual::accruer::Accruer;
use tallyd::daemon::silence::SilenceAlarm;
use tallyd::domain::names::{CustomerName, MeterName, RecordId, SourceName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::{Properties, UsageRecord};
use tallyd::domain::silence::{Silence, Speaker, SpeakerKind, Terms, silences};
use tallyd::domain::time::{MICROS_PER_SECOND, Timestamp};
use tallyd::ledger::Ledger;
use tallyd::ledger::intake::{Admitted, IntakeLedger};
use tallyd::ledger::silence::SilenceLedger;
use tallyd::service::Service;
use tallyd::store::Settings;
use tallyd::store::sqlite::SqliteLedger;
use tallyd::telemetry::metrics::Metrics;

/// A Monday, at midnight.
const MONDAY: Timestamp = Timestamp::from_seconds(1_767_571_200);
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// When whoever is heard each hour from the beginning has a cadence.
const LEARNED: i64 = 22 * DAY;

/// Seconds since the first Monday.
const fn at(seconds: i64) -> Timestamp {
    MONDAY.plus_seconds(seconds)
}

fn record(source: &str, meter: &str, quantity: &str, number: i64) -> Admitted {
    Admitted::from(UsageRecord {
        source: SourceName::new(source).unwrap(),
        id: RecordId::new(&format!("r{number}")).unwrap(),
        customer: CustomerName::new("acme").unwrap(),
        meter: MeterName::new(meter).unwrap(),
        quantity: Quantity::parse(quantity).unwrap(),
        occurred_at: at(0),
        properties: Properties::new(),
    })
}

/// A ledger, and one run of a daemon on it.
struct World {
    folder: tempfile::TempDir,
    ledger: Arc<SqliteLedger>,
    accruer: Accruer,
    alarm: SilenceAlarm,
    metrics: Metrics,
    terms: Terms,
    next: i64,
}

async fn open(folder: &tempfile::TempDir, now: i64) -> (Arc<SqliteLedger>, Accruer) {
    let settings = Settings { path: folder.path().join("ledger"), cache_kib: 2_048 };
    let ledger = Arc::new(SqliteLedger::open(&settings, "a test", at(now)).await.unwrap());
    let accruer = Accruer::adopt(ledger.clone(), Vec::new(), HashMap::new(), at(now)).await;
    (ledger, accruer.unwrap())
}

fn alarm(ledger: &Arc<SqliteLedger>, terms: &Terms) -> (SilenceAlarm, Metrics) {
    let (shared, metrics): (Arc<dyn Ledger>, _) = (ledger.clone(), Metrics::new());
    (SilenceAlarm::new(shared, metrics.clone(), terms.clone()), metrics)
}

impl World {
    async fn new(terms: Terms) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, accruer) = open(&folder, 0).await;
        let (alarm, metrics) = alarm(&ledger, &terms);
        Self { folder, ledger, accruer, alarm, metrics, terms, next: 0 }
    }

    /// Another run begins at `now`.
    async fn restart(self, now: i64) -> Self {
        let Self { folder, ledger, accruer, alarm: before, metrics: _, terms, next } = self;
        drop((accruer, before));
        Arc::into_inner(ledger).unwrap().close().await;
        let (ledger, accruer) = open(&folder, now).await;
        ledger.listen(at(now)).await.unwrap();
        let (alarm, metrics) = alarm(&ledger, &terms);
        Self { folder, ledger, accruer, alarm, metrics, terms, next }
    }

    /// Books a record that arrives at `now`; accrual has not read it.
    async fn arrive(&mut self, source: &str, meter: &str, quantity: &str, now: i64) {
        self.next += 1;
        let records = vec![record(source, meter, quantity, self.next)];
        self.ledger.accept(records, Vec::new(), at(now)).await.unwrap();
    }

    async fn accrue(&self, now: i64) {
        while self.accruer.run_once(at(now)).await.unwrap().did_something() {}
    }

    async fn hourly(&mut self, source: &str, meter: &str, hours: std::ops::Range<i64>) {
        for hour in hours {
            self.arrive(source, meter, "1", hour * HOUR).await;
        }
        self.accrue(LEARNED).await;
    }

    async fn silences(&self, now: i64) -> Vec<Silence> {
        silences(&self.ledger.heard().await.unwrap(), &self.terms, at(now))
    }

    async fn silent(&self, now: i64) -> Vec<String> {
        let name = |each: Silence| format!("{} {}", each.speaker.kind, each.speaker.name);
        self.silences(now).await.into_iter().map(name).collect()
    }

    /// Looks once; how many silences it told the log begin, and end.
    async fn look(&self, now: i64) -> (u64, u64) {
        let step = self.alarm.run_once(at(now)).await.unwrap();
        let count = |name| step.counts.iter().find(|each| each.0 == name).map_or(0, |each| each.1);
        (count("silent"), count("heard_again"))
    }

    /// Looks every two minutes from `from` until `to`, as a daemon that listens.
    async fn look_through(&self, from: i64, to: i64) -> (u64, u64) {
        let mut told = (0, 0);
        for now in (from..=to).step_by(120) {
            let (begun, ended) = self.look(now).await;
            told = (told.0 + begun, told.1 + ended);
        }
        told
    }

    fn shows(&self, line: &str) -> bool {
        self.metrics.encode().lines().any(|each| each == line)
    }
}

fn everybody() -> Terms {
    Terms { kinds: SpeakerKind::ALL.iter().copied().collect(), ..Terms::default() }
}

const LAST: i64 = LEARNED - HOUR;

#[tokio::test]
async fn a_silence_is_told_once_when_it_begins_and_once_when_it_is_over() {
    let mut world = World::new(everybody()).await;
    world.hourly("web", "calls", 0..LEARNED / HOUR).await;
    // With the source go its meter and its customer, which are not told beside it.
    assert_eq!(world.look_through(LAST, LAST + 2 * HOUR).await, (0, 0));
    assert!(world.shows("tallyd_silent{kind=\"source\"} 0"), "{}", world.metrics.encode());
    assert!(world.shows("tallyd_source_quiet_seconds{source=\"web\"} 7200"));
    assert_eq!(world.look_through(LAST + 2 * HOUR + 120, LAST + 3 * HOUR).await, (1, 0));
    assert!(world.shows("tallyd_silent{kind=\"source\"} 1"));
    assert!(world.shows("tallyd_silent{kind=\"meter\"} 1"));
    let silent = ["source web", "meter calls", "customer acme"];
    assert_eq!(world.silent(LAST + 3 * HOUR).await, silent);
    // Neither another look nor another run tells it again.
    let mut world = world.restart(LAST + 3 * HOUR + 60).await;
    assert_eq!(world.look_through(LAST + 3 * HOUR + 60, LAST + 4 * HOUR).await, (0, 0));
    world.arrive("web", "calls", "1", LAST + 4 * HOUR).await;
    world.accrue(LAST + 4 * HOUR).await;
    assert_eq!(world.look_through(LAST + 4 * HOUR, LAST + 5 * HOUR).await, (0, 1));
    assert!(world.shows("tallyd_silent{kind=\"source\"} 0"));
}

#[tokio::test]
async fn usage_of_nothing_is_a_sign_of_life_and_so_is_a_backfill_only_of_now() {
    let mut world = World::new(everybody()).await;
    // A collector that has nothing to say says so; its records are of long ago, and arrive now.
    for hour in 0..LEARNED / HOUR + 24 {
        world.arrive("web", "calls", "0", hour * HOUR).await;
    }
    world.accrue(LEARNED + DAY).await;
    world.ledger.listen(at(LEARNED + DAY)).await.unwrap();
    assert_eq!(world.silent(LEARNED + DAY).await, [""; 0]);
    assert_eq!(world.silent(LEARNED + DAY + 180).await, [""; 0]);
}

#[tokio::test]
async fn a_meter_whose_source_speaks_is_told_by_itself() {
    let mut world = World::new(Terms::default()).await;
    for hour in 0..LEARNED / HOUR {
        world.arrive("web", "bytes", "1", hour * HOUR).await;
        world.arrive("web", "calls", "1", hour * HOUR).await;
    }
    world.hourly("web", "bytes", LEARNED / HOUR..LEARNED / HOUR + 6).await;
    let now = LAST + 6 * HOUR;
    assert_eq!(world.look(now).await, (1, 0));
    let found = world.silences(now).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].speaker.name, found[0].source_is_silent), ("calls", false));
    // Where its source dies later, that is told too.
    assert_eq!(world.look_through(now, now + 3 * HOUR).await, (1, 0));
}

#[tokio::test]
async fn time_without_a_daemon_is_neither_a_silence_nor_a_gap() {
    let mut world = World::new(Terms::default()).await;
    world.hourly("web", "calls", 0..LEARNED / HOUR).await;
    world.ledger.listen(at(LAST + MINUTE)).await.unwrap();
    // Whoever looks into the ledger meanwhile sees no silence.
    assert_eq!(world.silent(LAST + 9 * DAY).await, [""; 0]);
    let back = LAST + 10 * DAY;
    let mut world = world.restart(back).await;
    assert_eq!(world.look_through(back, back + HOUR).await, (0, 0));
    world.arrive("web", "calls", "1", back + HOUR).await;
    world.accrue(back + HOUR).await;
    assert_eq!(world.look_through(back + HOUR, back + 3 * HOUR).await, (0, 0));
    // A day of it would be no silence, had the ten been learned as a gap.
    assert_eq!(world.look_through(back + 3 * HOUR, back + 5 * HOUR).await, (1, 0));
}

#[tokio::test]
async fn what_has_arrived_and_is_not_read_yet_is_nobodys_silence() {
    let mut world = World::new(Terms::default()).await;
    world.hourly("web", "calls", 0..LEARNED / HOUR).await;
    let now = LAST + 4 * HOUR;
    world.arrive("web", "calls", "1", LAST + HOUR).await;
    assert_eq!(world.look(now).await, (0, 0));
    world.accrue(now).await;
    // It was the last: now it is known that nothing came since.
    assert_eq!(world.look(now + 120).await, (1, 0));
}

#[tokio::test]
async fn a_silence_that_is_accepted_is_over_and_takes_its_meters_along() {
    let mut world = World::new(Terms::default()).await;
    world.hourly("web", "calls", 0..LEARNED / HOUR).await;
    let now = LAST + 4 * HOUR;
    assert_eq!(world.look(now).await, (1, 0));
    let web = Speaker::source(&SourceName::new("web").unwrap());
    world.terms.accepted = BTreeSet::from([web]);
    let mut world = world.restart(now + MINUTE).await;
    assert_eq!(world.look(now + MINUTE).await, (0, 1));
    assert_eq!(world.silent(now + 120).await, [""; 0]);
    assert!(!world.metrics.encode().contains("tallyd_source_quiet_seconds{"));
    // What comes again is booked as ever.
    world.arrive("web", "calls", "1", now + HOUR).await;
    world.accrue(now + HOUR).await;
    assert_eq!(world.look(now + HOUR).await, (0, 0));
}

#[tokio::test]
async fn whoever_was_silent_for_a_quarter_is_forgotten() {
    let mut world = World::new(Terms::default()).await;
    world.hourly("web", "calls", 0..3).await;
    assert_eq!(world.ledger.heard().await.unwrap().voices.len(), 3);
    let past = 3 * HOUR + 100 * DAY;
    world.look(past - DAY).await;
    assert_eq!(world.ledger.heard().await.unwrap().voices.len(), 3);
    world.look(past).await;
    assert_eq!(world.ledger.heard().await.unwrap().voices, []);
}

#[tokio::test]
async fn of_more_than_are_listened_for_the_later_ones_are_left_out_and_booked_all_the_same() {
    let mut world = World::new(Terms::default()).await;
    let most = i64::try_from(SpeakerKind::Source.most()).unwrap();
    let records: Vec<Admitted> =
        (0..most + 5).map(|each| record(&format!("s{each}"), "calls", "1", each)).collect();
    world.ledger.accept(records, Vec::new(), at(0)).await.unwrap();
    world.next = most + 5;
    world.accrue(0).await;
    for _ in 0..2 {
        let page = tallyd::ledger::accrual::AccrualLedger::unaccrued(&*world.ledger, 1).await;
        assert_eq!(page.unwrap().entries, []);
        let heard = world.ledger.heard().await.unwrap();
        let sources = heard.voices.iter().filter(|each| each.speaker.kind == SpeakerKind::Source);
        assert_eq!(i64::try_from(sources.count()).unwrap(), most);
        world.arrive("s1", "calls", "1", HOUR).await;
        world.arrive("another", "calls", "1", HOUR).await;
        world.accrue(HOUR).await;
    }
    let heard = world.ledger.heard().await.unwrap();
    let known = heard.voices.iter().find(|each| &*each.speaker.name == "s1").unwrap();
    assert_eq!((known.cadence.heard_at, known.cadence.gaps.len()), (at(HOUR), 1));
    assert_eq!(known.cadence.gaps[0].1, HOUR * MICROS_PER_SECOND);
}
