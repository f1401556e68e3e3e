//! Of posting and delivery.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tallyd::clock::{Clock, ManualClock};
use tallyd::delivery::courier::Courier;
use tallyd::domain::answer::Outcome;
use tallyd::domain::names::ProviderName;
use tallyd::domain::provider_facts::{AccountPin, ClockReading, MeterPin};
use tallyd::domain::time::{MICROS_PER_DAY, MICROS_PER_MINUTE, Timestamp};
use tallyd::ledger::LedgerError;
use tallyd::ledger::delivery::{
    DeliveryLedger, LeaseTerms, Leases, MeterChange, PinCheck, ProviderFacts, Settlement,
};
use tallyd::ledger::operator::OperatorLedger;
use tallyd::posting::poster::Poster;
use tallyd::service::pulse::{Pulse, Pulses};
use tallyd::service::{Bell, Service};
use tallyd::store::sqlite::SqliteLedger;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::journey::provider_name;
use crate::support::stand_in::{
    StandIn, agreeable, answer, contact, events, ledger, settings, usage,
};
use crate::support::stripe::NOON;

const START: Timestamp = Timestamp::from_seconds(NOON);
/// Longest that a test waits for what must come, in seconds.
const PATIENCE_SECONDS: u64 = 20;

fn courier(
    ledger: &Arc<SqliteLedger>,
    provider: &Arc<StandIn>,
    clock: &Arc<ManualClock>,
) -> Courier {
    let observer = Arc::new(|_| ());
    Courier::new(settings(), ledger.clone(), provider.clone(), clock.clone(), observer)
}

/// Counts how often `inner` is polled.
async fn polls<F: Future>(inner: F, count: &AtomicUsize) -> F::Output {
    let mut inner = pin!(inner);
    std::future::poll_fn(|context| {
        count.fetch_add(1, Ordering::SeqCst);
        inner.as_mut().poll(context)
    })
    .await
}

/// Waits until `done`, which something beside makes true.
async fn until(done: impl Fn() -> bool) {
    let waiting = std::future::poll_fn(|context| {
        if done() {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    tokio::time::timeout(Duration::from_secs(PATIENCE_SECONDS), waiting).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_jumped_ahead_judges_no_usage_to_be_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 1, START).await;
    usage(&ledger, 1, START.plus_seconds(1)).await;
    // Forty days, as a machine's clock may jump that starts with a bad battery.
    let jumped = START.plus_micros(40 * MICROS_PER_DAY);
    let poster = Poster::new(provider_name(), ledger.clone(), agreeable(START));
    poster.run_once(jumped).await.unwrap();
    assert_eq!(ledger.held(10).await.unwrap(), []);
    // The provider's clock is read anew, and the usage is told.
    let reading = ClockReading { provider_at: START.plus_seconds(2), local_at: jumped };
    ledger.read_clock(&provider_name(), reading).await.unwrap();
    let step = poster.run_once(jumped).await.unwrap();
    assert_eq!(step.counts[0], ("posted", 1));
    assert_eq!(ledger.held(10).await.unwrap(), []);
}

#[tokio::test]
async fn a_provider_clock_that_was_read_wrong_once_is_put_right_by_the_next_contact() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let wrong = START.plus_micros(400 * MICROS_PER_DAY);
    ledger
        .read_clock(&provider_name(), ClockReading { provider_at: wrong, local_at: START })
        .await
        .unwrap();
    let clock = Arc::new(ManualClock::new(START.plus_seconds(1)));
    let provider = agreeable(START);
    courier(&ledger, &provider, &clock).run_once(clock.now()).await.unwrap();
    let facts = ledger.provider_facts(&provider_name()).await.unwrap();
    assert_eq!(facts.clock.unwrap().provider_at, START);
}

#[tokio::test]
async fn what_recognises_nothing_is_told_once_also_by_a_restart_within_the_same_second() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 1, START).await;
    let provider = StandIn::new(
        // The date of an answer is the whole second in which it was made.
        |_| Box::pin(async { Ok(contact(START)) }),
        |_| Box::pin(async { answer(Outcome::Unknown) }),
    )
    .recognising_nothing();
    let clock = Arc::new(ManualClock::new(START));
    let first = courier(&ledger, &provider, &clock);
    first.run_once(clock.now()).await.unwrap();
    clock.advance_micros(400_000);
    first.run_once(clock.now()).await.unwrap();
    assert_eq!(provider.sent(), 1);
    drop(first);
    clock.advance_micros(590_000);
    ledger.recover_in_flight(clock.now()).await.unwrap();
    let second = courier(&ledger, &provider, &clock);
    for _ in 0..4 {
        second.run_once(clock.now()).await.unwrap();
        clock.advance_micros(300_000);
    }
    assert_eq!(provider.sent(), 1);
    let held = ledger.held(10).await.unwrap();
    let reasons: Vec<&str> = held.iter().map(|item| item.reason.as_str()).collect();
    assert_eq!(reasons, ["window_passed"]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_no_old_reading_fresh_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let long_after = START.plus_seconds(35 * 3_600);
    // The provider is there, then away for long, and there again.
    let provider = StandIn::new(
        move |number| {
            Box::pin(async move {
                match number {
                    0 => Ok(contact(START)),
                    1 => Err(answer(Outcome::NotSent)),
                    _ => Ok(contact(long_after)),
                }
            })
        },
        |_| Box::pin(async { answer(Outcome::Accepted) }),
    );
    let clock = Arc::new(ManualClock::new(START));
    let courier = courier(&ledger, &provider, &clock);
    courier.run_once(START).await.unwrap();
    courier.run_once(long_after).await.unwrap();
    // Set back to a minute after the first reading, by which that would be a minute old.
    courier.run_once(START.plus_seconds(60)).await.unwrap();
    assert_eq!(provider.contacts.load(Ordering::SeqCst), 3);
    let facts = ledger.provider_facts(&provider_name()).await.unwrap();
    assert_eq!(facts.clock.unwrap().provider_at, long_after);
}

