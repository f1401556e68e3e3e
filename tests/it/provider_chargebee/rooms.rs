//! The rooms stepped over a ledger, and told to the stand-in for Chargebee, until the site holds
//! what it should. Here: entries, late usage, corrections, limits, settlement. Never here: what one
//! answer means ([`super`]). Read next: [`crate::support::chargebee`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::{AccountRule, Aggregate, Route, WindowRule};
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::delivery::courier::Courier;
use tallyd::delivery::{self, Rate};
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::fold::Fold;
use tallyd::domain::names::{
    CorrectionName, CustomerName, MeterName, RecordId, RouteName, SourceName,
};
use tallyd::domain::policies::Policies;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::{Properties, Property, UsageRecord};
use tallyd::domain::time::{MICROS_PER_HOUR, Timestamp};
use tallyd::ledger::intake::{CorrectionLedger as _, IntakeLedger as _};
use tallyd::ledger::operator::{BookFilter, OperatorLedger as _};
use tallyd::posting::poster::Poster;
use tallyd::provider::Provider;
use tallyd::reconcile::listener::Listener;
use tallyd::reconcile::reporter::Reporter;
use tallyd::reconcile::settler::Settler;
use tallyd::sandbox::chargebee::{Limits, NewItemPrice};
use tallyd::sandbox::faults::{FaultKind, Faults, Reach};
use tallyd::service::{IDLE_SECONDS_MAX, Service};
use tallyd::store::sqlite::SqliteLedger;

use super::{HOUR, USAGES_MAX, chargebee, chargebee_of, meter, provider_name};
use crate::support::chargebee::{DAY, Running, START, start, start_with};

/// A run of the rooms over a ledger, told to the stand-in.
pub(super) struct World {
    pub(super) ledger: Arc<SqliteLedger>,
    accruer: Accruer,
    rooms: Vec<Box<dyn Service>>,
    pub(super) settler: Settler,
    listener: Option<Listener>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) sandbox: Running,
    _folder: tempfile::TempDir,
}

fn reading() -> tallyd::reconcile::Settings {
    tallyd::reconcile::Settings { provider: provider_name(), reads_per_month: 8_000 }
}

async fn accruer(ledger: &Arc<SqliteLedger>, window: WindowRule, now: Timestamp) -> Accruer {
    let routes = vec![route("calls", window), route("bytes", window)];
    let prefixes = HashMap::from([(provider_name(), "")]);
    Accruer::adopt(ledger.clone(), routes, prefixes, now).await.unwrap()
}

fn route(name: &str, window: WindowRule) -> Route {
    Route {
        name: RouteName::new(name).unwrap(),
        meter: MeterName::new(name).unwrap(),
        matches: BTreeMap::new(),
        provider: provider_name(),
        provider_meter: meter(name),
        window,
        aggregate: Aggregate::Sum,
        scale: Quantity::one(),
        account: AccountRule::Identity,
        settle_micros: 0,
        policies: Policies::default(),
    }
}

impl World {
    /// As [`Self::open`], with what the site bills followed.
    pub(super) async fn following(sandbox: Running) -> Self {
        let mut world = Self::open(sandbox, QUICK).await;
        world.follow();
        world
    }

    /// From now on, what the site bills is followed.
    pub(super) fn follow(&mut self) {
        let site = chargebee(&self.sandbox);
        let ledger = self.ledger.clone();
        self.listener = Some(Listener::new(reading(), ledger, site.clone(), site));
    }

    pub(super) async fn open(sandbox: Running, rate: Rate) -> Self {
        let provider: Arc<dyn Provider> = chargebee(&sandbox);
        Self::of(sandbox, provider, rate, WindowRule::Day).await
    }

    /// A run at a site that bills the newest of a term's `calls` and the largest of its `bytes`,
    /// and is followed.
    pub(super) async fn of_levels(sandbox: Running) -> Self {
        let site = chargebee_of(&sandbox.url, [("calls", Fold::Last), ("bytes", Fold::Max)]);
        let mut world = Self::of(sandbox, site, QUICK, WindowRule::Day).await;
        world.tell([("calls", Aggregate::Last), ("bytes", Aggregate::Max)]).await;
        world.follow();
        world
    }

