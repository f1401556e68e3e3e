//! Whether the promise holds. Here: a small model of what came in, and what must be true of the
//! ledger and the provider after every step and at the end. Never here: the program's own
//! arithmetic or its queries. Read next: [`holds`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tallyd::accrual::route::Route;
use tallyd::domain::record::UsageRecord;
use tallyd::ledger::intake::Admission;

use crate::amount::Amount;
use crate::rows::{self, Event};
use crate::scene::Stage;

mod books;
mod holds;
mod journal;

/// What was found to be untrue.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// The invariant's name.
    pub(crate) invariant: &'static str,
    /// What is wrong.
    pub(crate) what: String,
}

pub(crate) fn violated<T>(invariant: &'static str, what: String) -> Result<T, Violation> {
    Err(Violation { invariant, what })
}

/// What a record says, as the source sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    customer: String,
    meter: String,
    tier: String,
    quantity: Amount,
    at: i64,
}

impl Said {
    fn of(record: &UsageRecord) -> Self {
        let tier = record.properties.get("tier").map(|tier| tier.as_text().to_owned());
        Self {
            customer: record.customer.as_str().to_owned(),
            meter: record.meter.as_str().to_owned(),
            tier: tier.unwrap_or_default(),
            quantity: Amount::parse(&record.quantity.to_string()).expect("it is plain text"),
            at: record.occurred_at.micros(),
        }
    }
}

/// The model, and how far it has read the ledger.
pub(crate) struct Auditor {
    stage: Stage,
    path: PathBuf,
    connection: Option<SqliteConnection>,
    /// Everything that was ever sent in under an id.
    sent: BTreeMap<String, Vec<Said>>,
    /// What was acknowledged under an id, first.
    acknowledged: BTreeMap<String, Said>,
    /// What the journal holds, by position.
    journal: BTreeMap<i64, (String, Said)>,
    /// The journal's ids.
    positions: BTreeMap<String, i64>,
    /// Every route that was ever configured, by name and definition.
    routes: BTreeMap<(String, String), Route>,
    /// The versions of routes, as the ledger numbers them.
    versions: BTreeMap<i64, Route>,
    /// The last booking and the last move that were read.
    last_booking: i64,
    last_move: i64,
    /// What each balance should hold: by number, (meter, account, sum).
    balances: BTreeMap<i64, (String, String, Amount)>,
    /// Which (record, destination) were booked.
    booked: BTreeMap<(i64, String), i64>,
    /// Each event as it was last seen.
    events: BTreeMap<i64, Event>,
}

impl Auditor {
    pub(crate) fn new(stage: Stage, path: PathBuf) -> Self {
        Self {
            stage,
            path,
            connection: None,
            sent: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            journal: BTreeMap::new(),
            positions: BTreeMap::new(),
            routes: BTreeMap::new(),
            versions: BTreeMap::new(),
            last_booking: 0,
            last_move: 0,
            balances: BTreeMap::new(),
            booked: BTreeMap::new(),
            events: BTreeMap::new(),
        }
    }

    /// Takes note of a route that is or was configured.
    pub(crate) fn configured(&mut self, route: &Route) {
        let definition = route.definition().definition;
        self.routes.insert((route.name.as_str().to_owned(), definition), route.clone());
    }

    /// Takes note of a record that a source sends, before anything is answered.
    pub(crate) fn sent_in(&mut self, record: &UsageRecord) {
        let said = Said::of(record);
        let known = self.sent.entry(record.id.as_str().to_owned()).or_default();
        if !known.contains(&said) {
            known.push(said);
        }
    }

    /// Takes note of what the ledger answered.
    pub(crate) fn admitted(&mut self, records: &[UsageRecord], admissions: &[Admission]) {
        for (record, admission) in records.iter().zip(admissions) {
            let id = record.id.as_str().to_owned();
            let said = Said::of(record);
            let known = self.acknowledged.get(&id);
            let wrong = match (known, admission) {
                (None, Admission::Accepted(_) | Admission::Duplicate(_)) => {
                    self.acknowledged.insert(id.clone(), said);
                    None
                }
                (Some(first), Admission::Duplicate(_)) if *first == said => None,
                (Some(first), Admission::Conflict(_)) if *first != said => None,
                // A copy whose answer was lost may have come first.
                (None, Admission::Conflict(_)) => None,
                (Some(_), other) => Some(format!("{id} came to {other:?}")),
            };
            if let Some(what) = wrong {
                self.stage.scene().server.wrongs.push(("duplicate-is-not-conflict", what));
            }
        }
    }

    async fn connection(&mut self) -> &mut SqliteConnection {
        if self.connection.is_none() {
            let options = SqliteConnectOptions::new().filename(&self.path).read_only(true);
            let connection = options.connect().await;
            self.connection = Some(connection.expect("the ledger can be read beside"));
        }
        self.connection.as_mut().expect("it was just made")
    }

    /// The file under the ledger's name is another now.
    pub(crate) fn reopen(&mut self) {
        self.connection = None;
    }

    /// What must hold after every step.
    pub(crate) async fn audit(&mut self) -> Result<(), Violation> {
        self.provider_saw_nothing_wrong()?;
        let (journal, bookings, moves) = (self.positions.len(), self.last_booking, self.last_move);
        let path = self.path.clone();
        let connection = self.connection().await;
        let read = rows::read(connection, journal, bookings, moves).await;
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.journal_is_what_was_sent(&read)?;
        self.bookings_are_of_records(&read)?;
        self.balances_are_conserved(&read)?;
        self.moves_are_legal(&read)?;
        self.events_are_truthful(&read)?;
        self.truth_is_in_the_bracket(&read)?;
        self.holds_are_justified(&read)?;
        self.events = read.events.into_iter().map(|event| (event.id, event)).collect();
        Ok(())
    }

    /// What must hold at the end, when nothing went wrong for a long while.
    pub(crate) async fn audit_end(&mut self) -> Result<(), Violation> {
        self.audit().await?;
        let journal = self.positions.len();
        let (bookings, moves) = (self.last_booking, self.last_move);
        let connection = self.connection().await;
        let read = rows::read(connection, journal, bookings, moves).await;
        let read = read.expect("the ledger can be read");
        self.everything_was_booked(&read)?;
        self.everything_was_told(&read)
    }

    fn provider_saw_nothing_wrong(&self) -> Result<(), Violation> {
        match self.stage.scene().server.wrongs.first() {
            Some((invariant, what)) => violated(invariant, what.clone()),
            None => Ok(()),
        }
    }
}
