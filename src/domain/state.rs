//! A meter event's life. Here: the one state machine: the states, the legal moves between them, and
//! what each state says about the sums. Never here: why a move is made (see `delivery::settle` and
//! `posting::plan`). Read next: [`crate::domain::event`].
//!
//! ```text
//! pending ──lease──► in_flight ──yes, or duplicate of our own attempt──► accepted ──► settled
//!    ▲                │  │ │                                                │
//!    ├─ definite no, ─┘  │ └── definite refusal ──► held ◄── rejected later ─┘
//!    │  never ambiguous  └── anything else, or a crash ──► unknown ──► in_flight (same bytes)
//!    └── held ── absence proven, or a person               unknown ──► held (window passed)
//! void: withdrawn before it was ever leased.    dead: written off by a person or a stated policy.
//! superseded: refused or disproved; what it said is outstanding again.
//! ```
//!
//! The same set of states and moves stands in the schema's CHECK constraints and triggers; a test
//! compares the two.

use super::closed::closed;

closed! {
    /// Where a meter event is in its life.
    EventState {
        /// Encoded and stored, not leased. Every attempt so far, if any, was definitely not
        /// processed.
        Pending = "pending",
        /// Leased: the intent to send is committed, and the answer is not.
        InFlight = "in_flight",
        /// Sent, and what became of it is not known. Only the provider's dedupe, a read-back or a
        /// person ends this.
        Unknown = "unknown",
        /// The provider said yes. It may still reject later.
        Accepted = "accepted",
        /// The provider's own total was seen to contain it.
        Settled = "settled",
        /// Waiting for a cause to be removed; see [`HoldReason`].
        Held = "held",
        /// Withdrawn before it was ever leased.
        Void = "void",
        /// Definitely not at the provider, and its quantity is outstanding again.
        Superseded = "superseded",
        /// Written off.
        Dead = "dead",
    }
}

closed! {
    /// Why a meter event, or a balance, is held. Each names its cause and, in [`Self::ended_by`],
    /// what ends it.
    HoldReason {
        /// The provider has no active meter for the event name.
        NoMeter = "no_meter",
        /// The provider refused the value.
        ValueRefused = "value_refused",
        /// The provider refused the event's time as too old.
        TooOldRefused = "too_old_refused",
        /// The provider refused the event's time as too far ahead.
        AheadRefused = "ahead_refused",
        /// The provider refused the request for another reason.
        Refused = "refused",
        /// Refused now, but an earlier attempt may have landed.
        MayExist = "may_exist",
        /// The provider says the identifier exists, and no attempt of this event can have made it.
        IdentifierConflict = "identifier_conflict",
        /// The provider says the idempotency key was used with other parameters.
        KeyConflict = "key_conflict",
        /// Unknown for longer than the provider promises to recognise the identifier.
        WindowPassed = "window_passed",
        /// Older than the provider takes, before it could be sent.
        DeadlinePassed = "deadline_passed",
        /// The balance is below what was told, and this meter has no way to say so yet.
        CannotLower = "cannot_lower",
        /// The provider's meter adds up in a way this balance cannot be told to.
        MeterMismatch = "meter_mismatch",
        /// What is to be taken back may be more than the provider certainly holds.
        BelowZero = "below_zero",
        /// The route leaves corrections of what was told to a person.
        CorrectionPolicy = "correction_policy",
        /// The period of the usage is closed: telling it now would bill nothing, or the wrong
        /// period.
        LateForPeriod = "late_for_period",
        /// No subscription of the account bills the meter at that time.
        NoPeriod = "no_period",
        /// The account takes no more entries in its life.
        EntriesUsedUp = "entries_used_up",
        /// It is of usage of before `bill_from`, or of a window that this lies in, and cannot be
        /// told apart from what another program told.
        BillFrom = "bill_from",
        /// Its window comes to more than the route lets through unseen.
        Spike = "spike",
        /// The provider said yes, and its own total does not contain it.
        Disproved = "disproved",
        /// A ledger that was lost may have told it already.
        Restored = "restored",
        /// A file tells it, which a person uploads.
        Exported = "exported",
    }
}

