//! What is done beside the journey. Here: showing what the ledger stands at, and its maintenance by
//! the clock. Never here: usage. Read next: [`super::assemble`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::quantity::Quantity;
use crate::domain::state::EventState;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::ledger::Ledger;
use crate::ledger::operator::{RecentEvents, Status};
use crate::ledger::posting::Restored;
use crate::schedule::Schedule;
use crate::service::{Service, Step, StepError};
use crate::telemetry::metrics::{Metrics, Standing};

/// Time between two readings of what the ledger stands at, in microseconds. Counting the events of
/// a large ledger takes some milliseconds; four readings a minute cost nothing.
const STANDING_MICROS: i64 = 15 * MICROS_PER_SECOND;
/// All of something, in basis points.
const BASIS_POINTS: i64 = 10_000;

/// The service that shows what the ledger stands at in the metrics.
pub(super) struct Watcher {
    ledger: Arc<dyn Ledger>,
    metrics: Metrics,
    alarm_basis_points: u32,
    notice: watch::Sender<Option<String>>,
    says: watch::Sender<String>,
    shown_at: Mutex<Option<Timestamp>>,
}

impl Watcher {
    /// `notice` is told while more than `alarm_basis_points` of the newest events are held, `says`
    /// in words what the ledger stands at.
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        metrics: Metrics,
        alarm_basis_points: u32,
        notice: watch::Sender<Option<String>>,
        says: watch::Sender<String>,
    ) -> Self {
        let shown_at = Mutex::new(None);
        Self { ledger, metrics, alarm_basis_points, notice, says, shown_at }
    }

    /// Says once when too much is held, and once when it is not any longer.
    fn judge(&self, recent: RecentEvents, restored: Option<Restored>) {
        let notices = [notice(recent, self.alarm_basis_points), restored.and_then(behind)];
        let notices: Vec<String> = notices.into_iter().flatten().collect();
        let notice = (!notices.is_empty()).then(|| notices.join("; "));
        let (was, is) = (self.notice.borrow().is_some(), notice.is_some());
        if let Some(notice) = notice.as_ref().filter(|_| !was) {
            tracing::warn!(events = recent.events, held = recent.held, "{notice}");
        } else if was && !is {
            tracing::info!(held = recent.held, "what was noted is in order again");
        }
        self.notice.send_replace(notice);
    }
}

/// What is said while too large a share of the newest events is held.
fn notice(recent: RecentEvents, alarm_basis_points: u32) -> Option<String> {
    let alarm = i64::from(alarm_basis_points);
    // Compared as whole numbers: the share that is shown is rounded.
    let is_over = recent.held.saturating_mul(BASIS_POINTS) > recent.events.saturating_mul(alarm);
    is_over.then(|| {
        format!(
            "{} of the newest {} meter events are held, more than {alarm} basis points: see what \
             holds them (tallyd held list)",
            recent.held, recent.events
        )
    })
}

/// What is said until a ledger that was rolled back has caught up.
fn behind(restored: Restored) -> Option<String> {
    let until = restored.sent_through_at;
    restored.caught_up_at.is_none().then(|| {
        format!(
            "the ledger was rolled back, and usage of until {until} is held until the sources sent \
             it again (tallyd ledger caught-up)"
        )
    })
}

/// What the ledger stands at, in a line for whoever looks at the service.
fn in_words(status: &Status, now: Timestamp) -> String {
    let in_state = |wanted: &[EventState]| -> i64 {
        let is_wanted = |name: &str| wanted.iter().any(|state| state.as_str() == name);
        status.events.iter().filter(|(_, name, _)| is_wanted(name)).map(|(.., count)| count).sum()
    };
    let waiting = in_state(&[EventState::Pending, EventState::InFlight]);
    let held: i64 = status.held.iter().map(|(.., count)| count).sum();
    let parked: i64 = status.parked.iter().map(|each| each.count).sum();
    let seconds = |at: Timestamp| now.micros_since(at).div_euclid(MICROS_PER_SECOND).max(0);
    let oldest = status.oldest_open_at.map(|at| format!(", the oldest for {} s", seconds(at)));
    let mut said = format!("{waiting} events wait to be told{}", oldest.unwrap_or_default());
    for (count, what) in [
        (in_state(&[EventState::Unknown]), "unknown"),
        (held, "held (tallyd held list)"),
        (parked, "records parked"),
        (status.rejected_open, "rejected (tallyd rejected list)"),
    ] {
        if count > 0 {
            said = format!("{said}; {count} {what}");
        }
    }
    for paused in status.providers.iter().filter(|provider| provider.pause.is_some()) {
        said = format!("{said}; {} is paused", paused.provider);
    }
    said
}

/// At risk by provider and meter, in whole units: a label for each customer would make a series of
/// each.
fn at_risk(status: &Status) -> Vec<(String, String, i64)> {
    let mut sums: BTreeMap<(&str, &str), Quantity> = BTreeMap::new();
    for each in &status.at_risk {
        let sum = sums.entry((&each.provider, &each.meter)).or_insert_with(Quantity::zero);
        *sum = &*sum + &each.quantity;
    }
    sums.into_iter()
        .map(|((provider, meter), sum)| {
            (provider.to_owned(), meter.to_owned(), sum.in_whole_units())
        })
        .collect()
}

