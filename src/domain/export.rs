//! Usage that is told by a file, which a person uploads. Here: the files' forms, the steps of an
//! export, what is looked at of an event before it goes into one, and why one is left out. Never
//! here: a file's columns and limits (`provider`), the ledger's rows (`store`). Read next:
//! [`super::resolution`].
//!
//! An event is told by a file or by requests, and never by both: whether a provider remembers
//! identifiers across the two is not documented. So an event that goes into a file is held
//! ([`super::state::HoldReason::Exported`]) before the file is written, and nothing that a request
//! may have told goes into one.
//!
//! ```text
//! begun ──► sealed ──► written ──► confirmed: the file was uploaded
//!    └─────────┴──────────┴────────────┴──► abandoned: it never was, and requests tell its events
//! ```

use super::closed::closed;
use super::event::{EventId, EventKind};
use super::names::{AccountName, InvoiceId, ProviderMeter};
use super::period::{Billing, BillingStanding};
use super::provider_facts::MeterPin;
use super::quantity::Quantity;
use super::time::{MICROS_PER_DAY, Timestamp};

/// How long a person has to upload a file, in microseconds, before anything in it is too old for
/// the provider or its period closes: one day. What has less left is told by requests.
pub const UPLOAD_MICROS: i64 = MICROS_PER_DAY;

/// An export's number in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExportId(pub i64);

impl std::fmt::Display for ExportId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

closed! {
    /// The form of an export's files.
    ExportForm {
        /// The table that Stripe's dashboard takes.
        StripeCsv = "stripe-csv",
        /// The JSON lines that Stripe fetches from a bucket.
        StripeS3Jsonl = "stripe-s3-jsonl",
    }
}

closed! {
    /// What became of an export. Each is noted once, and none is taken back.
    ExportStep {
        /// No more events go into it.
        Sealed = "sealed",
        /// Its files were written.
        Written = "written",
        /// A person says that its files were uploaded.
        Confirmed = "confirmed",
        /// A person says that its files never were, and never will be.
        Abandoned = "abandoned",
    }
}

closed! {
    /// Why an event is left out of an export. It stays pending, and is told by a request.
    LeftOut {
        /// A request for it was made, or it was in doubt before.
        Tried = "tried",
        /// It takes another event back, which files cannot say.
        Cancel = "cancel",
        /// It says nothing: no total could ever prove that it is there.
        Zero = "zero",
        /// It takes usage away: it is not confirmed that files may.
        Negative = "negative",
        /// Its meter keeps the last total it was told, and in which order a file's rows are looked
        /// at is not documented.
        Total = "total",
        /// Its meter is not known, is not active, or cannot be told.
        Meter = "meter",
        /// The provider may find it too old by the time that the file is uploaded.
        Old = "old",
        /// Its period is closed, or may be by the time that the file is uploaded.
        Period = "period",
        /// It has more digits than the provider takes.
        Digits = "digits",
        /// Its stored bytes do not say what its meter reads.
        Unreadable = "unreadable",
    }
}

impl LeftOut {
    /// The reason as a person reads it.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Tried => "a request for it was made, or it was in doubt before",
            Self::Cancel => "it takes another event back, which files cannot say",
            Self::Zero => "it says nothing, so that no total could prove it there",
            Self::Negative => "it takes usage away, and it is not confirmed that files may",
            Self::Total => "its meter keeps the last total, and rows have no order",
            Self::Meter => "its meter is not known, not active, or cannot be told",
            Self::Old => "it is too old for the provider within a day",
            Self::Period => "its period is closed, or may be within a day",
            Self::Digits => "it has more digits than the provider takes",
            Self::Unreadable => "its stored bytes do not fit its meter",
        }
    }
}

/// An event that waits to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The event.
    pub event: EventId,
    /// What kind of thing it says.
    pub kind: EventKind,
    /// Its name for ever.
    pub identifier: String,
    /// Who pays.
    pub account: AccountName,
    /// What the provider counts.
    pub meter: ProviderMeter,
    /// What is pinned of the meter, if it is known.
    pub pin: Option<MeterPin>,
    /// How much it says.
    pub quantity: Quantity,
    /// When the usage was.
    pub occurred_at: Timestamp,
    /// The last instant, on the provider's clock, at which the provider takes it.
    pub deadline_at: Timestamp,
    /// How its usage is billed.
    pub billing: Billing,
    /// Whether a request for it was made, or it was ever in doubt.
    pub tried: bool,
    /// Its stored bytes.
    pub body: Vec<u8>,
}

