//! Events as they were accepted. Here: identifiers, the lag until an event counts, later rejection
//! and cancellation, and the books. Never here: HTTP, the checks before acceptance.
//! Read next: [`super::tally`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bigdecimal::BigDecimal;
use serde::{Serialize, Serializer};

use super::customers::Known;
use super::meter::{Meter, MeterIndex, Meters};
use super::tally::{ALWAYS, Counted, Tally};
use super::value;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};

/// How long after its receipt an event can be cancelled, in microseconds: Stripe's 24 hours.
pub(super) const CANCEL_MICROS: i64 = MICROS_PER_DAY;

/// What has become of an accepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "code")]
pub enum EventStatus {
    /// Accepted; its lag has not passed.
    Pending,
    /// It counts.
    Counted,
    /// It was counted, and an event received later in its hour or day counts instead.
    Overwritten,
    /// It was cancelled and does not count.
    Cancelled,
    /// It was rejected after it had been accepted, and never counted.
    Rejected(RejectionCode),
}

/// Why an accepted event was rejected, by the codes of Stripe's error reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// The customer does not exist.
    MeterEventCustomerNotFound,
    /// The value is not a number.
    MeterEventInvalidValue,
    /// There is no meter of its event name.
    NoMeter,
    /// The meter of its event name takes no events any more.
    ArchivedMeter,
    /// Its payload names no customer.
    MeterEventNoCustomerDefined,
    /// Its payload has no value.
    MeterEventValueNotFound,
    /// The value has more digits than are taken.
    MeterEventValueTooManyDigits,
    /// Its time is too long ago.
    TimestampTooFarInPast,
    /// Its time is too far ahead.
    TimestampInFuture,
}

impl RejectionCode {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::MeterEventCustomerNotFound => "meter_event_customer_not_found",
            Self::MeterEventInvalidValue => "meter_event_invalid_value",
            Self::NoMeter => "no_meter",
            Self::ArchivedMeter => "archived_meter",
            Self::MeterEventNoCustomerDefined => "meter_event_no_customer_defined",
            Self::MeterEventValueNotFound => "meter_event_value_not_found",
            Self::MeterEventValueTooManyDigits => "meter_event_value_too_many_digits",
            Self::TimestampTooFarInPast => "timestamp_too_far_in_past",
            Self::TimestampInFuture => "timestamp_in_future",
        }
    }
}

/// An event that was rejected just now, for those who report it.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    pub(super) code: RejectionCode,
    pub(super) at: Timestamp,
    /// Nothing where there is none of its event name.
    pub(super) meter: Option<MeterIndex>,
    pub(super) event_name: String,
    pub(super) customer: Arc<str>,
    pub(super) identifier: Arc<str>,
    /// The request that brought it, by its place among all, and its idempotency key.
    pub(super) request: u64,
    pub(super) key: Option<Arc<str>>,
}

/// One accepted event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventLine {
    /// Its identifier, sent or generated.
    pub identifier: String,
    /// The event name it carried.
    pub event_name: String,
    /// The customer id it carried.
    pub customer: String,
    /// The value it carried, as it was sent.
    pub value: String,
    /// Its time, in Unix seconds.
    pub timestamp: i64,
    /// When it was received, in microseconds of the sandbox's clock.
    pub received_at_micros: i64,
    /// What has become of it.
    pub status: EventStatus,
}

/// What counts for one customer on one meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookLine {
    /// The meter's event name.
    pub event_name: String,
    /// The customer.
    pub customer: String,
    /// The exact total by the meter's formula over all time.
    #[serde(serialize_with = "plain_text")]
    pub total: BigDecimal,
    /// How many events were counted, overwritten ones among them.
    pub events: u64,
}

fn plain_text<S: Serializer>(total: &BigDecimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&total.to_plain_string())
}

