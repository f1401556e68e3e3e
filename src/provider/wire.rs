//! HTTP, as every provider is spoken to. Here: the one file that knows the HTTP client; where a key
//! may be sent; what is read of an answer whoever gave it. Never here: what an answer means
//! (`classify` of each room), a path, a body. Read next: [`super::stripe`].
//!
//! One call is one wire request. Redirects, proxies, and the HTTP client's retries are off. One
//! repetition cannot be switched off and need not be: a request that was handed to a pooled
//! connection which closed before the first byte of it was written goes to another connection.

use std::net::IpAddr;
use std::time::Duration;

use chrono::DateTime;
use form_urlencoded::Serializer;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use reqwest::{Method, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::answer::{Answer, Outcome};
use crate::domain::names::NAME_BYTES_MAX;
use crate::domain::time::{TIMESTAMP_MAX, TIMESTAMP_MIN, Timestamp};

/// Longest wait for a connection. Half of the whole request's time at most, so that it is the one
/// to run out first: then the request was certainly not sent.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// How long an idle connection is kept. Servers close idle connections after a minute or so; one
/// that is closed under a request leaves that request's fate unknown, so ours goes first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Most idle connections that are kept: as many as may be busy at once against the highest rate of
/// any provider, at a fifth of a second a call.
const IDLE_CONNECTIONS_MAX: usize = 200;

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json;charset=UTF-8");
const USER_AGENT: &str = concat!("tallyd/", env!("CARGO_PKG_VERSION"));

/// Takes every secret of a provider's out of a text.
pub type Redact = fn(&str) -> String;

/// A way to a provider.
pub struct Wire {
    http: reqwest::Client,
    api: String,
    redact: Redact,
    /// The secret of Basic authentication, where the provider has that, as the user without a
    /// password.
    user: Option<SecretString>,
    /// The user of Basic authentication who is no secret, and the password, which is one.
    password: Option<(String, SecretString)>,
    /// The field of each form that says whose it is, where the provider has it so.
    field: Option<(&'static str, SecretString)>,
}

/// One wire request.
pub struct Call<'a> {
    /// What is to be done.
    pub method: Method,
    /// The path behind the API's address, with its query.
    pub path: String,
    /// What goes along, where something does.
    pub body: Option<Body>,
    /// The header that makes it safe to repeat, and its value.
    pub idempotency_key: Option<(&'static str, &'a str)>,
    /// Largest answer that is read, in bytes.
    pub answer_bytes_max: usize,
}

/// What goes along with a request.
pub enum Body {
    /// A form.
    Form(Vec<u8>),
    /// A JSON document.
    Json(Vec<u8>),
}

/// An answer as it came.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The body; as much of it as came when it broke off.
    pub body: Vec<u8>,
    /// Why the body is not whole, when it is not.
    pub broken: Option<String>,
}

impl Received {
    /// The text of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// The provider's clock, as the answer tells it.
    #[must_use]
    pub fn provider_at(&self) -> Option<Timestamp> {
        provider_at(self.header(DATE.as_str()).as_deref())
    }

    /// What every answer carries that comes to `outcome`, whoever sent it.
    #[must_use]
    pub fn answer(&self, outcome: Outcome) -> Answer {
        let wait = self.header(RETRY_AFTER.as_str());
        let date = self.header(DATE.as_str());
        Answer {
            outcome,
            status: Some(self.status),
            request_id: None,
            code: None,
            message: None,
            provider_at: None,
            retry_after_seconds: retry_after(wait.as_deref(), date.as_deref()),
        }
    }
}

impl Wire {
    /// Makes ready to call `api`; nothing is sent yet. Each request carries `headers`, and has
    /// `timeout_millis` in all.
    ///
    /// # Errors
    /// What the HTTP client says when it cannot be made.
    pub fn new(
        api: &str,
        headers: HeaderMap,
        timeout_millis: u32,
        redact: Redact,
    ) -> Result<Self, String> {
        let timeout = Duration::from_millis(u64::from(timeout_millis));
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing this race means that another client chose, the same one: there is no other
            // here.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(USER_AGENT)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT_MAX.min(timeout / 2))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build()
            .map_err(|error| told(error, redact))?;
        Ok(Self { http, api: api.to_owned(), redact, user: None, password: None, field: None })
    }

    /// The same, where each request says by Basic authentication that it is `user`'s.
    #[must_use]
    pub fn by(self, user: SecretString) -> Self {
        Self { user: Some(user), ..self }
    }

    /// The same, where each request says by Basic authentication that it is `user`'s, who has a
    /// password.
    #[must_use]
    pub fn by_password(self, user: String, password: SecretString) -> Self {
        Self { password: Some((user, password)), ..self }
    }

    /// The same, where each form begins with the field `name` that says `token`. What is sent as a
    /// form follows it unchanged.
    #[must_use]
    pub fn by_field(self, name: &'static str, token: SecretString) -> Self {
        Self { field: Some((name, token)), ..self }
    }