closed! {
    /// Why a record waits in front of a route.
    ParkReason {
        /// No route matches the record.
        NoRoute = "no_route",
        /// A route matches, but the customer has no account at its provider.
        NoAccount = "no_account",
        /// The customer's account is not of the form that the provider's accounts have.
        AccountMalformed = "account_malformed",
        /// Another route has already booked this record to the same meter of the same provider.
        DestinationTaken = "destination_taken",
        /// The route counts distinct values of a property that the record has no usable value of.
        NoMember = "no_member",
        /// A remap took the record away from the meter that the route leads to.
        RemappedAway = "remapped_away",
        /// The window that the record belongs to is booked by another aggregate than the route
        /// has: a sum takes no level, and a level no sum.
        OtherAggregate = "other_aggregate",
    }
}

impl EventState {
    /// Whether the state machine has a move from this state to `to`.
    #[must_use]
    pub const fn may_become(self, to: Self) -> bool {
        use EventState::{
            Accepted, Dead, Held, InFlight, Pending, Settled, Superseded, Unknown, Void,
        };
        match self {
            Pending => matches!(to, InFlight | Void | Held),
            InFlight => matches!(to, Accepted | Pending | Unknown | Held),
            Unknown => matches!(to, InFlight | Held | Settled),
            Accepted => matches!(to, Settled | Held | Superseded),
            Settled => matches!(to, Held),
            Held => matches!(to, Pending | Settled | Superseded | Dead),
            Superseded | Dead => matches!(to, Settled),
            Void => false,
        }
    }

    /// Whether an event in this state counts as told, so that nothing is posted twice for it.
    #[must_use]
    pub const fn counts_as_told(self) -> bool {
        match self {
            Self::Pending
            | Self::InFlight
            | Self::Unknown
            | Self::Accepted
            | Self::Settled
            | Self::Held => true,
            Self::Void | Self::Superseded | Self::Dead => false,
        }
    }

    /// Whether delivery still has to do something for an event in this state.
    #[must_use]
    pub const fn awaits_delivery(self) -> bool {
        match self {
            Self::Pending | Self::InFlight | Self::Unknown => true,
            Self::Accepted
            | Self::Settled
            | Self::Held
            | Self::Void
            | Self::Superseded
            | Self::Dead => false,
        }
    }
}

/// What ends a hold of usage that another program may have told.
const BILL_FROM_ENDED_BY: &str = "compare the provider's total; what another program told: say \
     told-before, or of an event not-billed; what is there, or too much: billed (tallyd held \
     resolve)";
/// What ends a hold of what is told by a file.
const EXPORTED_ENDED_BY: &str = "upload the file in time, unless it is rolled back (tallyd export \
     list), and say so (tallyd export confirm ID): totals end it; if the file was never uploaded, \
     and never will be, tallyd export abandon ID";
/// What ends a hold of more than anybody expected.
const SPIKE_ENDED_BY: &str = "find out whether it was used (tallyd books, tallyd trace); if so, \
     it is told once you say so (tallyd held resolve NAME --as confirmed); if not, cancel or \
     adjust its records, or write it off";

impl HoldReason {
    /// Whether such a hold ends by itself when it is proven that the provider does not have the
    /// event.
    #[must_use]
    pub const fn waits_for_proof(self) -> bool {
        match self {
            Self::MayExist | Self::WindowPassed | Self::Restored => true,
            // Another writer is behind these, or a person has to look for another reason.
            Self::IdentifierConflict
            | Self::KeyConflict
            | Self::NoMeter
            | Self::ValueRefused
            | Self::TooOldRefused
            | Self::AheadRefused
            | Self::Refused
            | Self::DeadlinePassed
            | Self::CannotLower
            | Self::MeterMismatch
            | Self::BelowZero
            | Self::CorrectionPolicy
            | Self::LateForPeriod
            | Self::NoPeriod
            | Self::EntriesUsedUp
            | Self::BillFrom
            | Self::Spike
            | Self::Disproved
            // That the file was never uploaded, and never will be, only a person knows.
            | Self::Exported => false,
        }
    }

