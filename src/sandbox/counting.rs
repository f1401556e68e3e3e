//! Stand-ins that only count what they are told. Here: the way in and out that they have in common:
//! what closes a connection, the limit, and what an injected fault makes of a request. Never here:
//! one provider's wire or books. Read next: [`super::cryptolens`], [`super::planship`].

use super::Error;
use super::faults::{Dice, FaultKind, Faults};
use super::limiter::Limiter;
use super::statistics::{CLOSED, Counters};
use super::wire::{Answer, Delivery, UNAVAILABLE_HTML};
use crate::domain::time::Timestamp;

/// A stand-in's way in and out.
#[derive(Debug)]
pub(super) struct Front {
    limiter: Limiter,
    pub(super) dice: Dice,
    pub(super) counters: Counters,
}

/// A request on its way through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    pub(super) route: &'static str,
    pub(super) fault: Option<FaultKind>,
    /// Whether the limiter refuses it.
    pub(super) is_limited: bool,
}

impl Front {
    /// The way to `provider`, with a limit of requests a second, if there is one.
    pub(super) fn new(
        provider: &str,
        faults: Faults,
        per_second: Option<u32>,
    ) -> Result<Self, Error> {
        faults.check_of_counting(provider).map_err(Error::Faults)?;
        let mut dice = Dice::default();
        dice.load(faults);
        Ok(Self { limiter: Limiter::of_second(per_second), dice, counters: Counters::default() })
    }

    /// Lets a request in; a delivery where its connection is closed instead.
    pub(super) fn admit(
        &mut self,
        route: &'static str,
        fault: Option<FaultKind>,
        now: Timestamp,
    ) -> Result<Passing, Delivery> {
        let closes = if self.dice.faults.is_outage(now) {
            Some("outage")
        } else if fault == Some(FaultKind::ClosedBefore) {
            Some(FaultKind::ClosedBefore.name())
        } else {
            None
        };
        if let Some(name) = closes {
            self.counters.count_fault(name);
            self.counters.count_request(route, CLOSED);
            return Err(Delivery::Closed);
        }
        let is_limited = self.dice.faults.is_storm(now) || !self.limiter.admit(now);
        Ok(Passing { route, fault, is_limited })
    }

    /// Has a request performed, unless it is `limited` or `failed` before; how its answer leaves.
    /// To perform it is to answer it, and to say whether something was counted.
    pub(super) fn execute(
        &mut self,
        passing: Passing,
        (limited, failed): (Answer, Answer),
        perform: impl FnOnce() -> (Answer, bool),
        now: Timestamp,
    ) -> Delivery {
        let Passing { route, fault, is_limited } = passing;
        if let Some(kind) = fault {
            self.counters.count_fault(kind.name());
        }
        let performed = || {
            let (answer, is_counted) = perform();
            if is_counted {
                self.counters.count_accepted(now);
            }
            answer
        };
        let limit = is_limited.then_some(FaultKind::RateLimited);
        let answer = match limit.or(fault) {
            Some(FaultKind::RateLimited) => limited,
            Some(FaultKind::ErrorBefore) => failed,
            Some(FaultKind::ErrorAfter) => {
                performed();
                failed
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
            | None => performed(),
        };
        let status = answer.status;
        let delivery = Delivery::under(fault, answer);
        let is_closed = matches!(delivery, Delivery::Closed);
        self.counters.count_request(route, if is_closed { CLOSED } else { status });
        delivery
    }
}