#[async_trait]
impl Service for Watcher {
    fn name(&self) -> &str {
        "metrics"
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        let next = now.plus_micros(STANDING_MICROS);
        let step = Step { wake_at: Some(next), ..Step::default() };
        {
            let mut shown_at = self.shown_at.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = |at: Timestamp| (0..STANDING_MICROS).contains(&now.micros_since(at));
            if shown_at.is_some_and(fresh) {
                return Ok(step);
            }
            *shown_at = Some(now);
        }
        let status = self.ledger.status().await?;
        self.judge(status.recent, status.restored);
        self.says.send_replace(in_words(&status, now));
        let seconds = |micros: i64| micros.div_euclid(MICROS_PER_SECOND);
        let free_bytes = crate::ledger::delivery::DeliveryLedger::free_bytes(&*self.ledger)?;
        self.metrics.show(&Standing {
            parked: status.parked.iter().map(|each| (each.name.clone(), each.count)).collect(),
            oldest_open_seconds: status.oldest_open_at.map(|at| seconds(now.micros_since(at))),
            nearest_deadline_seconds: status
                .nearest_deadline_at
                .map(|at| seconds(at.micros_since(now))),
            rejected_open: status.rejected_open,
            at_risk: at_risk(&status),
            open: status
                .open
                .iter()
                .map(|(provider, meter, sum)| {
                    (provider.clone(), meter.clone(), sum.in_whole_units())
                })
                .collect(),
            held_basis_points: status.recent.held_basis_points(),
            holds: status.held,
            events: status.events,
            free_bytes: Some(free_bytes),
        });
        Ok(step)
    }
}

/// The service that maintains the ledger when the schedule says so, and lays its ballast anew.
pub(super) struct Maintainer {
    ledger: Arc<dyn Ledger>,
    schedule: Schedule,
    ballast_bytes: u64,
    next_at: Mutex<Option<Timestamp>>,
}

impl Maintainer {
    pub(super) fn new(ledger: Arc<dyn Ledger>, schedule: Schedule, ballast_bytes: u64) -> Self {
        Self { ledger, schedule, ballast_bytes, next_at: Mutex::new(None) }
    }

    /// Clears old notices away, some at a time, so that usage waits for none of it for long.
    async fn clear_notices(&self, now: Timestamp) -> Result<(), StepError> {
        let mut given_up = 0;
        loop {
            let cleared = self.ledger.clear_notices(now).await?;
            given_up += cleared.given_up;
            if !cleared.is_full() {
                break;
            }
        }
        if given_up > 0 {
            tracing::warn!(given_up, "notices of providers waited too long, and are ignored now");
        }
        Ok(())
    }
}

#[async_trait]
impl Service for Maintainer {
    fn name(&self) -> &str {
        "maintenance"
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        let due = {
            let mut next_at = self.next_at.lock().unwrap_or_else(PoisonError::into_inner);
            let due = next_at.is_some_and(|at| at <= now);
            if due || next_at.is_none() {
                *next_at = self.schedule.next_after(now);
            }
            due
        };
        self.ledger.keep_ballast(self.ballast_bytes).await;
        if due {
            self.clear_notices(now).await?;
            self.ledger.maintain().await?;
            tracing::info!("maintained the ledger");
        }
        Ok(Step { counts: vec![("maintained", u64::from(due))], ..Step::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::operator::{Count, ProviderStatus};

    #[test]
    fn what_the_ledger_stands_at_is_said_in_a_line_without_what_there_is_none_of() {
        let now = Timestamp::from_seconds(1_790_000_000);
        assert_eq!(in_words(&Status::default(), now), "0 events wait to be told");
        let event =
            |state: EventState, count| ("stripe.main".to_owned(), state.as_str().to_owned(), count);
        let provider = |name: &str, pause: Option<&str>| ProviderStatus {
            provider: name.to_owned(),
            account: None,
            livemode: None,
            pause: pause.map(|why| (why.to_owned(), now)),
            in_shadow: false,
            told_before: 0,
        };
        let status = Status {
            events: vec![
                event(EventState::Pending, 5),
                event(EventState::InFlight, 2),
                event(EventState::Unknown, 1),
                event(EventState::Accepted, 100),
            ],
            oldest_open_at: Some(now.plus_seconds(-12)),
            held: vec![("stripe.main".to_owned(), "refused".to_owned(), 4)],
            parked: vec![Count { name: "no_route".to_owned(), count: 3 }],
            rejected_open: 6,
            providers: vec![provider("stripe.main", Some("a key")), provider("stripe.eu", None)],
            ..Status::default()
        };
        assert_eq!(
            in_words(&status, now),
            "7 events wait to be told, the oldest for 12 s; 1 unknown; 4 held (tallyd held list); \
             3 records parked; 6 rejected (tallyd rejected list); stripe.main is paused"
        );
    }

    #[test]
    fn held_events_raise_the_alarm_above_their_share_and_not_at_it() {
        let said = |held, events| notice(RecentEvents { events, held }, 50).is_some();
        assert!(!said(0, 0) && !said(50, 10_000) && !said(0, 7));
        assert!(said(51, 10_000) && said(1, 199) && !said(1, 200));
        let text = notice(RecentEvents { events: 200, held: 3 }, 50).unwrap();
        assert!(
            text.starts_with("3 of the newest 200 meter events are held, more than 50 "),
            "{text}"
        );
    }
}
