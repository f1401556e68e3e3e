//! The ledger, as the program sees it: a real one, behind doors at which a process can end or a
//! disk can fail. Never here: what is true of a ledger (see [`crate::auditor`]). Read next:
//! [`crate::plants`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tallyd::domain::balance::{BalanceKey, Place};
use tallyd::domain::correction::Correction;
use tallyd::domain::cutover::Telling;
use tallyd::domain::digest::Digest;
use tallyd::domain::event::LedgerId;
use tallyd::domain::fold::Fold;
use tallyd::domain::names::{AccountName, CustomerName, ProviderMeter, ProviderName};
use tallyd::domain::provider_facts::{AccountPin, ClockReading, MeterPin};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::Timestamp;
use tallyd::domain::time::Window;
use tallyd::ledger::LedgerError;
use tallyd::ledger::accrual::{
    Accrual, AccrualLedger, Accrued, CorrectionsPage, JournalPage, ParkedPage, RouteDefinition,
    RouteVersionId,
};
use tallyd::ledger::cutover::Adoption;
use tallyd::ledger::delivery::{
    DeliveryLedger, LeaseTerms, Leases, MeterChange, PinCheck, ProviderFacts, Settlement,
};
use tallyd::ledger::holds::{CaughtUp, Decision, HoldsLedger as _, Resolution};
use tallyd::ledger::intake::{
    Admission, Admitted, CorrectionAdmission, CorrectionLedger, IntakeLedger, Rejected,
};
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::ledger::posting::{
    DueBalance, Needed, Posted, Posting, PostingLedger, Restored, Spanning,
};
use tallyd::ledger::reconcile::{
    Comparison, Concluded, LaneEvent, LaneId, LaneQuestion, ReadCalls, ReconcileLedger,
    UnprovenLane, Untold,
};
use tallyd::ledger::remap::OpenRemap;
use tallyd::store::sqlite::SqliteLedger;

use crate::faults::Class;
use crate::plants::Planted;
use crate::scene::Stage;

mod billing;

/// The ledger of one process.
pub(crate) struct Ports {
    pub(crate) inner: Arc<SqliteLedger>,
    pub(crate) stage: Stage,
    pub(crate) planted: Planted,
}

impl Ports {
    fn strikes(&self, class: Class, bound: u64, verb: &str) -> bool {
        let mut scene = self.stage.scene();
        let strikes = scene.faults.strikes(class, bound);
        if strikes {
            scene.trace.note(format!("{} {verb}", class.name()));
            scene.reach(format!("fault at {verb}"));
        }
        strikes
    }

    /// A verb that reads.
    async fn reading<T>(
        &self,
        verb: &str,
        call: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        if self.strikes(Class::CrashBefore, 150, verb) {
            self.stage.end().await;
        }
        call.await
    }

    /// A verb that writes.
    async fn writing<T>(
        &self,
        verb: &str,
        call: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        if self.strikes(Class::CrashBefore, 40, verb) {
            self.stage.end().await;
        }
        if self.strikes(Class::DiskFull, 30, verb) {
            return Err(LedgerError::Full("no space left".into()));
        }
        if self.strikes(Class::CommitUnknown, 40, verb) {
            let committed = self.stage.scene().faults.stream(Class::CommitUnknown).one_in(2);
            if committed {
                drop(call.await?);
            }
            self.stage.scene().crashed = true;
            return Err(LedgerError::Broken("input/output error".into()));
        }
        let result = call.await;
        let name = if result.is_ok() { "done" } else { "failed" };
        self.stage.scene().trace.note(format!("{verb} {name}"));
        if self.strikes(Class::CrashAfter, 40, verb) {
            self.stage.end().await;
        }
        result
    }

    /// Imports accounts, as an operator does.
    pub(crate) async fn import(
        &self,
        provider: &ProviderName,
        pairs: &[(CustomerName, AccountName)],
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        self.writing("import", self.inner.import_accounts(provider, pairs, now)).await
    }

    /// Has the provider told as its config says.
    pub(crate) async fn adopt_telling(
        &self,
        telling: &Telling,
        meters: &BTreeSet<ProviderMeter>,
        now: Timestamp,
    ) -> Result<Adoption, LedgerError> {
        let call = self.planted.adopt_telling(&self.inner, telling, meters, now);
        self.writing("adopt_telling", call).await
    }

    /// Decides over something held, as a person does.
    pub(crate) async fn resolve(
        &self,
        resolution: &Resolution,
        now: Timestamp,
    ) -> Result<Decision, LedgerError> {
        self.writing("resolve", self.inner.resolve(resolution, now)).await
    }

    /// Says that the sources sent again what an older ledger lacked.
    pub(crate) async fn say_caught_up(&self, now: Timestamp) -> Result<CaughtUp, LedgerError> {
        let call = tallyd::ledger::holds::HoldsLedger::caught_up(&*self.inner, "cli:ada", now);
        self.writing("caught_up", call).await
    }
}

