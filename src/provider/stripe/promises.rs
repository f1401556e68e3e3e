//! What Stripe promises for a meter, as data. PURE. Here: each limit with its unit, its reason and
//! where it was read, and which meters can be told. Never here: a decision taken from them. Read
//! next: [`super::encode`].

use crate::domain::fold::Fold;
use crate::domain::provider_facts::{Formula, MeterPin, Span};
use crate::domain::state::HoldReason;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE};
use crate::provider::stripe::settings::Channel;
use crate::provider::{CannotTell, Capabilities, ReadBack, ToldAs};

/// How long an identifier is recognised at least: 24 hours, in microseconds ("a rolling period of
/// at least 24 hours": Stripe's OpenAPI document, `POST /v1/billing/meter_events`, `identifier`).
pub const DEDUPE_WINDOW_MICROS: i64 = 24 * MICROS_PER_HOUR;
/// How much of that window is left unused: an hour, in microseconds. It has to hold a stale reading
/// of Stripe's clock, the longest attempt, and a request that the network delays.
pub const DEDUPE_MARGIN_MICROS: i64 = MICROS_PER_HOUR;
/// How far in the past an event may lie: 35 days, in microseconds ("within the past 35 calendar
/// days": same document, `timestamp`).
pub const ACCEPTS_PAST_MICROS: i64 = 35 * MICROS_PER_DAY;
/// How much of that is left unused: an hour, in microseconds. "Calendar days" may be counted in a
/// zone that moves its clocks by one, and the event has to arrive before the limit, not only leave.
pub const ACCEPTS_PAST_MARGIN_MICROS: i64 = MICROS_PER_HOUR;
/// How far ahead of Stripe's clock an event may lie: 5 minutes (same place) less one for our
/// reading of that clock, which is exact to a second and a round trip; in microseconds.
pub const ACCEPTS_AHEAD_MICROS: i64 = 4 * MICROS_PER_MINUTE;
/// Most significant digits of a value: 15 (Stripe's changelog of 2026-04-22, "billing meter event
/// values validation"; more is refused). It is also what survives the float that Stripe's totals
/// are read as.
pub const DIGITS_MAX: u32 = 15;
/// Most digits after the point of a value: 12, as invoice lines carry no more (`quantity_decimal`,
/// API version 2026-03-25). More is not known to be refused, but would be lost on the bill.
pub const DECIMALS_MAX: u32 = 12;
/// A value may be below zero: Stripe takes it as a correction and bills a period's total below zero
/// as nothing (Stripe's guide "Record usage for billing", copy of 2026-05-05).
pub const NEGATIVE: bool = true;
/// How long after Stripe received an event it can be cancelled: 24 hours, in microseconds
/// (`cancel.identifier`: "events within 24 hours of Stripe receiving them": Stripe's OpenAPI
/// document, `POST /v1/billing/meter_event_adjustments`).
pub const CANCEL_WINDOW_MICROS: i64 = 24 * MICROS_PER_HOUR;
/// How much of that window is left unused: an hour, in microseconds, for the same reasons as with
/// identifiers.
pub const CANCEL_MARGIN_MICROS: i64 = MICROS_PER_HOUR;
/// What Stripe's summaries of meter events promise. They are eventually consistent and no lag is
/// published; one user measured a minute. Seven hours is far on the safe side of every report, and
/// costs nothing but patience. A request that timed out may land later: 24 hours after its last
/// attempt nothing on the way to Stripe is believed to hold one any more. Totals come as JSON
/// floats, which carry 15 decimal digits.
pub const READ_BACK: ReadBack = ReadBack {
    lag_micros: 7 * MICROS_PER_HOUR,
    landing_micros: 24 * MICROS_PER_HOUR,
    grain_micros: MICROS_PER_MINUTE,
    digits_max: 15,
};
/// The same of a meter that keeps one total per `span`. An older total that lands late overwrites a
/// newer one, so that nothing is proven before none can land any more. What a span that is cut in
/// two would be told as is not documented: such totals are asked for by whole ones.
#[must_use]
pub const fn read_back_of_totals(span: Span) -> ReadBack {
    let grain_micros = span.micros();
    ReadBack { lag_micros: READ_BACK.landing_micros, grain_micros, ..READ_BACK }
}

