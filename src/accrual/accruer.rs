//! The step of accrual. Here: reading past the watermark, mapping, writing back. Never here: the
//! mapping itself. Read next: [`super::map`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};

use super::follow::{Line, follow};
use super::hear::Ear;
use super::map::{Mapped, Mapping};
use super::route::{AccountRule, Route, Transform};
use super::widen::{Widening, accounts_of, widen};
use crate::domain::balance::{BalanceKey, Place};
use crate::domain::correction::CorrectionId;
use crate::domain::cutover::Cutover;
use crate::domain::fold::Fold;
use crate::domain::names::{AccountName, CustomerName, ProviderMeter, ProviderName};
use crate::domain::period::home;
use crate::domain::record::{Position, UsageRecord};
use crate::domain::state::ParkReason;
use crate::domain::time::{Timestamp, Window};
use crate::ledger::LedgerError;
use crate::ledger::accrual::{
    Accrual, AccrualLedger, BookedLine, Booking, Corrections, JournalRecord, Parking,
    RouteVersionId,
};
use crate::service::{Service, Step, StepError};

/// Records in one step: enough that the transaction's flush is paid off, few enough that posting
/// and intake are not kept waiting for the writer.
pub const BATCH_RECORDS: u32 = 2_000;

/// Corrections in one step: each brings its record's lines along.
pub const BATCH_CORRECTIONS: u32 = 500;

/// The meters whose windows stay whole.
pub type Whole = BTreeSet<(ProviderName, ProviderMeter)>;

/// What a step books by. It is the same for all of a step.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) routes: Vec<(Route, RouteVersionId)>,
    /// What accounts start with at each provider that is told.
    pub(super) account_prefixes: HashMap<ProviderName, &'static str>,
    widening: Widening,
    whole: Whole,
    cutovers: BTreeMap<ProviderName, Cutover>,
}

/// The service that books the journal.
pub struct Accruer {
    pub(super) ledger: Arc<dyn AccrualLedger>,
    pub(super) rules: Mutex<Rules>,
    ear: Mutex<Ear>,
    /// Balances that the steps since the last that was done would have booked to as they do not
    /// fold.
    unfit: Mutex<BTreeMap<BalanceKey, Fold>>,
}

/// Other rules, which no step has booked by yet: accrual waits until this is dropped. So whoever is
/// told by them can be put in its place before the first balance that they make.
#[derive(Debug)]
pub struct Adopted<'a> {
    /// From which place of the journal on they hold.
    pub from: Position,
    _rules: MutexGuard<'a, Rules>,
}

impl Accruer {
    /// Adopts `routes` in the ledger, and books by them from then on.
    ///
    /// # Errors
    /// When the ledger failed.
    pub async fn adopt(
        ledger: Arc<dyn AccrualLedger>,
        routes: Vec<Route>,
        account_prefixes: HashMap<ProviderName, &'static str>,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let routes = adopted(ledger.as_ref(), routes, now).await?;
        Ok(Self::by(ledger, routes, account_prefixes))
    }

