//! The wire to Chargebee. Here: which request asks for what, over [`wire`]. Never here: the bytes
//! of a usage (`super::encode`), what an answer means (`super::classify`). Read next:
//! `crate::delivery`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use secrecy::SecretString;
use tokio::time::Instant;

use super::BuildError;
use super::classify::{self, Verdict};
use super::encode::Usage;
use super::objects;
use super::pace::Pace;
use super::usage_events::summaries::{self, Summaries};
use super::usages::{self, Listing};
use crate::domain::answer::{Answer, Outcome};
use crate::domain::names::{AccountName, ProviderName};
use crate::domain::time::Timestamp;
use crate::provider::Total;
use crate::provider::wire::{self, Body, Call, Received, Wire};

/// Largest answer about one usage that is read, in bytes: real ones have under a thousand.
const USAGE_BYTES_MAX: usize = 64 * 1024;
/// Largest answer about usage events that is read, in bytes: five hundred that failed, each with
/// two kibibytes of what it was and why.
const FAILURES_BYTES_MAX: usize = 1024 * 1024;
/// Largest other answer that is read, in bytes: a page of 100 invoices, each with 100 lines of half
/// a kibibyte and what is told of their taxes, discounts and payments.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The header of the key that replays an answer, for half an hour.
/// <https://apidocs.chargebee.com/docs/api/v1/idempotency>
const IDEMPOTENCY_KEY: &str = "chargebee-idempotency-key";

/// What a site is reached by.
#[derive(Clone)]
pub struct Access<'a> {
    /// The provider instance's name.
    pub name: &'a ProviderName,
    /// The address that is called, without a slash at its end.
    pub api: &'a str,
    /// The site's own such address, the only one that a live key goes to.
    pub own: String,
    /// Whether the site moves money.
    pub livemode: bool,
    /// The API key.
    pub key: &'a SecretString,
    /// Requests a minute that readings keep to, together with what is told at the same address.
    pub rate_per_minute: u32,
    /// How long one request may take, in milliseconds.
    pub timeout_millis: u32,
}

impl Access<'_> {
    /// The way there; nothing is sent yet.
    fn wire(&self) -> Result<Wire, BuildError> {
        wire::check_address(self.api, self.livemode, |api| api == self.own)
            .map_err(|why| BuildError::Api(self.name.clone(), why))?;
        let (headers, millis) = (HeaderMap::new(), self.timeout_millis);
        let wire = Wire::new(self.api, headers, millis, classify::redacted)
            .map_err(|why| BuildError::Http(self.name.clone(), why))?;
        Ok(wire.by(self.key.clone()))
    }
}

/// A connection to the host that takes a site's usage events, with its key.
pub struct Ingest(Wire);

impl Ingest {
    /// Makes ready to call; nothing is sent yet.
    ///
    /// # Errors
    /// When the key must not be sent to the address, or no HTTP client can be made.
    pub fn new(access: &Access<'_>) -> Result<Self, BuildError> {
        access.wire().map(Self)
    }

    /// Sends stored events to `path`, once.
    ///
    /// # Errors
    /// An answer of our own, when none came.
    pub async fn tell(&self, path: &str, body: Vec<u8>) -> Result<Received, Box<Answer>> {
        self.0
            .call(Call {
                method: Method::POST,
                path: path.to_owned(),
                body: Some(Body::Json(body)),
                idempotency_key: None,
                answer_bytes_max: FAILURES_BYTES_MAX,
            })
            .await
    }
}

/// A connection to a site, with its key.
pub struct Client {
    wire: Wire,
    pace: Mutex<Pace>,
    /// What the pace reckons from.
    made_at: Instant,
}

impl Client {
    /// Makes ready to call; nothing is sent yet.
    ///
    /// # Errors
    /// When the key must not be sent to the address, or no HTTP client can be made.
    pub fn new(access: &Access<'_>) -> Result<Self, BuildError> {
        let pace = Mutex::new(Pace::new(access.rate_per_minute));
        Ok(Self { wire: access.wire()?, pace, made_at: Instant::now() })
    }

