//! The way in and out. Here: reading a request, limits, and injected faults. Never here: what a
//! request comes to ([`super::books`]). Read next: [`super::control`].

use std::sync::MutexGuard;

use hyper::Method;
use serde_json::{Value, json};

use super::Settings;
use super::books::{Operation, Organization, no};
use super::door::Tokens;
use crate::domain::time::Timestamp;
use crate::sandbox::faults::{Dice, FaultKind, Reach};
use crate::sandbox::handle::Shared;
use crate::sandbox::limiter::Limiter;
use crate::sandbox::stand_in::{Admission, Pace, StandIn};
use crate::sandbox::statistics::{CLOSED, Counters};
use crate::sandbox::wire::{Answer, Delivery, Request, UNAVAILABLE_HTML, http_date};

/// What it says when it fails; the text is ours, as none is published.
const FAILED: &str = "Internal Server Error";
/// What it says to whoever asks too often; likewise.
const LIMITED: &str = "Too Many Requests";
/// What it says to a token or a client that it does not know; likewise.
const UNKNOWN: &str = "Could not validate credentials";

/// What a request is for.
#[derive(Debug)]
enum Purpose {
    /// Planship itself answers whether it is there.
    Health,
    /// A token.
    Token,
    /// What a token is needed for.
    Operation(Operation),
    /// Nothing that there is.
    Nothing,
    /// Something that there is, in another way.
    OtherMethod,
}

/// A request past the door.
#[derive(Debug)]
pub(in crate::sandbox) struct Admitted {
    purpose: Purpose,
    authorization: String,
    fault: Option<FaultKind>,
    /// Whether the limiter refuses it.
    is_limited: bool,
}

impl Admitted {
    const fn route(&self) -> &'static str {
        match &self.purpose {
            Purpose::Health => "GET health",
            Purpose::Token => "POST token",
            Purpose::Operation(Operation::Report { .. }) => "POST usage",
            Purpose::Operation(Operation::MeteringId { .. }) => "GET usage",
            Purpose::Operation(Operation::Lever { .. }) => "GET lever",
            Purpose::Operation(Operation::Product(_)) => "GET product",
            Purpose::Nothing | Purpose::OtherMethod => "(unknown)",
        }
    }
}

/// The stand-in for Planship: one organization, its door and its counters.
#[derive(Debug)]
pub(in crate::sandbox) struct Planship {
    pub(super) organization: Organization,
    pub(super) tokens: Tokens,
    limiter: Limiter,
    pub(super) dice: Dice,
    pub(super) counters: Counters,
}

impl Planship {
    pub(in crate::sandbox) fn new(
        mut settings: Settings,
        now: Timestamp,
    ) -> Result<Self, crate::sandbox::Error> {
        let faults = std::mem::take(&mut settings.faults);
        faults.check_of_counting("Planship").map_err(crate::sandbox::Error::Faults)?;
        let limiter = Limiter::of_second(settings.per_second);
        let mut dice = Dice::default();
        dice.load(faults);
        let organization = Organization::new(settings, now);
        let (tokens, counters) = (Tokens::default(), Counters::default());
        Ok(Self { organization, tokens, limiter, dice, counters })
    }

    fn roll(&mut self, purpose: &Purpose) -> Option<FaultKind> {
        match (purpose, self.dice.faults.reach) {
            (Purpose::Operation(Operation::Report { customer, metering_id, .. }), _) => {
                self.dice.roll(&format!("{metering_id} {customer}"))
            }
            (_, Reach::Everything) => self.dice.roll(""),
            (_, Reach::MeterEvents | Reach::Writes) => None,
        }
    }

    /// Does what is asked for.
    fn perform(&mut self, admitted: &Admitted, now: Timestamp) -> Answer {
        let authorization = admitted.authorization.as_str();
        let operation = match &admitted.purpose {
            Purpose::Health => return dress(200, &json!({ "status": "ok" }), now),
            Purpose::Token => return self.give_token(authorization, now),
            Purpose::Nothing => return dress(404, &no("Not Found"), now),
            Purpose::OtherMethod => return dress(405, &no("Method Not Allowed"), now),
            Purpose::Operation(operation) => operation,
        };
        if !self.tokens.accept(authorization, now) {
            return stranger(now);
        }
        let (status, body, is_recorded) = self.organization.perform(operation, now);
        if is_recorded {
            self.counters.count_accepted(now);
        }
        dress(status, &body, now)
    }

    fn give_token(&mut self, authorization: &str, now: Timestamp) -> Answer {
        let settings = &self.organization.settings;
        let (clients, lives) = (&settings.clients, settings.token_lives);
        match self.tokens.give(clients, authorization, lives, now) {
            Some(token) => dress(200, &token, now),
            None => stranger(now),
        }
    }
}