    /// Books by `routes` as the ledger has adopted them; nothing where it has adopted others.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn by_adopted(
        ledger: Arc<dyn AccrualLedger>,
        routes: Vec<Route>,
        account_prefixes: HashMap<ProviderName, &'static str>,
    ) -> Result<Option<Self>, LedgerError> {
        let mut in_force = ledger.routes_in_force().await?;
        let mut known = Vec::with_capacity(routes.len());
        for route in routes {
            let definition = route.definition();
            let Some(place) = in_force.iter().position(|(adopted, _)| *adopted == definition)
            else {
                return Ok(None);
            };
            known.push((route, in_force.swap_remove(place).1));
        }
        Ok(in_force.is_empty().then(|| Self::by(ledger, known, account_prefixes)))
    }

    fn by(
        ledger: Arc<dyn AccrualLedger>,
        routes: Vec<(Route, RouteVersionId)>,
        account_prefixes: HashMap<ProviderName, &'static str>,
    ) -> Self {
        let (widening, whole, cutovers) = (Widening::new(), BTreeSet::new(), BTreeMap::new());
        let rules = Rules { routes, account_prefixes, widening, whole, cutovers };
        let (ear, unfit) = (Mutex::default(), Mutex::default());
        Self { ledger, rules: Mutex::new(rules), ear, unfit }
    }

    /// The same, which widens windows where few entries are left.
    #[must_use]
    pub fn widening(mut self, widening: Widening) -> Self {
        self.rules.get_mut().widening = widening;
        self
    }

    /// The same, which keeps the windows of these meters whole: they are told one total a window.
    #[must_use]
    pub fn keeping_whole(mut self, whole: Whole) -> Self {
        self.rules.get_mut().whole = whole;
        self
    }

    /// Adopts other routes between two steps, as a start with them does, and books by them from
    /// then on: what the journal has from the position that is answered, and what is parked. What
    /// is booked stays booked. No step begins before the answer is dropped.
    ///
    /// # Errors
    /// When the ledger failed. Then nothing was adopted, and the routes before are booked by.
    pub async fn readopt(
        &self,
        routes: Vec<Route>,
        widening: Widening,
        whole: Whole,
        now: Timestamp,
    ) -> Result<Adopted<'_>, LedgerError> {
        // A step that is under way goes by the routes before to its end.
        let mut rules = self.rules.lock().await;
        let watermark = self.ledger.unaccrued(1).await?.watermark;
        rules.routes = adopted(self.ledger.as_ref(), routes, now).await?;
        rules.widening = widening;
        rules.whole = whole;
        Ok(Adopted { from: Position(watermark.0 + 1), _rules: rules })
    }

    /// The same, which ends windows where another program's telling does.
    #[must_use]
    pub fn cutting_over(mut self, cutovers: BTreeMap<ProviderName, Cutover>) -> Self {
        self.rules.get_mut().cutovers = cutovers;
        self
    }

    /// The imported accounts that the routes ask for.
    pub(super) async fn imported<'a>(
        &self,
        rules: &Rules,
        records: impl Iterator<Item = &'a UsageRecord>,
    ) -> Result<HashMap<(ProviderName, CustomerName), AccountName>, LedgerError> {
        let mut asked: HashMap<&ProviderName, BTreeSet<&CustomerName>> = HashMap::new();
        for record in records {
            for (route, _) in &rules.routes {
                if route.account == AccountRule::Imported && route.takes(record) {
                    asked.entry(&route.provider).or_default().insert(&record.customer);
                }
            }
        }
        let mut imported = HashMap::new();
        for (provider, customers) in asked {
            let customers: Vec<CustomerName> = customers.into_iter().cloned().collect();
            for (customer, account) in self.ledger.imported_accounts(provider, &customers).await? {
                imported.insert((provider.clone(), customer), account);
            }
        }
        Ok(imported)
    }

    async fn book_journal(
        &self,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Option<Accrual>, LedgerError> {
        let page = self.ledger.unaccrued(BATCH_RECORDS).await?;
        let Some(last) = page.entries.last() else { return Ok(None) };
        let to = last.position;
        let imported = self.imported(rules, page.entries.iter().map(|entry| &entry.record)).await?;
        let mapping = rules.mapping(&imported);
        let mut mapped = Mapped::default();
        for entry in &page.entries {
            mapping.map(entry, now, &mut mapped);
        }
        let entries: Vec<&JournalRecord> = page.entries.iter().collect();
        self.place(rules, &mut mapped.bookings, now).await?;
        rules.park_unfit(&*self.unfit.lock().await, &mut mapped);
        rules.follow(&entries, &page.corrections, now, &mut mapped);
        let hearings = self.ear.lock().await.hear(&page);
        Ok(Some(Accrual {
            mapping: page.mapping,
            watermark: Some((page.watermark, to)),
            hearings,
            bookings: mapped.bookings,
            parkings: mapped.parkings,
            ..Accrual::default()
        }))
    }

    async fn review_parked(
        &self,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Option<Accrual>, LedgerError> {
        let page = self.ledger.parked_to_review(BATCH_RECORDS).await?;
        if page.parked.is_empty() {
            return Ok(None);
        }
        let imported =
            self.imported(rules, page.parked.iter().map(|each| &each.entry.record)).await?;
        let mapping = rules.mapping(&imported);
        let mut mapped = Mapped::default();
        let mut seen = BTreeSet::new();
        let (mut unparked, mut entries) = (Vec::new(), Vec::new());
        for parked in &page.parked {
            // One parking of a record at a time: what one books, the next has to know of.
            if seen.insert(parked.entry.position) {
                mapping.map_parked(parked, now, &mut mapped);
                unparked.push((parked.entry.position, parked.route.clone()));
                entries.push(&parked.entry);
            }
        }
        self.place(rules, &mut mapped.bookings, now).await?;
        rules.park_unfit(&*self.unfit.lock().await, &mut mapped);
        rules.follow(&entries, &page.corrections, now, &mut mapped);
        Ok(Some(Accrual {
            mapping: page.mapping,
            unparked,
            bookings: mapped.bookings,
            parkings: mapped.parkings,
            ..Accrual::default()
        }))
    }

    /// Gives what is booked the windows that it goes into, beside those of its routes.
    pub(super) async fn place(
        &self,
        rules: &Rules,
        bookings: &mut [Booking],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        for (provider, from) in &rules.widening {
            let accounts = accounts_of(bookings, provider);
            if !accounts.is_empty() {
                let few = self.ledger.accounts_with_entries(provider, &accounts, *from).await?;
                widen(bookings, provider, &few, now);
            }
        }
        self.cut_at_periods(rules, bookings, now).await
    }

    /// Ends windows where the periods that are known end, and where another program's telling does,
    /// so that no event says usage of two. Where windows stay whole, usage of one that two share
    /// goes into the window beside it.
    async fn cut_at_periods(
        &self,
        rules: &Rules,
        bookings: &mut [Booking],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let places: BTreeSet<Place> =
            bookings.iter().map(|booking| booking.balance.place()).collect();
        let places: Vec<Place> = places.into_iter().collect();
        let bounds = self.ledger.period_bounds(&places).await?;
        for booking in bookings.iter_mut().filter(|booking| booking.balance.record.is_none()) {
            let periods = bounds.get(&booking.balance.place()).map_or(&[][..], Vec::as_slice);
            let bill_from = rules.bill_from(booking);
            if periods.is_empty() && bill_from.is_none() {
                continue;
            }
            let window = booking.balance.window;
            let is_gauge = booking.fold == Fold::Gauge;
            // A gauge is told soon after a reading, whenever its period ends.
            let from = |window: Window| if is_gauge { now } else { window.end.max(now) };
            let mut waits = booking.due_at.micros_since(from(window));
            // Once its period has ended, its draft waits for nobody.
            if periods.iter().any(|end| booking.occurred_at < *end && *end <= now) {
                waits = 0;
            }
            let mut bounds = periods.to_vec();
            bounds.extend(bill_from);
            bounds.sort();
            let is_whole = rules.is_whole(&booking.balance);
            let window = home(window, &bounds, booking.occurred_at, is_whole);
            booking.balance.window = window;
            booking.due_at = from(window).plus_micros(waits);
        }
        Ok(())
    }

    /// The corrections that came for records after those were accrued.
    async fn book_corrections(&self, now: Timestamp) -> Result<Option<Accrual>, LedgerError> {
        let page = self.ledger.uncorrected(BATCH_CORRECTIONS).await?;
        if page.to == page.watermark {
            return Ok(None);
        }
        let mut bookings = Vec::new();
        for record in &page.records {
            let lines = record.lines.iter().map(line).collect::<Result<Vec<_>, _>>()?;
            bookings.extend(follow(&record.entry, &record.corrections, &lines, now));
        }
        let corrections = Some((page.watermark, page.to));
        let lines_to = Some(page.lines_to);
        Ok(Some(Accrual { corrections, bookings, lines_to, ..Accrual::default() }))
    }
}

impl Rules {
    /// Where the window of a booking ends beside the bounds of periods. A level has no parts: which
    /// record of a window counts would be another's in each; and whom another program counted of
    /// distinct values is not known. One that goes whole into the window
    /// beside it has none to part.
    fn bill_from(&self, booking: &Booking) -> Option<Timestamp> {
        let from = self.cutovers.get(&booking.balance.provider)?.of(&booking.balance);
        let has_parts = match booking.fold {
            // A gauge is parted as periods part it.
            Fold::Sum | Fold::Gauge => true,
            Fold::Last | Fold::Max | Fold::Unique => self.is_whole(&booking.balance),
        };
        from.filter(|_| has_parts)
    }

    fn is_whole(&self, balance: &BalanceKey) -> bool {
        self.whole.contains(&(balance.provider.clone(), balance.meter.clone()))
    }

    /// Parks what would be booked to a balance that folds otherwise than its route does. A route's
    /// aggregate may change while usage of a window that it booked before still comes.
    fn park_unfit(&self, unfit: &BTreeMap<BalanceKey, Fold>, mapped: &mut Mapped) {
        let others = |booking: &Booking| {
            let fold = unfit.get(&booking.balance).copied();
            fold.filter(|fold| *fold != booking.fold)
        };
        for booking in &mapped.bookings {
            let Some(fold) = others(booking) else { continue };
            let version = self.routes.iter().find(|(_, id)| *id == booking.route);
            let BalanceKey { provider, meter, window, .. } = &booking.balance;
            mapped.parkings.push(Parking {
                position: booking.position,
                route: version.map(|(route, _)| route.name.clone()),
                reason: ParkReason::OtherAggregate,
                detail: format!(
                    "{provider} {meter} has the window {window} booked as a {fold}, and the route \
                     makes a {} of it",
                    booking.fold
                ),
            });
        }
        mapped.bookings.retain(|booking| others(booking).is_none());
    }

    /// Adds the lines of the corrections of records to what was just booked of them.
    fn follow(
        &self,
        entries: &[&JournalRecord],
        corrections: &Corrections,
        now: Timestamp,
        into: &mut Mapped,
    ) {
        if corrections.is_empty() {
            return;
        }
        let mut booked: BTreeMap<Position, Vec<Line>> = BTreeMap::new();
        for booking in &into.bookings {
            let version = self.routes.iter().find(|(_, id)| *id == booking.route);
            let Some((route, _)) = version else { continue };
            booked.entry(booking.position).or_default().push(Line {
                balance: booking.balance.clone(),
                route: booking.route,
                transform: route.transform(),
                quantity: booking.quantity.clone(),
                cause: booking.cause,
                corrected_to: CorrectionId::default(),
            });
        }
        for entry in entries {
            let of_record = (corrections.get(&entry.position), booked.get(&entry.position));
            if let (Some(corrections), Some(lines)) = of_record {
                into.bookings.extend(follow(entry, corrections, lines, now));
            }
        }
    }

    pub(super) fn mapping<'a>(
        &'a self,
        imported: &'a HashMap<(ProviderName, CustomerName), AccountName>,
    ) -> Mapping<'a> {
        Mapping { routes: &self.routes, account_prefixes: &self.account_prefixes, imported }
    }
}