/// Most events of one request to the stream ("up to 100 events per request": Stripe's OpenAPI
/// document, `POST /v2/billing/meter_event_stream`).
pub const BATCH_MAX: u32 = 100;
/// The same of what the stream took. It says yes before it looks at anything, and for how long
/// events may wait to be looked at is not published; what was proven absent goes again under
/// another identifier, and must not be on its way still. So it gets as long as a request that was
/// lost.
const READ_BACK_OF_STREAM: ReadBack =
    ReadBack { lag_micros: READ_BACK.landing_micros, ..READ_BACK };

/// What Stripe promises for `meter`, where the operator chose `channel`; `declared` is what the
/// operator said of it.
///
/// # Errors
/// When the meter takes no events, or adds up in a way that it cannot be told; or when it keeps one
/// total per span, or bills the last value, and the operator did not say so: what its windows are
/// follows from that.
pub fn of(
    meter: &MeterPin,
    declared: Option<&MeterPin>,
    channel: Channel,
) -> Result<Capabilities, CannotTell> {
    let name = &meter.meter;
    let mismatch = |why| CannotTell { reason: HoldReason::MeterMismatch, why };
    if !meter.active {
        let why = format!("the meter \"{name}\" is deactivated and takes no events");
        return Err(CannotTell { reason: HoldReason::NoMeter, why });
    }
    if meter.customer_key == meter.value_key {
        // A payload has one value per key: one of the two would silently be left out.
        let key = &meter.value_key;
        return Err(mismatch(format!(
            "the meter \"{name}\" reads customer and value from one payload key, \"{key}\""
        )));
    }
    let told_as = told_as(meter, declared).map_err(mismatch)?;
    let is_total = matches!(told_as, ToldAs::Total | ToldAs::Last);
    Ok(Capabilities {
        told_as,
        // A meter that counts is told one by one: their number is the sum.
        bills: if told_as == ToldAs::Last { Fold::Gauge } else { Fold::Sum },
        accepts_past_micros: ACCEPTS_PAST_MICROS,
        accepts_past_margin_micros: ACCEPTS_PAST_MARGIN_MICROS,
        accepts_ahead_micros: ACCEPTS_AHEAD_MICROS,
        digits_max: DIGITS_MAX,
        decimals_max: DECIMALS_MAX,
        value_max: None,
        negative: NEGATIVE,
        // Whether what a cancelled total had overwritten counts again is not documented.
        cancels_for_micros: (!is_total).then_some(CANCEL_WINDOW_MICROS - CANCEL_MARGIN_MICROS),
        entries_max: None,
        read_back: Some(match (meter.span, channel) {
            (Some(span), _) => read_back_of_totals(span),
            (None, Channel::V1 | Channel::V2) => READ_BACK,
            (None, Channel::Stream) => READ_BACK_OF_STREAM,
        }),
    })
}

