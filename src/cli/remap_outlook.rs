//! What becomes of what a remap changes. PURE. Here: whether a provider is told of a window, before
//! anybody asks for it. Never here: what a remap changes (`accrual::remapper`), what posting makes
//! of it then (`posting::plan`). Read next: [`super::remap`].

use crate::domain::cutover::{Mode, Side, Telling, side};
use crate::domain::names::{AccountName, ProviderMeter};
use crate::domain::time::Window;

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outlook {
    /// The provider is told.
    Told,
    /// Its provider is in shadow: it is told nothing.
    Shadow,
    /// It is of before `bill_from`, or of a window that this lies in.
    BillFrom,
    /// Its period is closed.
    Closed,
}

impl Outlook {
    /// What becomes of a change in a window, whose period is closed as far as is known.
    pub(super) fn of(
        telling: &Telling,
        (account, meter): (&AccountName, &ProviderMeter),
        (window, is_closed): (Window, bool),
    ) -> Self {
        if telling.mode == Mode::Shadow {
            Self::Shadow
        } else if side(window, telling.cutover.bill_from(account, meter)) != Side::From {
            Self::BillFrom
        } else if is_closed {
            Self::Closed
        } else {
            Self::Told
        }
    }

    /// It in a word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Shadow => "shadow",
            Self::BillFrom => "bill_from",
            Self::Closed => "closed",
        }
    }

    /// What that means, for a person; nothing where the provider is told, as everywhere else.
    pub(super) const fn says(self) -> Option<&'static str> {
        match self {
            Self::Told => None,
            Self::Shadow => Some("shadow: the provider is told nothing, of this neither"),
            Self::BillFrom => Some(
                "bill_from: of before it, or beside it. What comes is written off as told before, \
                 and what is taken back of another program's is held",
            ),
            Self::Closed => {
                Some("closed: an invoice is final, and the routes' `late` and `corrections` decide")
            }
        }
    }
}