/// What a segment of a path says. A plus is itself there, unlike in a form.
fn segment(text: &str) -> String {
    let form = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let said = form_urlencoded::parse(form.as_bytes()).next();
    said.map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// What a request is for.
fn purpose(request: &Request) -> Purpose {
    let Some(path) = request.path.strip_prefix("/api/v1/") else { return Purpose::Nothing };
    let segments: Vec<String> = path.split('/').map(segment).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let own = str::to_owned;
    let (is_get, is_post) = (request.method == Method::GET, request.method == Method::POST);
    match segments.as_slice() {
        ["health"] if is_get => Purpose::Health,
        ["auth", "token"] if is_post => Purpose::Token,
        ["products", slug] if is_get => Purpose::Operation(Operation::Product(own(slug))),
        ["customers", customer, "products", product, "usage", metering_id] if is_post => {
            Purpose::Operation(Operation::Report {
                customer: own(customer),
                product: own(product),
                metering_id: own(metering_id),
                body: request.body.to_vec(),
            })
        }
        ["customers", customer, "products", product, "usage", metering_id] if is_get => {
            Purpose::Operation(Operation::MeteringId {
                customer: own(customer),
                product: own(product),
                metering_id: own(metering_id),
            })
        }
        ["customers", customer, "products", product, "levers", lever, "usage"] if is_get => {
            Purpose::Operation(Operation::Lever {
                customer: own(customer),
                product: own(product),
                lever: own(lever),
            })
        }
        ["health"] | ["auth", "token"] | ["products", _] => Purpose::OtherMethod,
        ["customers", _, "products", _, "usage", _] => Purpose::OtherMethod,
        ["customers", _, "products", _, "levers", _, "usage"] => Purpose::OtherMethod,
        _ => Purpose::Nothing,
    }
}

fn dress(status: u16, body: &Value, now: Timestamp) -> Answer {
    Answer::json(status, body.to_string()).with("date", http_date(now))
}

fn limited(now: Timestamp) -> Answer {
    dress(429, &no(LIMITED), now).with("retry-after", "1")
}

fn stranger(now: Timestamp) -> Answer {
    dress(401, &no(UNKNOWN), now).with("www-authenticate", "Bearer")
}

impl StandIn for Planship {
    type Admitted = Admitted;

    fn of(shared: &Shared) -> MutexGuard<'_, Self> {
        shared.planship()
    }

    fn too_large(now: Timestamp) -> Answer {
        dress(413, &no("Request Entity Too Large"), now)
    }

    fn admit(&mut self, request: &Request, now: Timestamp) -> Admission<Admitted> {
        let purpose = purpose(request);
        let fault = self.roll(&purpose);
        let authorization = request.header("authorization").unwrap_or_default().to_owned();
        let admitted = Admitted { purpose, authorization, fault, is_limited: false };
        let closes = if self.dice.faults.is_outage(now) {
            Some("outage")
        } else if fault == Some(FaultKind::ClosedBefore) {
            Some(FaultKind::ClosedBefore.name())
        } else {
            None
        };
        if let Some(name) = closes {
            self.counters.count_fault(name);
            self.counters.count_request(admitted.route(), CLOSED);
            return Admission::Refused(Delivery::Closed);
        }
        let is_limited = self.dice.faults.is_storm(now) || !self.limiter.admit(now);
        Admission::Admitted(Box::new(Admitted { is_limited, ..admitted }))
    }

    fn is_write(admitted: &Admitted) -> bool {
        matches!(admitted.purpose, Purpose::Operation(Operation::Report { .. }))
    }

    fn pace(&self, admitted: &Admitted) -> Pace {
        let latency = self.organization.settings.latency;
        let slow = self.dice.faults.slow();
        Pace::of(admitted.fault, slow, Self::is_write(admitted), latency)
    }

    fn execute(&mut self, admitted: &mut Admitted, now: Timestamp) -> Delivery {
        let fault = admitted.fault;
        if let Some(kind) = fault {
            self.counters.count_fault(kind.name());
        }
        let is_limited = admitted.is_limited.then_some(FaultKind::RateLimited);
        let answer = match is_limited.or(fault) {
            Some(FaultKind::RateLimited) => limited(now),
            Some(FaultKind::ErrorBefore) => dress(500, &no(FAILED), now),
            Some(FaultKind::ErrorAfter) => {
                self.perform(admitted, now);
                dress(500, &no(FAILED), now)
            }
            Some(FaultKind::UnavailableHtml) => {
                let (status, content_type, body) = UNAVAILABLE_HTML;
                Answer { status, content_type, headers: Vec::new(), body: body.into() }
            }
            Some(
                FaultKind::ClosedBefore
                | FaultKind::AnswerLost
                | FaultKind::AnswerCut
                | FaultKind::SlowBefore
                | FaultKind::SlowAfter
                | FaultKind::PinnedErrorBefore
                | FaultKind::PinnedErrorAfter
                | FaultKind::Conflict
                | FaultKind::LockTimeout
                | FaultKind::RejectedLater
                | FaultKind::NoMeterLater,
            )
            | None => self.perform(admitted, now),
        };
        let status = answer.status;
        let delivery = Delivery::under(fault, answer);
        let is_closed = matches!(delivery, Delivery::Closed);
        self.counters.count_request(admitted.route(), if is_closed { CLOSED } else { status });
        delivery
    }

    /// It occupies nothing: whoever asks again is heard again.
    fn finish(&mut self, _admitted: &mut Admitted) {}
}
