//! Webhooks. Here: endpoints, what is to be delivered to them, signatures, and what goes wrong on
//! the way. Never here: a socket; that is the courier's, or a test's.
//! Read next: [`super::announcements`].
//!
//! The time of everything is the sandbox's: what is late, and when a refused delivery is tried
//! again. Each try is signed afresh.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::announcements::{Announcement, Form};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp};
use crate::sandbox::faults::{BASIS_POINTS_MAX, draw};

/// How long a refused delivery is tried again, in microseconds: Stripe's three days in live mode,
/// which is what a user must live with.
const RETRIED_MICROS: i64 = 3 * MICROS_PER_DAY;
/// How long the first retry waits, in microseconds; each waits twice as long as the one before.
/// Stripe publishes no figure.
const RETRY_MICROS: i64 = 5 * MICROS_PER_MINUTE;
/// The longest wait between two tries, in microseconds.
const RETRY_MICROS_MAX: i64 = 12 * MICROS_PER_HOUR;
/// How far a delivery is put back so that later ones overtake it, in seconds.
const DISORDER_SECONDS_MAX: u32 = 30;
/// How far a late delivery is put back, in seconds: a day, past any tolerance of signatures, which
/// are fresh all the same.
const LATE_SECONDS_MAX: u32 = 24 * 60 * 60;
/// Endpoints at once: Stripe's own limit.
const ENDPOINTS_MAX: usize = 16;
/// Secrets of one endpoint: an old one beside a new one, and room to try more.
const SECRETS_MAX: usize = 8;
/// Deliveries that wait at once. What comes on top is lost, as it is when Stripe fails to make one.
const WAITING_MAX: usize = 1_000_000;

/// Which events an endpoint gets. A destination has one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Events that show the object as it was.
    Snapshot,
    /// Events whose data is fetched.
    Thin,
}

/// Who carries an endpoint's deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// The sandbox itself, over HTTP.
    #[default]
    Socket,
    /// Whoever takes them from the handle.
    Hand,
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

/// How often deliveries go wrong, in basis points (10,000 = always), drawn by the event's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookFaults {
    /// The seed of every draw.
    pub seed: u64,
    /// Never delivered.
    pub lost: u32,
    /// Delivered twice.
    pub doubled: u32,
    /// Put back by up to half a minute, so that later ones overtake it.
    pub disordered: u32,
    /// Put back by up to a day.
    pub late: u32,
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
        let faults = &self.faults;
        for (name, rate) in [
            ("lost", faults.lost),
            ("doubled", faults.doubled),
            ("disordered", faults.disordered),
            ("late", faults.late),
        ] {
            if rate > BASIS_POINTS_MAX {
                return Err(format!("{name} is {rate}, and {BASIS_POINTS_MAX} is always"));
            }
        }
        Ok(())
    }
}

/// A signed request that is to be posted to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Its number, under which its outcome is told.
    pub number: u64,
    /// Where it goes.
    pub url: String,
    /// Its headers, the signature among them.
    pub headers: Vec<(&'static str, String)>,
    /// Its body, to the byte.
    pub body: Bytes,
}

/// What became of deliveries since the endpoints were set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebhookCounts {
    /// Those that wait for their time, or for their outcome.
    pub waiting: usize,
    /// Those that were taken by their endpoint.
    pub delivered: u64,
    /// Tries that their endpoint refused, or that did not reach it.
    pub refused: u64,
    /// Those that were tried for three days in vain.
    pub given_up: u64,
    /// Those that were never delivered, on purpose.
    pub lost: u64,
}

#[derive(Clone, Debug)]
struct Waiting {
    endpoint: usize,
    body: Arc<str>,
    tries: u32,
    first: Timestamp,
}

/// The endpoints of one account and what they are still to get.
#[derive(Debug, Default)]
pub(super) struct Webhooks {
    settings: WebhookSettings,
    /// By the time it is due and its number, so that what is due at once keeps its order.
    queue: BTreeMap<(Timestamp, u64), Waiting>,
    /// What was taken and whose outcome is not known.
    under_way: BTreeMap<u64, Waiting>,
    numbers: u64,
    counts: WebhookCounts,
}