    /// From now on, this is what each day of a meter comes to.
    pub(super) async fn tell<const N: usize>(&mut self, meters: [(&str, Aggregate); N]) {
        let route = |(name, aggregate)| Route { aggregate, ..route(name, WindowRule::Day) };
        let prefixes = HashMap::from([(provider_name(), "")]);
        let (routes, now) = (meters.map(route).into(), self.clock.now());
        let adopted = Accruer::adopt(self.ledger.clone(), routes, prefixes, now);
        self.accruer = adopted.await.unwrap();
    }

    /// A run that is told to `provider`, in windows of this length.
    pub(super) async fn of(
        sandbox: Running,
        provider: Arc<dyn Provider>,
        rate: Rate,
        window: WindowRule,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(START)));
        let store =
            tallyd::store::Settings { path: folder.path().join("ledger"), cache_kib: 2_048 };
        let ledger = Arc::new(SqliteLedger::open(&store, "a test", clock.now()).await.unwrap());
        let accruer = accruer(&ledger, window, clock.now()).await;
        let poster = Poster::new(provider_name(), ledger.clone(), provider.clone());
        let delivery = delivery::Settings {
            provider: provider_name(),
            rate,
            batched_rate: None,
            limited_pause_seconds: 60,
            concurrency: 10,
            attempt_timeout_millis: 2_000,
            backoff_first_millis: 500,
            backoff_seconds_max: 300,
            pause_probe_seconds: 60,
            free_bytes_min: 0,
        };
        let courier = Courier::new(
            delivery,
            ledger.clone(),
            provider.clone(),
            clock.clone(),
            Arc::new(|_| ()),
        );
        let settler = Settler::new(reading(), ledger.clone(), provider, Arc::new(|_| ()));
        let rooms: Vec<Box<dyn Service>> = vec![Box::new(poster), Box::new(courier)];
        let listener = None;
        Self { ledger, accruer, rooms, settler, listener, clock, sandbox, _folder: folder }
    }

    /// Widens windows from so many usages of a subscription on.
    pub(super) async fn widen_from(&mut self, usages: u32) {
        let accruer = accruer(&self.ledger, WindowRule::Day, self.clock.now()).await;
        self.accruer = accruer.widening(BTreeMap::from([(provider_name(), usages)]));
    }

    /// Books what comes from now on into windows of another length.
    pub(super) async fn change_windows(&mut self, window: WindowRule) {
        self.book().await;
        self.accruer = accruer(&self.ledger, window, self.clock.now()).await;
    }

    /// Books what came, and tells nothing.
    pub(super) async fn book(&self) {
        while self.accruer.run_once(self.clock.now()).await.unwrap().more {}
    }

    /// Posts what is due, and sends nothing.
    pub(super) async fn post(&self) {
        while self.rooms[0].run_once(self.clock.now()).await.unwrap().more {}
    }

    /// Another time, at both ends.
    pub(super) fn set(&self, at: Timestamp) {
        self.clock.set(at);
        self.sandbox.sandbox.advance_to(at).expect("time goes forward");
    }

    /// Books a record, of the user who is the first word of its id.
    pub(super) async fn accept(
        &self,
        id: &str,
        customer: &str,
        name: &str,
        quantity: &str,
        at: i64,
    ) {
        let user = id.split(' ').next().unwrap_or_default();
        let user = ("user".to_owned(), Property::Text(user.to_owned()));
        let record = UsageRecord {
            source: SourceName::new("web").unwrap(),
            id: RecordId::new(id).unwrap(),
            customer: CustomerName::new(customer).unwrap(),
            meter: MeterName::new(name).unwrap(),
            quantity: Quantity::parse(quantity).unwrap(),
            occurred_at: Timestamp::from_seconds(at),
            properties: Properties::from([user]),
        };
        let now = self.clock.now();
        self.ledger.accept(vec![record.into()], Vec::new(), now).await.unwrap();
    }

    async fn correct(&self, id: &str, name: &str, change: Change) {
        let correction = Correction {
            source: SourceName::new("web").unwrap(),
            record: RecordId::new(id).unwrap(),
            name: CorrectionName::new(name).unwrap(),
            change,
            reason: "it was wrong".to_owned(),
            who: "a test".to_owned(),
        };
        self.ledger.correct(vec![correction], self.clock.now()).await.unwrap();
    }

    pub(super) async fn cancel(&self, id: &str) {
        self.correct(id, "cancel", Change::Cancel).await;
    }

    pub(super) async fn adjust(&self, id: &str, name: &str, from: &str, to: &str) {
        let (replaces, quantity) = (Quantity::parse(from).unwrap(), Quantity::parse(to).unwrap());
        self.correct(id, name, Change::Adjust { quantity, replaces }).await;
    }

    /// Whoever compares what was told.
    pub(super) fn reporter(&self) -> Reporter {
        let site = chargebee_of(&self.sandbox.url, [("calls", Fold::Last), ("bytes", Fold::Max)]);
        Reporter::new(reading(), self.ledger.clone(), site, self.clock.clone())
    }

    /// Steps until nothing is left to do, moving the clock to whatever falls due next, but not past
    /// `until`.
    pub(super) async fn run_until(&self, until: i64) {
        let until = Timestamp::from_seconds(until);
        let mut quiet = 0;
        while quiet < 2 {
            let mut busy = false;
            let mut next: Option<Timestamp> = None;
            let accruer: &dyn Service = &self.accruer;
            for room in std::iter::once(accruer).chain(self.rooms.iter().map(|room| &**room)) {
                let step = room.run_once(self.clock.now()).await.unwrap();
                busy |= step.more || step.did_something();
                next = next.into_iter().chain(step.wake_at).min();
            }
            let now = self.clock.now();
            if let Some(listener) = &self.listener {
                let step = listener.run_once(now).await.unwrap();
                busy |= step.more || step.did_something();
                // It looks at the clock every minute; what is announced can wait for an hour here.
                next = next.into_iter().chain([now.plus_micros(MICROS_PER_HOUR)]).min();
            }
            match next {
                _ if busy => quiet = 0,
                Some(at) if at <= until => {
                    self.set(at.max(now.plus_micros(1_000)));
                    quiet = 0;
                }
                Some(_) | None => {
                    self.set(now.plus_seconds(IDLE_SECONDS_MAX));
                    quiet += 1;
                }
            }
        }
        assert_eq!(self.ledger.verify().await.unwrap().findings, [""; 0]);
    }

    /// What each balance should come to, as `subscription item-price total`.
    pub(super) async fn accrued(&self) -> Vec<String> {
        let lines = self.ledger.books(&BookFilter::default()).await.unwrap();
        let text = |line: &tallyd::ledger::operator::BookLine| {
            format!("{} {} {}", line.account, line.meter, line.accrued)
        };
        let mut said: Vec<String> = lines.iter().map(text).collect();
        said.sort();
        said
    }

    /// What the stand-in is going to bill, in the same form.
    pub(super) fn billed(&self) -> Vec<String> {
        let without_count = |line: String| {
            let (line, _) = line.rsplit_once(' ').unwrap();
            line.to_owned()
        };
        let mut said: Vec<String> = self.sandbox.books().into_iter().map(without_count).collect();
        said.sort();
        said
    }

    pub(super) async fn states(&self) -> Vec<(String, i64)> {
        let status = self.ledger.status().await.unwrap();
        status.events.into_iter().map(|(_, state, count)| (state, count)).collect()
    }
}

