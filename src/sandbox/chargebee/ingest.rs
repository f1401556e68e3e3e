//! Usage events, as the site's ingest host takes them. Here: what an event may be, which one it is,
//! and what features add up of it. Never here: the way in ([`super::gate`]), usages. Read next:
//! [`super::books`].
//!
//! The host stands at another name than the API; here it is the same address, and what is sent
//! tells them apart. It takes JSON, counts events and not requests, locks nothing, and knows
//! nothing of idempotency keys: time, subscription and `deduplication_id` are an event's identity.

use std::collections::BTreeMap;
use std::str::FromStr;

use bigdecimal::BigDecimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::form::Params;
use super::quantity;
use super::refusal::Refusal;
use super::site::Site;
use crate::domain::time::{MICROS_PER_HOUR, Timestamp};
use crate::sandbox::clock::micros_of;

/// Events of one request at most: Chargebee's own limit.
const BATCH_MAX: usize = 500;
/// How old an event may be, in microseconds: Chargebee's own 12 hours.
const PAST_MICROS_MAX: i64 = 12 * MICROS_PER_HOUR;
/// Microseconds in one of the milliseconds that an event's time is counted in.
const MICROS_PER_MILLI: i64 = 1_000;
/// The longest `deduplication_id`, in characters: Chargebee's own limit.
const NAME_LENGTH_MAX: usize = 36;
/// The longest id of a subscription in an event, in characters: Chargebee's own limit.
const SUBSCRIPTION_LENGTH_MAX: usize = 50;
/// The longest event, in bytes: Chargebee's own kibibyte, by its text as it was sent.
const EVENT_BYTES_MAX: usize = 1_024;
/// The longest id of a feature, in characters: Chargebee's own limit.
const FEATURE_LENGTH_MAX: usize = 100;
/// Windows of a summary on a page, unless the request says otherwise.
const WINDOWS_DEFAULT: i64 = 10;
/// The most of them.
const WINDOWS_MAX: i64 = 100;
/// Windows of a summary at most. Chargebee publishes no figure; more is a mistake.
const WINDOWS_ALL_MAX: i64 = 100_000;

/// A metered feature, whose meter adds a property of the events up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFeature {
    /// Its id.
    pub id: String,
    /// The property that is added up.
    pub property: String,
}

/// What the events of a subscription come to at a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventLine {
    /// The subscription's id.
    pub subscription: String,
    /// The feature's id.
    pub feature: String,
    /// The exact sum, plainly written.
    pub total: String,
    /// How many events that is made of.
    pub events: u64,
}

/// An event as it was sent, before its rules are looked at.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    text: Box<RawValue>,
}

/// What makes an event the one that it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    subscription: String,
    /// Unix milliseconds.
    at: i64,
    name: String,
}

/// An event that counts.
#[derive(Debug)]
struct Event {
    text: Box<RawValue>,
    /// Its numbers, by the property.
    numbers: BTreeMap<String, BigDecimal>,
    received: Timestamp,
}

/// The features and events of one site.
#[derive(Debug, Default)]
pub(super) struct Events {
    features: BTreeMap<String, NewFeature>,
    all: BTreeMap<Identity, Event>,
}

/// Which windows of a summary are asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    feature: String,
    /// The length of a window in seconds; nothing for one of the whole.
    window: Option<i64>,
    start: i64,
    end: i64,
    limit: i64,
    offset: i64,
}

/// The events of a request, as far as it has any.
#[derive(Deserialize)]
struct Several {
    events: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    deduplication_id: Value,
    subscription_id: Value,
    usage_timestamp: Value,
    properties: Box<RawValue>,
}

/// The event of a request that tells one.
pub(super) fn one(body: &[u8]) -> Result<Sent, Refusal> {
    let text = serde_json::from_slice(body);
    text.map(|text| Sent { text }).map_err(|_| Refusal::invalid("The body is no JSON object"))
}

/// The events of a request that tells several.
pub(super) fn several(body: &[u8]) -> Result<Vec<Sent>, Refusal> {
    let malformed = |_| Refusal::batch("The body is no JSON object with a list of events");
    let Several { events } = serde_json::from_slice(body).map_err(malformed)?;
    if events.is_empty() || events.len() > BATCH_MAX {
        return Err(Refusal::batch(format!("A batch has 1 to {BATCH_MAX} events")));
    }
    Ok(events.into_iter().map(|text| Sent { text }).collect())
}

/// How many events a request counts as, and the name of its first: what it is drawn by.
pub(super) fn weigh(body: &[u8]) -> (usize, String) {
    let events = match several(body) {
        Ok(events) => events,
        Err(_) => one(body).into_iter().collect(),
    };
    let name = events.first().map(|first| first.field("deduplication_id")).unwrap_or_default();
    (events.len().max(1), name.as_str().unwrap_or_default().to_owned())
}

