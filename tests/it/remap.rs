//! History booked anew, stepped by hand: what a remap changes at the provider, what it leaves, and
//! what ends it. Never here: which lines that takes (`accrual::remap`). Read next:
//! [`crate::corrections`].

use std::collections::BTreeMap;

use tallyd::accrual::remapper::Preview;
use tallyd::accrual::route::{Aggregate, Route, WindowRule};
use tallyd::clock::Clock as _;
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::names::{
    CorrectionName, CustomerName, ProviderMeter, RecordId, RouteName, SourceName,
};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::corrections::RecordFilter;
use tallyd::ledger::intake::CorrectionLedger;
use tallyd::ledger::operator::OperatorLedger;
use tallyd::ledger::remap::{
    RemapBegun, RemapEnd, RemapLedger, RemapStatus, RemapStop, RemapWish, StopWish,
};
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tallyd::service::Service as _;
use tempfile::TempDir;

use crate::support::journey::{Setting, World, provider_books, record, route};
use crate::support::stripe::{NOON, Running, start_with};

const START: Timestamp = Timestamp::from_seconds(NOON);

struct Stage {
    folder: TempDir,
    sandbox: Running,
    world: World,
}

impl Stage {
    /// A world in which `routes` booked ten records of 1 to 10 `calls` of two customers, and told
    /// them.
    async fn begin(routes: Vec<Route>) -> Self {
        let meters = |stripe: &mut tallyd::sandbox::stripe::Settings| {
            let names = [("calls", Formula::Sum), ("other", Formula::Sum), ("n", Formula::Count)];
            stripe.meters = names.map(|(name, formula)| NewMeter::new(name, formula)).to_vec();
        };
        let (folder, sandbox) = (tempfile::tempdir().unwrap(), start_with(meters).await);
        let world = open(&folder, &sandbox, routes).await;
        let stage = Self { folder, sandbox, world };
        let at = START.plus_seconds(-4_000);
        let records = (1..=10).map(|number| {
            let customer = ["cus_1", "cus_2"][number % 2];
            record(&format!("r{number}"), customer, "calls", &number.to_string(), at)
        });
        stage.world.accept(records.collect()).await;
        stage.run().await;
        stage.settle().await;
        stage
    }

    /// Beside them 1,200 records of one customer, more than a step books, all told.
    async fn of_many() -> Self {
        let stage = Self::begin(vec![route("calls")]).await;
        let at = START.plus_seconds(-4_000);
        let more = (0..1_200).map(|id| record(&format!("m{id}"), "cus_1", "calls", "1", at));
        stage.world.accept(more.collect()).await;
        stage.run().await;
        stage.settle().await;
        stage
    }

    /// The next run of the daemon, with other routes.
    async fn reopen(self, routes: Vec<Route>) -> Self {
        let Self { folder, sandbox, world } = self;
        drop(world);
        let world = open(&folder, &sandbox, routes).await;
        let stage = Self { folder, sandbox, world };
        stage.run().await;
        stage
    }

    async fn run(&self) {
        self.world.run_until(self.world.clock.now().plus_seconds(120)).await;
        self.world.verify().await;
    }

    /// Has the provider's totals read back, twice, long enough after the last answer: what is
    /// proven there can be taken back.
    async fn settle(&self) {
        for seconds in [8 * 3_600, 601] {
            self.world.clock.set(self.world.clock.now().plus_seconds(seconds));
            self.world.settler.run_once(self.world.clock.now()).await.unwrap();
        }
        self.run().await;
    }

    async fn preview(&self, filter: &RecordFilter) -> Preview {
        let World { ledger, accruer, clock, .. } = &self.world;
        accruer.preview(ledger.as_ref(), filter, clock.now()).await.unwrap()
    }

    async fn ask(&self, filter: RecordFilter, preview: &Preview) -> RemapBegun {
        let (why, who) = ("the route was wrong".to_owned(), "cli:ada".to_owned());
        let (mapping, to) = (preview.mapping, preview.to);
        let wish = RemapWish { filter, mapping, to, why, who };
        self.world.ledger.begin_remap(&wish, self.world.clock.now()).await.unwrap()
    }

    /// Remaps what `filter` lets through, after a preview; what became of it.
    async fn remap(&self, filter: RecordFilter) -> (Preview, RemapStatus) {
        let preview = self.preview(&filter).await;
        assert!(matches!(self.ask(filter, &preview).await, RemapBegun::Begun(_)));
        self.run().await;
        self.settle().await;
        let newest = self.world.ledger.remaps(None, 1).await.unwrap().remove(0);
        (preview, newest)
    }