    /// Makes one request, once.
    ///
    /// # Errors
    /// An answer of our own, when none came.
    pub async fn call(&self, call: Call<'_>) -> Result<Received, Box<Answer>> {
        let received = self.execute(call, None).await?;
        Ok(match (&self.user, &self.password, &self.field) {
            (Some(user), _, _) => without(user, received),
            (None, Some((_, password)), _) => without(password, received),
            // A refusal may come with any status.
            (None, None, Some((_, token))) => without_in_any(token, received),
            (None, None, None) => received,
        })
    }

    /// The same, where the request alone bears `token` instead of what all of them carry.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_bearing(
        &self,
        call: Call<'_>,
        token: &SecretString,
    ) -> Result<Received, Box<Answer>> {
        let not_sent = |_| Box::new(Answer::bare(Outcome::NotSent, "the token fits no header"));
        let bearer = format!("Bearer {}", token.expose_secret());
        let mut bearer = HeaderValue::from_str(&bearer).map_err(not_sent)?;
        bearer.set_sensitive(true);
        let received = self.execute(call, Some(bearer)).await?;
        Ok(without(token, received))
    }

    async fn execute(
        &self,
        call: Call<'_>,
        bearer: Option<HeaderValue>,
    ) -> Result<Received, Box<Answer>> {
        let is_post = call.method == Method::POST;
        let mut request = self.http.request(call.method, format!("{}{}", self.api, call.path));
        match call.body {
            Some(Body::Form(form)) => {
                request = request.header(CONTENT_TYPE, FORM).body(self.signed(form));
            }
            Some(Body::Json(json)) => request = request.header(CONTENT_TYPE, JSON).body(json),
            // That there is nothing behind its head is said too: some servers insist on that.
            None if is_post => request = request.header(CONTENT_LENGTH, 0),
            None => {}
        }
        if let Some(bearer) = bearer {
            request = request.header(AUTHORIZATION, bearer);
        } else if let Some(user) = &self.user {
            request = request.basic_auth(user.expose_secret(), Some(""));
        } else if let Some((user, password)) = &self.password {
            request = request.basic_auth(user, Some(password.expose_secret()));
        }
        if let Some((header, key)) = call.idempotency_key {
            request = request.header(header, key);
        }
        let not_sent = |error| Box::new(Answer::bare(Outcome::NotSent, told(error, self.redact)));
        let request = request.build().map_err(not_sent)?;
        match self.http.execute(request).await {
            Ok(response) => Ok(self.receive(response, call.answer_bytes_max).await),
            // Name, TCP and TLS all come before the first byte of a request, also when they take
            // too long. Everything else, the whole request's timeout included, may have come after
            // it.
            Err(error) if error.is_connect() => Err(not_sent(error)),
            Err(error) => Err(Box::new(Answer::bare(Outcome::Unknown, told(error, self.redact)))),
        }
    }

    /// A form as it goes over the wire.
    fn signed(&self, form: Vec<u8>) -> Vec<u8> {
        let Some((name, token)) = &self.field else { return form };
        let mut signed = Serializer::new(String::new());
        let mut signed = signed.append_pair(name, token.expose_secret()).finish().into_bytes();
        if !form.is_empty() {
            signed.push(b'&');
            signed.extend(form);
        }
        signed
    }

    /// What came back, as far as it came and is read.
    async fn receive(&self, mut response: Response, bytes_max: usize) -> Received {
        let mut received = Received {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: Vec::new(),
            broken: None,
        };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if received.body.len() + chunk.len() > bytes_max => {
                    received.broken = Some(format!("the body is longer than {bytes_max} bytes"));
                    return received;
                }
                Ok(Some(chunk)) => received.body.extend_from_slice(&chunk),
                Ok(None) => return received,
                Err(error) => {
                    let why = told(error, self.redact);
                    received.broken = Some(format!("the body broke off: {why}"));
                    return received;
                }
            }
        }
    }
}

/// What was received, without the secret where it is quoted whole. What a refusal says is kept, and
/// a key may be of a form that no redaction knows by its looks. What is read of a 200 are objects,
/// of which no text is kept.
fn without(secret: &SecretString, received: Received) -> Received {
    if received.status == 200 { received } else { without_in_any(secret, received) }
}

/// The same, where what is read of a 200 may be a text that is kept.
fn without_in_any(secret: &SecretString, received: Received) -> Received {
    let secret = secret.expose_secret();
    let quoted = |body: &[u8]| body.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
    if secret.is_empty() || !quoted(&received.body) {
        return received;
    }
    let text = String::from_utf8_lossy(&received.body);
    let body = text.replace(secret, "[key]").into_bytes();
    Received { body, ..received }
}