/// An event that passed every check, to be booked.
#[derive(Debug)]
pub(super) struct Accepted<'a> {
    pub(super) meter: MeterIndex,
    pub(super) customer: &'a str,
    pub(super) value: &'a str,
    pub(super) identifier: &'a str,
    pub(super) timestamp: i64,
    /// Why the later checks are to reject it, come what may.
    pub(super) doom: Option<RejectionCode>,
    /// The request that brings it, by its place among all, and its idempotency key.
    pub(super) request: u64,
    pub(super) key: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending { doom: Option<RejectionCode> },
    Counted,
    Cancelled,
    Rejected(RejectionCode),
}

#[derive(Debug)]
struct Event {
    identifier: Arc<str>,
    value: Box<str>,
    meter: MeterIndex,
    customer: usize,
    timestamp: i64,
    received_at: Timestamp,
    request: u64,
    key: Option<Arc<str>>,
    is_cancel_asked: bool,
    state: State,
}

/// Something that takes effect when its lag has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Count(usize),
    Cancel(usize),
    /// What was taken, and is at fault.
    Reject(usize),
}

/// Why an event cannot be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoCancel {
    Unknown,
    TooLate,
    Already,
}

/// Every accepted event, in order of receipt.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    events: Vec<Event>,
    customers: Vec<Arc<str>>,
    customer_places: HashMap<Arc<str>, usize>,
    by_identifier: HashMap<Arc<str>, usize>,
    /// The first event whose identifier may still be remembered.
    first_remembered: usize,
    /// What takes effect when, soonest first; the count keeps equal instants in order.
    due: BinaryHeap<Reverse<(Timestamp, u64, Step)>>,
    steps: u64,
    tallies: BTreeMap<(MeterIndex, usize), Tally>,
    /// The places of all events of one customer on one meter, for those who bill them.
    receipts: HashMap<(MeterIndex, usize), Vec<usize>>,
    /// What is to be rejected when its lag has passed, in order of receipt.
    doomed: Vec<Option<Rejection>>,
    /// What was rejected and not yet taken by those who report it.
    rejections: Vec<Rejection>,
}

impl Ledger {
    /// Whether an event received less than `window` ago has this identifier. The scope of
    /// identifiers is unconfirmed; here it is the account, which refuses the most.
    pub(super) fn is_taken(&self, identifier: &str, window: i64, now: Timestamp) -> bool {
        let place = self.by_identifier.get(identifier);
        let event = place.and_then(|place| self.events.get(*place));
        event.is_some_and(|event| now.micros_since(event.received_at) < window)
    }

    pub(super) const fn next_receipt(&self) -> usize {
        self.events.len()
    }

    /// Books an accepted event, to count from `due_at` on.
    pub(super) fn book(&mut self, event: &Accepted<'_>, now: Timestamp, due_at: Timestamp) {
        let receipt = self.events.len();
        let identifier: Arc<str> = Arc::from(event.identifier);
        let customer = self.place_of(event.customer);
        // Most clients make their key the identifier; then it is kept once.
        let key = event.key.map(|key| {
            if key == event.identifier { Arc::clone(&identifier) } else { Arc::from(key) }
        });
        self.by_identifier.insert(Arc::clone(&identifier), receipt);
        self.events.push(Event {
            identifier,
            value: Box::from(event.value),
            meter: event.meter,
            customer,
            timestamp: event.timestamp,
            received_at: now,
            request: event.request,
            key,
            is_cancel_asked: false,
            state: State::Pending { doom: event.doom },
        });
        self.receipts.entry((event.meter, customer)).or_default().push(receipt);
        self.schedule(due_at, Step::Count(receipt));
    }

    /// Rejects what was taken before it was looked at, from `due_at` on. It is none of the events.
    pub(super) fn reject_later(&mut self, rejection: Rejection, due_at: Timestamp) {
        let place = self.doomed.len();
        self.doomed.push(Some(rejection));
        self.schedule(due_at, Step::Reject(place));
    }

    fn place_of(&mut self, customer: &str) -> usize {
        if let Some(place) = self.customer_places.get(customer) {
            return *place;
        }
        let (name, place): (Arc<str>, usize) = (Arc::from(customer), self.customers.len());
        self.customers.push(Arc::clone(&name));
        self.customer_places.insert(name, place);
        place
    }

    fn schedule(&mut self, at: Timestamp, step: Step) {
        self.steps += 1;
        self.due.push(Reverse((at, self.steps, step)));
    }

