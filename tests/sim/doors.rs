//! What comes in at the doors. Here: sources that send records and corrections until they are
//! acknowledged, and the import of accounts. Never here: what a record says (see
//! [`crate::workload`]). Read next: [`crate::people`].

use std::collections::BTreeMap;

use tallyd::domain::correction::{Change, Correction, Standing};
use tallyd::domain::names::{AccountName, CustomerName};
use tallyd::domain::record::UsageRecord;
use tallyd::ledger::intake::{
    Admission, CorrectionAdmission, CorrectionLedger as _, IntakeLedger as _,
};
use tallyd::service::StepError;

use crate::faults::Class;
use crate::scenario::Scenario;
use crate::workload::{self, account_of, provider_name};
use crate::world::{Ended, World};

/// Of so many of the newest records late usage comes, where each window is told a total.
const NEWEST: usize = 12;

/// What the sources of a run remember.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Which customers' accounts were imported.
    imported: Vec<u64>,
    /// Records that were sent in and not acknowledged yet.
    unacknowledged: Vec<UsageRecord>,
    /// Records that were acknowledged.
    acknowledged: Vec<UsageRecord>,
    /// Corrections that were sent in and not answered yet.
    unanswered: Vec<Correction>,
    /// Corrections that were accepted.
    accepted: Vec<Correction>,
    /// What each record counts with, as its source believes.
    believed: BTreeMap<String, Standing>,
    next_record: u64,
    next_correction: u64,
}

impl Sources {
    /// The ledger may have lost anything: everything is to be sent again, in its order.
    pub(crate) fn send_all_again(&mut self) {
        let mut records = std::mem::take(&mut self.acknowledged);
        records.append(&mut self.unacknowledged);
        self.unacknowledged = records;
        let mut corrections = std::mem::take(&mut self.accepted);
        corrections.append(&mut self.unanswered);
        self.unanswered = corrections;
        self.imported.clear();
    }

    /// Whether nothing waits to be sent again.
    pub(crate) fn sent_all(&self) -> bool {
        self.unacknowledged.is_empty() && self.unanswered.is_empty()
    }

    /// The first customer whose account was not imported yet.
    pub(crate) fn not_imported(&self) -> Option<u64> {
        (0..workload::CUSTOMERS).find(|customer| !self.imported.contains(customer))
    }
}

impl World {
    /// Sends records in; what is not acknowledged is sent again later.
    async fn send_in(&mut self, records: Vec<UsageRecord>) {
        for record in &records {
            self.auditor.sent_in(record);
        }
        let Some(process) = &self.process else {
            self.sources.unacknowledged.extend(records);
            return;
        };
        let admitted = records.iter().cloned().map(Into::into).collect();
        let now = self.stage.now();
        let accepting = async {
            process.ports.accept(admitted, Vec::new(), now).await.map_err(StepError::from)
        };
        match self.guarded(accepting).await {
            Ended::Well(admissions) => {
                self.auditor.admitted(&records, &admissions);
                let pairs = records.into_iter().zip(admissions);
                let booked = pairs.filter(|(_, each)| !matches!(each, Admission::Conflict(_)));
                self.sources.acknowledged.extend(booked.map(|(record, _)| record));
            }
            Ended::Later => self.sources.unacknowledged.extend(records),
            Ended::Gone => {
                self.kill();
                self.sources.unacknowledged.extend(records);
            }
        }
    }

    /// Draws what comes in now: new records, old ones again, and what was not acknowledged.
    pub(crate) async fn intake(&mut self) {
        let mut batch: Vec<UsageRecord> = Vec::new();
        if self.chance.one_in(2) {
            batch.append(&mut self.sources.unacknowledged);
        }
        for _ in 0..self.chance.between(1, 5) {
            let late = self.stage.scene().faults.strikes(Class::Late, 3);
            let id = self.sources.next_record;
            // Late usage of windows that were told is what becomes of totals.
            let beside = matches!(self.scenario, Scenario::Totals | Scenario::Gauges)
                && self.chance.one_in(3);
            let known = &self.sources.acknowledged;
            batch.push(match known.get(known.len().saturating_sub(NEWEST)..) {
                Some(known @ [_, ..]) if beside => {
                    let record = self.chance.pick(known);
                    workload::beside(&mut self.chance, id, record)
                }
                Some(_) | None => workload::record(&mut self.chance, id, self.truth, late),
            });
            self.sources.next_record += 1;
        }
        if !self.sources.acknowledged.is_empty() {
            let known = &self.sources.acknowledged;
            let mut scene = self.stage.scene();
            if scene.faults.strikes(Class::Duplicate, 3) {
                batch.push(scene.faults.stream(Class::Duplicate).pick(known).clone());
            }
            if scene.faults.strikes(Class::Conflict, 3) {
                let chance = scene.faults.stream(Class::Conflict);
                let first = chance.pick(known).clone();
                batch.push(workload::conflicting(chance, &first));
            }
        }
        self.others_tell(&batch);
        self.send_in(batch).await;
    }