#[async_trait]
impl CorrectionLedger for Ports {
    async fn correct(
        &self,
        corrections: Vec<Correction>,
        now: Timestamp,
    ) -> Result<Vec<CorrectionAdmission>, LedgerError> {
        self.writing("correct", self.planted.correct(&self.inner, corrections, now)).await
    }
}

#[async_trait]
impl ReconcileLedger for Ports {
    async fn unproven_lanes(
        &self,
        provider: &ProviderName,
        question: &LaneQuestion,
    ) -> Result<Vec<UnprovenLane>, LedgerError> {
        self.reading("unproven_lanes", self.inner.unproven_lanes(provider, question)).await
    }

    async fn lane_events(
        &self,
        lane: LaneId,
        span: Window,
        limit: u32,
    ) -> Result<Vec<LaneEvent>, LedgerError> {
        let call = self.inner.lane_events(lane, span, limit);
        Ok(self.planted.lane_events(self.reading("lane_events", call).await?))
    }

    async fn untold(&self, lane: LaneId, span: Window) -> Result<Vec<Untold>, LedgerError> {
        // It is read in the same breath as the lane's events, before which there is a crash.
        self.inner.untold(lane, span).await
    }

    async fn seen_since(
        &self,
        lane: LaneId,
        span: Window,
        fingerprint: Digest,
        total: &Quantity,
    ) -> Result<Option<Timestamp>, LedgerError> {
        if let Some(long_ago) = self.planted.seen_since() {
            return Ok(Some(long_ago));
        }
        let call = self.inner.seen_since(lane, span, fingerprint, total);
        self.reading("seen_since", call).await
    }

    async fn caught_up(&self) -> Result<bool, LedgerError> {
        self.reading("is_caught_up", ReconcileLedger::caught_up(&*self.inner)).await
    }

    async fn conclude(
        &self,
        comparison: Comparison,
        now: Timestamp,
    ) -> Result<Concluded, LedgerError> {
        let concluded = self.writing("conclude", self.inner.conclude(comparison, now)).await?;
        let mut scene = self.stage.scene();
        if let Some(lane) = scene.told_fresh.take() {
            scene.stale.remove(&lane);
        }
        Ok(concluded)
    }

    async fn read_calls(
        &self,
        provider: &ProviderName,
        now: Timestamp,
    ) -> Result<ReadCalls, LedgerError> {
        self.reading("read_calls", self.inner.read_calls(provider, now)).await
    }

    async fn count_reads(
        &self,
        provider: &ProviderName,
        calls: u32,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.writing("count_reads", self.inner.count_reads(provider, calls, now)).await
    }
}

#[async_trait]
impl IntakeLedger for Ports {
    async fn accept(
        &self,
        records: Vec<Admitted>,
        rejected: Vec<Rejected>,
        now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError> {
        let call = self.planted.accept(&self.inner, records, rejected, now);
        self.writing("accept", call).await
    }

    fn free_bytes(&self) -> Result<u64, LedgerError> {
        IntakeLedger::free_bytes(&*self.inner)
    }
}

#[async_trait]
impl AccrualLedger for Ports {
    async fn adopt_routes(
        &self,
        routes: &[RouteDefinition],
        now: Timestamp,
    ) -> Result<Vec<RouteVersionId>, LedgerError> {
        self.writing("adopt_routes", self.inner.adopt_routes(routes, now)).await
    }

    async fn routes_in_force(&self) -> Result<Vec<(RouteDefinition, RouteVersionId)>, LedgerError> {
        self.inner.routes_in_force().await
    }

    async fn unaccrued(&self, limit: u32) -> Result<JournalPage, LedgerError> {
        self.reading("unaccrued", self.inner.unaccrued(limit)).await
    }

    async fn parked_to_review(&self, limit: u32) -> Result<ParkedPage, LedgerError> {
        self.reading("parked_to_review", self.inner.parked_to_review(limit)).await
    }

    async fn uncorrected(&self, limit: u32) -> Result<CorrectionsPage, LedgerError> {
        self.reading("uncorrected", self.inner.uncorrected(limit)).await
    }

    async fn open_remap(&self, limit: u32) -> Result<Option<OpenRemap>, LedgerError> {
        let open = self.inner.open_remap(limit).await?;
        match open {
            // Nothing was asked for: no draw of any fault moves for it.
            None => Ok(None),
            Some(open) => self.reading("open_remap", async { Ok(Some(open)) }).await,
        }
    }

    async fn imported_accounts(
        &self,
        provider: &ProviderName,
        customers: &[CustomerName],
    ) -> Result<HashMap<CustomerName, AccountName>, LedgerError> {
        let call = self.inner.imported_accounts(provider, customers);
        self.reading("imported_accounts", call).await
    }

    async fn accounts_with_entries(
        &self,
        provider: &ProviderName,
        accounts: &BTreeSet<AccountName>,
        least: u32,
    ) -> Result<BTreeSet<AccountName>, LedgerError> {
        self.inner.accounts_with_entries(provider, accounts, least).await
    }

    async fn period_bounds(
        &self,
        places: &[Place],
    ) -> Result<BTreeMap<Place, Vec<Timestamp>>, LedgerError> {
        Ok(self.planted.bounds(self.inner.period_bounds(places).await?))
    }

