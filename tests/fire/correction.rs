//! Corrections of the load. Here: which records are corrected, how and when, as a seed has it, and
//! how a correction is written. Never here: what has become of it. Read next: [`super::fixes`].
//!
//! Like records, corrections are made by nothing that the daemon uses. The corrections of a record
//! go one after the other: each is sent when the one before it is acknowledged, so that the client
//! knows what the record counts with, whatever answers are lost.

use serde_json::{Value, json};

use super::chance::Dice;
use super::memory::Way;
use super::record::{Meter, Record, decimal};

/// Sets the numbers of a record's corrections apart from those of the record.
const SALT: u64 = 0x636f_7272_6563_7421;
/// The columns of a table of corrections.
const COLUMNS: [&str; 7] = ["source", "record", "id", "kind", "quantity", "replaces", "reason"];

/// What a correction says, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Cancel,
    Adjust { to: i64, replaces: i64 },
}

impl Change {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Adjust { .. } => "adjust",
        }
    }

    /// What the record counts with when it is applied; nothing when it is cancelled.
    pub(crate) const fn leaves(self) -> Option<i64> {
        match self {
            Self::Cancel => None,
            Self::Adjust { to, .. } => Some(to),
        }
    }
}

/// When a correction is sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before its record.
    Early,
    /// While it is not known whether the record is booked; once it is, if it is never in doubt.
    InDoubt,
    /// When so many more records are acknowledged after its record, or the correction before it.
    After(u64),
}

/// What has to become of a correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is accepted, and the record counts so.
    Applies,
    /// The record is cancelled already: that is acknowledged, and changes nothing.
    Idle,
    /// It is refused: the record counts with something else than it replaces.
    Stale,
    /// It is refused: another correction has its name.
    Conflict,
    /// It replaces what the record never had. Before the record it is accepted, and comes to
    /// nothing with it; after it, it is refused.
    Mistaken,
}

/// One correction of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) change: Change,
    pub(crate) moment: Moment,
    pub(crate) fate: Fate,
}

/// How corrections are made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Habit {
    /// One record in so many is corrected.
    pub(crate) one_in: u64,
    /// How many acknowledged records a correction waits for at most, if it is soon, and if it is
    /// late.
    pub(crate) soon: u64,
    pub(crate) span: u64,
}

/// The corrections of a record, in order: mostly none.
pub(crate) fn script(seed: u64, record: &Record, habit: Habit) -> Vec<Step> {
    let Habit { one_in, soon, span } = habit;
    let mut dice = Dice::of(seed ^ SALT, record.number);
    if !dice.once_in(one_in) {
        return Vec::new();
    }
    let sent = record.sent;
    let bound = sent.unsigned_abs();
    let lowered = i64::try_from(dice.below(bound)).unwrap_or_default();
    let raised = sent + 1 + i64::try_from(dice.below(bound)).unwrap_or_default();
    let adjust = |to, replaces| Change::Adjust { to, replaces };
    let step = |name, change, fate| (name, change, fate);
    let steps = match dice.below(16) {
        0..5 => vec![step("a", Change::Cancel, Fate::Applies)],
        5..9 => vec![step("a", adjust(lowered, sent), Fate::Applies)],
        9..11 => vec![step("a", adjust(raised, sent), Fate::Applies)],
        11 => vec![
            step("a", adjust(raised, sent), Fate::Applies),
            step("b", Change::Cancel, Fate::Applies),
        ],
        12 => vec![
            step("a", adjust(lowered, sent), Fate::Applies),
            step("b", adjust(sent, lowered), Fate::Applies),
        ],
        13 => vec![
            step("a", adjust(raised, sent), Fate::Applies),
            step("a", adjust(raised + 1, sent), Fate::Conflict),
            step("b", adjust(lowered, sent), Fate::Stale),
        ],
        14 => vec![step("a", adjust(lowered, sent + 1), Fate::Mistaken)],
        _ => vec![
            step("a", Change::Cancel, Fate::Applies),
            step("b", Change::Cancel, Fate::Idle),
            step("c", adjust(raised, sent), Fate::Stale),
        ],
    };
    let mut moment = |is_first: bool, fate: Fate| match (fate, is_first, dice.below(8)) {
        (Fate::Mistaken, ..) | (_, true, 0..2) => Moment::Early,
        (_, true, 2..4) => Moment::InDoubt,
        (_, _, 0..5) => Moment::After(0),
        (_, _, 5..7) => Moment::After(dice.below(soon)),
        (_, _, _) => Moment::After(dice.below(span)),
    };
    let made = steps.into_iter().enumerate().map(|(at, (name, change, fate))| {
        let moment = moment(at == 0, fate);
        Step { name, change, moment, fate }
    });
    made.collect()
}

/// A correction on its way.
#[derive(Clone, Debug)]
pub(crate) struct Correction {
    /// The record's number, way in and meter.
    pub(crate) number: u64,
    pub(crate) way: Way,
    pub(crate) meter: Meter,
    pub(crate) step: Step,
    /// How often it was sent, this time included.
    pub(crate) sent: u32,
    /// Whether it is acknowledged, and only sent again.
    pub(crate) acknowledged: bool,
}

impl Correction {
    /// Where it is posted to.
    pub(crate) fn path(&self) -> String {
        let (source, kind) = (self.way.source(), self.step.change.kind());
        format!("/v1/usage/{source}/{}/{kind}", self.record())
    }

    /// What is posted there.
    pub(crate) fn body(&self) -> String {
        let mut body = json!({ "id": self.step.name, "reason": self.reason() });
        self.quantities(&mut body);
        body.to_string()
    }

    /// As JSON on one line of a file.
    pub(crate) fn line(&self) -> String {
        let mut line = json!({
            "source": self.way.source(), "record": self.record(), "id": self.step.name,
            "kind": self.step.change.kind(), "reason": self.reason(),
        });
        self.quantities(&mut line);
        line.to_string()
    }

    fn quantities(&self, into: &mut Value) {
        if let Change::Adjust { to, replaces } = self.step.change {
            into["quantity"] = decimal(to.into()).into();
            into["replaces"] = decimal(replaces.into()).into();
        }
    }

    /// What the first line of a table says.
    pub(crate) fn row_head() -> String {
        COLUMNS.join(",")
    }

    /// As a row of a table.
    pub(crate) fn row(&self) -> String {
        let (to, replaces) = match self.step.change {
            Change::Cancel => (String::new(), String::new()),
            Change::Adjust { to, replaces } => (decimal(to.into()), decimal(replaces.into())),
        };
        let (source, kind) = (self.way.source(), self.step.change.kind());
        let (record, reason) = (self.record(), self.reason());
        format!("{source},{record},{},{kind},{to},{replaces},{reason}", self.step.name)
    }

    /// The record's id in its source.
    fn record(&self) -> String {
        match self.way {
            Way::Http | Way::Lines | Way::Spool => format!("r{}", self.number),
            // Its mapping adds the meter's name.
            Way::Table => format!("r{}-{}", self.number, self.meter.name()),
        }
    }

    fn reason(&self) -> &'static str {
        match self.step.fate {
            Fate::Applies | Fate::Idle => "the run corrects it",
            Fate::Stale | Fate::Conflict | Fate::Mistaken => "the run mistakes it",
        }
    }
}
