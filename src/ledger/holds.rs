//! What people ask of what is held, and decide. Here: the listing of what waits for a person, each
//! with a token of how it was seen, and the one verb by which a person decides. Never here: what a
//! verdict makes of an event (`domain::resolution`). Read next: `store`.

use async_trait::async_trait;

use super::LedgerError;
use super::intake::Archived;
use super::operator::HeldItem;
use crate::domain::correction::Standing;
use crate::domain::quantity::Quantity;
use crate::domain::resolution::{ItemName, Token, Verdict};
use crate::domain::time::Timestamp;

/// The reason under which an undecided conflict is listed among what is held.
pub const CONFLICT: &str = "conflict";
/// What ends a conflict.
pub const CONFLICT_ENDED_BY: &str =
    "say which copy is right (tallyd held resolve NAME --as first|second --why TEXT)";
/// What ends a correction without effect.
pub const STALE_ENDED_BY: &str =
    "correct the record again, replacing what it counts with now; or leave it as it is";

/// What a copy of a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Who used.
    pub customer: String,
    /// What was used.
    pub meter: String,
    /// How much.
    pub quantity: Quantity,
    /// When.
    pub occurred_at: Timestamp,
    /// The properties, as JSON.
    pub properties: String,
}

/// Two copies of a record that say different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its name.
    pub name: ItemName,
    /// Where the record comes from.
    pub source: String,
    /// The record's name there.
    pub record: String,
    /// The copy that is booked; nothing when it is archived.
    pub first: Option<Copy>,
    /// Where the booked copy went, if it is archived.
    pub archived: Option<Archived>,
    /// The copy that came later.
    pub second: Copy,
    /// What the record counts with, after its corrections; nothing when it is archived.
    pub standing: Option<Standing>,
    /// When the later copy came.
    pub since: Timestamp,
    /// Which copy a person decided for, if one did.
    pub decided: Option<Verdict>,
    /// How it was seen.
    pub token: Token,
}

/// A correction that came before its record and replaces another quantity than the record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleCorrection {
    /// The correction's number.
    pub id: i64,
    /// Where the record comes from.
    pub source: String,
    /// The record's name there.
    pub record: String,
    /// The caller's own name for the correction.
    pub name: String,
    /// What it would have the record count with.
    pub quantity: Quantity,
    /// What it replaces.
    pub replaces: Quantity,
    /// What the record counts with.
    pub standing: Standing,
    /// When it came.
    pub since: Timestamp,
}

/// What waits for a person beside what is held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// Conflicts that nobody decided, oldest first.
    pub conflicts: Vec<Conflict>,
    /// Corrections without effect that no later one made up for, oldest first.
    pub corrections: Vec<StaleCorrection>,
}

/// Something that may be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A held event or balance.
    Held(HeldItem),
    /// A conflict, decided or not.
    Conflict(Box<Conflict>),
}

impl Item {
    /// How it was seen.
    #[must_use]
    pub const fn token(&self) -> &Token {
        match self {
            Self::Held(item) => &item.token,
            Self::Conflict(conflict) => &conflict.token,
        }
    }
}

/// A verdict over one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The item.
    pub item: ItemName,
    /// What is said of it.
    pub verdict: Verdict,
    /// How the item was when it was seen.
    pub expect: Token,
    /// Why, at most [`crate::domain::correction::REASON_BYTES_MAX`].
    pub why: String,
    /// Who says so.
    pub who: String,
    /// Whether it is only asked what would change.
    pub dry_run: bool,
}

/// A move that a verdict made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The event.
    pub event: i64,
    /// From which state.
    pub from: String,
    /// To which.
    pub to: String,
}

/// A sum before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Before.
    pub from: Quantity,
    /// After.
    pub to: Quantity,
}

/// What a verdict changed in a balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceChange {
    /// The balance's number.
    pub balance: i64,
    /// What it accrued.
    pub accrued: Changed,
    /// What it was told.
    pub told: Changed,
    /// What remains to be told.
    pub outstanding: Changed,
}

/// What a verdict changed, or would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its number among the resolutions; nothing when it was only asked.
    pub id: Option<i64>,
    /// The events that moved.
    pub moves: Vec<Moved>,
    /// The balance it concerns, if one does.
    pub balance: Option<BalanceChange>,
    /// How many records were written off from.
    pub records: i64,
    /// What is done then, as a sentence.
    pub next: String,
}

/// What became of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is recorded, or was only asked about.
    Done(Box<Resolved>),
    /// It cannot be given, and nothing was changed. A sentence says why.
    Refused(String),
}

/// What became of a word that the ledger has caught up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaughtUp {
    /// It is noted.
    Noted,
    /// There is nothing to note. A sentence says why.
    Refused(String),
}

/// The port of those who decide what is held.
#[async_trait]
pub trait HoldsLedger: Send + Sync {
    /// What waits for a person beside what is held; at most `limit` of each kind.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn questions(&self, limit: u32) -> Result<Questions, LedgerError>;

    /// One item as it stands, if it waits for a verdict, or is a conflict.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    async fn item(&self, name: ItemName) -> Result<Option<Item>, LedgerError>;

    /// Takes a verdict: makes its moves and lines, and appends it to the resolutions, in one
    /// transaction; or, for a dry run, finds out what that would change. Refused when the item is
    /// not as it was seen.
    ///
    /// # Errors
    /// Then nothing was changed, except after [`LedgerError::Broken`]. [`LedgerError::Busy`] when
    /// an event that would move is in flight.
    async fn resolve(
        &self,
        resolution: &Resolution,
        now: Timestamp,
    ) -> Result<Decision, LedgerError>;

    /// Notes that the sources of a ledger that was rolled back sent again what it lacked. `by` says
    /// who says so, and why.
    ///
    /// # Errors
    /// Then nothing was noted.
    async fn caught_up(&self, by: &str, now: Timestamp) -> Result<CaughtUp, LedgerError>;
}