pub(super) const QUICK: Rate = Rate::per_second(1_000);

#[tokio::test]
async fn lost_answers_and_failures_lose_and_double_nothing() {
    let sandbox = start_with(|site| {
        site.item_prices.push(NewItemPrice::metered("bytes"));
        site.faults = Faults {
            seed: 7,
            basis_points: [
                (FaultKind::AnswerLost, 1_500),
                (FaultKind::AnswerCut, 500),
                (FaultKind::ErrorAfter, 1_000),
                (FaultKind::PinnedErrorAfter, 500),
                (FaultKind::ClosedBefore, 500),
                (FaultKind::LockTimeout, 500),
            ]
            .into(),
            reach: Reach::Writes,
            ..Faults::default()
        };
    })
    .await;
    for subscription in ["sub_1", "sub_2", "sub_3"] {
        sandbox.subscribe(subscription, &["basic", "calls", "bytes"]);
    }
    let world = World::open(sandbox, QUICK).await;
    for number in 0..120 {
        let (id, customer) = (format!("r{number}"), format!("sub_{}", number % 3 + 1));
        let name = if number % 2 == 0 { "calls" } else { "bytes" };
        let quantity = format!("{}.{:02}", number, number % 100);
        // Every fifth comes two days late: its day is told already, and has another entry then.
        let at = START + number * 3 * HOUR;
        let used = if number % 5 == 4 { (at - 2 * DAY).max(START) } else { at };
        world.accept(&id, &customer, name, &quantity, used).await;
        world.run_until(at + HOUR).await;
    }
    world.run_until(START + 17 * DAY).await;
    assert_eq!(world.billed(), world.accrued().await);
    let seen = world.sandbox.handle.statistics();
    assert!(seen.faults.values().sum::<u64>() > 20, "{seen:?}");
    let states = world.states().await;
    assert!(states.iter().all(|(state, _)| state == "accepted"), "{states:?}");
}