    /// Draws the corrections that come in now, with those that were not answered.
    pub(crate) async fn correct(&mut self) {
        let mut batch = std::mem::take(&mut self.sources.unanswered);
        let struck = |world: &Self, class, bound| world.stage.scene().faults.strikes(class, bound);
        for class in [Class::Cancelled, Class::Adjusted] {
            if struck(self, class, 2) {
                batch.extend(self.correction(class));
            }
        }
        if struck(self, Class::EarlyCorrection, 3) {
            let class = if self.chance.one_in(2) { Class::Cancelled } else { Class::Adjusted };
            let record = format!("r{}", self.sources.next_record + self.chance.below(4));
            batch.push(self.named_correction(&record, class, None));
        }
        if !self.sources.accepted.is_empty() {
            let known = &self.sources.accepted;
            let mut scene = self.stage.scene();
            if scene.faults.strikes(Class::RepeatedCorrection, 2) {
                batch.push(scene.faults.stream(Class::RepeatedCorrection).pick(known).clone());
            }
            if scene.faults.strikes(Class::ConflictingCorrection, 2) {
                let chance = scene.faults.stream(Class::ConflictingCorrection);
                let mut other = chance.pick(known).clone();
                other.change = workload::adjustment(chance, None);
                batch.push(other);
            }
        }
        if !batch.is_empty() {
            self.send_corrections(batch).await;
        }
    }

    /// A correction of a record that was acknowledged, if there is one.
    fn correction(&mut self, class: Class) -> Option<Correction> {
        if self.sources.acknowledged.is_empty() {
            return None;
        }
        // Of a gauge only the newest readings say anything.
        let newest = self.scenario == Scenario::Gauges;
        let known = &self.sources.acknowledged;
        let from = if newest { known.len().saturating_sub(NEWEST) } else { 0 };
        let record = self.chance.pick(&known[from..]).clone();
        let id = record.id.as_str().to_owned();
        let believed = self.sources.believed.get(&id).cloned();
        let counts = believed.unwrap_or(Standing::Counts(record.quantity));
        let outdated = self.stage.scene().faults.strikes(Class::OutdatedCorrection, 2);
        let replaces = match counts {
            Standing::Counts(quantity) if !outdated => Some(quantity),
            Standing::Counts(_) | Standing::Cancelled => None,
        };
        Some(self.named_correction(&id, class, replaces))
    }

    fn named_correction(
        &mut self,
        record: &str,
        class: Class,
        replaces: Option<tallyd::domain::quantity::Quantity>,
    ) -> Correction {
        let change = if class == Class::Cancelled {
            Change::Cancel
        } else {
            workload::adjustment(&mut self.chance, replaces)
        };
        let number = self.sources.next_correction;
        self.sources.next_correction += 1;
        workload::correction(record, number, change)
    }

    /// Sends corrections in; what is not answered is sent again later.
    async fn send_corrections(&mut self, corrections: Vec<Correction>) {
        for correction in &corrections {
            self.auditor.asked_for(correction);
        }
        let Some(process) = &self.process else {
            self.sources.unanswered.extend(corrections);
            return;
        };
        let now = self.stage.now();
        let sent = corrections.clone();
        let correcting = async { process.ports.correct(sent, now).await.map_err(StepError::from) };
        match self.guarded(correcting).await {
            Ended::Well(admissions) => {
                self.auditor.corrected(&corrections, &admissions);
                for (correction, admission) in corrections.into_iter().zip(admissions) {
                    self.answered(correction, admission);
                }
            }
            Ended::Later => self.sources.unanswered.extend(corrections),
            Ended::Gone => {
                self.kill();
                self.sources.unanswered.extend(corrections);
            }
        }
    }

    fn answered(&mut self, correction: Correction, admission: CorrectionAdmission) {
        let record = correction.record.as_str().to_owned();
        let (what, standing) = match admission {
            CorrectionAdmission::Accepted { standing, .. } => {
                self.sources.accepted.push(correction);
                ("accepted", standing)
            }
            CorrectionAdmission::Duplicate(standing) => ("duplicate", standing),
            CorrectionAdmission::Conflict(standing) => ("conflict", standing),
            CorrectionAdmission::Stale(standing) => ("stale", Some(standing)),
            CorrectionAdmission::Archived(_) => ("archived", None),
        };
        self.stage.scene().reach(format!("correction {what}"));
        self.sources.believed.extend(standing.map(|standing| (record, standing)));
    }

    /// Sends in everything that was not acknowledged or answered yet.
    pub(crate) async fn send_rest(&mut self) {
        let rest = std::mem::take(&mut self.sources.unacknowledged);
        if !rest.is_empty() {
            self.send_in(rest).await;
        }
        let rest = std::mem::take(&mut self.sources.unanswered);
        if !rest.is_empty() {
            self.send_corrections(rest).await;
        }
    }

    /// Imports a customer's account.
    pub(crate) async fn import(&mut self, customer: u64) {
        let name = format!("c{customer}");
        let pair = (
            CustomerName::new(&name).expect("it is a name"),
            AccountName::new(&account_of(&name)).expect("it is a name"),
        );
        let Some(process) = &self.process else { return };
        let now = self.stage.now();
        let pairs = [pair];
        let provider = provider_name();
        let importing =
            async { process.ports.import(&provider, &pairs, now).await.map_err(StepError::from) };
        match self.guarded(importing).await {
            Ended::Well(_) => self.sources.imported.push(customer),
            Ended::Later => {}
            Ended::Gone => self.kill(),
        }
    }
}
