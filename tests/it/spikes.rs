//! More than anybody expects, stepped by hand. Here: what waits for a person, what that person
//! confirms, and what a corrected record or another config ends. Never here: the plan
//! (`posting::plan`). Read next: [`crate::holds`].

use tallyd::accrual::route::Route;
use tallyd::clock::Clock as _;
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::names::{CorrectionName, RecordId, SourceName};
use tallyd::domain::policies::Policies;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::resolution::{ItemName, Verdict};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::holds::{Decision, HoldsLedger, Item, Resolution};
use tallyd::ledger::intake::CorrectionLedger;
use tallyd::ledger::operator::{HeldItem, OperatorLedger};
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tempfile::TempDir;

use crate::support::journey::{Setting, World, record, route};
use crate::support::stripe::{NOON, Running, start_with};

const START: Timestamp = Timestamp::from_seconds(NOON);

/// A world whose windows wait for a person above 100.
struct Stage {
    folder: TempDir,
    sandbox: Running,
    world: World,
}

impl Stage {
    async fn begin() -> Self {
        let meters = |stripe: &mut tallyd::sandbox::stripe::Settings| {
            stripe.meters = vec![NewMeter::new("calls", Formula::Sum)];
        };
        let (folder, sandbox) = (tempfile::tempdir().unwrap(), start_with(meters).await);
        let world = open(&folder, &sandbox, "100").await;
        Self { folder, sandbox, world }
    }

    /// Usage of the hour before the start; everything is done then that can be.
    async fn book(&self, id: &str, quantity: &str) {
        let at = START.plus_seconds(-600);
        self.world.accept(vec![record(id, "cus_1", "calls", quantity, at)]).await;
        self.run().await;
    }

    async fn run(&self) {
        self.world.run_until(self.world.clock.now().plus_seconds(60)).await;
        self.world.verify().await;
    }

    async fn held(&self) -> Vec<HeldItem> {
        self.world.ledger.held(9).await.unwrap()
    }

    async fn held_as(&self) -> Vec<String> {
        let said = |item: HeldItem| format!("{} {} {}", item.name, item.reason, item.quantity);
        self.held().await.into_iter().map(said).collect()
    }

    async fn resolve(&self, verdict: Verdict) -> Decision {
        let item = ItemName::parse("balance:1").unwrap();
        let expect = match self.world.ledger.item(item).await.unwrap() {
            Some(Item::Held(held)) => held.token,
            other => panic!("{other:?}"),
        };
        let (why, who) = ("their launch day".to_owned(), "cli:ada".to_owned());
        let resolution = Resolution { item, verdict, expect, why, who, dry_run: false };
        let now = self.world.clock.now();
        let decision = self.world.ledger.resolve(&resolution, now).await;
        self.run().await;
        decision.unwrap()
    }

    /// What the provider counts.
    fn counted(&self) -> String {
        let lines = self.sandbox.handle.books();
        lines.iter().map(|line| line.total.normalized().to_plain_string()).collect()
    }
}

async fn open(folder: &TempDir, sandbox: &Running, most: &str) -> World {
    let hold_above = Some(Quantity::parse(most).unwrap());
    let policies = Policies { hold_above, ..Policies::default() };
    let routes = vec![Route { policies, ..route("calls") }];
    World::open(folder.path(), sandbox, &sandbox.clock, routes, Setting::default()).await
}

#[tokio::test]
async fn a_runaway_window_waits_until_somebody_confirms_that_it_was_used() {
    let stage = Stage::begin().await;
    stage.book("usual", "90").await;
    assert_eq!(stage.counted(), "90");
    stage.book("runaway", "400").await;
    assert_eq!(stage.held_as().await, ["balance:1 spike 400"]);
    assert_eq!(
        stage.held().await[0].detail,
        "its window comes to 490, and more than 100 is not told unseen"
    );
    assert_eq!(stage.counted(), "90");
    let decision = stage.resolve(Verdict::Confirmed).await;
    let Decision::Done(resolved) = decision else { panic!("{decision:?}") };
    assert_eq!((resolved.records, resolved.moves.len()), (0, 0));
    assert_eq!(stage.counted(), "490");
    assert_eq!(stage.held_as().await, Vec::<String>::new());

    // What was confirmed is that much, and not whatever comes.
    stage.book("more", "1").await;
    assert_eq!(stage.held_as().await, ["balance:1 spike 1"]);
    assert_eq!(stage.counted(), "490");
}

#[tokio::test]
async fn a_spike_that_was_none_ends_with_its_record_corrected_or_written_off() {
    let stage = Stage::begin().await;
    stage.book("typo", "9000").await;
    assert_eq!(stage.held_as().await, ["balance:1 spike 9000"]);
    let change = Change::Adjust { quantity: Quantity::from(90), replaces: Quantity::from(9_000) };
    let correction = Correction {
        source: SourceName::new("web").unwrap(),
        record: RecordId::new("typo").unwrap(),
        name: CorrectionName::new("c1").unwrap(),
        change,
        reason: "two zeros too many".to_owned(),
        who: "cli:ada".to_owned(),
    };
    stage.world.ledger.correct(vec![correction], START).await.unwrap();
    stage.run().await;
    assert_eq!((stage.held_as().await.len(), stage.counted()), (0, "90".to_owned()));

    stage.book("nonsense", "5000").await;
    assert_eq!(stage.held_as().await, ["balance:1 spike 5000"]);
    assert!(matches!(stage.resolve(Verdict::WriteOff).await, Decision::Done(_)));
    assert_eq!((stage.held_as().await.len(), stage.counted()), (0, "90".to_owned()));
}

#[tokio::test]
async fn a_higher_bound_ends_the_wait_with_the_next_start() {
    let stage = Stage::begin().await;
    stage.book("runaway", "400").await;
    assert_eq!(stage.held_as().await, ["balance:1 spike 400"]);
    let Stage { folder, sandbox, world } = stage;
    drop(world);
    let world = open(&folder, &sandbox, "1000").await;
    let stage = Stage { folder, sandbox, world };
    stage.run().await;
    assert_eq!((stage.held_as().await.len(), stage.counted()), (0, "400".to_owned()));
}

#[tokio::test]
async fn only_a_spike_is_confirmed() {
    let stage = Stage::begin().await;
    stage.book("told", "90").await;
    let other = record("other", "cus_1", "calls", "5", START.plus_seconds(-40 * 86_400));
    stage.world.accept(vec![other]).await;
    stage.run().await;
    assert_eq!(stage.held_as().await, ["balance:2 deadline_passed 5"]);
    let item = ItemName::parse("balance:2").unwrap();
    let expect = stage.held().await[0].token.clone();
    let (why, who) = ("so it seems".to_owned(), "cli:ada".to_owned());
    let verdict = Verdict::Confirmed;
    let resolution = Resolution { item, verdict, expect, why, who, dry_run: false };
    let decision = stage.world.ledger.resolve(&resolution, START).await.unwrap();
    let Decision::Refused(why) = decision else { panic!("{decision:?}") };
    assert!(why.starts_with("only what is held as a spike is confirmed"), "{why}");
}