/// What is loaded from where a provider says that it is.
pub struct Load<'a> {
    /// Where. It opens to whoever knows it, so it is repeated nowhere.
    pub address: &'a str,
    /// How long that may take in all, in milliseconds.
    pub timeout_millis: u32,
    /// The largest body that is read, in bytes.
    pub bytes_max: usize,
}

/// Loads a file, once, and without any key: it may lie at anybody's.
///
/// # Errors
/// What the transport says, when no answer came.
pub async fn load(load: Load<'_>, redact: Redact) -> Result<Received, String> {
    let Load { address, timeout_millis, bytes_max } = load;
    let wire = Wire::new(address, HeaderMap::new(), timeout_millis, redact)?;
    let (method, path) = (Method::GET, String::new());
    let call =
        Call { method, path, body: None, idempotency_key: None, answer_bytes_max: bytes_max };
    let failed = |answer: Box<Answer>| answer.message.unwrap_or_default();
    wire.call(call).await.map_err(failed)
}

/// Whether a file may be loaded from `address`, which the provider behind `api` told; if not, why
/// not. Only a provider on this very host may lead there, or into the clear: what somebody else
/// writes into an answer must not make this host ask its own services.
///
/// # Errors
/// The end of a sentence about the address.
pub fn check_download(address: &str, api: &str) -> Result<(), &'static str> {
    let url = Url::parse(address).map_err(|_| "is none")?;
    let is_at_home = Url::parse(api).is_ok_and(|api| is_loopback(&api));
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a name or password");
    }
    match (url.scheme(), is_loopback(&url)) {
        ("https" | "http", true) if is_at_home => Ok(()),
        ("https" | "http", true) => Err("leads to this host"),
        ("https", false) => Ok(()),
        _ => Err("does not begin with https://"),
    }
}

/// Whether an address leads to this host.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// A name as one segment of a path; nothing when it cannot stay one. Names hold whatever their
/// makers liked, and segments of dots alone lead elsewhere, also when they are escaped.
#[must_use]
pub fn segment(name: &str) -> Option<String> {
    if name.len() > NAME_BYTES_MAX || name.bytes().all(|byte| byte == b'.') {
        return None;
    }
    let escaped: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // A plus is a space in a query only; one of the name's own is escaped by now.
    Some(escaped.replace('+', "%20"))
}

/// Whether a key may be sent to `api`; if not, why not. The address itself is not repeated: it may
/// hold a password. A live key goes only where `is_own` says that the provider is.
///
/// # Errors
/// The end of a sentence about the address.
pub fn check_address(
    api: &str,
    livemode: bool,
    is_own: impl FnOnce(&str) -> bool,
) -> Result<(), &'static str> {
    let url = Url::parse(api).map_err(|_| "is no address")?;
    url.host_str().ok_or("has no host")?;
    let loopback = is_loopback(&url);
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a name or password");
    }
    if url.query().is_some() || url.fragment().is_some() || api.ends_with('/') {
        return Err("must end after its host, port and path");
    }
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err("has to begin with https://, as the key would cross the network in clear"),
    }
    if livemode && !loopback && !is_own(api) {
        return Err("is not the provider's own, and a live key is sent nowhere else");
    }
    Ok(())
}

/// The provider's clock, as the `Date` of an answer tells it; nothing when that is no time of this
/// age.
#[must_use]
pub fn provider_at(date: Option<&str>) -> Option<Timestamp> {
    let at = http_date(date?)?;
    // A date from outside these bounds would poison the kept clock, which never goes back.
    (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&at).then_some(at)
}

/// How long `Retry-After` asks to wait, in seconds: as a number, or as a date against the answer's
/// own `Date`.
#[must_use]
pub fn retry_after(wait: Option<&str>, date: Option<&str>) -> Option<u32> {
    let text = wait?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return Some(text.parse().unwrap_or(u32::MAX));
    }
    let wait = http_date(text)?.seconds() - http_date(date?)?.seconds();
    Some(u32::try_from(wait.max(0)).unwrap_or(u32::MAX))
}

/// The one form of an HTTP date that is still sent.
fn http_date(text: &str) -> Option<Timestamp> {
    let at = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some(Timestamp::from_seconds(at.timestamp()))
}

/// What the transport says happened, with its causes, without the address and without a key.
fn told(error: reqwest::Error, redact: Redact) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let said = error.to_string();
        // Some layers repeat what is below them.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    redact(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_stays_in_its_place() {
        for (name, as_segment) in [
            ("price_1", Some("price_1")),
            ("stripe:cus_1", Some("stripe%3Acus_1")),
            ("gold plan/2+1?", Some("gold%20plan%2F2%2B1%3F")),
            ("..gold", Some("..gold")),
            ("..", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(segment(name).as_deref(), as_segment, "{name}");
        }
        assert_eq!(segment(&"x".repeat(NAME_BYTES_MAX + 1)), None);
    }
}