/// Reads what a summary is asked for.
pub(super) fn asked(params: &mut Params) -> Result<Asked, Refusal> {
    let feature = params.required("feature_id", FEATURE_LENGTH_MAX)?;
    let window = match params.text("window_size", FEATURE_LENGTH_MAX)?.as_deref() {
        None => None,
        Some("minute") => Some(60),
        Some("hour") => Some(3_600),
        Some("day") => Some(86_400),
        Some("week") => Some(7 * 86_400),
        // Months differ in length, and nobody asks this stand-in for them.
        Some(_) => return Err(Refusal::wrong_value("window_size", "is none that is served here")),
    };
    // Where they are missing Chargebee takes the current term; here they have to be there.
    let missing = |name| move || Refusal::wrong_value(name, "cannot be blank here");
    let start = params.integer("timeframe_start")?.ok_or_else(missing("timeframe_start"))?;
    let end = params.integer("timeframe_end")?.ok_or_else(missing("timeframe_end"))?;
    if start >= end || end.saturating_sub(start) / window.unwrap_or(i64::MAX) > WINDOWS_ALL_MAX {
        return Err(Refusal::wrong_value("timeframe_end", "makes no span with its start"));
    }
    let limit = params.integer("limit")?.unwrap_or(WINDOWS_DEFAULT);
    if !(1..=WINDOWS_MAX).contains(&limit) {
        return Err(Refusal::wrong_value("limit", format!("must be 1 to {WINDOWS_MAX}")));
    }
    let offset = params.integer("offset")?.unwrap_or(0);
    Ok(Asked { feature, window, start, end, limit, offset: offset.max(0) })
}

impl Sent {
    /// A field of the event as it was sent; nothing where there is none.
    fn field(&self, name: &str) -> Value {
        let object: Value = serde_json::from_str(self.text.get()).unwrap_or_default();
        object.get(name).cloned().unwrap_or_default()
    }

    /// The event, if its rules hold at `now`. The order of the checks is ours.
    fn check(&self, now: Timestamp) -> Result<(Identity, BTreeMap<String, BigDecimal>), Refusal> {
        if self.text.get().len() > EVENT_BYTES_MAX {
            return Err(Refusal::invalid(format!("An event has at most {EVENT_BYTES_MAX} bytes")));
        }
        let fields: Fields = serde_json::from_str(self.text.get())
            .map_err(|error| Refusal::invalid(format!("The event is malformed: {error}")))?;
        let name = text("deduplication_id", &fields.deduplication_id, NAME_LENGTH_MAX)?;
        let subscription =
            text("subscription_id", &fields.subscription_id, SUBSCRIPTION_LENGTH_MAX)?;
        let wrong = |message| Refusal::wrong_value("usage_timestamp", message);
        let at = fields.usage_timestamp.as_i64();
        let at = at.ok_or_else(|| wrong("is no time in milliseconds"))?;
        let age = now.micros().saturating_sub(at.saturating_mul(MICROS_PER_MILLI));
        if !(0..=PAST_MICROS_MAX).contains(&age) {
            return Err(wrong("must be within the last 12 hours"));
        }
        Ok((Identity { subscription, at, name }, numbers(&fields.properties)?))
    }
}

/// A text of an event.
fn text(name: &str, value: &Value, most: usize) -> Result<String, Refusal> {
    let text = value.as_str().unwrap_or_default();
    if text.is_empty() || text.chars().count() > most {
        let message = format!("must be a text of 1 to {most} characters");
        return Err(Refusal::wrong_value(name, message));
    }
    Ok(text.to_owned())
}

/// The numbers among the properties, exactly. A text counts for nothing, and says nothing of it:
/// whether Chargebee's meters read numbers in texts is unconfirmed, and a client that leans on it
/// is found out by what it is not billed.
fn numbers(properties: &RawValue) -> Result<BTreeMap<String, BigDecimal>, Refusal> {
    let wrong = |message: &str| Refusal::wrong_value("properties", message);
    let flat: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(properties.get()).map_err(|_| wrong("must be a flat JSON object"))?;
    let mut numbers = BTreeMap::new();
    for (name, value) in flat {
        let text = value.get().trim();
        if text.starts_with(['{', '[']) {
            return Err(wrong("must be flat"));
        }
        if text.starts_with('-') {
            return Err(wrong("are below zero, which nothing is said of"));
        }
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let number = BigDecimal::from_str(text).map_err(|_| wrong("have no such number"))?;
            numbers.insert(name, number);
        }
    }
    Ok(numbers)
}

