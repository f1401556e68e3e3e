//! Meters. Here: what a meter is, how it is created, changed and found. Never here: events.
//! Read next: [`super::ledger`].

use std::collections::HashMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::domain::time::Timestamp;

/// The longest event name and payload key, in characters.
pub(super) const NAME_LENGTH_MAX: usize = 100;
/// The longest display name, in characters.
pub(super) const DISPLAY_NAME_LENGTH_MAX: usize = 250;
/// Meters in one account. Stripe publishes no figure; lists are scanned, so there is one here.
const METERS_MAX: usize = 10_000;

const CUSTOMER_KEY_DEFAULT: &str = "stripe_customer_id";
const VALUE_KEY_DEFAULT: &str = "value";

/// How a meter makes one number of many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Formula {
    /// The sum of the values.
    Sum,
    /// The number of events; their values do not matter.
    Count,
    /// The value of the event with the latest timestamp.
    Last,
}

impl Formula {
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("count", Self::Count), ("last", Self::Last), ("sum", Self::Sum)];

    const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Last => "last",
        }
    }
}

/// A span of UTC: the hours or days of a pre-aggregated meter, or the rows of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeWindow {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl TimeWindow {
    pub(super) const WORDS: [(&'static str, Self); 2] = [("day", Self::Day), ("hour", Self::Hour)];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    pub(super) const fn seconds(self) -> i64 {
        match self {
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
        }
    }
}

/// A meter to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMeter {
    /// The name that people see.
    pub display_name: String,
    /// The name that events carry; no other meter may have it.
    pub event_name: String,
    /// How events are aggregated.
    pub formula: Formula,
    /// If set, only the most recently received event of each UTC hour or day counts.
    #[serde(default)]
    pub event_time_window: Option<TimeWindow>,
    /// The payload key of the customer's id.
    #[serde(default = "customer_key_default")]
    pub customer_key: String,
    /// The payload key of the value.
    #[serde(default = "value_key_default")]
    pub value_key: String,
}

pub(super) fn customer_key_default() -> String {
    CUSTOMER_KEY_DEFAULT.to_owned()
}

pub(super) fn value_key_default() -> String {
    VALUE_KEY_DEFAULT.to_owned()
}

impl NewMeter {
    /// A raw meter with the default payload keys, displayed under its event name.
    #[must_use]
    pub fn new(event_name: &str, formula: Formula) -> Self {
        Self {
            display_name: event_name.to_owned(),
            event_name: event_name.to_owned(),
            formula,
            event_time_window: None,
            customer_key: customer_key_default(),
            value_key: value_key_default(),
        }
    }

    /// The same meter, pre-aggregated by `window`.
    #[must_use]
    pub fn pre_aggregated(mut self, window: TimeWindow) -> Self {
        self.event_time_window = Some(window);
        self
    }

    /// Holds the lengths for meters that did not come through a form.
    fn check(&self) -> Result<(), Refusal> {
        let texts = [
            ("display_name", &self.display_name, DISPLAY_NAME_LENGTH_MAX),
            ("event_name", &self.event_name, NAME_LENGTH_MAX),
            ("customer_key", &self.customer_key, NAME_LENGTH_MAX),
            ("value_key", &self.value_key, NAME_LENGTH_MAX),
        ];
        for (name, text, max) in texts {
            if text.is_empty() || text.chars().count() > max {
                let message = format!("Invalid {name}: must have 1 to {max} characters");
                return Err(Refusal::invalid(message).param(name));
            }
        }
        Ok(())
    }
}

/// A meter. It serializes as Stripe's `billing.meter` object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// The id, `mtr_test_…`.
    pub id: String,
    /// What it was created from.
    pub settings: NewMeter,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// When it was deactivated, unless it is active.
    pub deactivated_at: Option<Timestamp>,
}