#[tokio::test]
async fn answers_that_wait_for_a_slow_contact_do_not_keep_the_processor_busy() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 1, START).await;
    let clock = Arc::new(ManualClock::new(START));
    let (answers, hung) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (may_answer, does_hang) = (answers.clone(), hung.clone());
    let provider = StandIn::new(
        move |number| {
            let hung = does_hang.clone();
            Box::pin(async move {
                if number > 0 {
                    hung.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok(contact(START))
            })
        },
        move |_| {
            let may_answer = may_answer.clone();
            Box::pin(async move {
                may_answer.notified().await;
                answer(Outcome::Accepted)
            })
        },
    );
    let courier = courier(&ledger, &provider, &clock);
    let (bell, stop, count) = (Bell::default(), CancellationToken::new(), AtomicUsize::new(0));
    let (pulses, bound) = (Pulses::default(), Duration::from_millis(100));
    let pulse = pulses.of("delivery", bound, Instant::now());
    let running = polls(courier.run(bell.clone(), stop, Duration::ZERO, pulse), &count);
    let acting = async {
        until(|| provider.sent() == 1).await;
        // The reading of the provider's clock is too old now, and the contact for a new one hangs.
        clock.advance_micros(11 * MICROS_PER_MINUTE);
        bell.ring();
        // At once, though it rings while leases are being taken: no ring is lost.
        tokio::time::timeout(Duration::from_secs(3), hung.notified()).await.unwrap();
        answers.notify_one();
        let before = count.load(Ordering::SeqCst);
        let waited = std::future::pending::<()>();
        assert!(tokio::time::timeout(Duration::from_millis(300), waited).await.is_err());
        // Nor do they hide that it waits for what does not come.
        assert_eq!(pulses.late(Instant::now()).len(), 1);
        count.load(Ordering::SeqCst) - before
    };
    let polled = tokio::select! {
        ended = running => panic!("the loop ended: {ended:?}"),
        polled = acting => polled,
    };
    assert!(polled < 50, "polled {polled} times in 300 ms");
}

/// Runs a courier over events of twenty customers, of which a provider answers each as it comes,
/// until ten were sent and answered; then until nothing moves for a while. Answers how many were
/// sent.
async fn sent_when_all_answer(outcome: Outcome) -> (usize, Arc<SqliteLedger>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 200, START).await;
    let clock = Arc::new(ManualClock::new(START));
    let provider = StandIn::new(
        |_| Box::pin(async { Ok(contact(START)) }),
        move |_| Box::pin(async move { answer(outcome) }),
    );
    let courier = courier(&ledger, &provider, &clock);
    let (bell, stop) = (Bell::default(), CancellationToken::new());
    let stopper = stop.clone();
    let acting = async {
        until(|| provider.sent() >= 1).await;
        let waited = std::future::pending::<()>();
        assert!(tokio::time::timeout(Duration::from_millis(400), waited).await.is_err());
        stopper.cancel();
    };
    let second = Duration::from_secs(1);
    let pulse = Pulse::new("delivery", second, Instant::now());
    let (ended, ()) = tokio::join!(courier.run(bell, stop, second, pulse), acting);
    ended.unwrap();
    (provider.sent(), ledger, folder)
}