    /// What a person, or the passing of time, does to end such a hold.
    #[must_use]
    pub const fn ended_by(self) -> &'static str {
        match self {
            Self::NoMeter => {
                "create, reactivate or declare the meter; balances are then told by themselves, \
                 events once you say so (tallyd held resolve NAME --as not-billed)"
            }
            Self::ValueRefused => {
                "find why the provider refuses the value (tallyd held show NAME); then say \
                 not-billed, or bill it outside and write it off (tallyd held resolve)"
            }
            Self::TooOldRefused | Self::DeadlinePassed => {
                "too old for the meter: bill it outside (an invoice item), then write it off \
                 (tallyd held resolve NAME --as write-off)"
            }
            Self::AheadRefused => {
                "check this host's clock, then tell it anew (tallyd held resolve NAME --as \
                 not-billed)"
            }
            Self::Refused => {
                "read the provider's answer (tallyd held show NAME), remove the cause, then tell \
                 it anew (tallyd held resolve NAME --as not-billed)"
            }
            Self::MayExist | Self::WindowPassed => {
                "compare the provider's total for this customer and meter, then say billed or \
                 not-billed (tallyd held resolve)"
            }
            Self::IdentifierConflict => {
                "another writer, or a lost ledger, used this identifier: find it, then say billed \
                 or not-billed (tallyd held resolve)"
            }
            Self::KeyConflict => {
                "another writer used this key with other content: find it, then say billed or \
                 not-billed (tallyd held resolve)"
            }
            Self::MeterMismatch => {
                "give the route a window and an aggregate that the meter can take"
            }
            Self::BelowZero => {
                "nothing: it is told once the provider's total proves what it is taken from"
            }
            Self::CannotLower | Self::CorrectionPolicy => {
                "correct the difference at the provider, then say billed; or write it off (tallyd \
                 held resolve)"
            }
            Self::LateForPeriod => {
                "bill it outside (invoice item, credit note), then write it off (tallyd held \
                 resolve NAME --as write-off)"
            }
            Self::NoPeriod => {
                "a subscription that bills that time ends it; else bill it outside, then write it \
                 off (tallyd held resolve NAME --as write-off)"
            }
            Self::EntriesUsedUp => {
                "have the provider raise its limit and set it here, and it is told by itself; else \
                 bill it outside, then write it off (tallyd held resolve NAME --as write-off)"
            }
            Self::BillFrom => BILL_FROM_ENDED_BY,
            Self::Spike => SPIKE_ENDED_BY,
            Self::Exported => EXPORTED_ENDED_BY,
            Self::Disproved => {
                "find why it was dropped, then say not-billed, and it is told anew; or write it \
                 off (tallyd held resolve)"
            }
            Self::Restored => {
                "have the inputs read again and say so (tallyd ledger caught-up); totals end it, \
                 or a person (tallyd held resolve)"
            }
        }
    }
}

impl ParkReason {
    /// What ends such a wait.
    #[must_use]
    pub const fn ended_by(self) -> &'static str {
        match self {
            Self::NoRoute => "add a route that matches the record's meter and properties",
            Self::NoAccount => {
                "import the customer's account (tallyd customers import FILE --provider NAME)"
            }
            Self::AccountMalformed => "correct the customer's account, or the route's account rule",
            Self::DestinationTaken => "route it to another meter, or remove one of the two routes",
            Self::NoMember => {
                "name a property in the route's `unique` that the record has, or cancel the record \
                 and send another one that has it"
            }
            Self::RemappedAway => "have it booked there again (tallyd remap)",
            Self::OtherAggregate => {
                "give the route the aggregate back that it had until this is booked, or route it \
                 to another meter"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_moves_is_the_one_in_the_drawing() {
        let mut table = String::new();
        for from in EventState::ALL {
            let to: Vec<&str> = EventState::ALL
                .iter()
                .filter(|to| from.may_become(**to))
                .map(|to| to.as_str())
                .collect();
            table.push_str(&format!("{from} -> {}\n", to.join(" ")));
        }
        insta::assert_snapshot!(table, @r"
        pending -> in_flight held void
        in_flight -> pending unknown accepted held
        unknown -> in_flight settled held
        accepted -> settled held superseded
        settled -> held
        held -> pending settled superseded dead
        void -> 
        superseded -> settled
        dead -> settled
        ");
    }

    #[test]
    fn what_is_final_is_told_or_not_for_a_reason() {
        for state in EventState::ALL {
            assert!(state.counts_as_told() || !state.awaits_delivery(), "{state}");
        }
    }
}