    /// Why records are parked, and how many for each.
    async fn parked(&self) -> Vec<(String, i64)> {
        let mut parked: BTreeMap<String, i64> = BTreeMap::new();
        for group in self.world.ledger.parked().await.unwrap() {
            *parked.entry(group.reason).or_default() += group.count;
        }
        parked.into_iter().collect()
    }

    /// What the provider counts, where it is anything.
    fn counted(&self) -> BTreeMap<(String, String), String> {
        let mut books = provider_books(self.sandbox.handle.books());
        books.retain(|_, total| total != "0");
        books
    }

    fn assert_counted(&self, expected: &[(&str, &str, &str)]) {
        let own = |(meter, account, total): &(&str, &str, &str)| {
            (((*meter).to_owned(), (*account).to_owned()), (*total).to_owned())
        };
        assert_eq!(self.counted(), expected.iter().map(own).collect());
    }
}

async fn open(folder: &TempDir, sandbox: &Running, routes: Vec<Route>) -> World {
    World::open(folder.path(), sandbox, &sandbox.clock, routes, Setting::default()).await
}

fn scaled(scale: &str) -> Route {
    Route { scale: Quantity::parse_unbounded(scale).unwrap(), ..route("calls") }
}

fn to_other() -> Route {
    let provider_meter = ProviderMeter::new("other").unwrap();
    Route { provider_meter, name: RouteName::new("other").unwrap(), ..route("calls") }
}

fn all() -> RecordFilter {
    RecordFilter::default()
}

#[tokio::test]
async fn a_wrong_scale_is_put_right_for_what_was_told_and_nothing_is_told_twice() {
    let mut stage = Stage::begin(vec![route("calls")]).await;
    stage.assert_counted(&[("calls", "cus_1", "30"), ("calls", "cus_2", "25")]);
    stage = stage.reopen(vec![scaled("0.5")]).await;
    // Another route tells nothing of what is booked.
    stage.assert_counted(&[("calls", "cus_1", "30"), ("calls", "cus_2", "25")]);
    let (preview, remap) = stage.remap(all()).await;
    assert_eq!((preview.records, preview.changed, preview.left.len()), (10, 10, 0));
    let changes = preview.changes.iter().map(|((place, _), change)| {
        (place.1.to_string(), change.from.to_string(), change.to.to_string())
    });
    let expected = [("cus_1", "-30", "15"), ("cus_2", "-25", "12.5")];
    let own = |(account, from, to): (&str, &str, &str)| {
        (account.to_owned(), from.to_owned(), to.to_owned())
    };
    assert_eq!(changes.collect::<Vec<_>>(), expected.map(own));
    assert_eq!((remap.ended, remap.changed, remap.left_alone), (Some(RemapEnd::Done), 10, 0));
    stage.assert_counted(&[("calls", "cus_1", "15"), ("calls", "cus_2", "12.5")]);
    let (preview, remap) = stage.remap(all()).await;
    assert_eq!((preview.changed, remap.changed), (0, 0));
    stage.assert_counted(&[("calls", "cus_1", "15"), ("calls", "cus_2", "12.5")]);
}

#[tokio::test]
async fn only_what_the_filter_lets_through_goes_where_the_route_leads_now() {
    let mut stage = Stage::begin(vec![route("calls")]).await;
    stage = stage.reopen(vec![to_other()]).await;
    let customer = Some(CustomerName::new("cus_1").unwrap());
    let (preview, remap) = stage.remap(RecordFilter { customer, ..all() }).await;
    assert_eq!((preview.records, remap.changed), (5, 5));
    stage.assert_counted(&[("calls", "cus_2", "25"), ("other", "cus_1", "30")]);
    // The journal's later records go by the route in any case.
    let late = record("late", "cus_2", "calls", "4", START.plus_seconds(-4_000));
    stage.world.accept(vec![late]).await;
    stage.run().await;
    stage.assert_counted(&[
        ("calls", "cus_2", "25"),
        ("other", "cus_1", "30"),
        ("other", "cus_2", "4"),
    ]);
    stage.remap(all()).await;
    stage.assert_counted(&[("other", "cus_1", "30"), ("other", "cus_2", "29")]);
}

#[tokio::test]
async fn records_that_were_told_one_by_one_are_taken_back_one_by_one() {
    let each = Route {
        provider_meter: ProviderMeter::new("n").unwrap(),
        window: WindowRule::Record,
        aggregate: Aggregate::Count,
        ..route("calls")
    };
    let mut stage = Stage::begin(vec![each.clone()]).await;
    stage.assert_counted(&[("n", "cus_1", "5"), ("n", "cus_2", "5")]);
    stage = stage.reopen(vec![route("calls")]).await;
    stage.remap(all()).await;
    stage.assert_counted(&[("calls", "cus_1", "30"), ("calls", "cus_2", "25")]);
    // And back: each record's own event was cancelled, so another one tells it.
    stage = stage.reopen(vec![each]).await;
    stage.remap(all()).await;
    stage.assert_counted(&[("n", "cus_1", "5"), ("n", "cus_2", "5")]);
}

