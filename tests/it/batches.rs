//! Events that one request tells together. Here: what is grouped, and that each has its own fate.
//! Never here: a provider's wire. Read next: [`crate::support::stand_in`].

use std::sync::Arc;
use std::time::Duration;

use tallyd::clock::{Clock as _, ManualClock};
use tallyd::delivery::courier::Courier;
use tallyd::delivery::{Rate, Settings};
use tallyd::domain::answer::Outcome;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::state::HoldReason;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::delivery::DeliveryLedger as _;
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::service::pulse::Pulse;
use tallyd::service::{Bell, Service as _};
use tallyd::store::sqlite::SqliteLedger;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::daemon::until;
use crate::support::stand_in::{StandIn, answer, contact, events, ledger, settings};
use crate::support::stripe::NOON;

const START: Timestamp = Timestamp::from_seconds(NOON);

/// A provider that takes fifty events at once, and answers the `n`th of all so.
fn taker(outcome: impl Fn(usize) -> Outcome + Send + Sync + 'static) -> Arc<StandIn> {
    StandIn::telling(
        50,
        |_| Box::pin(async { Ok(contact(START)) }),
        move |number| {
            let outcome = outcome(number);
            Box::pin(async move { answer(outcome) })
        },
    )
}

fn courier(
    ledger: &Arc<SqliteLedger>,
    provider: &Arc<StandIn>,
    clock: &Arc<ManualClock>,
) -> Courier {
    let observer = Arc::new(|_| ());
    // What is leased together goes together, however few milliseconds a test takes.
    let settings = Settings { rate: Rate::per_second(100_000), ..settings() };
    Courier::new(settings, ledger.clone(), provider.clone(), clock.clone(), observer)
}

/// The states of all events, with how many are in each.
async fn states(ledger: &SqliteLedger) -> Vec<(String, i64)> {
    let status = ledger.status().await.unwrap();
    let mut states: Vec<(String, i64)> =
        status.events.into_iter().map(|(_, state, count)| (state, count)).collect();
    states.sort();
    states
}

fn counts(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect()
}

/// Steps until nothing more can be done now.
async fn step(courier: &Courier, clock: &Arc<ManualClock>, at: Timestamp) {
    clock.set(at);
    for _ in 0..200 {
        let step = courier.run_once(clock.now()).await.unwrap();
        match step.wake_at {
            Some(at) if at <= clock.now().plus_seconds(5) => clock.set(at),
            _ if step.more => {}
            Some(_) | None => return,
        }
    }
}

#[tokio::test]
async fn events_go_by_few_requests_and_each_is_recorded_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 120, START).await;
    let clock = Arc::new(ManualClock::new(START));
    let provider = taker(|number| match number {
        7 => Outcome::Refused(HoldReason::Refused),
        _ => Outcome::Accepted,
    });
    let courier = courier(&ledger, &provider, &clock);
    let (bell, stop) = (Bell::default(), CancellationToken::new());
    let pulse = Pulse::new("delivery", Duration::from_secs(60), Instant::now());
    let stopper = stop.clone();
    let acting = async {
        for _ in 0..600 {
            if provider.sent() >= 120 {
                break;
            }
            let waited = std::future::pending::<()>();
            drop(tokio::time::timeout(Duration::from_millis(20), waited).await);
        }
        stopper.cancel();
    };
    let (ended, ()) = tokio::join!(courier.run(bell, stop, Duration::from_secs(5), pulse), acting);
    ended.unwrap();
    let requests = provider.requests();
    assert_eq!(requests.iter().sum::<usize>(), 120, "{requests:?}");
    assert!(requests.len() < 40 && requests.iter().all(|told| *told <= 50), "{requests:?}");
    // One refusal holds the one event.
    assert_eq!(states(&ledger).await, counts(&[("accepted", 119), ("held", 1)]));
    assert_eq!(ledger.verify().await.unwrap().findings, [""; 0]);
}

#[tokio::test]
async fn a_lost_answer_makes_all_of_a_request_unknown_and_each_goes_again_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 30, START).await;
    let clock = Arc::new(ManualClock::new(START));
    let provider = taker(|number| match number {
        0..30 => Outcome::Unknown,
        _ => Outcome::Duplicate,
    });
    let courier = courier(&ledger, &provider, &clock);
    step(&courier, &clock, START).await;
    assert_eq!(states(&ledger).await, counts(&[("accepted", 30)]));
    assert_eq!(provider.sent(), 60, "each went twice");
    assert_eq!(provider.requests(), [&[30][..], &[1; 30]].concat());
}

#[tokio::test]
async fn what_a_provider_takes_one_at_a_time_is_told_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 20, START).await;
    let clock = Arc::new(ManualClock::new(START));
    let provider = StandIn::new(
        |_| Box::pin(async { Ok(contact(START)) }),
        |_| Box::pin(async { answer(Outcome::Accepted) }),
    );
    let courier = courier(&ledger, &provider, &clock);
    step(&courier, &clock, START).await;
    assert_eq!(provider.requests(), [1; 20]);
}

/// What is open, by provider and meter.
async fn open(ledger: &SqliteLedger) -> Vec<(String, String, Quantity)> {
    ledger.status().await.unwrap().open
}

#[tokio::test]
async fn what_is_in_flight_or_unknown_is_open_with_its_quantity() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 7, START).await;
    let clock = Arc::new(ManualClock::new(START));
    assert_eq!(open(&ledger).await, [], "what only waits was told to nobody");

    // None is answered: each is in flight.
    let silent = StandIn::telling(
        50,
        |_| Box::pin(async { Ok(contact(START)) }),
        |_| Box::pin(std::future::pending()),
    );
    let sending = courier(&ledger, &silent, &clock);
    let seven = [("stripe.main".to_owned(), "calls".to_owned(), Quantity::from(7))];
    tokio::select! {
        step = sending.run_once(START) => panic!("it ended: {step:?}"),
        () = async {
            until("seven in flight", async || {
                let open = open(&ledger).await;
                if open == seven { Ok(()) } else { Err(format!("{open:?}")) }
            })
            .await;
        } => {}
    }
    drop(sending);
    Arc::into_inner(ledger).unwrap().close().await;
    // The next run finds them, and nobody knows what became of them.
    let ledger = crate::support::stand_in::ledger(folder.path(), START).await;
    assert_eq!(ledger.recover_in_flight(START).await.unwrap(), 7);
    assert_eq!(states(&ledger).await, counts(&[("unknown", 7)]));
    assert_eq!(open(&ledger).await, seven);

    let later = START.plus_seconds(600);
    clock.set(later);
    step(&courier(&ledger, &taker(|_| Outcome::Accepted), &clock), &clock, later).await;
    assert_eq!(states(&ledger).await, counts(&[("accepted", 7)]));
    assert_eq!(open(&ledger).await, []);
}