    /// Cancels the event of this identifier and meter, with effect from `due_at` on.
    pub(super) fn cancel(
        &mut self,
        meter: MeterIndex,
        identifier: &str,
        now: Timestamp,
        due_at: Timestamp,
    ) -> Result<(), NoCancel> {
        let place = *self.by_identifier.get(identifier).ok_or(NoCancel::Unknown)?;
        let event = self.events.get_mut(place).ok_or(NoCancel::Unknown)?;
        if event.meter != meter {
            return Err(NoCancel::Unknown);
        }
        if now.micros_since(event.received_at) >= CANCEL_MICROS {
            return Err(NoCancel::TooLate);
        }
        if event.is_cancel_asked {
            return Err(NoCancel::Already);
        }
        event.is_cancel_asked = true;
        self.schedule(due_at, Step::Cancel(place));
        Ok(())
    }

    /// When the next of what waits takes effect.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Lets everything take effect whose lag has passed. Each event is touched a fixed number of
    /// times, so the cost per request is constant on average.
    pub(super) fn settle(&mut self, meters: &Meters, customers: &Known<'_>, now: Timestamp) {
        while let Some(Reverse((at, _, step))) = self.due.peek().copied() {
            if at > now {
                break;
            }
            self.due.pop();
            match step {
                Step::Count(receipt) => self.count(receipt, meters, customers, at),
                Step::Cancel(receipt) => self.uncount(receipt),
                Step::Reject(place) => {
                    let doomed = self.doomed.get_mut(place).and_then(Option::take);
                    self.rejections.extend(doomed);
                }
            }
        }
    }

    fn count(&mut self, receipt: usize, meters: &Meters, customers: &Known<'_>, at: Timestamp) {
        let Some(event) = self.events.get_mut(receipt) else { return };
        let State::Pending { doom } = event.state else { return };
        let (Some(meter), Some(customer)) =
            (meters.all.get(event.meter), self.customers.get(event.customer))
        else {
            return;
        };
        let value = value::parse(&event.value).ok_or(RejectionCode::MeterEventInvalidValue);
        let checked = match doom {
            Some(code) => value.and(Err(code)),
            None if customers.know(customer) => value,
            None => value.and(Err(RejectionCode::MeterEventCustomerNotFound)),
        };
        let value = match checked {
            Ok(value) => value,
            Err(code) => {
                event.state = State::Rejected(code);
                self.rejections.push(Rejection {
                    code,
                    at,
                    meter: Some(event.meter),
                    event_name: meter.settings.event_name.clone(),
                    customer: Arc::clone(customer),
                    identifier: Arc::clone(&event.identifier),
                    request: event.request,
                    key: event.key.clone(),
                });
                return;
            }
        };
        event.state = State::Counted;
        let tally = self.tallies.entry((event.meter, event.customer));
        let tally = tally.or_insert_with(|| Tally::new(&meter.settings));
        tally.add(Counted { timestamp: event.timestamp, receipt, value });
    }

    fn uncount(&mut self, receipt: usize) {
        let Some(event) = self.events.get_mut(receipt) else { return };
        match event.state {
            State::Counted => {
                let value = value::parse(&event.value).unwrap_or_default();
                let counted = Counted { timestamp: event.timestamp, receipt, value };
                if let Some(tally) = self.tallies.get_mut(&(event.meter, event.customer)) {
                    tally.remove(&counted);
                }
                event.state = State::Cancelled;
            }
            // The lag was shortened in between: the cancellation came first and wins all the same.
            State::Pending { .. } => event.state = State::Cancelled,
            State::Cancelled | State::Rejected(_) => {}
        }
    }

    /// What was rejected since this was asked last.
    pub(super) fn take_rejections(&mut self) -> Vec<Rejection> {
        std::mem::take(&mut self.rejections)
    }