#[tokio::test]
async fn a_correction_after_a_remap_goes_where_the_record_is_now() {
    let mut stage = Stage::begin(vec![route("calls")]).await;
    correct(&stage, "r2", "fix", Change::Adjust { quantity: 7.into(), replaces: 2.into() }).await;
    stage = stage.reopen(vec![Route { scale: Quantity::from(2), ..to_other() }]).await;
    stage.remap(all()).await;
    stage.assert_counted(&[("other", "cus_1", "70"), ("other", "cus_2", "50")]);
    correct(&stage, "r2", "gone", Change::Cancel).await;
    stage.assert_counted(&[("other", "cus_1", "56"), ("other", "cus_2", "50")]);
    stage = stage.reopen(vec![route("calls")]).await;
    stage.remap(all()).await;
    stage.assert_counted(&[("calls", "cus_1", "28"), ("calls", "cus_2", "25")]);
}

async fn correct(stage: &Stage, record: &str, name: &str, change: Change) {
    let correction = Correction {
        source: SourceName::new("web").unwrap(),
        record: RecordId::new(record).unwrap(),
        name: CorrectionName::new(name).unwrap(),
        change,
        reason: "a test".to_owned(),
        who: "cli:ada".to_owned(),
    };
    let now = stage.world.clock.now();
    stage.world.ledger.correct(vec![correction], now).await.unwrap();
    stage.run().await;
    stage.settle().await;
}

#[tokio::test]
async fn what_no_route_takes_any_longer_stays_and_is_said() {
    let mut stage = Stage::begin(vec![route("calls")]).await;
    stage = stage.reopen(vec![route("other")]).await;
    let (preview, remap) = stage.remap(all()).await;
    assert_eq!((preview.changed, remap.changed, remap.left_alone), (0, 0, 10));
    let left: Vec<_> = preview.left.into_iter().collect();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].0.as_str(), left[0].1.records), ("no_route", 10));
    assert_eq!(left[0].1.first, "web/r1");
    stage.assert_counted(&[("calls", "cus_1", "30"), ("calls", "cus_2", "25")]);
}

#[tokio::test]
async fn a_remap_is_of_the_routes_that_a_person_saw_and_of_no_others() {
    let mut stage = Stage::begin(vec![route("calls")]).await;
    stage = stage.reopen(vec![scaled("0.5")]).await;
    let preview = stage.preview(&all()).await;
    stage = stage.reopen(vec![scaled("3")]).await;
    assert_eq!(stage.ask(all(), &preview).await, RemapBegun::Outdated);
    // Routes that change between the wish and the step end it.
    let preview = stage.preview(&all()).await;
    assert!(matches!(stage.ask(all(), &preview).await, RemapBegun::Begun(_)));
    stage = stage.reopen(vec![scaled("100")]).await;
    let remap = stage.world.ledger.remaps(None, 1).await.unwrap().remove(0);
    assert_eq!((remap.ended, remap.changed), (Some(RemapEnd::Outdated), 0));
    stage.assert_counted(&[("calls", "cus_1", "30"), ("calls", "cus_2", "25")]);
}

#[tokio::test]
async fn a_remap_goes_on_where_a_crash_left_it() {
    let mut stage = Stage::of_many().await;
    stage.assert_counted(&[("calls", "cus_1", "1230"), ("calls", "cus_2", "25")]);
    stage = stage.reopen(vec![to_other()]).await;
    let preview = stage.preview(&all()).await;
    assert_eq!(preview.changed, 1_210);
    stage.ask(all(), &preview).await;
    tallyd::service::Service::run_once(&stage.world.accruer, stage.world.clock.now())
        .await
        .unwrap();
    let remap = stage.world.ledger.remaps(None, 1).await.unwrap().remove(0);
    assert_eq!((remap.ended, remap.changed), (None, 500));
    stage.world.verify().await;
    stage = stage.reopen(vec![to_other()]).await;
    let remap = stage.world.ledger.remaps(None, 1).await.unwrap().remove(0);
    assert_eq!((remap.ended, remap.changed), (Some(RemapEnd::Done), 1_210));
    stage.assert_counted(&[("other", "cus_1", "1230"), ("other", "cus_2", "25")]);
    let (source, id) = (SourceName::new("web").unwrap(), RecordId::new("r1").unwrap());
    let bookings = stage.world.ledger.trace(&source, &id).await.unwrap().unwrap().bookings;
    let causes: Vec<_> = bookings.iter().map(|line| line.lines.len()).collect();
    assert_eq!(causes, [2, 1], "{bookings:?}");
}