    /// Sends a stored usage, unchanged, once; what is refused is asked for by its id.
    pub async fn create(
        &self,
        subscription: &AccountName,
        (sent, body): (&Usage, &[u8]),
        idempotency_key: &str,
    ) -> Answer {
        let place = (subscription, "usages", sent.id.as_str());
        let owner = subscription.as_str();
        let judge = |received: &Received| classify::created(received, sent, owner);
        let believe =
            |refusal, there: &Received| classify::created_after_asking(refusal, there, sent, owner);
        self.tell(place, body, idempotency_key, (judge, believe)).await
    }

    /// Sends the stored deletion of the usage `id`, unchanged, once; what is refused is asked for.
    pub async fn delete(
        &self,
        subscription: &AccountName,
        (id, body): (&str, &[u8]),
        idempotency_key: &str,
    ) -> Answer {
        let place = (subscription, "delete_usage", id);
        let owner = subscription.as_str();
        let judge = |received: &Received| classify::deleted(received, id, owner);
        let believe =
            |refusal, there: &Received| classify::deleted_after_asking(refusal, there, id);
        self.tell(place, body, idempotency_key, (judge, believe)).await
    }

    /// Sends a stored body about a usage, once; what is refused is believed only by what is there.
    async fn tell(
        &self,
        (subscription, what, id): (&AccountName, &str, &str),
        body: &[u8],
        idempotency_key: &str,
        (judge, believe): (
            impl FnOnce(&Received) -> Verdict,
            impl FnOnce(Answer, &Received) -> Answer,
        ),
    ) -> Answer {
        let path = path(&["subscriptions", subscription.as_str(), what]);
        let received = match self.post(path, body, idempotency_key).await {
            Ok(received) => received,
            Err(not_answered) => return *not_answered,
        };
        match judge(&received) {
            Verdict::Known(answer) => *answer,
            Verdict::Ask(refusal) => match self.usage(subscription, id).await {
                Ok(there) => believe(*refusal, &there),
                Err(_) => classify::undecided(*refusal, "it could not be asked what is there"),
            },
        }
    }

    /// Asks for the PDF of an invoice's usages by a form. Nothing is changed by it, so no key goes
    /// along: one would replay an address that has expired since.
    ///
    /// # Errors
    /// An answer of our own, when none came.
    pub async fn usage_pdf(&self, body: &[u8]) -> Result<Received, Box<Answer>> {
        self.pace().note(self.made_at.elapsed());
        self.wire
            .call(Call {
                method: Method::POST,
                path: "/usages/pdf".to_owned(),
                body: Some(Body::Form(body.to_vec())),
                idempotency_key: None,
                answer_bytes_max: USAGE_BYTES_MAX,
            })
            .await
    }

    /// Asks for the usage `id`.
    async fn usage(&self, subscription: &AccountName, id: &str) -> Result<Received, Box<Answer>> {
        // It is part of a telling, and does not wait.
        self.pace().note(self.made_at.elapsed());
        let path = path(&["subscriptions", subscription.as_str(), "usages"]);
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("id", id).finish();
        self.get(format!("{path}?{query}"), USAGE_BYTES_MAX).await
    }

    /// What went and what waits. A panic elsewhere cannot leave it half changed.
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn post(
        &self,
        path: String,
        body: &[u8],
        idempotency_key: &str,
    ) -> Result<Received, Box<Answer>> {
        self.pace().note(self.made_at.elapsed());
        self.wire
            .call(Call {
                method: Method::POST,
                path,
                body: Some(Body::Form(body.to_vec())),
                idempotency_key: Some((IDEMPOTENCY_KEY, idempotency_key)),
                answer_bytes_max: USAGE_BYTES_MAX,
            })
            .await
    }

    async fn get(&self, path: String, answer_bytes_max: usize) -> Result<Received, Box<Answer>> {
        let (method, idempotency_key) = (Method::GET, None);
        self.wire.call(Call { method, path, body: None, idempotency_key, answer_bytes_max }).await
    }
}

/// One question, and the requests that it takes.
pub struct Inquiry<'a> {
    client: &'a Client,
    calls: u32,
    provider_at: Option<Timestamp>,
}

impl<'a> Inquiry<'a> {
    /// Starts without a request and without a time.
    #[must_use]
    pub const fn new(client: &'a Client) -> Self {
        Self { client, calls: 0, provider_at: None }
    }

