//! Webhooks. Here: endpoints, which events they get, signatures, and how long Stripe tries. Never
//! here: a socket; that is the courier's, or a test's. Nor the queue; that is
//! [`crate::sandbox::deliveries`]. Read next: [`super::announcements`].
//!
//! Each try is signed afresh.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::announcements::{Announcement, Form};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp};
use crate::sandbox::deliveries::{
    Carrier, Deliveries, Waiting, WebhookCounts, WebhookDelivery, WebhookFaults,
};

/// How long a refused delivery is tried again, in microseconds: Stripe's three days in live mode,
/// which is what a user must live with.
const RETRIED_MICROS: i64 = 3 * MICROS_PER_DAY;
/// How long the first retry waits, in microseconds; each waits twice as long as the one before.
/// Stripe publishes no figure.
const RETRY_MICROS: i64 = 5 * MICROS_PER_MINUTE;
/// The longest wait between two tries, in microseconds.
const RETRY_MICROS_MAX: i64 = 12 * MICROS_PER_HOUR;
/// Endpoints at once: Stripe's own limit.
const ENDPOINTS_MAX: usize = 16;
/// Secrets of one endpoint: an old one beside a new one, and room to try more.
const SECRETS_MAX: usize = 8;
/// Which events an endpoint gets. A destination has one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Events that show the object as it was.
    Snapshot,
    /// Events whose data is fetched.
    Thin,
}

/// Where events are delivered.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookEndpoint {
    /// The address that is posted to.
    pub url: String,
    /// The secrets that deliveries are signed by, one signature each: `whsec_…`.
    pub secrets: Vec<String>,
    /// Which form of events it gets.
    pub payload: Payload,
    /// The types it gets; none stands for all.
    #[serde(default)]
    pub types: BTreeSet<String>,
    /// Who carries what it gets.
    #[serde(default)]
    pub carrier: Carrier,
}

impl fmt::Debug for WebhookEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets stay out of logs, even those of a test.
        f.debug_struct("WebhookEndpoint")
            .field("url", &self.url)
            .field("secrets", &self.secrets.len())
            .field("payload", &self.payload)
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
    /// Too many endpoints or secrets, a secret that is empty, or a rate above 10,000 basis points.
    pub fn check(&self) -> Result<(), String> {
        if self.endpoints.len() > ENDPOINTS_MAX {
            return Err(format!("there are more than {ENDPOINTS_MAX} webhook endpoints"));
        }
        for WebhookEndpoint { url, secrets, .. } in &self.endpoints {
            if secrets.is_empty() || secrets.len() > SECRETS_MAX {
                return Err(format!("the endpoint {url} must have 1 to {SECRETS_MAX} secrets"));
            }
            if secrets.iter().any(|secret| secret.trim().is_empty()) {
                return Err(format!("a secret of the endpoint {url} is empty"));
            }
        }
        self.faults.check()
    }
}

/// The endpoints of one account and what they are still to get.
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

    /// Queues an event for every endpoint that wants it.
    pub(super) fn offer(&mut self, event: &Announcement) {
        let wants = |endpoint: &WebhookEndpoint| {
            let form = match endpoint.payload {
                Payload::Snapshot => Form::Snapshot,
                Payload::Thin => Form::Thin,
            };
            form == event.form()
                && (endpoint.types.is_empty() || endpoint.types.contains(event.name))
        };
        let endpoints = self.settings.endpoints.iter().enumerate();
        let places: Vec<usize> =
            endpoints.filter(|(_, it)| wants(it)).map(|(place, _)| place).collect();
        if places.is_empty() {
            return;
        }
        let body: Arc<str> = Arc::from(pretty(&event.object()));
        let (id, first): (Arc<str>, Timestamp) = (Arc::from(event.id.as_str()), event.created);
        for endpoint in places {
            let (event, body) = (Arc::clone(&id), Arc::clone(&body));
            self.deliveries.post(Waiting { endpoint, event, body, tries: 0, first });
        }
    }

    /// Takes what is due of this carrier, signed at `now`. Whoever takes it tells the outcome.
    pub(super) fn take(&mut self, carrier: Carrier, now: Timestamp) -> Vec<WebhookDelivery> {
        let endpoints = &self.settings.endpoints;
        let is_theirs = |place: usize| endpoints.get(place).is_some_and(|it| it.carrier == carrier);
        let taken = self.deliveries.take(now, is_theirs);
        let signed = taken.into_iter().filter_map(|(number, waiting)| {
            let endpoint = endpoints.get(waiting.endpoint)?;
            let signature = signature(&endpoint.secrets, now.seconds(), &waiting.body);
            Some(WebhookDelivery {
                number,
                url: endpoint.url.clone(),
                headers: vec![
                    ("content-type", "application/json; charset=utf-8".to_owned()),
                    ("user-agent", "Stripe/1.0 (the tallyd sandbox)".to_owned()),
                    ("stripe-signature", signature),
                ],
                body: Bytes::copy_from_slice(waiting.body.as_bytes()),
            })
        });
        signed.collect()
    }

    /// Tells what became of a delivery. Any answer but a 2xx is a refusal, and so is none.
    pub(super) fn settle(&mut self, number: u64, status: Option<u16>, now: Timestamp) {
        let again = |waiting: &Waiting| {
            let wait = RETRY_MICROS.saturating_mul(1_i64 << waiting.tries.min(20));
            let due = now.plus_micros(wait.min(RETRY_MICROS_MAX));
            (due.micros_since(waiting.first) <= RETRIED_MICROS).then_some(due)
        };
        self.deliveries.settle(number, status, again);
    }

    pub(super) fn counts(&self) -> WebhookCounts {
        self.deliveries.counts()
    }
}

/// Stripe's events are written over many lines; a receiver that writes them anew before it checks
/// the signature is found out.
fn pretty(object: &Value) -> String {
    format!("{object:#}")
}

/// `t=…,v1=…[,v1=…],v0=…`: one signature a secret, and one of a scheme that no receiver may heed.
fn signature(secrets: &[String], at: i64, body: &str) -> String {
    let mut header = format!("t={at}");
    for secret in secrets {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
        mac.update(format!("{at}.{body}").as_bytes());
        header.push_str(&format!(",v1={}", hex::encode(mac.finalize().into_bytes())));
    }
    let other = Sha256::digest(format!("{at}.{body}"));
    header.push_str(&format!(",v0={}", hex::encode(other)));
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_mac_of_the_time_and_the_body() {
        // Reckoned with the OpenSSL command line.
        let header = signature(&["whsec_test".to_owned()], 1_790_000_000, "{\"id\":\"evt_1\"}");
        let parts: Vec<&str> = header.split(',').collect();
        assert_eq!(parts[0], "t=1790000000");
        assert_eq!(parts[1], "v1=e32657f3e678d33b41ec084c16ac0e125d25480a06cb3902286dc5942c6fd259");
        assert!(parts[2].starts_with("v0="));
    }
}
