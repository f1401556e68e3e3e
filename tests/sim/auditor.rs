//! Whether the promise holds. Here: a small model of what came in, and what must be true of the
//! ledger and the provider after every step and at the end. Never here: the program's own
//! arithmetic or its queries. Read next: [`holds`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tallyd::accrual::route::Route;
use tallyd::domain::correction::{Change, Correction, CorrectionPolicy};
use tallyd::domain::record::UsageRecord;
use tallyd::ledger::intake::{Admission, CorrectionAdmission};

use crate::amount::Amount;
use crate::cutover::Before;
use crate::rows::{self, Corrected, Event, Rows, Seen};
use crate::scene::Stage;
use crate::server::Adds;

mod books;
mod corrections;
mod cutover;
mod gauges;
mod holds;
mod journal;
mod levels;
mod periods;
mod totals;

pub(crate) use corrections::{Counts, PERSON};

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

/// A correction as it was sent in: of which record, called what, saying what.
type Asked = (String, String, Option<(Amount, Amount)>);

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
    /// Whether some route ever left corrections to people.
    leaves_to_people: bool,
    /// The versions of routes, as the ledger numbers them.
    versions: BTreeMap<i64, Route>,
    /// How far the ledger was read.
    seen: Seen,
    /// What each balance should hold: by number, (meter, account, sum).
    balances: BTreeMap<i64, (String, String, Amount)>,
    /// The provider's meters, and what each adds up.
    meters: BTreeMap<String, Adds>,
    /// What each record stands for in a balance that is a level, by balance.
    shares: BTreeMap<i64, BTreeMap<i64, levels::Share>>,
    /// Which (record, destination) were booked: the line.
    booked: BTreeMap<(i64, String), rows::Line>,
    /// What the lines of a record and its corrections come to, by record and balance.
    followed: BTreeMap<(i64, i64), Amount>,
    /// What the transfers of a record come to, by record and meter.
    transferred: BTreeMap<(i64, String), Amount>,
    /// Balances of which usage went to others.
    parted: BTreeSet<i64>,
    /// Every correction that was ever sent in.
    asked: BTreeSet<Asked>,
    /// Corrections that the ledger said it accepted: of which record, called what.
    promised: BTreeSet<(String, String)>,
    /// Records of which it was said that they are cancelled.
    cancelled: BTreeSet<String>,
    /// The ledger's corrections, by record, in their order.
    corrections: BTreeMap<String, Vec<Corrected>>,
    /// Records of which a person decided for the later copy.
    decided: BTreeSet<String>,
    /// Lanes of which some total could not be explained for certain.
    doubted: BTreeSet<(String, String)>,
    /// Where periods were last known to end or begin, by meter and account.
    bounds: BTreeMap<(String, String), BTreeSet<i64>>,
    /// Each event as it was last seen.
    events: BTreeMap<i64, Event>,
    /// From how many entries of an account on its windows may be months, and whose may.
    pub(crate) widened_from: Option<usize>,
    few: BTreeSet<String>,
    /// What each record stands for in each balance.
    standing: BTreeMap<(i64, i64), Amount>,
    /// What the lines of usage of before a cutover come to.
    before: Before,
    /// What records stood for where a remap took them from, also in a ledger that is lost now: by
    /// meter, account and balance.
    once_booked: Vec<(String, String, i64, Amount)>,
}

impl Auditor {
    pub(crate) fn new(stage: Stage, path: PathBuf) -> Self {
        let meters = stage.scene().server.meters.clone();
        Self {
            stage,
            path,
            meters,
            connection: None,
            sent: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            journal: BTreeMap::new(),
            positions: BTreeMap::new(),
            routes: BTreeMap::new(),
            leaves_to_people: false,
            versions: BTreeMap::new(),
            seen: Seen::default(),
            balances: BTreeMap::new(),
            shares: BTreeMap::new(),
            booked: BTreeMap::new(),
            followed: BTreeMap::new(),
            transferred: BTreeMap::new(),
            parted: BTreeSet::new(),
            asked: BTreeSet::new(),
            promised: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            corrections: BTreeMap::new(),
            decided: BTreeSet::new(),
            doubted: BTreeSet::new(),
            bounds: BTreeMap::new(),
            events: BTreeMap::new(),
            widened_from: None,
            few: BTreeSet::new(),
            standing: BTreeMap::new(),
            before: Before::new(),
            once_booked: Vec::new(),
        }
    }

    /// The ledger is an older one from here on: what it lacks was forgotten with it, until it is
    /// sent in again.
    pub(crate) fn rolled_back(&mut self) {
        let new = Self::new(self.stage.clone(), self.path.clone());
        let old = std::mem::replace(self, new);
        // Where the lost ledger had booked records anew is not known to this one.
        let anew = old.booked.values().filter(|_| !old.once_booked.is_empty());
        self.once_booked = anew.map(|line| old.at_most(line)).collect();
        self.sent = old.sent;
        self.routes = old.routes;
        self.leaves_to_people = old.leaves_to_people;
        self.asked = old.asked;
        self.decided = old.decided;
        self.widened_from = old.widened_from;
        self.once_booked.extend(old.once_booked);
    }

