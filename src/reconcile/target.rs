//! What is to be read of a span. PURE. Here: the part of it that this program alone tells, and the
//! span that a total can be asked for. Never here: the reading ([`super::reporter`]). Read next:
//! [`super::drift`].

use super::calendar::{ceiling, hull};
use crate::domain::cutover::{Mode, Telling, own_part};
use crate::domain::time::{Timestamp, Window};
use crate::ledger::report::{BilledPeriod, Comparand};
use crate::provider::{CannotTell, Capabilities, ReadBack};

/// A total that is to be read.
pub(super) struct Target {
    pub(super) comparand: Comparand,
    pub(super) span: Window,
    /// What can be asked for; nothing where it has not begun, or others tell all of it.
    pub(super) asked: Option<(Window, ReadBack)>,
    /// Why it cannot be asked for; nothing where that is no fault.
    pub(super) why: Option<String>,
    pub(super) invoices: Vec<BilledPeriod>,
}

impl Target {
    pub(super) fn new(
        comparand: &Comparand,
        span: Window,
        able: Result<Capabilities, CannotTell>,
        telling: &Telling,
        provider_now: Timestamp,
    ) -> Self {
        let (asked, why) = match (able, told_part(comparand, span, telling)) {
            (Err(cannot), Some(_)) => (None, Some(cannot.why)),
            (Ok(Capabilities { read_back: None, .. }), Some(_)) => {
                (None, Some("the provider has no totals to read back".to_owned()))
            }
            (Ok(Capabilities { read_back: Some(promise), .. }), Some(own)) => {
                // What another program told lies in no part that is asked for.
                let start = match own.start == span.start {
                    true => own.start,
                    false => ceiling(own.start, promise.grain_micros),
                };
                let asked = hull(Window { start, ..own }, promise.grain_micros, provider_now);
                (asked.map(|asked| (asked, promise)), None)
            }
            // What the provider holds of it is others' to know.
            (Ok(_) | Err(_), None) => (None, None),
        };
        let of_span = |period: &&BilledPeriod| period.span == span;
        let invoices = comparand.periods.iter().filter(of_span).cloned().collect();
        Self { comparand: comparand.clone(), span, asked, why, invoices }
    }
}

/// The part of a span that this program tells, and nobody else.
fn told_part(of: &Comparand, span: Window, telling: &Telling) -> Option<Window> {
    match telling.mode {
        Mode::Shadow => None,
        Mode::Live => own_part(span, telling.cutover.bill_from(&of.account, &of.meter)),
    }
}

/// What is billed of a period beside what this program tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// Nothing.
    Nothing,
    /// What another program told of its part before this instant.
    Before(Timestamp),
    /// What another program tells: all of it.
    All,
}

impl Foreign {
    pub(super) fn of(of: &Comparand, span: Window, telling: &Telling) -> Self {
        match (telling.mode, told_part(of, span, telling)) {
            (Mode::Shadow, _) | (Mode::Live, None) => Self::All,
            (Mode::Live, Some(own)) if own.start == span.start => Self::Nothing,
            (Mode::Live, Some(own)) => Self::Before(own.start),
        }
    }
}
