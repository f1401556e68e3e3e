//! What a person decides of something held. Here: how such things are named, what may be said of
//! them, and what a verdict makes of a held event. PURE. Never here: the ledger's rows (see
//! `store`). Read next: [`super::write_off`].
//!
//! A verdict is given over what was seen: it carries the item's [`Token`], and is refused when the
//! item changed since. So nothing is decided twice, and nothing is decided unseen.

use std::fmt;

use super::closed::closed;
use super::digest::Fields;
use super::export::ExportId;
use super::quantity::Quantity;
use super::state::EventState;
use super::time::Timestamp;

closed! {
    /// What kind of thing waits for a verdict.
    ItemKind {
        /// A held meter event.
        Event = "event",
        /// A balance with something outstanding that cannot be told.
        Balance = "balance",
        /// A copy of a booked record that says something else.
        Conflict = "conflict",
    }
}

/// What a held thing is called: `event:12`, `balance:7`, `conflict:3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemName {
    /// What kind of thing it is.
    pub kind: ItemKind,
    /// Its number among those.
    pub number: i64,
}

impl ItemName {
    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, number) = text.split_once(':')?;
        let number = number.parse().ok().filter(|number| *number > 0)?;
        Some(Self { kind: ItemKind::parse(kind)?, number })
    }
}

impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.number)
    }
}

closed! {
    /// What a person says of a held thing.
    Verdict {
        /// The provider holds it, or what was outstanding is in order there.
        Billed = "billed",
        /// The provider does not hold it: it is to be told.
        NotBilled = "not_billed",
        /// It is not to be told, and stands in the books as written off.
        WriteOff = "write_off",
        /// Another program told it before this one did: it is not to be told again, and stands in
        /// the books as written off for that.
        ToldBefore = "told_before",
        /// It was used, as much as it is: it is to be told.
        Confirmed = "confirmed",
        /// Of two copies of a record the booked one is right.
        First = "first",
        /// Of two copies of a record the other one is right.
        Second = "second",
    }
}

impl Verdict {
    /// The verdict as it is typed: `not-billed`.
    #[must_use]
    pub fn typed(self) -> String {
        self.as_str().replace('_', "-")
    }

    /// Reads a verdict as it is typed.
    #[must_use]
    pub fn from_typed(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verdict| verdict.typed() == text)
    }
}

/// What was seen of a held thing, in short: it differs once the thing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token(Box<str>);

impl Token {
    /// Bytes of the digest that are shown. It tells apart the states of one thing, which are few.
    const BYTES: usize = 4;

    /// The token of a thing in this state. `version` changes whenever it does.
    #[must_use]
    pub fn of(item: ItemName, reason: &str, quantity: &Quantity, version: i64) -> Self {
        let digest = Fields::of("held item 1")
            .text(&item.to_string())
            .text(reason)
            .text(&quantity.to_string())
            .number(version)
            .finish();
        Self(hex::encode(&digest[..Self::BYTES]).into())
    }

    /// Takes a token that somebody typed.
    #[must_use]
    pub fn typed(text: &str) -> Self {
        Self(text.trim().to_ascii_lowercase().into())
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is known of a held event when a verdict is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldEvent {
    /// Whether some attempt of it may have landed.
    pub may_exist: bool,
    /// Whether a cancel of it counts as told.
    pub cancelled: bool,
    /// Whether it tells usage, or some, that another program told before.
    pub told_before: bool,
    /// The export whose file tells it, while nobody said that the file was uploaded.
    pub file: Option<ExportId>,
    /// The last instant, on the provider's clock, at which the provider still takes it.
    pub deadline_at: Timestamp,
    /// The provider's clock.
    pub provider_now: Timestamp,
}

/// What a verdict makes of a held event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFate {
    /// The state it moves to.
    pub to: EventState,
    /// Whether some attempt of it may have landed, as far as is known then.
    pub may_exist: bool,
    /// Whether what it says is written off.
    pub written_off: bool,
}

/// What `verdict` makes of a held event, or why it cannot be given.
///
/// # Errors
/// A sentence that says which verdicts remain.
pub fn judge_event(verdict: Verdict, event: HeldEvent) -> Result<EventFate, String> {
    let fate = |to, may_exist| EventFate { to, may_exist, written_off: to == EventState::Dead };
    match verdict {
        // The file may be uploaded yet: a request for what is in it would bill it twice.
        Verdict::NotBilled if event.file.is_some() => Err(in_a_file(event.file)),
        Verdict::Billed => Ok(fate(EventState::Settled, true)),
        // Its identifier is spent, or was refused: its quantity goes under another.
        Verdict::NotBilled if !event.may_exist => Ok(fate(EventState::Superseded, false)),
        // With its cancel it adds nothing, as was told: neither goes again, and neither is there.
        Verdict::NotBilled if event.cancelled => Ok(fate(EventState::Superseded, false)),
        // It would bill again what another program told: posting writes that off, and tells the
        // rest.
        Verdict::NotBilled if event.told_before => Ok(fate(EventState::Superseded, false)),
        Verdict::NotBilled if event.deadline_at < event.provider_now => Err(format!(
            "the provider took it until {} only, so that it cannot be sent again: say billed, or \
             bill it outside and write it off",
            event.deadline_at
        )),
        // The same bytes again: if it is there after all, the provider knows its identifier.
        Verdict::NotBilled => Ok(fate(EventState::Pending, false)),
        // It stays known that it may be there, so that a later proof of it can settle it.
        Verdict::WriteOff => Ok(fate(EventState::Dead, event.may_exist)),
        Verdict::ToldBefore => Err(
            "an event is what this program tells, or told: of an event say billed, not-billed or \
             write-off"
                .to_owned(),
        ),
        Verdict::Confirmed => Err(
            "what is to be confirmed is a balance that was not told yet: of an event say billed, \
             not-billed or write-off"
                .to_owned(),
        ),
        Verdict::First | Verdict::Second => Err(format!(
            "\"{}\" is said of a conflict; of an event say billed, not-billed or write-off",
            verdict.typed()
        )),
    }
}

/// What is said of an event that a file tells, and nobody said that it was uploaded.
fn in_a_file(file: Option<ExportId>) -> String {
    let id = file.map_or_else(String::new, |id| format!(" {id}"));
    format!(
        "the file of export{id} tells it: if it was uploaded, say so (tallyd export confirm{id}), \
         and then not-billed; if it never was, and never will be, tallyd export abandon{id}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

    #[test]
    fn names_and_verdicts_read_back_as_they_are_written() {
        for name in ["event:12", "balance:7", "conflict:3"] {
            assert_eq!(ItemName::parse(name).unwrap().to_string(), name);
        }
        for wrong in ["event", "event:", "event:0", "event:-1", "lane:1", "12", "event:1x"] {
            assert_eq!(ItemName::parse(wrong), None, "{wrong}");
        }
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_typed(&verdict.typed()), Some(*verdict));
        }
        assert_eq!(Verdict::from_typed("not_billed"), None);
    }