/// These routes with the versions that the ledger keeps them by.
async fn adopted(
    ledger: &dyn AccrualLedger,
    routes: Vec<Route>,
    now: Timestamp,
) -> Result<Vec<(Route, RouteVersionId)>, LedgerError> {
    let definitions: Vec<_> = routes.iter().map(Route::definition).collect();
    let versions = ledger.adopt_routes(&definitions, now).await?;
    Ok(routes.into_iter().zip(versions).collect())
}

pub(super) fn line(booked: &BookedLine) -> Result<Line, LedgerError> {
    let transform = Transform::of_definition(&booked.definition).ok_or_else(|| {
        LedgerError::Contradiction(format!("unreadable route: {}", booked.definition))
    })?;
    Ok(Line {
        balance: booked.balance.clone(),
        route: booked.route,
        transform,
        quantity: booked.quantity.clone(),
        cause: booked.cause,
        corrected_to: booked.corrected_to,
    })
}

#[async_trait]
impl Service for Accruer {
    fn name(&self) -> &str {
        "accrual"
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        // Held until what was booked by the rules is in the ledger: others are adopted after it.
        let rules = self.rules.lock().await;
        let mut accrual = self.book_journal(&rules, now).await?;
        if accrual.is_none() {
            accrual = self.book_corrections(now).await?;
        }
        if accrual.is_none() {
            accrual = self.review_parked(&rules, now).await?;
        }
        if accrual.is_none() {
            accrual = self.book_remap(&rules, now).await?;
        }
        let Some(accrual) = accrual else { return Ok(Step::default()) };
        let hearings = accrual.hearings.clone();
        let done = self.ledger.accrue(accrual, now).await?;
        let mut unfit = self.unfit.lock().await;
        if done.outdated {
            // Those that the step was derived with stay beside what it met: else the next one would
            // meet them again, and this one's after that.
            unfit.extend(done.unfit);
            return Ok(Step { more: true, ..Step::default() });
        }
        unfit.clear();
        drop(unfit);
        self.ear.lock().await.keep_in_mind(hearings);
        drop(rules);
        Ok(Step {
            counts: vec![("booked", done.booked), ("parked", done.parked)],
            more: true,
            wake_at: None,
        })
    }
}
