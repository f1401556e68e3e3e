//! The way in and out. Here: reading a request, limits, and injected faults. Never here: what a
//! request does ([`super::books`]). Read next: [`super::control`].

use std::sync::MutexGuard;

use hyper::Method;
use serde_json::Value;

use super::Settings;
use super::books::{Account, Operation, no};
use crate::domain::time::Timestamp;
use crate::sandbox::counting::{Front, Passing};
use crate::sandbox::faults::{FaultKind, Reach};
use crate::sandbox::handle::Shared;
use crate::sandbox::stand_in::{Admission, Pace, StandIn};
use crate::sandbox::wire::{Answer, Delivery, Request, http_date};

/// What the provider says when it fails.
const FAILED: &str = "Something went wrong. Please try again or contact support.";
/// What it says to whoever asks too often; the text is ours, as none is published.
const LIMITED: &str = "Too many requests.";

/// A request past the door.
#[derive(Debug)]
pub(in crate::sandbox) struct Admitted {
    operation: Operation,
    token: String,
    passing: Passing,
}

const fn route(operation: &Operation) -> &'static str {
    match operation {
        Operation::RecordUsage { .. } => "RecordUsage",
        Operation::GetProducts => "GetProducts",
        Operation::Other => "(unknown)",
    }
}

/// The stand-in for Cryptolens: one account, its door and its counters.
#[derive(Debug)]
pub(in crate::sandbox) struct Cryptolens {
    pub(super) account: Account,
    pub(super) front: Front,
}

impl Cryptolens {
    pub(in crate::sandbox) fn new(mut settings: Settings) -> Result<Self, crate::sandbox::Error> {
        let faults = std::mem::take(&mut settings.faults);
        let front = Front::new("Cryptolens", faults, settings.per_second)?;
        Ok(Self { account: Account::new(settings), front })
    }

    fn roll(&mut self, operation: &Operation) -> Option<FaultKind> {
        let name = match (operation, self.front.dice.faults.reach) {
            (Operation::RecordUsage { key, .. }, _) => key.clone().unwrap_or_default(),
            (Operation::GetProducts | Operation::Other, Reach::Everything) => String::new(),
            (Operation::GetProducts | Operation::Other, Reach::MeterEvents | Reach::Writes) => {
                return None;
            }
        };
        self.front.dice.roll(&name)
    }
}

/// What a request asks for, and with which token.
fn read(request: &Request) -> (Operation, String) {
    let path = request.path.to_ascii_lowercase();
    let method = path.strip_prefix("/api/").unwrap_or_default().trim_matches('/');
    let is_post = request.method == Method::POST;
    let form: &[u8] = if is_post { &request.body } else { request.query.as_bytes() };
    let parameter = |name: &str| {
        let mut all = form_urlencoded::parse(form);
        let found = all.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.into_owned())
    };
    let number = |name| parameter(name).and_then(|text| text.parse().ok());
    let is_known = is_post || request.method == Method::GET;
    let operation = match method {
        "subscription/recordusage" if is_known => Operation::RecordUsage {
            product: number("productid"),
            key: parameter("key"),
            // Left out or blank it is nothing.
            amount: match parameter("amount").as_deref() {
                None | Some("") => Some(0),
                Some(text) => text.parse().ok(),
            },
        },
        "product/getproducts" if is_known => Operation::GetProducts,
        _ => Operation::Other,
    };
    (operation, parameter("token").unwrap_or_default())
}

fn dress(status: u16, body: &Value, now: Timestamp) -> Answer {
    Answer::json(status, body.to_string()).with("date", http_date(now))
}

impl StandIn for Cryptolens {
    type Admitted = Admitted;

    fn of(shared: &Shared) -> MutexGuard<'_, Self> {
        shared.cryptolens()
    }

    fn too_large(now: Timestamp) -> Answer {
        dress(413, &no("The request is too large."), now)
    }

    fn admit(&mut self, request: &Request, now: Timestamp) -> Admission<Admitted> {
        let (operation, token) = read(request);
        let fault = self.roll(&operation);
        match self.front.admit(route(&operation), fault, now) {
            Ok(passing) => Admission::Admitted(Box::new(Admitted { operation, token, passing })),
            Err(delivery) => Admission::Refused(delivery),
        }
    }

    fn is_write(admitted: &Admitted) -> bool {
        match admitted.operation {
            Operation::RecordUsage { .. } => true,
            Operation::GetProducts | Operation::Other => false,
        }
    }

    fn pace(&self, admitted: &Admitted) -> Pace {
        let latency = self.account.settings.latency;
        let slow = self.front.dice.faults.slow();
        Pace::of(admitted.passing.fault, slow, Self::is_write(admitted), latency)
    }

    fn execute(&mut self, admitted: &mut Admitted, now: Timestamp) -> Delivery {
        let perform = || {
            let done = self.account.perform(&admitted.operation, &admitted.token, now);
            (dress(done.0, &done.1, now), done.2)
        };
        let limited = dress(429, &no(LIMITED), now).with("retry-after", "1");
        let failed = dress(500, &no(FAILED), now);
        self.front.execute(admitted.passing, (limited, failed), perform, now)
    }

    /// It occupies nothing: whoever asks again is heard again.
    fn finish(&mut self, _admitted: &mut Admitted) {}
}
