//! Webhooks. Here: endpoints, which events they get, and how long Chargebee tries. Never here: a
//! socket; that is the courier's, or a test's. Nor the queue; that is
//! [`crate::sandbox::deliveries`]. Read next: [`super::events`].
//!
//! Chargebee signs nothing: an endpoint is protected by Basic authentication, or by its address.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use super::events::{Event, WebhookStatus};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp};
use crate::sandbox::deliveries::{
    Carrier, Deliveries, Settled, Waiting, WebhookCounts, WebhookDelivery, WebhookFaults,
};
use crate::sandbox::wire::basic_of_user;

/// How long each retry waits after the try before it, in microseconds: Chargebee's own table. It
/// ends after 3 days and almost 7 hours.
const RETRIES_MICROS: [i64; 7] = [
    2 * MICROS_PER_MINUTE,
    6 * MICROS_PER_MINUTE,
    30 * MICROS_PER_MINUTE,
    MICROS_PER_HOUR,
    5 * MICROS_PER_HOUR,
    MICROS_PER_DAY,
    2 * MICROS_PER_DAY,
];
/// Endpoints at once: Chargebee's own limit.
const ENDPOINTS_MAX: usize = 5;

/// Where events are delivered.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookEndpoint {
    /// The address that is posted to.
    pub url: String,
    /// The user name and password that deliveries carry; none for an endpoint that is open.
    #[serde(default)]
    pub basic: Option<(String, String)>,
    /// The types it gets; none stands for all.
    #[serde(default)]
    pub types: BTreeSet<String>,
    /// Who carries what it gets.
    #[serde(default)]
    pub carrier: Carrier,
}

impl fmt::Debug for WebhookEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password stays out of logs, even that of a test.
        f.debug_struct("WebhookEndpoint")
            .field("url", &self.url)
            .field("basic", &self.basic.is_some())
            .field("types", &self.types)
            .field("carrier", &self.carrier)
            .finish()
    }
}

/// Where events go, and what goes wrong on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookSettings {
    /// The endpoints. Default: none.
    pub endpoints: Vec<WebhookEndpoint>,
    /// What goes wrong. Default: nothing.
    pub faults: WebhookFaults,
}

impl WebhookSettings {
    /// Says what is wrong with these settings, if anything is.
    ///
    /// # Errors
    /// Too many endpoints, or a rate above 10,000 basis points.
    pub fn check(&self) -> Result<(), String> {
        if self.endpoints.len() > ENDPOINTS_MAX {
            return Err(format!("there are more than {ENDPOINTS_MAX} webhook endpoints"));
        }
        self.faults.check()
    }
}

/// The endpoints of one site and what they are still to get.
#[derive(Debug, Default)]
pub(super) struct Webhooks {
    settings: WebhookSettings,
    deliveries: Deliveries,
}

impl Webhooks {
    /// Sets the endpoints. What the old ones were still to get is forgotten.
    pub(super) fn set(&mut self, settings: WebhookSettings) {
        self.deliveries.reset(settings.faults);
        self.settings = settings;
    }

    /// Whether any endpoint has this carrier.
    pub(super) fn has(&self, carrier: Carrier) -> bool {
        self.settings.endpoints.iter().any(|endpoint| endpoint.carrier == carrier)
    }

    /// Queues an event for every endpoint that wants it; says what its status is by that.
    pub(super) fn offer(&mut self, event: &Event) -> WebhookStatus {
        let name = event.kind.name();
        let wants = |it: &WebhookEndpoint| it.types.is_empty() || it.types.contains(name);
        let endpoints = self.settings.endpoints.iter().enumerate();
        let places: Vec<usize> =
            endpoints.filter(|(_, it)| wants(it)).map(|(place, _)| place).collect();
        if places.is_empty() {
            return WebhookStatus::NotConfigured;
        }
        // What is delivered says of itself that it is about to be.
        let body: Arc<str> = Arc::from(event.object_as(WebhookStatus::Scheduled).to_string());
        let (id, first): (Arc<str>, Timestamp) = (Arc::from(event.id.as_str()), event.occurred);
        for endpoint in places {
            let (event, body) = (Arc::clone(&id), Arc::clone(&body));
            self.deliveries.post(Waiting { endpoint, event, body, tries: 0, first });
        }
        WebhookStatus::Scheduled
    }

    /// Takes what is due of this carrier. Whoever takes it tells the outcome.
    pub(super) fn take(&mut self, carrier: Carrier, now: Timestamp) -> Vec<WebhookDelivery> {
        let endpoints = &self.settings.endpoints;
        let is_theirs = |place: usize| endpoints.get(place).is_some_and(|it| it.carrier == carrier);
        let taken = self.deliveries.take(now, is_theirs);
        let addressed = taken.into_iter().filter_map(|(number, waiting)| {
            let endpoint = endpoints.get(waiting.endpoint)?;
            let mut headers = vec![
                ("content-type", "application/json;charset=utf-8".to_owned()),
                ("user-agent", "ChargeBee (the tallyd sandbox)".to_owned()),
            ];
            if let Some((user, password)) = &endpoint.basic {
                headers.push(("authorization", basic_of_user(user, password)));
            }
            let body = Bytes::copy_from_slice(waiting.body.as_bytes());
            Some(WebhookDelivery { number, url: endpoint.url.clone(), headers, body })
        });
        addressed.collect()
    }

    /// Tells what became of a delivery; answers the event's id and its status by that.
    pub(super) fn settle(
        &mut self,
        number: u64,
        status: Option<u16>,
        now: Timestamp,
    ) -> Option<(Arc<str>, WebhookStatus)> {
        let again = |waiting: &Waiting| {
            let tries = usize::try_from(waiting.tries).unwrap_or(usize::MAX);
            RETRIES_MICROS.get(tries).map(|wait| now.plus_micros(*wait))
        };
        let settled = self.deliveries.settle(number, status, again)?;
        Some(match settled {
            Settled::Delivered(waiting) => (waiting.event, WebhookStatus::Succeeded),
            Settled::TriedAgain(waiting) => (waiting.event, WebhookStatus::ReScheduled),
            Settled::GivenUp(waiting) => (waiting.event, WebhookStatus::Failed),
        })
    }

    pub(super) fn counts(&self) -> WebhookCounts {
        self.deliveries.counts()
    }
}