    async fn folds(
        &self,
        balances: &BTreeSet<BalanceKey>,
    ) -> Result<BTreeMap<BalanceKey, Fold>, LedgerError> {
        self.inner.folds(balances).await
    }

    async fn accrue(&self, accrual: Accrual, now: Timestamp) -> Result<Accrued, LedgerError> {
        let accrual = self.planted.accrual(accrual);
        let booked = !accrual.bookings.is_empty();
        let accrued = self.writing("accrue", self.inner.accrue(accrual, now)).await;
        self.planted.accrued(booked).await;
        accrued
    }
}

#[async_trait]
impl PostingLedger for Ports {
    fn ledger_id(&self) -> &LedgerId {
        self.inner.ledger_id()
    }

    async fn due_balances(
        &self,
        provider: &ProviderName,
        needed: Needed,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueBalance>, LedgerError> {
        let call = self.inner.due_balances(provider, needed, now, limit);
        Ok(self.planted.due(self.reading("due_balances", call).await?))
    }

    async fn entries_of(
        &self,
        provider: &ProviderName,
        accounts: &BTreeSet<AccountName>,
    ) -> Result<BTreeMap<AccountName, usize>, LedgerError> {
        let entries = self.reading("entries_of", self.inner.entries_of(provider, accounts)).await?;
        Ok(self.planted.entries(entries))
    }

    async fn restored(&self) -> Result<Option<Restored>, LedgerError> {
        self.reading("restored", self.inner.restored()).await
    }

    async fn next_due_at(&self, provider: &ProviderName) -> Result<Option<Timestamp>, LedgerError> {
        self.inner.next_due_at(provider).await
    }

    async fn ring_held(&self, provider: &ProviderName, now: Timestamp) -> Result<(), LedgerError> {
        self.writing("ring_held", self.inner.ring_held(provider, now)).await
    }

    async fn part_at_bounds(
        &self,
        balances: &[Spanning],
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        let balances = self.planted.spanning(balances);
        self.writing("part_at_bounds", self.inner.part_at_bounds(&balances, now)).await
    }

    async fn post(&self, postings: Vec<Posting>, now: Timestamp) -> Result<Posted, LedgerError> {
        self.writing("post", self.inner.post(postings, now)).await
    }
}

#[async_trait]
impl DeliveryLedger for Ports {
    fn free_bytes(&self) -> Result<u64, LedgerError> {
        DeliveryLedger::free_bytes(&*self.inner)
    }

    async fn recover_in_flight(&self, now: Timestamp) -> Result<u64, LedgerError> {
        self.writing("recover_in_flight", self.planted.recover(&self.inner, now)).await
    }

    async fn lease(
        &self,
        provider: &ProviderName,
        terms: LeaseTerms,
    ) -> Result<Leases, LedgerError> {
        let leases =
            self.writing("lease", self.planted.lease(&self.inner, provider, terms)).await?;
        if !leases.leased.is_empty() && self.strikes(Class::Stalled, 5, "lease") {
            let stalled = self.stage.scene().faults.stream(Class::Stalled).between(1, 90);
            let micros = stalled * crate::server::SECOND;
            self.stage.clock.advance_micros(micros);
            let mut scene = self.stage.scene();
            scene.stalled += micros;
            let to = scene.server.now + micros;
            scene.server.advance(to);
        }
        Ok(leases)
    }

    async fn settle(
        &self,
        provider: &ProviderName,
        settlements: Vec<Settlement>,
        clock: Option<ClockReading>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let settlements = self.planted.settlements(settlements, now);
        self.writing("settle", self.inner.settle(provider, settlements, clock, now)).await?;
        self.stage.scene().server.answers_are_kept();
        Ok(())
    }

    async fn next_attempt_at(
        &self,
        provider: &ProviderName,
    ) -> Result<Option<Timestamp>, LedgerError> {
        self.inner.next_attempt_at(provider).await
    }

    async fn provider_facts(&self, provider: &ProviderName) -> Result<ProviderFacts, LedgerError> {
        self.reading("provider_facts", self.inner.provider_facts(provider)).await
    }

    async fn pin_account(
        &self,
        provider: &ProviderName,
        pin: &AccountPin,
        now: Timestamp,
    ) -> Result<PinCheck, LedgerError> {
        self.writing("pin_account", self.inner.pin_account(provider, pin, now)).await
    }

    async fn pin_meters(
        &self,
        provider: &ProviderName,
        meters: &[MeterPin],
        now: Timestamp,
    ) -> Result<Vec<MeterChange>, LedgerError> {
        self.writing("pin_meters", self.inner.pin_meters(provider, meters, now)).await
    }

    async fn read_clock(
        &self,
        provider: &ProviderName,
        reading: ClockReading,
    ) -> Result<(), LedgerError> {
        self.writing("read_clock", self.inner.read_clock(provider, reading)).await
    }

    async fn pause(
        &self,
        provider: &ProviderName,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.writing("pause", self.inner.pause(provider, reason, now)).await
    }
}