impl Meter {
    /// Whether it takes events.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.deactivated_at.is_none()
    }

    pub(super) fn object(&self) -> Value {
        let settings = &self.settings;
        json!({
            "id": self.id,
            "object": "billing.meter",
            "created": self.created.seconds(),
            "customer_mapping": {
                "event_payload_key": settings.customer_key,
                "type": "by_id",
            },
            "default_aggregation": { "formula": settings.formula.name() },
            "display_name": settings.display_name,
            "event_name": settings.event_name,
            "event_time_window": settings.event_time_window.map(TimeWindow::name),
            "livemode": false,
            "status": if self.is_active() { "active" } else { "inactive" },
            "status_transitions": {
                "deactivated_at": self.deactivated_at.map(Timestamp::seconds),
            },
            "updated": self.updated.seconds(),
            "value_settings": { "event_payload_key": settings.value_key },
        })
    }
}

impl Serialize for Meter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.object().serialize(serializer)
    }
}

/// A meter's place in its account.
pub(super) type MeterIndex = usize;

/// The meters of one account, oldest first.
#[derive(Debug, Default)]
pub(super) struct Meters {
    pub(super) all: Vec<Meter>,
    by_id: HashMap<String, MeterIndex>,
    by_event_name: HashMap<String, MeterIndex>,
}

impl Meters {
    /// Creates a meter. An event name belongs to one meter; whether an inactive meter gives its
    /// name back is unconfirmed, so it does not: a client that relies on it is found out.
    pub(super) fn create(&mut self, new: NewMeter, now: Timestamp) -> Result<&Meter, Refusal> {
        new.check()?;
        if self.by_event_name.contains_key(&new.event_name) {
            let message = format!("A meter with event name {:?} already exists", new.event_name);
            return Err(Refusal::invalid(message).param("event_name"));
        }
        if self.all.len() >= METERS_MAX {
            return Err(Refusal::invalid(format!("An account has at most {METERS_MAX} meters")));
        }
        let index = self.all.len();
        let id = format!("mtr_test_sandbox{index:08}");
        self.by_id.insert(id.clone(), index);
        self.by_event_name.insert(new.event_name.clone(), index);
        let (created, updated) = (now, now);
        self.all.push(Meter { id, settings: new, created, updated, deactivated_at: None });
        self.at(index)
    }

    fn at(&self, index: MeterIndex) -> Result<&Meter, Refusal> {
        self.all.get(index).ok_or_else(Refusal::internal)
    }

    pub(super) fn find(&self, id: &str) -> Result<(MeterIndex, &Meter), Refusal> {
        let missing = || Refusal::no_object("billing meter", id);
        let index = *self.by_id.get(id).ok_or_else(missing)?;
        Ok((index, self.all.get(index).ok_or_else(missing)?))
    }

    /// The active meter that takes events of this name.
    pub(super) fn active(&self, event_name: &str) -> Option<(MeterIndex, &Meter)> {
        let (index, meter) = self.named(event_name)?;
        meter.is_active().then_some((index, meter))
    }

    /// The meter of this name, active or not.
    pub(super) fn named(&self, event_name: &str) -> Option<(MeterIndex, &Meter)> {
        let index = *self.by_event_name.get(event_name)?;
        Some((index, self.all.get(index)?))
    }

    pub(super) fn rename(
        &mut self,
        id: &str,
        display_name: Option<String>,
        now: Timestamp,
    ) -> Result<&Meter, Refusal> {
        let (index, _) = self.find(id)?;
        if let (Some(meter), Some(name)) = (self.all.get_mut(index), display_name) {
            meter.settings.display_name = name;
            meter.updated = now;
        }
        self.at(index)
    }

    /// Switches a meter on or off. Switching it to what it is already is refused: what Stripe does
    /// then is unconfirmed, and a client should look first.
    pub(super) fn switch(
        &mut self,
        id: &str,
        active: bool,
        now: Timestamp,
    ) -> Result<&Meter, Refusal> {
        let (index, meter) = self.find(id)?;
        if meter.is_active() == active {
            let state = if active { "active" } else { "inactive" };
            return Err(Refusal::invalid(format!("The meter {id} is already {state}")));
        }
        if let Some(meter) = self.all.get_mut(index) {
            meter.deactivated_at = (!active).then_some(now);
            meter.updated = now;
        }
        self.at(index)
    }
}
