//! What is wrong with an event. Here: the checks that look at the account or the clock, and how
//! each version of the API says what they found. Never here: identifiers ([`super::ledger`]), the
//! form of a request. Read next: [`super::perform`].

use super::ledger::RejectionCode;
use super::meter::{Meter, MeterIndex, Meters};
use super::operation::NewEvent;
use super::refusal::Refusal;
use super::value;
use crate::domain::time::Timestamp;

/// How far in the past an event may lie, in seconds. "35 calendar days" is read as 35 times 24
/// hours: whether the day's beginning counts is unconfirmed, and this is the stricter reading.
const PAST_SECONDS_MAX: i64 = 35 * 24 * 60 * 60;
/// How far ahead an event may lie, in seconds.
const AHEAD_SECONDS_MAX: i64 = 5 * 60;

/// Whose rules an event is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// Those of version 1.
    V1,
    /// Those of version 2, which says that a value "must be a positive integer". Whether it means
    /// that is unconfirmed, and this is the stricter reading.
    V2,
}

/// An event without fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sound<'a> {
    pub(super) meter: MeterIndex,
    pub(super) customer: &'a str,
    pub(super) value: &'a str,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NoMeter(String),
    Archived(String),
    TooOld { earliest: i64 },
    Ahead { latest: i64 },
    NoCustomer { key: String },
    NoValue { key: String },
    TooManyDigits,
    NotCounting,
}

/// Judges an event, in an order of our own: Stripe's is unconfirmed, and only matters for an event
/// that breaks two.
pub(super) fn check<'a>(
    meters: &Meters,
    event: &'a NewEvent,
    rules: Rules,
    timestamp: i64,
    now: Timestamp,
) -> Result<Sound<'a>, Fault> {
    let name = &event.event_name;
    let (index, meter) = meters.named(name).ok_or_else(|| Fault::NoMeter(name.clone()))?;
    if !meter.is_active() {
        return Err(Fault::Archived(name.clone()));
    }
    check_time(timestamp, now)?;
    let payload = |key: &str| event.payload.get(key).map(String::as_str);
    let Meter { settings, .. } = meter;
    let key = &settings.customer_key;
    let customer = payload(key).ok_or_else(|| Fault::NoCustomer { key: key.clone() })?;
    // A count meter asks for the key as well: the schema says that a payload must have it.
    let key = &settings.value_key;
    let value = payload(key).ok_or_else(|| Fault::NoValue { key: key.clone() })?;
    if value::has_too_many_digits(value) {
        return Err(Fault::TooManyDigits);
    }
    match rules {
        Rules::V2 if !value::is_counting(value) => Err(Fault::NotCounting),
        Rules::V1 | Rules::V2 => Ok(Sound { meter: index, customer, value }),
    }
}

fn check_time(timestamp: i64, now: Timestamp) -> Result<(), Fault> {
    let earliest = now.seconds() - PAST_SECONDS_MAX;
    if timestamp < earliest {
        return Err(Fault::TooOld { earliest });
    }
    let latest = now.seconds() + AHEAD_SECONDS_MAX;
    if timestamp > latest {
        return Err(Fault::Ahead { latest });
    }
    Ok(())
}

impl Fault {
    /// How version 1 refuses it: in words.
    pub(super) fn in_v1(&self) -> Refusal {
        let param = match self {
            Self::NoMeter(_) | Self::Archived(_) => None,
            Self::TooOld { .. } | Self::Ahead { .. } => Some("timestamp"),
            Self::NoCustomer { .. }
            | Self::NoValue { .. }
            | Self::TooManyDigits
            | Self::NotCounting => Some("payload"),
        };
        let refusal = Refusal::invalid(self.message());
        match param {
            Some(param) => refusal.param(param),
            None => refusal,
        }
    }

    /// How version 2 refuses it: by a code, where one is published.
    pub(super) fn in_v2(&self) -> Refusal {
        let code = match self {
            Self::NoMeter(_) => "no_meter",
            Self::Archived(_) => "archived_meter",
            Self::NoCustomer { .. } => "payload_no_customer_defined",
            Self::NoValue { .. } => "payload_no_value_defined",
            Self::TooManyDigits | Self::NotCounting => "payload_invalid_value",
            Self::TooOld { .. } | Self::Ahead { .. } => return self.in_v1().in_v2(),
        };
        self.in_v1().code(code)
    }

    /// How it is reported of an event that was taken before it was looked at.
    pub(super) const fn reported(&self) -> RejectionCode {
        match self {
            Self::NoMeter(_) => RejectionCode::NoMeter,
            Self::Archived(_) => RejectionCode::ArchivedMeter,
            Self::TooOld { .. } => RejectionCode::TimestampTooFarInPast,
            Self::Ahead { .. } => RejectionCode::TimestampInFuture,
            Self::NoCustomer { .. } => RejectionCode::MeterEventNoCustomerDefined,
            Self::NoValue { .. } => RejectionCode::MeterEventValueNotFound,
            Self::TooManyDigits => RejectionCode::MeterEventValueTooManyDigits,
            Self::NotCounting => RejectionCode::MeterEventInvalidValue,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NoMeter(name) | Self::Archived(name) => {
                format!("No active meter found for event name \"{name}\"")
            }
            Self::TooOld { earliest } => format!(
                "The event timestamp cannot be more than 35 days in past. \
                 Expected a timestamp greater than or equal to {earliest}."
            ),
            // This text is ours, after the other; the real one has not been seen.
            Self::Ahead { latest } => format!(
                "The event timestamp cannot be more than 5 minutes in the future. \
                 Expected a timestamp less than or equal to {latest}."
            ),
            Self::NoCustomer { key } => format!("Customer mapping key {key} not found in payload."),
            Self::NoValue { key } => format!("Value key {key} not found in payload."),
            Self::TooManyDigits => {
                format!("The payload value can have at most {} digits", value::DIGITS_MAX)
            }
            Self::NotCounting => "The payload value must be a positive integer".to_owned(),
        }
    }
}
