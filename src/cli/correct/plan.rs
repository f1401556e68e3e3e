//! What a command makes of the records it finds. PURE. Here: the names of its corrections, which
//! records they change, and the sums before and after. Never here: reading the ledger, printing.
//! Read next: [`super::preview`].

use std::collections::BTreeMap;

use crate::domain::correction::{Change, Correction, Standing, fold};
use crate::domain::digest::Fields;
use crate::domain::names::{CorrectionName, NameError};
use crate::domain::quantity::{Quantity, QuantityError};
use crate::domain::record::identity;
use crate::domain::time::Timestamp;
use crate::ledger::corrections::{FoundRecord, Reached};

/// What shall become of each record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It shall not count.
    Cancel,
    /// It shall count with this.
    To(Quantity),
    /// It shall count with so many times what it counts with.
    Times(Quantity),
}

/// A command for many records.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// What shall become of them.
    pub(crate) wish: Wish,
    /// Its name.
    pub(crate) id: String,
    /// Why.
    pub(crate) reason: String,
    /// Who.
    pub(crate) who: String,
}

impl Command {
    /// The name of a command that was given none: made of what it says, but not of the records it
    /// finds, so that two commands whose records overlap change none of them twice.
    pub(crate) fn id_of(wish: &Wish, reason: &str) -> String {
        let fields = Fields::of("correction command 1");
        let fields = match wish {
            Wish::Cancel => fields.text("cancel"),
            Wish::To(quantity) => fields.text("to").text(&quantity.to_string()),
            Wish::Times(factor) => fields.text("times").text(&factor.to_string()),
        };
        hex::encode(fields.text(reason).finish())
    }

    /// The name of its correction of a record: the same each time it is run.
    fn name(&self, record: &FoundRecord) -> Result<CorrectionName, NameError> {
        let record = identity(&record.source, &record.id);
        let digest = Fields::of("correction by command 1").text(&self.id).bytes(&record).finish();
        CorrectionName::new(&format!("tallyd-{}", hex::encode(digest)))
    }
}

/// Why a command cannot be carried out; then nothing of it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// A product is no quantity.
    #[error("{record} counts with {present}, and {present} times {factor} {why}")]
    Product {
        /// The record, as SOURCE/ID.
        record: String,
        /// What it counts with.
        present: Quantity,
        /// The factor.
        factor: Quantity,
        /// What is wrong with the product.
        why: QuantityError,
    },
    /// More records than one command corrects.
    #[error("more than {0} records are found; narrow the filter, and run it in parts")]
    TooMany(usize),
    /// A name that cannot be one.
    #[error("the correction's name {0}")]
    Name(#[from] NameError),
}

/// What becomes of the records of one customer and meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Records that are changed.
    pub(crate) records: u64,
    /// What those count with.
    pub(crate) before: Quantity,
    /// What they will count with.
    pub(crate) after: Quantity,
    /// Of those, how many the provider may know of.
    pub(crate) told: u64,
    /// Of those, how many its total was seen to contain.
    pub(crate) settled: u64,
    /// Records that are cancelled already.
    pub(crate) cancelled: u64,
    /// Records that this very command corrected before.
    pub(crate) done: u64,
    /// Records that count with the wanted quantity already.
    pub(crate) unchanged: u64,
}

impl Group {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self {
            records: 0,
            before: Quantity::zero(),
            after: Quantity::zero(),
            told: 0,
            settled: 0,
            cancelled: 0,
            done: 0,
            unchanged: 0,
        }
    }

    /// Adds another group.
    pub(crate) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.before = &self.before + &other.before;
        self.after = &self.after + &other.after;
        self.told += other.told;
        self.settled += other.settled;
        self.cancelled += other.cancelled;
        self.done += other.done;
        self.unchanged += other.unchanged;
    }
}

/// A record that is changed, for the first lines of a preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    /// The record.
    pub(crate) record: FoundRecord,
    /// What it counts with.
    pub(crate) before: Quantity,
    /// What it will count with.
    pub(crate) after: Standing,
}

/// What a command comes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Its corrections.
    pub(crate) corrections: Vec<Correction>,
    /// By customer and meter.
    pub(crate) groups: BTreeMap<(String, String), Group>,
    /// The first records that are changed.
    pub(crate) examples: Vec<Example>,
    /// What it does not look at, where the filter reaches so far back.
    pub(crate) archives: Option<PassedOver>,
}

/// Records that went to archives, and are corrected no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PassedOver {
    /// How many there are, whoever's they are.
    pub(crate) records: i64,
    /// Until when the newest of their windows ended.
    pub(crate) before: Timestamp,
}

impl Plan {
    /// Most corrections of one command: they are held at once, a few hundred bytes each.
    pub(crate) const CORRECTIONS_MAX: usize = 500_000;
    /// Most records that are shown one by one.
    const EXAMPLES_MAX: usize = 10;

    /// Adds a record that the command found.
    ///
    /// # Errors
    /// When it cannot be corrected as the command says.
    pub(crate) fn take(&mut self, command: &Command, record: FoundRecord) -> Result<(), PlanError> {
        let changes = record.corrections.iter().map(|(_, change)| change);
        let (_, standing) = fold(&record.quantity, changes);
        let key = (record.customer.to_string(), record.meter.to_string());
        let group = self.groups.entry(key).or_insert_with(Group::empty);
        let before = match standing {
            Standing::Cancelled => {
                group.cancelled += 1;
                return Ok(());
            }
            Standing::Counts(quantity) => quantity,
        };
        let name = command.name(&record)?;
        if record.corrections.iter().any(|(known, _)| known == name.as_str()) {
            group.done += 1;
            return Ok(());
        }
        let after = match &command.wish {
            Wish::Cancel => Standing::Cancelled,
            Wish::To(quantity) => Standing::Counts(quantity.clone()),
            Wish::Times(factor) => Standing::Counts(times(&record, &before, factor)?),
        };
        let (change, counts) = match &after {
            Standing::Cancelled => (Change::Cancel, Quantity::zero()),
            Standing::Counts(quantity) if *quantity == before => {
                group.unchanged += 1;
                return Ok(());
            }
            Standing::Counts(quantity) => (
                Change::Adjust { quantity: quantity.clone(), replaces: before.clone() },
                quantity.clone(),
            ),
        };
        if self.corrections.len() == Self::CORRECTIONS_MAX {
            return Err(PlanError::TooMany(Self::CORRECTIONS_MAX));
        }
        group.records += 1;
        group.before = &group.before + &before;
        group.after = &group.after + &counts;
        group.told += u64::from(record.reached >= Reached::Told);
        group.settled += u64::from(record.reached == Reached::Settled);
        self.corrections.push(Correction {
            source: record.source.clone(),
            record: record.id.clone(),
            name,
            change,
            reason: command.reason.clone(),
            who: command.who.clone(),
        });
        if self.examples.len() < Self::EXAMPLES_MAX {
            self.examples.push(Example { record, before, after });
        }
        Ok(())
    }

    /// The sum of the groups.
    pub(crate) fn total(&self) -> Group {
        let mut total = Group::empty();
        self.groups.values().for_each(|group| total.add(group));
        total
    }
}

/// An exact product, within the bounds of a quantity.
fn times(
    record: &FoundRecord,
    present: &Quantity,
    factor: &Quantity,
) -> Result<Quantity, PlanError> {
    let product = present * factor;
    Quantity::parse(&product.to_string()).map_err(|why| PlanError::Product {
        record: format!("{}/{}", record.source, record.id),
        present: present.clone(),
        factor: factor.clone(),
        why,
    })
}