#[tokio::test]
async fn nothing_more_is_sent_with_a_key_that_was_not_accepted() {
    // As many as may be in flight when the first answer comes, and no queue after them.
    let (sent, ledger, _folder) = sent_when_all_answer(Outcome::Unauthorized).await;
    assert!(sent <= 16, "{sent} requests were sent with it");
    let states = ledger.status().await.unwrap().events;
    assert_eq!(states, [("stripe.main".to_owned(), "pending".to_owned(), 200)]);
    assert_eq!(ledger.verify().await.unwrap().findings, Vec::<String>::new());
}

#[tokio::test]
async fn a_provider_that_is_away_is_tried_with_one_event_at_a_time() {
    // The clock stands still, so the first trial is never due.
    let (sent, ledger, _folder) = sent_when_all_answer(Outcome::Unknown).await;
    assert!(sent <= 26, "{sent} events became unknown");
    assert_eq!(ledger.verify().await.unwrap().findings, Vec::<String>::new());
}

/// A ledger that has no room for the first pause that is written to it.
struct NoRoomOnce {
    inner: Arc<SqliteLedger>,
    refused: AtomicUsize,
}

#[async_trait]
impl DeliveryLedger for NoRoomOnce {
    fn free_bytes(&self) -> Result<u64, LedgerError> {
        DeliveryLedger::free_bytes(&*self.inner)
    }
    async fn recover_in_flight(&self, now: Timestamp) -> Result<u64, LedgerError> {
        self.inner.recover_in_flight(now).await
    }
    async fn lease(&self, of: &ProviderName, terms: LeaseTerms) -> Result<Leases, LedgerError> {
        self.inner.lease(of, terms).await
    }
    async fn settle(
        &self,
        of: &ProviderName,
        settlements: Vec<Settlement>,
        clock: Option<ClockReading>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.inner.settle(of, settlements, clock, now).await
    }
    async fn next_attempt_at(&self, of: &ProviderName) -> Result<Option<Timestamp>, LedgerError> {
        self.inner.next_attempt_at(of).await
    }
    async fn provider_facts(&self, of: &ProviderName) -> Result<ProviderFacts, LedgerError> {
        self.inner.provider_facts(of).await
    }
    async fn pin_account(
        &self,
        of: &ProviderName,
        pin: &AccountPin,
        now: Timestamp,
    ) -> Result<PinCheck, LedgerError> {
        self.inner.pin_account(of, pin, now).await
    }
    async fn pin_meters(
        &self,
        of: &ProviderName,
        meters: &[MeterPin],
        now: Timestamp,
    ) -> Result<Vec<MeterChange>, LedgerError> {
        self.inner.pin_meters(of, meters, now).await
    }
    async fn read_clock(
        &self,
        of: &ProviderName,
        reading: ClockReading,
    ) -> Result<(), LedgerError> {
        self.inner.read_clock(of, reading).await
    }
    async fn pause(
        &self,
        of: &ProviderName,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        if reason.is_some() && self.refused.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(LedgerError::Full("no room".into()));
        }
        self.inner.pause(of, reason, now).await
    }
}

#[tokio::test]
async fn answers_are_recorded_once_though_the_pause_that_they_ask_for_finds_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    events(&ledger, 3, START).await;
    let narrow = Arc::new(NoRoomOnce { inner: ledger.clone(), refused: AtomicUsize::new(0) });
    let provider = StandIn::new(
        |_| Box::pin(async { Ok(contact(START)) }),
        |_| Box::pin(async { answer(Outcome::Unauthorized) }),
    );
    let clock = Arc::new(ManualClock::new(START));
    let observer = Arc::new(|_| ());
    let courier = Courier::new(settings(), narrow.clone(), provider.clone(), clock, observer);
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let acting = async {
        until(|| narrow.refused.load(Ordering::SeqCst) >= 2).await;
        stopper.cancel();
    };
    let second = Duration::from_secs(1);
    let pulse = Pulse::new("delivery", second, Instant::now());
    let running = courier.run(Bell::default(), stop, second, pulse);
    let (ended, ()) = tokio::join!(running, acting);
    ended.unwrap();
    let states = ledger.status().await.unwrap().events;
    assert_eq!(states, [("stripe.main".to_owned(), "pending".to_owned(), 3)]);
    assert_eq!(ledger.verify().await.unwrap().findings, Vec::<String>::new());
}