/// How a meter is told, where what the operator said of it is so; or why it is not told, as a
/// sentence.
fn told_as(meter: &MeterPin, declared: Option<&MeterPin>) -> Result<ToldAs, String> {
    let name = &meter.meter;
    let said = declared.and_then(|declared| declared.span);
    if let Some(span) = meter.span.filter(|span| said != Some(*span)) {
        return Err(format!(
            "the meter \"{name}\" keeps one total per {span} instead of single events: declare it \
             with `span = \"{span}\"`"
        ));
    }
    if let (Some(span), None) = (said, meter.span) {
        return Err(format!(
            "the meter \"{name}\" is declared with `span = \"{span}\"`, and adds single events up: \
             totals would be added to each other"
        ));
    }
    let is_last = |pin: &MeterPin| pin.formula == Formula::Last;
    match (is_last(meter), declared.is_some_and(is_last)) {
        (true, false) => {
            return Err(format!(
                "the meter \"{name}\" bills the last value that it was told: declare it with \
                 `formula = \"last\"`"
            ));
        }
        (false, true) => {
            return Err(format!(
                "the meter \"{name}\" is declared with `formula = \"last\"`, and does not bill the \
                 last value: readings would be added to each other"
            ));
        }
        (true, true) | (false, false) => {}
    }
    match (meter.formula, meter.span) {
        (Formula::Sum, None) => Ok(ToldAs::Delta),
        (Formula::Sum, Some(_)) => Ok(ToldAs::Total),
        (Formula::Count, None) => Ok(ToldAs::EachRecord),
        (Formula::Last, None) => Ok(ToldAs::Last),
        (Formula::Last, Some(span)) => Err(format!(
            "the meter \"{name}\" bills the last value, and keeps one per {span}: which of \
             them is the last is not documented"
        )),
        (Formula::Count, Some(span)) => Err(format!(
            "the meter \"{name}\" counts events, and keeps one per {span}: a {span} of any \
             usage would count as one"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::ProviderMeter;
    use crate::domain::provider_facts::Span;

    fn pin() -> MeterPin {
        MeterPin {
            meter: ProviderMeter::new("tokens").unwrap(),
            id: Some("mtr_1".to_owned()),
            formula: Formula::Sum,
            customer_key: "stripe_customer_id".to_owned(),
            value_key: "value".to_owned(),
            span: None,
            active: true,
            learned: true,
        }
    }

    #[test]
    fn a_meter_that_adds_events_up_can_be_told() {
        let told_as = |formula| {
            of(&MeterPin { formula, ..pin() }, None, Channel::V1).map(|told| told.told_as)
        };
        assert_eq!(told_as(Formula::Sum), Ok(ToldAs::Delta));
        assert_eq!(told_as(Formula::Count), Ok(ToldAs::EachRecord));
    }

    #[test]
    fn what_the_stream_took_is_waited_for_as_long_as_what_was_lost() {
        let lag = |channel| of(&pin(), None, channel).unwrap().read_back.unwrap().lag_micros;
        assert_eq!(lag(Channel::V1), lag(Channel::V2));
        assert_eq!(lag(Channel::Stream), READ_BACK.landing_micros);
    }

    #[test]
    fn a_meter_that_keeps_totals_can_be_told_where_the_operator_said_so() {
        let hourly = MeterPin { span: Some(Span::Hour), ..pin() };
        let promised = of(&hourly, Some(&hourly), Channel::Stream).unwrap();
        assert_eq!(promised.told_as, ToldAs::Total);
        let read_back = promised.read_back.unwrap();
        assert_eq!(read_back.grain_micros, MICROS_PER_HOUR);
        assert_eq!(read_back.lag_micros, read_back.landing_micros);
        let daily = MeterPin { span: Some(Span::Day), ..pin() };
        for (meter, declared) in [(&hourly, &daily), (&hourly, &pin()), (&pin(), &hourly)] {
            assert_eq!(
                of(meter, Some(declared), Channel::V1).unwrap_err().reason,
                HoldReason::MeterMismatch
            );
        }
        let counting = MeterPin { formula: Formula::Count, ..hourly };
        assert!(
            of(&counting, Some(&counting), Channel::V1).unwrap_err().why.contains("counts events")
        );
    }

    #[test]
    fn a_meter_that_bills_the_last_value_can_be_told_where_the_operator_said_so() {
        let last = MeterPin { formula: Formula::Last, ..pin() };
        let promised = of(&last, Some(&last), Channel::V1).unwrap();
        assert_eq!((promised.told_as, promised.bills), (ToldAs::Last, Fold::Gauge));
        // What was told of an older time overwrites nothing when it lands late.
        assert_eq!(promised.read_back, Some(READ_BACK));
        assert_eq!(promised.cancels_for_micros, None);
    }

    #[test]
    fn a_meter_that_cannot_be_told_is_refused_with_a_sentence() {
        let check = |pin: &MeterPin, why: &str| {
            let sentence = of(pin, None, Channel::V2).unwrap_err().why;
            assert!(sentence.contains(why) && sentence.contains("tokens"), "{sentence}");
        };
        let last = MeterPin { formula: Formula::Last, ..pin() };
        check(&last, "last value");
        let hourly = MeterPin { span: Some(Span::Hour), ..last.clone() };
        let sentence = of(&hourly, Some(&hourly), Channel::V1).unwrap_err().why;
        assert!(sentence.contains("keeps one per hour"), "{sentence}");
        let sentence = of(&pin(), Some(&last), Channel::V1).unwrap_err().why;
        assert!(sentence.contains("added to each other"), "{sentence}");
        check(&MeterPin { span: Some(Span::Hour), ..pin() }, "one total per hour");
        check(&MeterPin { active: false, ..pin() }, "deactivated");
        check(&MeterPin { customer_key: "value".to_owned(), ..pin() }, "one payload key");
    }
}