#[tokio::test]
async fn late_usage_of_a_route_that_has_another_aggregate_by_now_waits_and_is_added_to_no_sum() {
    let mut stage = Stage::begin(vec![route("calls")]).await;
    stage = stage.reopen(vec![Route { aggregate: Aggregate::Max, ..route("calls") }]).await;
    let late = |id, quantity| record(id, "cus_1", "calls", quantity, START.plus_seconds(-4_000));
    stage.world.accept(vec![late("late", "9"), late("later", "4")]).await;
    stage.run().await;
    stage.assert_counted(&[("calls", "cus_1", "30"), ("calls", "cus_2", "25")]);
    assert_eq!(stage.parked().await, [("other_aggregate".to_owned(), 2)]);
    // One more alone, and then beside one of a customer whose window is such a sum, too.
    let of = |id, customer| record(id, customer, "calls", "3", START.plus_seconds(-4_000));
    stage.world.accept(vec![of("first", "cus_1")]).await;
    stage.run().await;
    stage.world.accept(vec![of("second", "cus_1"), of("beside", "cus_2")]).await;
    stage.run().await;
    assert_eq!(stage.parked().await, [("other_aggregate".to_owned(), 5)]);
    // Other routes that do not fit either change nothing.
    let last = Route { aggregate: Aggregate::Last, ..route("calls") };
    stage = stage.reopen(vec![last]).await;
    assert_eq!(stage.parked().await, [("other_aggregate".to_owned(), 5)]);
    // As it was before, it takes them.
    stage = stage.reopen(vec![route("calls")]).await;
    assert_eq!(stage.parked().await, []);
    stage.assert_counted(&[("calls", "cus_1", "49"), ("calls", "cus_2", "28")]);
}

#[tokio::test]
async fn what_a_remap_took_away_waits_for_one_that_brings_it_back() {
    let named = |name: &str, route: Route| Route { name: RouteName::new(name).unwrap(), ..route };
    let (first, second) = (route("calls"), to_other());
    let third = named("third", to_other());
    let mut stage = Stage::begin(vec![first, second.clone(), third.clone()]).await;
    assert_eq!(stage.parked().await, [("destination_taken".to_owned(), 10)]);
    stage = stage.reopen(vec![second.clone(), third]).await;
    stage.remap(all()).await;
    stage.assert_counted(&[("other", "cus_1", "30"), ("other", "cus_2", "25")]);
    stage = stage.reopen(vec![second, named("third", route("calls"))]).await;
    assert_eq!(stage.parked().await, [("remapped_away".to_owned(), 10)]);
    stage.remap(all()).await;
    assert_eq!(stage.parked().await, []);
    let told = [("calls", "cus_1"), ("calls", "cus_2"), ("other", "cus_1"), ("other", "cus_2")];
    let told =
        told.map(|(meter, account)| (meter, account, if account == "cus_1" { "30" } else { "25" }));
    stage.assert_counted(&told);
}

#[tokio::test]
async fn a_remap_is_stopped_where_it_is_and_what_it_did_stays_done() {
    let mut stage = Stage::of_many().await;
    stage = stage.reopen(vec![to_other()]).await;
    let preview = stage.preview(&all()).await;
    let RemapBegun::Begun(id) = stage.ask(all(), &preview).await else { panic!("not begun") };
    stage.world.accruer.run_once(stage.world.clock.now()).await.unwrap();
    let (ledger, now) = (stage.world.ledger.clone(), stage.world.clock.now());
    let said = StopWish { why: "the wrong route".to_owned(), who: "cli:ada".to_owned() };
    // The step that was read before it is stopped does nothing any more.
    let open = tallyd::ledger::accrual::AccrualLedger::open_remap(ledger.as_ref(), 1).await;
    assert!(open.unwrap().is_some());
    let stopped = ledger.stop_remap(id, &said, now).await.unwrap();
    let RemapStop::Stopped(status) = stopped else { panic!("{stopped:?}") };
    assert_eq!((status.changed, status.ended), (500, Some(RemapEnd::Stopped)));
    assert_eq!(status.stopped, Some((said.who.clone(), said.why.clone())));
    stage.run().await;
    stage.settle().await;
    assert_eq!(ledger.remaps(None, 1).await.unwrap(), std::slice::from_ref(&status));
    // r1 to r10, and the first 490 of the others.
    stage.assert_counted(&[
        ("calls", "cus_1", "710"),
        ("other", "cus_1", "520"),
        ("other", "cus_2", "25"),
    ]);
    assert_eq!(ledger.stop_remap(id, &said, now).await.unwrap(), RemapStop::Over(status));
}