impl Candidate {
    /// Why it cannot wait for a person to upload a file, or is nothing that one can say, if so.
    #[must_use]
    pub fn left_out(&self, provider_now: Timestamp) -> Option<LeftOut> {
        let uploaded_at = provider_now.plus_micros(UPLOAD_MICROS);
        if self.tried {
            return Some(LeftOut::Tried);
        }
        match self.kind {
            EventKind::Cancel => return Some(LeftOut::Cancel),
            EventKind::Usage if self.quantity.is_zero() => return Some(LeftOut::Zero),
            EventKind::Usage if self.quantity.is_negative() => return Some(LeftOut::Negative),
            EventKind::Usage => {}
        }
        if self.deadline_at < uploaded_at {
            return Some(LeftOut::Old);
        }
        match self.billing.standing(self.occurred_at, uploaded_at) {
            // Of what no subscription bills, posting decided.
            BillingStanding::Open | BillingStanding::NotYet(_) | BillingStanding::NoLonger(_) => {
                None
            }
            BillingStanding::Closed(_)
            | BillingStanding::Unseen(_)
            | BillingStanding::Unlearned(_)
            | BillingStanding::Idle(_) => Some(LeftOut::Period),
        }
    }
}

/// Why a provider's total does not settle an event that a file tells, if so: its period was closed
/// at `closed_at` by `invoice`, which bills less of it than the provider counts with the event. The
/// file may have been uploaded after that, and a total has what no invoice bills.
#[must_use]
pub fn unbilled(
    (invoice, closed_at): (&InvoiceId, Timestamp),
    billed: &Quantity,
    counted: &Quantity,
) -> Option<String> {
    (billed < counted).then(|| {
        format!(
            "the provider counts it, but its period was closed at {closed_at}, and {invoice} bills \
             {billed} of the {counted} that are there: its file may have been uploaded too late"
        )
    })
}

/// Which steps of an export were noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// See [`ExportStep::Sealed`].
    pub sealed: bool,
    /// See [`ExportStep::Written`].
    pub written: bool,
    /// See [`ExportStep::Confirmed`].
    pub confirmed: bool,
    /// See [`ExportStep::Abandoned`].
    pub abandoned: bool,
}

impl Steps {
    /// The same with one more step.
    #[must_use]
    pub const fn with(self, step: ExportStep) -> Self {
        match step {
            ExportStep::Sealed => Self { sealed: true, ..self },
            ExportStep::Written => Self { written: true, ..self },
            ExportStep::Confirmed => Self { confirmed: true, ..self },
            ExportStep::Abandoned => Self { abandoned: true, ..self },
        }
    }

