//! A room under trial: what a provider's own file says of it, and how it is driven. Here: the face
//! of that file, attempts at a raw server, and what a failed trial says. Never here: a MUST, or one
//! provider's wire. Read next: [`super::promising`].

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use tallyd::domain::answer::{Answer, Outcome};
use tallyd::domain::balance::BalanceId;
use tallyd::domain::event::{EventIntent, Identifier, Says};
use tallyd::domain::names::{AccountName, ProviderMeter};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::provider::billing::BillingReader;
use tallyd::provider::{Provider, Request};

use crate::support::raw_server::{RawServer, Record, Step};

/// What every answer of these tests says of the time.
pub(super) const NOW: &str = "Fri, 20 Nov 2026 10:00:00 GMT";
/// Midnight of a day before it, in Unix seconds.
pub(super) const MIDNIGHT: i64 = 20_770 * 86_400;
/// An hour in seconds.
pub(super) const HOUR: i64 = 3_600;
/// The name of the event that is told, as the ledger makes them.
pub(super) const IDENTIFIER: &str = "tallyd-00112233445566aa-ffeeddccbbaa99887766554433221100";
/// The name of the event that a cancellation is about.
pub(super) const TARGET: &str = "tallyd-00112233445566aa-00000000000000000000000000000001";
/// A name that nothing was sent under.
pub(super) const OTHER: &str = "tallyd-00112233445566aa-00000000000000000000000000000002";
/// What no log, error or answer may hold: it is part of every secret.
pub(super) const CANARY: &str = "canary4242";
/// Long enough for any machine, in milliseconds; nothing waits for it but a failing test.
const PATIENT: u32 = 20_000;
/// For the trials that wait for it, in milliseconds.
const HASTY: u32 = 250;

/// How a room is made.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// The address it is given, in front of the room's own path.
    pub(super) host: String,
    /// Whether its key moves money.
    pub(super) live: bool,
    /// Whether it is given what proves its webhooks.
    pub(super) webhooks: bool,
    /// How long a request may take.
    pub(super) timeout_millis: u32,
}

impl Access {
    /// With a test key to this address, patiently.
    pub(super) fn to(host: &str) -> Self {
        let host = host.to_owned();
        Self { host, live: false, webhooks: false, timeout_millis: PATIENT }
    }

    /// The same, in a hurry.
    pub(super) fn hasty(host: &str) -> Self {
        Self { timeout_millis: HASTY, ..Self::to(host) }
    }
}

/// A room that was made.
pub(super) struct Made {
    pub(super) provider: Arc<dyn Provider>,
    /// What reads how it bills, where that is followed.
    pub(super) billing: Option<Arc<dyn BillingReader>>,
    /// Its text for debugging.
    pub(super) shown: String,
}

