//! The way in and out. Here: reading a request, limits, and injected faults. Never here: what a
//! request comes to ([`super::books`]). Read next: [`super::control`].

use std::sync::MutexGuard;

use hyper::Method;
use serde_json::{Value, json};

use super::Settings;
use super::books::{Operation, Organization, no};
use super::door::Tokens;
use crate::domain::time::Timestamp;
use crate::sandbox::counting::{Front, Passing};
use crate::sandbox::faults::{FaultKind, Reach};
use crate::sandbox::handle::Shared;
use crate::sandbox::stand_in::{Admission, Pace, StandIn};
use crate::sandbox::wire::{Answer, Delivery, Request, http_date};

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
    passing: Passing,
}

impl Purpose {
    const fn route(&self) -> &'static str {
        match self {
            Self::Health => "GET health",
            Self::Token => "POST token",
            Self::Operation(Operation::Report { .. }) => "POST usage",
            Self::Operation(Operation::MeteringId { .. }) => "GET usage",
            Self::Operation(Operation::Lever { .. }) => "GET lever",
            Self::Operation(Operation::Product(_)) => "GET product",
            Self::Nothing | Self::OtherMethod => "(unknown)",
        }
    }
}

/// The stand-in for Planship: one organization, its door and its counters.
#[derive(Debug)]
pub(in crate::sandbox) struct Planship {
    pub(super) organization: Organization,
    pub(super) tokens: Tokens,
    pub(super) front: Front,
}

impl Planship {
    pub(in crate::sandbox) fn new(
        mut settings: Settings,
        now: Timestamp,
    ) -> Result<Self, crate::sandbox::Error> {
        let faults = std::mem::take(&mut settings.faults);
        let front = Front::new("Planship", faults, settings.per_second)?;
        let (organization, tokens) = (Organization::new(settings, now), Tokens::default());
        Ok(Self { organization, tokens, front })
    }

    fn roll(&mut self, purpose: &Purpose) -> Option<FaultKind> {
        match (purpose, self.front.dice.faults.reach) {
            (Purpose::Operation(Operation::Report { customer, metering_id, .. }), _) => {
                self.front.dice.roll(&format!("{metering_id} {customer}"))
            }
            (_, Reach::Everything) => self.front.dice.roll(""),
            (_, Reach::MeterEvents | Reach::Writes) => None,
        }
    }
}

/// Does what is asked for; whether something was recorded.
fn perform(
    (organization, tokens): (&mut Organization, &mut Tokens),
    admitted: &Admitted,
    now: Timestamp,
) -> (Answer, bool) {
    let authorization = admitted.authorization.as_str();
    let operation = match &admitted.purpose {
        Purpose::Health => return (dress(200, &json!({ "status": "ok" }), now), false),
        Purpose::Token => {
            let Settings { clients, token_lives, .. } = &organization.settings;
            let token = tokens.give(clients, authorization, *token_lives, now);
            return (token.map_or_else(|| stranger(now), |token| dress(200, &token, now)), false);
        }
        Purpose::Nothing => return (dress(404, &no("Not Found"), now), false),
        Purpose::OtherMethod => return (dress(405, &no("Method Not Allowed"), now), false),
        Purpose::Operation(operation) => operation,
    };
    if !tokens.accept(authorization, now) {
        return (stranger(now), false);
    }
    let (status, body, is_recorded) = organization.perform(operation, now);
    (dress(status, &body, now), is_recorded)
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
        match self.front.admit(purpose.route(), fault, now) {
            Ok(passing) => {
                Admission::Admitted(Box::new(Admitted { purpose, authorization, passing }))
            }
            Err(delivery) => Admission::Refused(delivery),
        }
    }

    fn is_write(admitted: &Admitted) -> bool {
        matches!(admitted.purpose, Purpose::Operation(Operation::Report { .. }))
    }

    fn pace(&self, admitted: &Admitted) -> Pace {
        let latency = self.organization.settings.latency;
        let slow = self.front.dice.faults.slow();
        Pace::of(admitted.passing.fault, slow, Self::is_write(admitted), latency)
    }

    fn execute(&mut self, admitted: &mut Admitted, now: Timestamp) -> Delivery {
        let Self { organization, tokens, front } = self;
        let limited = dress(429, &no(LIMITED), now).with("retry-after", "1");
        let failed = dress(500, &no(FAILED), now);
        let perform = || perform((organization, tokens), admitted, now);
        front.execute(admitted.passing, (limited, failed), perform, now)
    }

    /// It occupies nothing: whoever asks again is heard again.
    fn finish(&mut self, _admitted: &mut Admitted) {}
}
