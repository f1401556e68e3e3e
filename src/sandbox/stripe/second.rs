//! Version 2 of what takes usage. Here: its routes, the JSON of its requests, and what they do:
//! single events, sessions, and the stream of events. Never here: what both versions check
//! ([`super::checks`]), the door ([`super::gate`]). Read next: [`super::sessions`].
//!
//! The stream says yes before it looks at an event; what it finds then is reported. What it finds
//! of an identifier that it knows is unconfirmed: no code of its reports says so. Here such an
//! event is dropped and nothing is said of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::checks::{Rules, check};
use super::ledger::{Accepted, Rejection};
use super::meter::NAME_LENGTH_MAX;
use super::operation::NewEvent;
use super::perform::{Account, Asked, Performed};
use super::refusal::{Refusal, Reply};
use crate::domain::time::Timestamp;

/// Most events of one request to the stream.
const EVENTS_MAX: usize = 100;

/// A path of version 2 about usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecondRoute {
    CreateEvent,
    OpenSession,
    Stream,
}

impl SecondRoute {
    pub(super) fn find(method: &Method, parts: &[&str]) -> Option<Self> {
        match parts {
            ["v2", "billing", name] if *method == Method::POST => match *name {
                "meter_events" => Some(Self::CreateEvent),
                "meter_event_session" => Some(Self::OpenSession),
                "meter_event_stream" => Some(Self::Stream),
                _ => None,
            },
            _ => None,
        }
    }

    /// The name under which requests are counted.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CreateEvent => "POST /v2/billing/meter_events",
            Self::OpenSession => "POST /v2/billing/meter_event_session",
            Self::Stream => "POST /v2/billing/meter_event_stream",
        }
    }
}

/// A request of version 2 whose form is sound.
#[derive(Clone, Debug)]
pub(super) enum SecondOperation {
    CreateEvent(NewEvent),
    OpenSession,
    Stream(Vec<NewEvent>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    event_name: String,
    payload: BTreeMap<String, String>,
    identifier: Option<String>,
    timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    events: Vec<Event>,
}

impl SecondOperation {
    /// Reads what `route` asks for.
    pub(super) fn read(route: SecondRoute, body: &[u8]) -> Result<Self, Refusal> {
        match route {
            SecondRoute::CreateEvent => parse::<Event>(body)?.sound().map(Self::CreateEvent),
            SecondRoute::OpenSession if body.is_empty() || body == b"{}" => Ok(Self::OpenSession),
            SecondRoute::OpenSession => Err(Refusal::invalid("A session has no parameters")),
            SecondRoute::Stream => {
                let Events { events } = parse(body)?;
                if events.is_empty() || events.len() > EVENTS_MAX {
                    let message = format!("A request has 1 to {EVENTS_MAX} events");
                    return Err(Refusal::invalid(message).param("events"));
                }
                let events: Result<_, Refusal> = events.into_iter().map(Event::sound).collect();
                Ok(Self::Stream(events?))
            }
        }
    }

    /// The events that it brings.
    pub(super) fn events(&self) -> &[NewEvent] {
        match self {
            Self::CreateEvent(event) => std::slice::from_ref(event),
            Self::OpenSession => &[],
            Self::Stream(events) => events,
        }
    }

    /// The name of the first event that it brings.
    pub(super) fn named(&self) -> Option<&str> {
        self.events().first()?.identifier.as_deref()
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        // Where it is wrong, and not what stands there: payloads are nobody's business.
        let (line, column) = (error.line(), error.column());
        Refusal::invalid(format!("The body is not what is expected at line {line}, {column}"))
    })
}

impl Event {
    /// The same, with what its schema says of it.
    fn sound(self) -> Result<NewEvent, Refusal> {
        let Self { event_name, payload, identifier, timestamp } = self;
        for (name, text) in [("event_name", Some(&event_name)), ("identifier", identifier.as_ref())]
        {
            let length = text.map_or(1, |text| text.chars().count());
            if !(1..=NAME_LENGTH_MAX).contains(&length) {
                let message =
                    format!("Invalid {name}: must have 1 to {NAME_LENGTH_MAX} characters");
                return Err(Refusal::invalid(message).param(name));
            }
        }
        let timestamp = match timestamp {
            None => None,
            Some(text) => {
                let wrong = || Refusal::invalid("Invalid timestamp").param("timestamp");
                Some(Timestamp::parse_rfc3339(&text).ok_or_else(wrong)?.seconds())
            }
        };
        Ok(NewEvent { event_name, payload, identifier, timestamp })
    }
}

impl Account {
    /// Carries out a sound request of version 2.
    pub(super) fn perform_second(
        &mut self,
        operation: &SecondOperation,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Performed {
        match operation {
            SecondOperation::CreateEvent(event) => self.create_event(event, Rules::V2, asked, now),
            SecondOperation::OpenSession => {
                let account = self.settings.account.clone();
                Performed::plain(Reply::ok(&self.sessions.open(&account, now)))
            }
            SecondOperation::Stream(events) => self.stream(events, asked, now),
        }
    }

    /// Takes events to be looked at when their lag has passed. What is to go wrong goes wrong with
    /// the first of them.
    fn stream(&mut self, events: &[NewEvent], asked: &Asked<'_>, now: Timestamp) -> Performed {
        let mut performed = Performed::plain(Reply::ok(&json!({})));
        let mut doom = asked.doom;
        for event in events {
            let asked = Asked { doom: doom.take(), ..*asked };
            if self.stream_one(event, &asked, now) {
                performed.accepted += 1;
            } else {
                performed.duplicates += 1;
            }
        }
        performed
    }

    /// Whether it was new.
    fn stream_one(&mut self, event: &NewEvent, asked: &Asked<'_>, now: Timestamp) -> bool {
        let timestamp = event.timestamp.unwrap_or_else(|| now.seconds());
        let identifier = self.identifier_of(event);
        if self.ledger.is_taken(&identifier, self.uniqueness_micros(), now) {
            return false;
        }
        let Asked { request, key, doom } = *asked;
        let due_at = self.due_at(now);
        let sound = match check(&self.meters, event, Rules::V2, timestamp, now) {
            Ok(sound) => sound,
            Err(fault) => {
                let named = self.meters.named(&event.event_name);
                let customer_key = named.map(|(_, meter)| meter.settings.customer_key.as_str());
                let customer = customer_key.and_then(|key| event.payload.get(key));
                let rejection = Rejection {
                    code: fault.reported(),
                    at: due_at,
                    meter: named.map(|(index, _)| index),
                    event_name: event.event_name.clone(),
                    customer: Arc::from(customer.map_or("", String::as_str)),
                    identifier: Arc::from(identifier.as_str()),
                    request,
                    key: key.map(Arc::from),
                };
                self.ledger.reject_later(rejection, due_at);
                return true;
            }
        };
        let accepted = Accepted {
            meter: sound.meter,
            customer: sound.customer,
            value: sound.value,
            identifier: &identifier,
            timestamp,
            doom,
            request,
            key,
        };
        self.directory.name(&self.settings.customers, sound.customer, now);
        self.ledger.book(&accepted, now, due_at);
        true
    }
}

/// An accepted event as version 2 shows it.
pub(super) fn object(event: &NewEvent, identifier: &str, timestamp: i64, now: Timestamp) -> Value {
    json!({
        "object": "v2.billing.meter_event",
        "created": now.to_rfc3339(),
        "event_name": event.event_name,
        "identifier": identifier,
        "livemode": false,
        "payload": event.payload,
        "timestamp": Timestamp::from_seconds(timestamp).to_rfc3339(),
    })
}