    /// Whether no step was noted: events still go into it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        !(self.sealed || self.written || self.confirmed || self.abandoned)
    }

    /// What it came to, in a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        if self.abandoned {
            "abandoned"
        } else if self.confirmed {
            "confirmed"
        } else if self.written {
            "written"
        } else if self.sealed {
            "sealed"
        } else {
            "begun"
        }
    }

    /// Why its files may not be written now, if so. `settled_or_moved` are its events that are not
    /// held for it any longer, and `late_since` is the instant until which its files were to be
    /// uploaded, once that has passed.
    #[must_use]
    pub fn refuses_files(
        self,
        id: ExportId,
        settled_or_moved: i64,
        late_since: Option<Timestamp>,
    ) -> Option<String> {
        if self.abandoned {
            return Some(format!("export {id} was abandoned, and requests tell its events"));
        }
        if self.confirmed {
            return Some(format!(
                "export {id} was uploaded already: uploading its files again may bill twice"
            ));
        }
        if settled_or_moved > 0 {
            return Some(format!(
                "{settled_or_moved} of the events of export {id} are not held for it any longer: \
                 uploading its files may bill them twice"
            ));
        }
        late_since.map(|by| {
            format!(
                "the files of export {id} were to be uploaded until {by}: by now what is in them \
                 may be too old for the provider, or no invoice may bill it any longer. If they \
                 never were uploaded, give it up (tallyd export abandon {id}); if they were, say \
                 so (tallyd export confirm {id})"
            )
        })
    }

    /// Why `step` cannot be noted, if so. `present` are the events of the export that were found
    /// at the provider though no request told them. Of one that was `rolled_back` it is not known
    /// what was noted of it before.
    #[must_use]
    pub fn refuses(
        self,
        id: ExportId,
        step: ExportStep,
        (present, rolled_back): (i64, bool),
    ) -> Option<String> {
        let over = self.abandoned.then(|| format!("export {id} was abandoned already"));
        match step {
            ExportStep::Sealed | ExportStep::Written if rolled_back && over.is_none() => {
                Some(format!(
                    "the ledger was rolled back after export {id} was begun, and may have written \
                     its files before: delete them, and give it up (tallyd export abandon {id}); \
                     or if they were uploaded, say so (tallyd export confirm {id})"
                ))
            }
            ExportStep::Sealed | ExportStep::Written => over,
            // What was found there was uploaded, whether or not it was noted that it was written.
            ExportStep::Confirmed
                if !self.written && present == 0 && !rolled_back && over.is_none() =>
            {
                Some(format!("the files of export {id} were never written (tallyd export again)"))
            }
            ExportStep::Confirmed => {
                let again = self.confirmed.then(|| format!("export {id} was confirmed already"));
                over.or(again)
            }
            ExportStep::Abandoned if self.abandoned => None,
            ExportStep::Abandoned if self.confirmed => Some(format!(
                "export {id} was confirmed: its files were uploaded. Decide over what is not there \
                 one by one (tallyd held resolve)"
            )),
            ExportStep::Abandoned => (present > 0).then(|| {
                format!(
                    "{present} of the events of export {id} are at the provider already, and no \
                     request told them: its files were uploaded. Confirm it, and decide over what \
                     is not there one by one (tallyd held resolve)"
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_uploaded_or_given_up_is_not_written_again() {
        let (id, begun) = (ExportId(7), Steps::default());
        let written = begun.with(ExportStep::Sealed).with(ExportStep::Written);
        assert!(begun.is_open() && !written.is_open());
        assert_eq!(written.refuses_files(id, 0, None), None);
        let by = Timestamp::from_seconds(1_790_000_000);
        for (steps, gone, late_since, why) in [
            (written.with(ExportStep::Confirmed), 0, None, "uploaded already"),
            (written.with(ExportStep::Abandoned), 0, None, "abandoned"),
            (written, 1, None, "not held for it"),
            (written, 0, Some(by), "were to be uploaded until"),
        ] {
            let said = steps.refuses_files(id, gone, late_since).unwrap();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn an_export_is_not_given_up_once_any_of_it_was_found_at_the_provider() {
        let (id, begun) = (ExportId(7), Steps::default());
        let written = begun.with(ExportStep::Sealed).with(ExportStep::Written);
        assert_eq!(written.refuses(id, ExportStep::Abandoned, (0, false)), None);
        let why = written.refuses(id, ExportStep::Abandoned, (1, false)).unwrap();
        assert!(why.contains("at the provider already"), "{why}");
        let why =
            written.with(ExportStep::Confirmed).refuses(id, ExportStep::Abandoned, (0, false));
        assert!(why.unwrap().contains("was confirmed"));
        // What is there was uploaded, though nobody noted that its file was written.
        let sealed = begun.with(ExportStep::Sealed);
        assert!(sealed.refuses(id, ExportStep::Confirmed, (0, false)).is_some());
        assert_eq!(sealed.refuses(id, ExportStep::Confirmed, (1, false)), None);
        // Of a ledger that was rolled back nobody knows whether it was.
        assert_eq!(sealed.refuses(id, ExportStep::Confirmed, (0, true)), None);
        assert!(sealed.refuses(id, ExportStep::Written, (0, true)).is_some());
        // What was begun is ended, whatever was found meanwhile.
        let abandoned = written.with(ExportStep::Abandoned);
        assert_eq!(abandoned.refuses(id, ExportStep::Abandoned, (1, false)), None);
        assert!(abandoned.refuses(id, ExportStep::Confirmed, (0, false)).is_some());
        assert!(begun.refuses(id, ExportStep::Confirmed, (0, false)).is_some());
        assert_eq!(written.refuses(id, ExportStep::Confirmed, (0, false)), None);
    }
}