impl Webhooks {
    /// Sets the endpoints. What the old ones were still to get is forgotten.
    pub(super) fn set(&mut self, settings: WebhookSettings) {
        // The numbers go on, so that an outcome told late cannot meet another delivery.
        *self = Self { settings, numbers: self.numbers, ..Self::default() };
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
        for endpoint in places {
            self.post(endpoint, event, &body);
        }
    }

    fn post(&mut self, endpoint: usize, event: &Announcement, body: &Arc<str>) {
        let faults = self.settings.faults;
        let subject = format!("{endpoint}\n{}", event.id);
        let drawn = |name: &str| draw(faults.seed, name, &subject, 0);
        let within = |name: &str, most: u32| i64::from(drawn(name) % most) + 1;
        if drawn("lost") < faults.lost || self.counts().waiting >= WAITING_MAX {
            self.counts.lost += 1;
            return;
        }
        let mut due = event.created;
        if drawn("disordered") < faults.disordered {
            due = due.plus_seconds(within("disorder", DISORDER_SECONDS_MAX));
        }
        if drawn("late") < faults.late {
            // The draw has ten thousand values, so that it counts in steps of some seconds.
            let step = i64::from(LATE_SECONDS_MAX / BASIS_POINTS_MAX);
            due = due.plus_seconds(within("lateness", BASIS_POINTS_MAX) * step);
        }
        let first = event.created;
        let waiting = Waiting { endpoint, body: Arc::clone(body), tries: 0, first };
        if drawn("doubled") < faults.doubled {
            let again = due.plus_seconds(within("again", DISORDER_SECONDS_MAX));
            self.enqueue(again, waiting.clone());
        }
        self.enqueue(due, waiting);
    }

    fn enqueue(&mut self, due: Timestamp, waiting: Waiting) {
        self.numbers += 1;
        self.queue.insert((due, self.numbers), waiting);
    }

    /// Takes what is due of this carrier, signed at `now`. Whoever takes it tells the outcome.
    pub(super) fn take(&mut self, carrier: Carrier, now: Timestamp) -> Vec<WebhookDelivery> {
        let due = self.queue.range(..=(now, u64::MAX));
        let is_theirs = |waiting: &Waiting| {
            let endpoint = self.settings.endpoints.get(waiting.endpoint);
            endpoint.is_some_and(|endpoint| endpoint.carrier == carrier)
        };
        let keys: Vec<(Timestamp, u64)> =
            due.filter(|(_, waiting)| is_theirs(waiting)).map(|(key, _)| *key).collect();
        let mut taken = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(waiting) = self.queue.remove(&key) else { continue };
            let Some(endpoint) = self.settings.endpoints.get(waiting.endpoint) else { continue };
            let signature = signature(&endpoint.secrets, now.seconds(), &waiting.body);
            taken.push(WebhookDelivery {
                number: key.1,
                url: endpoint.url.clone(),
                headers: vec![
                    ("content-type", "application/json; charset=utf-8".to_owned()),
                    ("user-agent", "Stripe/1.0 (the tallyd sandbox)".to_owned()),
                    ("stripe-signature", signature),
                ],
                body: Bytes::copy_from_slice(waiting.body.as_bytes()),
            });
            self.under_way.insert(key.1, waiting);
        }
        taken
    }

    /// Tells what became of a delivery. Any answer but a 2xx is a refusal, and so is none.
    pub(super) fn settle(&mut self, number: u64, status: Option<u16>, now: Timestamp) {
        let Some(mut waiting) = self.under_way.remove(&number) else { return };
        if status.is_some_and(|status| (200..300).contains(&status)) {
            self.counts.delivered += 1;
            return;
        }
        self.counts.refused += 1;
        let wait = RETRY_MICROS.saturating_mul(1_i64 << waiting.tries.min(20));
        let due = now.plus_micros(wait.min(RETRY_MICROS_MAX));
        if due.micros_since(waiting.first) > RETRIED_MICROS {
            self.counts.given_up += 1;
            return;
        }
        waiting.tries += 1;
        self.enqueue(due, waiting);
    }

    pub(super) fn counts(&self) -> WebhookCounts {
        let waiting = self.queue.len() + self.under_way.len();
        WebhookCounts { waiting, ..self.counts }
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