#[tokio::test]
async fn what_was_told_too_much_is_deleted_and_what_should_stay_is_entered_anew() {
    let world = World::open(start().await, QUICK).await;
    world.accept("a", "sub", "calls", "10", START).await;
    world.run_until(START + DAY).await;
    assert_eq!(world.sandbox.books(), ["sub calls 10 1"]);
    world.adjust("a", "k1", "10", "7.5").await;
    world.run_until(START + DAY + HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 7.5 1"]);
    // More of the same day is a further entry; less than both takes both away.
    world.accept("b", "sub", "calls", "2", START + 1).await;
    world.run_until(START + DAY + 2 * HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 9.5 2"]);
    world.adjust("a", "k2", "7.5", "0").await;
    world.run_until(START + DAY + 3 * HOUR).await;
    assert_eq!(world.sandbox.books(), ["sub calls 2 1"]);
    world.adjust("b", "k3", "2", "0").await;
    world.run_until(START + DAY + 4 * HOUR).await;
    assert_eq!(world.sandbox.books(), [""; 0]);
    let seconds: Vec<i64> =
        world.sandbox.handle.usages().iter().map(|usage| usage.usage_date).collect();
    let mut distinct = seconds.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), seconds.len(), "{seconds:?}");
}

#[tokio::test]
async fn what_is_invoiced_already_is_held_with_what_a_person_can_do() {
    let world = World::open(start().await, QUICK).await;
    world.accept("a", "sub", "calls", "10", START).await;
    world.run_until(START + DAY).await;
    world.set(Timestamp::from_seconds(START + 40 * DAY));
    world.adjust("a", "k1", "10", "7").await;
    world.run_until(START + 40 * DAY + HOUR).await;
    let held = world.ledger.held(10).await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(held[0].reason, "cannot_lower");
    assert!(held[0].detail.contains("credit note"), "{}", held[0].detail);
    // Nothing was deleted, and what should be less stays visible.
    assert_eq!(world.sandbox.books(), ["sub calls 10 1"]);
}

#[tokio::test]
async fn a_subscription_is_told_one_thing_at_a_time_whatever_the_item_price() {
    let sandbox = start_with(|site| {
        site.item_prices.push(NewItemPrice::metered("bytes"));
        site.latency = Duration::from_millis(20);
    })
    .await;
    sandbox.subscribe("sub_1", &["basic", "calls", "bytes"]);
    sandbox.subscribe("sub_2", &["basic", "calls", "bytes"]);
    let world = World::open(sandbox, QUICK).await;
    for number in 0..20 {
        let customer = format!("sub_{}", number % 2 + 1);
        let at = START + number / 4 * DAY;
        for name in ["calls", "bytes"] {
            world.accept(&format!("{name}{number}"), &customer, name, "1", at).await;
        }
    }
    world.run_until(START + 7 * DAY).await;
    assert_eq!(world.billed(), world.accrued().await);
    assert_eq!(world.sandbox.handle.statistics().rate_limited, 0, "no lock was in the way");
}