    #[test]
    fn a_token_changes_with_what_it_stands_for() {
        let item = |text| ItemName::parse(text).unwrap();
        let token = Token::of(item("event:1"), "refused", &Quantity::one(), 7);
        let others = [
            Token::of(item("event:2"), "refused", &Quantity::one(), 7),
            Token::of(item("event:1"), "may_exist", &Quantity::one(), 7),
            Token::of(item("event:1"), "refused", &Quantity::zero(), 7),
            Token::of(item("event:1"), "refused", &Quantity::one(), 8),
        ];
        assert!(!others.contains(&token));
        assert_eq!(Token::typed(&format!(" {} ", token.as_str().to_uppercase())), token);
    }

    #[test]
    fn every_verdict_over_every_held_event_is_one_that_was_thought_of() {
        let mut table = String::new();
        for (may_exist, cancelled, late) in [
            (false, false, false),
            (false, false, true),
            (true, false, false),
            (true, false, true),
            (true, true, false),
            (true, true, true),
        ] {
            let deadline_at = NOON.plus_seconds(if late { -1 } else { 0 });
            let (told_before, provider_now) = (false, NOON);
            let file = None;
            let event =
                HeldEvent { may_exist, cancelled, told_before, file, deadline_at, provider_now };
            let exists = if may_exist { "may exist" } else { "refused" };
            let cancelled = if cancelled { ", cancelled" } else { "" };
            let late = if late { ", late" } else { "" };
            let mut said = Vec::new();
            for verdict in Verdict::ALL {
                let Ok(EventFate { to, may_exist, written_off }) = judge_event(*verdict, event)
                else {
                    continue;
                };
                assert!(EventState::Held.may_become(to), "{to}");
                assert_eq!(written_off, !to.counts_as_told() && to == EventState::Dead);
                let may = if may_exist { " (may exist)" } else { "" };
                said.push(format!("{} -> {to}{may}", verdict.typed()));
            }
            table.push_str(&format!("{exists}{cancelled}{late}: {}\n", said.join("\n  ")));
        }
        // What is not here is refused.
        insta::assert_snapshot!(table, @r"
        refused: billed -> settled (may exist)
          not-billed -> superseded
          write-off -> dead
        refused, late: billed -> settled (may exist)
          not-billed -> superseded
          write-off -> dead
        may exist: billed -> settled (may exist)
          not-billed -> pending
          write-off -> dead (may exist)
        may exist, late: billed -> settled (may exist)
          write-off -> dead (may exist)
        may exist, cancelled: billed -> settled (may exist)
          not-billed -> superseded
          write-off -> dead (may exist)
        may exist, cancelled, late: billed -> settled (may exist)
          not-billed -> superseded
          write-off -> dead (may exist)
        ");
    }

    #[test]
    fn what_another_program_told_is_never_sent_again() {
        for may_exist in [false, true] {
            let (cancelled, told_before) = (false, true);
            let event = HeldEvent {
                may_exist,
                cancelled,
                told_before,
                file: None,
                deadline_at: NOON.plus_seconds(-1),
                provider_now: NOON,
            };
            let fate = judge_event(Verdict::NotBilled, event).unwrap();
            assert_eq!((fate.to, fate.may_exist), (EventState::Superseded, false));
            assert_eq!(judge_event(Verdict::Billed, event).unwrap().to, EventState::Settled);
            assert_eq!(judge_event(Verdict::WriteOff, event).unwrap().to, EventState::Dead);
        }
    }
    #[test]
    fn what_a_file_tells_is_not_told_by_a_request_while_the_file_may_be_uploaded() {
        let event = HeldEvent {
            may_exist: true,
            cancelled: false,
            told_before: false,
            file: Some(ExportId(7)),
            deadline_at: NOON,
            provider_now: NOON,
        };
        let why = judge_event(Verdict::NotBilled, event).unwrap_err();
        assert!(why.contains("tallyd export abandon 7"), "{why}");
        assert_eq!(judge_event(Verdict::Billed, event).unwrap().to, EventState::Settled);
        let fate = judge_event(Verdict::WriteOff, event).unwrap();
        assert_eq!((fate.to, fate.may_exist), (EventState::Dead, true));
        let uploaded = HeldEvent { file: None, ..event };
        assert_eq!(judge_event(Verdict::NotBilled, uploaded).unwrap().to, EventState::Pending);
    }
}