/// The headers of a webhook's request.
pub(super) type Headers = Vec<(&'static str, Vec<u8>)>;

/// What follows on one connection: the answer to each request in turn.
pub(super) type Exchange = Vec<Vec<u8>>;

/// What is told of an event, and what a provider may say to it.
pub(super) struct Telling {
    /// What it is, for messages.
    pub(super) case: &'static str,
    /// What the event says.
    pub(super) says: Says,
    /// Stored bytes as no encoder of ours would write them.
    pub(super) body: &'static str,
    /// The method and path that they go to.
    pub(super) goes_to: &'static str,
    /// A yes to it.
    pub(super) yes: Vec<u8>,
    /// What the same request is told when it comes again.
    pub(super) again: Vec<Exchange>,
    /// A yes, or what passes for one, that is about something else.
    pub(super) others: Vec<(&'static str, Exchange)>,
    /// A no that looked at it.
    pub(super) no: Exchange,
}

/// What a provider's own file says of its room.
pub(super) trait Subject: Sync {
    /// The folder under `src/provider`.
    fn room(&self) -> &'static str;

    /// Makes the room, which knows [`Self::meter`] and no other; the text of the error otherwise.
    fn make(&self, access: &Access) -> Result<Made, String>;

    /// The text for debugging of what it is made of.
    fn shown_settings(&self, access: &Access) -> String;

    /// The provider's own address, without the room's own path.
    fn own_host(&self) -> &'static str;

    /// The meter that it knows.
    fn meter(&self) -> &'static str;

    /// Who pays.
    fn account(&self) -> &'static str;

    /// The account that first contact names; nothing where nobody tells it.
    fn contact_account(&self) -> Option<&'static str>;

    /// The line of a request that carries the test key, where its head does.
    fn key_line(&self) -> Option<String>;

    /// The body of the request that carries these stored bytes.
    fn on_the_wire(&self, body: &str) -> String {
        body.to_owned()
    }

    /// The test key, as a provider may quote it.
    fn quoted_key(&self) -> String;

    /// The name of the header that an attempt's key goes in.
    fn idempotency_header(&self) -> &'static str;

    /// The MUSTs that it cannot be asked for, by their names, and why not.
    fn lacks(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// What the bytes of usage name the event of this identifier by.
    fn named(&self, identifier: &str) -> String {
        identifier.to_owned()
    }

    /// What is told, as a header says it.
    fn content_type(&self) -> &'static str {
        "application/x-www-form-urlencoded"
    }

    /// What it opens before the first attempt, on a connection of its own: how that request begins,
    /// and what it is answered.
    fn opening(&self) -> Option<(&'static str, Vec<u8>)> {
        None
    }

    /// Whether that ends where the provider refuses it by a 401 of its own: then it is opened
    /// again, and the request made once more.
    fn renews(&self) -> bool {
        false
    }

    /// What is told, with the stored bytes of each.
    fn tellings(&self) -> Vec<Telling>;

    /// The provider's own error with this message.
    fn error(&self, status: &str, headers: &str, message: &str) -> Vec<u8>;

    /// What the question beside a refused attempt is answered where nothing is there; the same goes
    /// for any other question by an id.
    fn missing(&self) -> Vec<u8>;

    /// A limiter's answer, with these header lines.
    fn limited(&self, headers: &str) -> Vec<u8>;

    /// A page of usage, each quantity in its span; nothing more behind it, or the page of the
    /// number `next`.
    fn totals(&self, rows: &[(Window, &str)], next: Option<usize>) -> Vec<u8>;

    /// Pages that are no totals of the first four hours after [`MIDNIGHT`].
    fn other_totals(&self) -> Vec<(&'static str, Vec<u8>)>;

    /// The answers of first contact, in their order.
    fn contact(&self) -> Exchange;

    /// Answers of which the last lets first contact fail, and with which outcome.
    fn no_contact(&self) -> Vec<(&'static str, Exchange, Outcome)>;

    /// The headers of a webhook's request that prove nothing, and why.
    fn unproven(&self) -> Vec<(&'static str, Headers)>;

    /// The headers that prove this body.
    fn proof(&self, body: &[u8]) -> Headers;

    /// A subscription of this id, as an answer has it.
    fn subscription(&self, id: &str) -> serde_json::Value;

    /// An invoice of this id, as an answer has it.
    fn invoice(&self, id: &str) -> serde_json::Value;

    /// The answers, after the first, to the question for one subscription.
    fn after_subscription(&self) -> Exchange;

    /// The answers, after the first, to the question for one invoice.
    fn after_invoice(&self) -> Exchange;

    /// An object of this kind, as a row of a list has it.
    fn row(&self, kind: &str, object: serde_json::Value) -> serde_json::Value;

    /// An object of this kind, as an answer has it.
    fn wrapped(&self, kind: &str, object: serde_json::Value) -> Vec<u8> {
        ok(&self.row(kind, object))
    }

    /// A list of these rows; behind it the page `next`.
    fn list(&self, rows: &[serde_json::Value], next: Option<&str>) -> Vec<u8>;

    /// The name of a feed.
    fn feed(&self) -> &'static str;
}

impl Made {
    /// What reads how it bills.
    pub(super) fn billing(&self) -> &dyn BillingReader {
        self.billing.as_deref().expect("its bills are followed, or it lacks this MUST")
    }
}

/// One MUST, tried on one room.
pub(super) struct Trial {
    pub(super) subject: &'static dyn Subject,
    /// The MUST's name.
    pub(super) must: &'static str,
}

impl Trial {
    /// Fails unless it holds, with what was seen instead.
    pub(super) fn holds(&self, holds: bool, saw: impl Debug) {
        assert!(holds, "{}: MUST \"{}\": saw {saw:?}", self.subject.room(), self.must);
    }

    /// Fails unless the outcome is the one that it must be.
    pub(super) fn comes_to(&self, outcome: Outcome, case: &str, answer: &Answer) {
        self.holds(answer.outcome == outcome, (case, answer));
    }

    pub(super) fn made(&self, access: &Access) -> Made {
        let made = self.subject.make(access);
        made.unwrap_or_else(|why| panic!("{}: {why}", self.subject.room()))
    }

    /// A room that nothing is asked of.
    pub(super) fn idle(&self) -> Made {
        self.made(&Access::to("http://127.0.0.1:9"))
    }

    pub(super) fn meter(&self) -> ProviderMeter {
        ProviderMeter::new(self.subject.meter()).unwrap()
    }

    pub(super) fn account(&self) -> AccountName {
        AccountName::new(self.subject.account()).unwrap()
    }

    /// One attempt of `telling` at a server that follows `script` on its first connection.
    pub(super) fn attempt(&self, telling: &Telling, script: Vec<Step>) -> (Answer, Record) {
        self.attempt_by(telling, script, Access::to)
    }

    /// The same with little patience.
    pub(super) fn attempt_hastily(&self, telling: &Telling, script: Vec<Step>) -> Answer {
        self.attempt_by(telling, script, Access::hasty).0
    }

    fn attempt_by(
        &self,
        telling: &Telling,
        script: Vec<Step>,
        access: fn(&str) -> Access,
    ) -> (Answer, Record) {
        // Where it goes again, it meets the same.
        let times = if self.subject.renews() { 2 } else { 1 };
        let server = self.serve(vec![script; times]);
        let made = self.made(&access(&server.url()));
        let answer = run(self.send(made.provider.as_ref(), telling, "key-1"));
        (answer, self.finish(server))
    }

    /// A server whose connections follow these scripts, behind the one by which the room opens what
    /// it sends by.
    pub(super) fn serve(&self, scripts: Vec<Vec<Step>>) -> RawServer {
        let opening = || self.subject.opening().map(|(_, answer)| calls(&[answer])).into_iter();
        if !self.subject.renews() {
            return RawServer::start(opening().chain(scripts).collect());
        }
        // Each of them is one that is opened for.
        let scripts = scripts.into_iter().flat_map(|script| opening().chain([script]));
        RawServer::start(scripts.collect())
    }

    /// What arrived there, without that.
    pub(super) fn finish(&self, server: RawServer) -> Record {
        let mut record = server.finish();
        let Some((line, _)) = self.subject.opening() else { return record };
        let most = if self.subject.renews() { 2 } else { 1 };
        for _ in 0..most {
            let opens = |request: &Vec<u8>| request.starts_with(line.as_bytes());
            let Some(place) = record.requests.iter().position(opens) else { break };
            record.requests.remove(place);
            record.connections -= 1;
        }
        record
    }

    /// What one attempt comes to that is answered so.
    pub(super) fn answered(&self, telling: &Telling, exchange: &[Vec<u8>]) -> Answer {
        self.attempt(telling, calls(exchange)).0
    }

    pub(super) async fn send(
        &self,
        provider: &dyn Provider,
        telling: &Telling,
        idempotency_key: &str,
    ) -> Answer {
        let (meter, account) = (self.meter(), self.account());
        let request = Request {
            says: &telling.says,
            meter: &meter,
            account: &account,
            body: telling.body.as_bytes(),
            idempotency_key,
            identifier: IDENTIFIER,
        };
        provider.send(request).await
    }

    /// What is asked of a room whose server gives these answers in turn, and what arrived there.
    pub(super) fn asked<T>(
        &self,
        exchange: &[Vec<u8>],
        ask: impl AsyncFnOnce(&Made) -> T,
    ) -> (T, Record) {
        let server = RawServer::start(vec![calls(exchange)]);
        let made = self.made(&Access::to(&server.url()));
        let found = run(ask(&made));
        (found, server.finish())
    }
}

pub(super) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Reads a request before each of these answers.
pub(super) fn calls(exchange: &[Vec<u8>]) -> Vec<Step> {
    exchange.iter().flat_map(|answer| [Step::Read, Step::Write(answer.clone())]).collect()
}

/// An answer with this status, these header lines and this body.
pub(super) fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nDate: {NOW}\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub(super) fn ok(body: &serde_json::Value) -> Vec<u8> {
    http("200 OK", "", &body.to_string())
}

/// The time that every answer of these tests tells.
pub(super) fn told_time() -> Option<Timestamp> {
    Timestamp::parse_rfc3339("2026-11-20T10:00:00Z")
}

/// A span, by Unix seconds.
pub(super) fn span(start: i64, end: i64) -> Window {
    Window { start: Timestamp::from_seconds(start), end: Timestamp::from_seconds(end) }
}

/// The hour of this number after [`MIDNIGHT`].
pub(super) fn hour(number: i64) -> Window {
    span(MIDNIGHT + number * HOUR, MIDNIGHT + (number + 1) * HOUR)
}

/// What is to be told.
pub(super) fn intent(says: Says, quantity: &str) -> EventIntent {
    EventIntent {
        balance: BalanceId(1),
        ordinal: 1,
        identifier: Identifier::stored(IDENTIFIER),
        says,
        quantity: Quantity::parse(quantity).unwrap(),
        total: None,
        occurred_at: Timestamp::from_seconds(MIDNIGHT),
    }
}

/// The method of a request.
pub(super) fn method(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The head of a request, in lines; what follows the empty line is its body.
pub(super) fn head_and_body(request: &[u8]) -> (Vec<String>, String) {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().map(str::to_owned).collect(), body.to_owned())
}