#[tokio::test]
async fn a_site_is_never_asked_for_more_than_its_minute_holds() {
    let sandbox = start_with(|site| site.limits = Limits::SITE).await;
    for number in 0..60 {
        sandbox.subscribe(&format!("sub_{number}"), &["basic", "calls"]);
    }
    let world = World::open(sandbox, Rate::per_minute(100)).await;
    for number in 0..240 {
        let customer = format!("sub_{}", number % 60);
        let at = START + number / 60 * DAY;
        world.accept(&format!("r{number}"), &customer, "calls", "1", at).await;
    }
    world.run_until(START + 6 * DAY).await;
    assert_eq!(world.billed(), world.accrued().await);
    let seen = world.sandbox.handle.statistics();
    assert_eq!(seen.rate_limited, 0, "{seen:?}");
    assert!(seen.busiest_minute <= 101, "{seen:?}");
}

#[tokio::test]
async fn two_looks_at_the_list_settle_what_it_contains_and_find_what_somebody_deleted() {
    let world = World::open(start().await, QUICK).await;
    world.accept("a", "sub", "calls", "10", START).await;
    world.accept("b", "sub", "calls", "5", START + DAY).await;
    world.run_until(START + 3 * DAY).await;
    let look = async |at: i64| {
        world.set(Timestamp::from_seconds(at));
        // The provider's clock is read anew.
        world.run_until(at).await;
        world.settler.run_once(world.clock.now()).await.unwrap();
    };
    let first = world.sandbox.handle.usages().remove(0);
    world.sandbox.handle.delete_by_hand("sub", &first.id).unwrap();
    for step in 0..8 {
        look(START + 5 * DAY + step * HOUR).await;
    }
    let states = world.states().await;
    assert_eq!(states, [("held".to_owned(), 1), ("settled".to_owned(), 1)]);
    assert_eq!(world.ledger.held(10).await.unwrap()[0].reason, "disproved");
}

/// The holds, as `account quantity reason`.
pub(super) async fn held(world: &World) -> Vec<String> {
    let held = world.ledger.held(10).await.unwrap();
    let said = held.iter().map(|each| {
        let quantity = each.quantity.to_string();
        format!("{} {quantity} {}", each.account, each.reason)
    });
    said.collect()
}

#[tokio::test]
async fn a_subscription_is_told_no_more_usages_than_it_takes_in_its_life() {
    let sandbox = start_with(|site| {
        site.item_prices.push(NewItemPrice::metered("bytes"));
        site.usages_max = USAGES_MAX;
    })
    .await;
    sandbox.subscribe("sub_1", &["basic", "calls", "bytes"]);
    let world = World::open(sandbox, QUICK).await;
    // Two item prices share what the subscription takes.
    for number in 0..24 {
        for name in ["calls", "bytes"] {
            let at = START + number * DAY;
            world.accept(&format!("{name}{number}"), "sub_1", name, "1", at).await;
        }
    }
    world.run_until(START + 25 * DAY).await;
    // Each correction takes one usage more, for what should stay: there is room for two.
    world.accept("other", "sub", "calls", "7", START).await;
    for number in 0..3 {
        world.adjust(&format!("calls{number}"), "k", "1", "0.5").await;
        world.run_until(START + 25 * DAY + (number + 1) * HOUR).await;
    }
    let held = held(&world).await;
    assert_eq!(held, ["sub_1 -0.5 entries_used_up"], "nothing was taken away without a place");
    world.accept("more", "sub_1", "bytes", "3", START + 25 * DAY).await;
    world.run_until(START + 27 * DAY).await;
    let books = world.sandbox.books();
    assert_eq!(books, ["sub calls 7 1", "sub_1 calls 23 24", "sub_1 bytes 24 24"]);
    let seen = world.sandbox.handle.statistics();
    assert_eq!(seen.usages_created, 51, "none was refused: {seen:?}");
    // What should be less is, without an entry, once nothing of it should stay.
    world.adjust("calls2", "k2", "0.5", "0").await;
    world.run_until(START + 28 * DAY).await;
    assert!(world.sandbox.books().contains(&"sub_1 calls 22 23".to_owned()));
}