    /// Forgets the identifiers of events that were received `window` ago or earlier.
    pub(super) fn forget_identifiers(&mut self, window: i64, now: Timestamp) {
        while let Some(event) = self.events.get(self.first_remembered) {
            if now.micros_since(event.received_at) < window.max(CANCEL_MICROS) {
                break;
            }
            // The identifier may have been used again since; then it names the later event.
            if self.by_identifier.get(&event.identifier) == Some(&self.first_remembered) {
                self.by_identifier.remove(&event.identifier);
            }
            self.first_remembered += 1;
        }
    }

    pub(super) fn tally(&self, meter: MeterIndex, customer: &str) -> Option<&Tally> {
        let place = *self.customer_places.get(customer)?;
        self.tallies.get(&(meter, place))
    }

    /// What a customer used of a meter at the times in `period`, to the second. All that was
    /// received by now is in it although its lag may not have passed, cancellations as well.
    pub(super) fn usage(
        &self,
        (index, meter): (MeterIndex, &Meter),
        customer: &str,
        period: &Range<i64>,
        known: &Known<'_>,
    ) -> BigDecimal {
        let settings = &meter.settings;
        let mut tally = Tally::new(settings);
        let place = self.customer_places.get(customer);
        let receipts = place.and_then(|place| self.receipts.get(&(index, *place)));
        for receipt in receipts.into_iter().flatten() {
            let Some(event) = self.events.get(*receipt) else { continue };
            let counts = match event.state {
                State::Counted => !event.is_cancel_asked,
                State::Pending { doom } => {
                    doom.is_none() && !event.is_cancel_asked && known.know(customer)
                }
                State::Cancelled | State::Rejected(_) => false,
            };
            // An hour or day that the period cuts is decided by all of its events.
            let is_near = settings.event_time_window.is_some() || period.contains(&event.timestamp);
            let Some(value) = value::parse(&event.value).filter(|_| counts && is_near) else {
                continue;
            };
            tally.add(Counted { timestamp: event.timestamp, receipt: *receipt, value });
        }
        let range = if settings.event_time_window.is_some() { period } else { &ALWAYS };
        tally.amount(range)
    }

    pub(super) fn books(&self, meters: &Meters) -> Vec<BookLine> {
        let mut lines: Vec<BookLine> = Vec::with_capacity(self.tallies.len());
        for ((meter, customer), tally) in &self.tallies {
            let (Some(meter), Some(customer)) =
                (meters.all.get(*meter), self.customers.get(*customer))
            else {
                continue;
            };
            lines.push(BookLine {
                event_name: meter.settings.event_name.clone(),
                customer: customer.to_string(),
                total: tally.amount(&ALWAYS).normalized(),
                events: tally.events(),
            });
        }
        lines.sort_by(|a, b| (&a.event_name, &a.customer).cmp(&(&b.event_name, &b.customer)));
        lines
    }

    /// The events at these places in the order of receipt, as far as there are any.
    pub(super) fn lines(&self, places: Range<usize>, meters: &Meters) -> Vec<EventLine> {
        let winners: BTreeMap<_, _> =
            self.tallies.iter().filter_map(|(key, tally)| Some((*key, tally.winners()?))).collect();
        let mut lines = Vec::new();
        let places = places.start..places.end.min(self.events.len());
        for (receipt, event) in places.clone().zip(self.events.get(places).unwrap_or_default()) {
            let is_overwritten = || {
                let winners = winners.get(&(event.meter, event.customer));
                winners.is_some_and(|winners| !winners.contains(&receipt))
            };
            let status = match event.state {
                State::Pending { .. } => EventStatus::Pending,
                State::Counted if is_overwritten() => EventStatus::Overwritten,
                State::Counted => EventStatus::Counted,
                State::Cancelled => EventStatus::Cancelled,
                State::Rejected(code) => EventStatus::Rejected(code),
            };
            let meter = meters.all.get(event.meter);
            let customer = self.customers.get(event.customer);
            lines.push(EventLine {
                identifier: event.identifier.to_string(),
                event_name: meter.map_or_else(String::new, |it| it.settings.event_name.clone()),
                customer: customer.map_or_else(String::new, ToString::to_string),
                value: event.value.to_string(),
                timestamp: event.timestamp,
                received_at_micros: event.received_at.micros(),
                status,
            });
        }
        lines
    }
}