    /// Takes note of a route that is or was configured.
    pub(crate) fn configured(&mut self, route: &Route) {
        self.leaves_to_people |= route.policies.corrections == CorrectionPolicy::Hold;
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

    /// Takes note that a person decides for the later copy of a record.
    pub(crate) fn second_may_be_right(&mut self, record: &str) {
        self.decided.insert(record.to_owned());
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
                // What a person decided for is known from then on.
                (Some(_), Admission::Duplicate(_)) if self.decided.contains(&id) => None,
                (Some(_), other) => Some(format!("{id} came to {other:?}")),
            };
            if let Some(what) = wrong {
                self.stage.scene().server.wrongs.push(("duplicate-is-not-conflict", what));
            }
        }
    }

    /// Takes note of a correction that is sent in, before anything is answered.
    pub(crate) fn asked_for(&mut self, correction: &Correction) {
        self.asked.insert(asked(correction));
    }

    /// Takes note of what the ledger answered to corrections.
    pub(crate) fn corrected(
        &mut self,
        corrections: &[Correction],
        admissions: &[CorrectionAdmission],
    ) {
        for (correction, admission) in corrections.iter().zip(admissions) {
            let (record, name, to) = asked(correction);
            let accepted = match admission {
                CorrectionAdmission::Accepted { .. } => true,
                CorrectionAdmission::Duplicate(_) => false,
                CorrectionAdmission::Conflict(_)
                | CorrectionAdmission::Stale(_)
                | CorrectionAdmission::Archived(_) => continue,
            };
            if to.is_none() {
                self.cancelled.insert(record.clone());
            }
            if accepted && !self.promised.insert((record.clone(), name.clone())) {
                let what = format!("{name} of {record} was accepted twice");
                self.stage.scene().server.wrongs.push(("corrected-once", what));
            }
        }
    }

    /// An event, as it was last seen.
    pub(crate) fn event(&self, id: i64) -> Option<&Event> {
        self.events.get(&id)
    }

    /// Whether some event that was accepted can still be proven by a total. What an entry is
    /// replaced by waits for the proof that it is gone, whatever is doubted beside it.
    pub(crate) fn awaits_proof(&self) -> bool {
        let doubted =
            |event: &Event| self.doubted.contains(&(event.meter.clone(), event.account.clone()));
        self.events
            .values()
            .filter(|event| !self.is_of_before(event))
            .any(|event| event.state == "accepted" && (event.target.is_some() || !doubted(event)))
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
        let read = self.read().await;
        self.journal_is_what_was_sent(&read)?;
        self.corrections_are_what_was_asked(&read)?;
        self.bookings_are_of_records(&read)?;
        self.balances_are_conserved(&read)?;
        self.transfers_are_whole()?;
        self.periods_are_true(&read)?;
        self.events_stay_in_their_period(&read)?;
        self.moves_are_legal(&read)?;
        self.events_are_truthful(&read)?;
        self.truth_is_in_the_bracket(&read)?;
        self.gauges_are_in_the_bracket(&read)?;
        self.gauges_are_told_in_order(&read)?;
        self.totals_have_explanations(&read)?;
        self.holds_are_justified(&read)?;
        self.events = read.events.into_iter().map(|event| (event.id, event)).collect();
        Ok(())
    }

    /// What must hold at the end, when nothing went wrong for a long while.
    pub(crate) async fn audit_end(&mut self) -> Result<(), Violation> {
        self.audit().await?;
        let read = self.read().await;
        self.corrections_were_followed()?;
        self.periods_are_known(&read)?;
        self.everything_was_booked(&read)?;
        self.everything_was_told(&read)?;
        self.nothing_of_before_stands(&read)?;
        self.levels_are_said_once(&read)?;
        self.gauges_are_what_was_read(&read)?;
        self.totals_are_what_was_used(&read)
    }

    async fn read(&mut self) -> Rows {
        let (seen, path) = (self.seen, self.path.clone());
        let read = rows::read(self.connection().await, seen).await;
        read.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn provider_saw_nothing_wrong(&self) -> Result<(), Violation> {
        match self.stage.scene().server.wrongs.first() {
            Some((invariant, what)) => violated(invariant, what.clone()),
            None => Ok(()),
        }
    }
}

/// What a correction asks for: of which record, called what, saying what.
fn asked(correction: &Correction) -> (String, String, Option<(Amount, Amount)>) {
    let amount = |text: String| Amount::parse(&text).expect("it is plain text");
    let to = match &correction.change {
        Change::Cancel => None,
        Change::Adjust { quantity, replaces } => {
            Some((amount(quantity.to_string()), amount(replaces.to_string())))
        }
    };
    (correction.record.as_str().to_owned(), correction.name.as_str().to_owned(), to)
}
