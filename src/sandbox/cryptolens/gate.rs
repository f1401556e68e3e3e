//! The way in and out. Here: reading a request, limits, and injected faults. Never here: what a
//! request does ([`super::books`]). Read next: [`super::control`].

use std::sync::MutexGuard;

use hyper::Method;
use serde_json::Value;

use super::Settings;
use super::books::{Account, Operation, no};
use crate::domain::time::Timestamp;
use crate::sandbox::faults::{Dice, FaultKind, Reach};
use crate::sandbox::handle::Shared;
use crate::sandbox::limiter::Limiter;
use crate::sandbox::stand_in::{Admission, Pace, StandIn};
use crate::sandbox::statistics::{CLOSED, Counters};
use crate::sandbox::wire::{Answer, Delivery, Request, UNAVAILABLE_HTML, http_date};

/// What the provider says when it fails.
const FAILED: &str = "Something went wrong. Please try again or contact support.";
/// What it says to whoever asks too often; the text is ours, as none is published.
const LIMITED: &str = "Too many requests.";

/// A request past the door.
#[derive(Debug)]
pub(in crate::sandbox) struct Admitted {
    operation: Operation,
    token: String,
    fault: Option<FaultKind>,
    /// Whether the limiter refuses it.
    is_limited: bool,
}

impl Admitted {
    const fn route(&self) -> &'static str {
        match self.operation {
            Operation::RecordUsage { .. } => "RecordUsage",
            Operation::GetProducts => "GetProducts",
            Operation::Other => "(unknown)",
        }
    }
}

/// The stand-in for Cryptolens: one account, its door and its counters.
#[derive(Debug)]
pub(in crate::sandbox) struct Cryptolens {
    pub(super) account: Account,
    limiter: Limiter,
    pub(super) dice: Dice,
    pub(super) counters: Counters,
}

impl Cryptolens {
    pub(in crate::sandbox) fn new(mut settings: Settings) -> Result<Self, crate::sandbox::Error> {
        let faults = std::mem::take(&mut settings.faults);
        faults.check_of_counting("Cryptolens").map_err(crate::sandbox::Error::Faults)?;
        let limiter = Limiter::of_second(settings.per_second);
        let mut dice = Dice::default();
        dice.load(faults);
        Ok(Self { account: Account::new(settings), limiter, dice, counters: Counters::default() })
    }

    fn roll(&mut self, operation: &Operation) -> Option<FaultKind> {
        let name = match (operation, self.dice.faults.reach) {
            (Operation::RecordUsage { key, .. }, _) => key.clone().unwrap_or_default(),
            (Operation::GetProducts | Operation::Other, Reach::Everything) => String::new(),
            (Operation::GetProducts | Operation::Other, Reach::MeterEvents | Reach::Writes) => {
                return None;
            }
        };
        self.dice.roll(&name)
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
        let admitted = Admitted { operation, token, fault, is_limited: false };
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
        let is_storm = self.dice.faults.is_storm(now);
        let is_limited = is_storm || !self.limiter.admit(now);
        Admission::Admitted(Box::new(Admitted { is_limited, ..admitted }))
    }

    fn is_write(admitted: &Admitted) -> bool {
        match admitted.operation {
            Operation::RecordUsage { .. } => true,
            Operation::GetProducts | Operation::Other => false,
        }
    }

    fn pace(&self, admitted: &Admitted) -> Pace {
        let latency = self.account.settings.latency;
        let slow = self.dice.faults.slow();
        Pace::of(admitted.fault, slow, Self::is_write(admitted), latency)
    }

    fn execute(&mut self, admitted: &mut Admitted, now: Timestamp) -> Delivery {
        let fault = admitted.fault;
        if let Some(kind) = fault {
            self.counters.count_fault(kind.name());
        }
        let mut perform = || {
            let done = self.account.perform(&admitted.operation, &admitted.token, now);
            if done.2 {
                self.counters.count_accepted(now);
            }
            dress(done.0, &done.1, now)
        };
        let limited = admitted.is_limited.then_some(FaultKind::RateLimited);
        let answer = match limited.or(fault) {
            Some(FaultKind::RateLimited) => {
                dress(429, &no(LIMITED), now).with("retry-after", "1".to_owned())
            }
            Some(FaultKind::ErrorBefore) => dress(500, &no(FAILED), now),
            Some(FaultKind::ErrorAfter) => {
                perform();
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
            | None => perform(),
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