impl Site {
    /// Makes a feature, whose events count from their beginning: it may come after them.
    pub(super) fn create_feature(&mut self, new: NewFeature) -> Result<(), String> {
        if new.id.is_empty() || new.id.chars().count() > FEATURE_LENGTH_MAX {
            return Err(format!("a feature's id has 1 to {FEATURE_LENGTH_MAX} characters"));
        }
        if self.ingested.features.contains_key(&new.id) {
            return Err(format!("the feature {:?} exists already", new.id));
        }
        self.ingested.features.insert(new.id.clone(), new);
        Ok(())
    }

    /// Takes one event. One that is there already is taken again, and counts once: whether
    /// Chargebee says that it is a second is unconfirmed.
    pub(super) fn ingest_one(&mut self, sent: &Sent, now: Timestamp) -> Result<Value, Refusal> {
        let (identity, numbers) = sent.check(now)?;
        let event = Event { text: sent.text.clone(), numbers, received: now };
        let kept = self.ingested.all.entry(identity).or_insert(event);
        let object: Value = serde_json::from_str(kept.text.get()).unwrap_or_default();
        Ok(json!({ "usage_event": object }))
    }

    /// Takes each of several events that can be taken; the others are named in the answer, which is
    /// a yes all the same.
    pub(super) fn ingest_several(&mut self, sent: &[Sent], now: Timestamp) -> Value {
        let mut failed = Vec::new();
        for each in sent {
            let Err(refusal) = self.ingest_one(each, now) else { continue };
            let mut entry = refusal.particulars();
            for name in ["deduplication_id", "subscription_id", "usage_timestamp"] {
                entry.insert(name.to_owned(), each.field(name));
            }
            failed.push(Value::Object(entry));
        }
        self.batches += 1;
        json!({ "batch_id": format!("batch_sandbox{:08}", self.batches), "failed_events": failed })
    }

    /// What a subscription used of a feature, window by window from the beginning of the span on.
    pub(super) fn summarize(
        &self,
        subscription: &str,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        self.subscriptions.place(subscription)?;
        let unknown = || Refusal::not_found("Feature", &asked.feature).param("feature_id");
        let feature = self.ingested.features.get(&asked.feature).ok_or_else(unknown)?;
        let length = asked.window.unwrap_or(asked.end - asked.start);
        let from = |place: i64| asked.start.saturating_add(place.saturating_mul(length));
        let mut rows = Vec::new();
        let mut place = asked.offset;
        while from(place) < asked.end && place - asked.offset < asked.limit {
            let span = from(place)..from(place + 1).min(asked.end);
            let value = self.sum(subscription, feature, &span, now);
            rows.push(json!({ "usage_summary": {
                "subscription_id": subscription,
                "feature_id": asked.feature,
                "aggregated_value": quantity::text(&value),
                "aggregated_from": span.start,
                "aggregated_to": span.end,
            } }));
            place += 1;
        }
        let mut answer = json!({ "list": rows });
        if from(place) < asked.end {
            answer["next_offset"] = Value::from(place.to_string());
        }
        Ok(answer)
    }

    /// What counts of a span of Unix seconds, as far as summaries show it.
    fn sum(
        &self,
        subscription: &str,
        feature: &NewFeature,
        span: &std::ops::Range<i64>,
        now: Timestamp,
    ) -> BigDecimal {
        let lag = micros_of(self.settings.list_lag);
        let its = self.ingested.all.iter().filter(|(identity, event)| {
            identity.subscription == subscription
                && span.contains(&identity.at.div_euclid(1_000))
                && now.micros_since(event.received) >= lag
        });
        its.filter_map(|(_, event)| event.numbers.get(&feature.property)).sum()
    }

    /// What the events come to, per subscription and feature.
    pub(super) fn event_lines(&self) -> Vec<EventLine> {
        let mut sums: BTreeMap<(&str, &str), (BigDecimal, u64)> = BTreeMap::new();
        for (identity, event) in &self.ingested.all {
            for feature in self.ingested.features.values() {
                let Some(number) = event.numbers.get(&feature.property) else { continue };
                let key = (identity.subscription.as_str(), feature.id.as_str());
                let (total, events) = sums.entry(key).or_default();
                *total += number;
                *events += 1;
            }
        }
        let line =
            |((subscription, feature), (total, events)): ((&str, &str), (BigDecimal, u64))| {
                EventLine {
                    subscription: subscription.to_owned(),
                    feature: feature.to_owned(),
                    total: quantity::text(&total),
                    events,
                }
            };
        sums.into_iter().map(line).collect()
    }
}
