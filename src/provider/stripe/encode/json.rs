//! Meter events as version 2 of the API takes them. PURE. Here: which events are such, their JSON,
//! by which request stored bytes go, and how the stream's are joined. Never here: a form
//! ([`super`]). Read next: [`crate::provider::stripe::classify`].
//!
//! Stored bytes say by themselves which request they are of: version 1 takes forms, version 2 an
//! object, and the stream an object with a list of objects, here of one. So an event goes again the
//! way it went first, whatever the config says by then. That is what keeps it single: whether the
//! three remember identifiers together is not documented, and an event that is only ever told by
//! one of them does not depend on it.
//!
//! A cancellation does. It is made by version 1, whatever its event was told by: an adjustment
//! names its meter and an identifier, and the same events are behind both versions of it. Where
//! that were wrong, the cancellation would be refused, and its event be held for a person.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::event::EventIntent;
use crate::domain::names::AccountName;
use crate::domain::provider_facts::MeterPin;
use crate::domain::time::Timestamp;
use crate::provider::stripe::settings::Channel;

/// What stands around the events of the stream's requests.
const STREAM_OPEN: &str = "{\"events\":[";
const STREAM_CLOSE: &str = "]}";

/// How `intent` goes where the operator chose `channel`.
///
/// Version 2 says of a value that it refuses (`payload_invalid_value`) that it "must be a positive
/// integer", and it is not confirmed that it takes any other. Version 1 takes fractions, and values
/// below zero as corrections; what may be refused goes by it. So does a total, which overwrites the
/// one before: in which order the stream looks at what it took is not documented.
#[must_use]
pub fn channel_of(channel: Channel, intent: &EventIntent) -> Channel {
    let value = intent.value();
    let is_counting = value.decimals() == 0 && !value.is_negative() && !value.is_zero();
    match channel {
        Channel::V1 => Channel::V1,
        Channel::V2 | Channel::Stream if intent.total.is_some() || !is_counting => Channel::V1,
        Channel::V2 => Channel::V2,
        Channel::Stream => Channel::Stream,
    }
}

/// The JSON body of `POST /v2/billing/meter_events`. Times and values are spelled as the form's
/// are: whole seconds, and one text for one amount.
#[must_use]
pub fn object(meter: &MeterPin, account: &AccountName, intent: &EventIntent) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let customer = (meter.customer_key.as_str(), account.as_str().to_owned());
    let mut payload = [customer, (meter.value_key.as_str(), intent.value().to_string())];
    payload.sort_unstable();
    let [(first, its), (second, of_it)] = payload;
    format!(
        "{{\"event_name\":{},\"identifier\":{},\"payload\":{{{}:{},{}:{}}},\"timestamp\":{}}}",
        text(meter.meter.as_str()),
        text(intent.identifier.as_str()),
        text(first),
        text(&its),
        text(second),
        text(&of_it),
        text(&Timestamp::from_seconds(intent.occurred_at.seconds()).to_rfc3339()),
    )
}

/// The body of `POST /v2/billing/meter_event_stream` that tells this event alone.
#[must_use]
pub fn streamed(object: &str) -> String {
    [STREAM_OPEN, object, STREAM_CLOSE].concat()
}

/// What stored bytes of usage are.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    /// A form: for version 1.
    Form,
    /// An object: for version 2.
    Object,
    /// The body of a request to the stream, with the one event in it.
    Streamed(&'a RawValue),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Streaming<'a> {
    #[serde(borrow)]
    events: [&'a RawValue; 1],
}

/// By which request `body` goes.
#[must_use]
pub fn read(body: &[u8]) -> Stored<'_> {
    // No form begins so: its names are escaped.
    if body.first() != Some(&b'{') {
        return Stored::Form;
    }
    match serde_json::from_slice::<Streaming<'_>>(body) {
        Ok(Streaming { events: [event] }) => Stored::Streamed(event),
        Err(_) => Stored::Object,
    }
}

/// The body of a request to the stream that tells several events: the bytes of each, unchanged, in
/// their order.
#[must_use]
pub fn joined(objects: &[String]) -> Vec<u8> {
    [STREAM_OPEN, &objects.join(","), STREAM_CLOSE].concat().into_bytes()
}

#[cfg(test)]
mod tests;