    /// How many requests were made.
    #[must_use]
    pub const fn calls(&self) -> u32 {
        self.calls
    }

    /// The site's clock, as the last answer told it.
    #[must_use]
    pub const fn provider_at(&self) -> Option<Timestamp> {
        self.provider_at
    }

    /// What is at `path`, a query included.
    ///
    /// # Errors
    /// The answer, when it is not 200, or did not come whole.
    pub async fn get(&mut self, path: &str) -> Result<Vec<u8>, Box<Answer>> {
        self.calls += 1;
        let wait = self.client.pace().wait(self.client.made_at.elapsed());
        tokio::time::sleep(wait).await;
        let received = self.client.get(path.to_owned(), PAGE_BYTES_MAX).await?;
        if received.status != 200 || received.broken.is_some() {
            let answer = classify::reading(&received);
            // That there is no such object tells the time as well.
            self.provider_at = answer.provider_at.or(self.provider_at);
            return Err(Box::new(answer));
        }
        self.provider_at = received.provider_at().or(self.provider_at);
        Ok(received.body)
    }

    /// The object at the path of these parts, with this query; nothing where there is none.
    ///
    /// # Errors
    /// The answer, when it says neither.
    pub async fn find(
        &mut self,
        parts: &[&str],
        query: &str,
    ) -> Result<Option<Vec<u8>>, Box<Answer>> {
        let path = if query.is_empty() { path(parts) } else { format!("{}?{query}", path(parts)) };
        match self.get(&path).await {
            Ok(body) => Ok(Some(body)),
            Err(answer) if classify::is_missing(&answer) => Ok(None),
            Err(answer) => Err(answer),
        }
    }

    /// The totals that `listing` asks for.
    ///
    /// # Errors
    /// The answer, when it is no page of them, or the pages have no end.
    pub async fn totals(&mut self, mut listing: Listing<'_>) -> Result<Vec<Total>, Box<Answer>> {
        let unread = |why: String| Box::new(Answer::bare(Outcome::Unknown, why));
        for _ in 0..usages::PAGES_MAX {
            let body = self.get(&listing.path()).await?;
            if !listing.take(&body).map_err(unread)? {
                return Ok(listing.totals());
            }
        }
        Err(unread("the list of usages has no end".to_owned()))
    }

    /// The totals that `summaries` asks for, of `subscription`.
    ///
    /// # Errors
    /// The answer, when it is no page of them, or the pages have no end.
    pub async fn summaries(
        &mut self,
        subscription: &AccountName,
        mut summaries: Summaries<'_>,
    ) -> Result<Vec<Total>, Box<Answer>> {
        let unread = |why: String| Box::new(Answer::bare(Outcome::Unknown, why));
        let path = path(&["subscriptions", subscription.as_str(), "usage_summary"]);
        for _ in 0..summaries::PAGES_MAX {
            let body = self.get(&format!("{path}?{}", summaries.query())).await?;
            if !summaries.take(&body).map_err(unread)? {
                return Ok(summaries.totals());
            }
        }
        Err(unread("the usage summary has no end".to_owned()))
    }

    /// Asks for one row of the list at `path`, whichever: whether the key and the site take such
    /// questions, and what time it is there.
    ///
    /// # Errors
    /// The answer, when it is no list.
    pub async fn greet(&mut self, path: &str) -> Result<Option<Timestamp>, Box<Answer>> {
        let body = self.get(path).await?;
        // Whoever stands in between may welcome everybody with a page of their own.
        let unread = |why: String| Box::new(Answer::bare(Outcome::Unknown, why));
        objects::list(&body, None).map_err(unread)?;
        Ok(self.provider_at)
    }
}

/// A path of these parts, each written so that it stays one part.
fn path(parts: &[&str]) -> String {
    let mut url = Url::parse("http://any.host").expect("it is an address");
    url.path_segments_mut().expect("a host has paths").extend(parts);
    url.path().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_stays_one_part_of_the_path_whatever_it_is_called() {
        assert_eq!(
            path(&["subscriptions", "a/b c?d", "usages"]),
            "/subscriptions/a%2Fb%20c%3Fd/usages"
        );
    }
}
