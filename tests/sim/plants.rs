//! Bugs that are planted on purpose, one at a time: what finds nothing when one is there finds
//! nothing at all. Here: each bug as something done around the program, which has no switch for it.
//! Never here: the program's own code. Read next: [`crate::campaign`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tallyd::domain::answer::{Outcome, OutcomeKind};
use tallyd::domain::balance::Place;
use tallyd::domain::correction::{Cause, Correction, CorrectionId};
use tallyd::domain::cutover::{Mode, Telling};
use tallyd::domain::names::{AccountName, ProviderMeter, ProviderName, RecordId};
use tallyd::domain::provider_facts::ClockReading;
use tallyd::domain::state::{EventState, HoldReason};
use tallyd::domain::time::Timestamp;
use tallyd::domain::unique::Member;
use tallyd::ledger::LedgerError;
use tallyd::ledger::accrual::Accrual;
use tallyd::ledger::cutover::{Adoption, CutoverLedger as _};
use tallyd::ledger::delivery::{DeliveryLedger as _, LeaseTerms, Leases, Settlement};
use tallyd::ledger::intake::{
    Admission, Admitted, CorrectionAdmission, CorrectionLedger as _, IntakeLedger as _, Rejected,
};
use tallyd::ledger::posting::{DueBalance, Spanning};
use tallyd::ledger::reconcile::LaneEvent;
use tallyd::provider::{Encoded, Request};
use tallyd::store::sqlite::SqliteLedger;

use crate::faults::Class;
use crate::scenario::Scenario;
use crate::scene::{Scene, Stage};
use crate::server::HOUR;
use crate::workload::provider_name;

macro_rules! plants {
    ($($(#[$doc:meta])+ $plant:ident = $text:literal,)+) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Plant { $($(#[$doc])+ $plant,)+ }

        impl Plant {
            /// Every bug.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$plant,)+];

            /// Its name on the command line.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$plant => $text,)+ }
            }

            /// The scenario in which alone it can be found, if there is one.
            pub(crate) const fn only_in(self) -> Option<Scenario> {
                match self {
                    Self::WindowsUncut => Some(Scenario::Months),
                    Self::SecondsForgotten | Self::EntriesForgotten => Some(Scenario::Site),
                    Self::TotalSaysChange => Some(Scenario::Totals),
                    Self::RestoredAtOwnTime | Self::GaugeJudgedAsSum => Some(Scenario::Gauges),
                    Self::ToldBeforeForgotten
                    | Self::ShadowLeaks
                    | Self::UncutAtBillFrom
                    | Self::BillFromStopsNothing => Some(Scenario::Cutover),
                    Self::RefusalOfMany | Self::ValueGoesWithOne | Self::ValuesApart => {
                        Some(Scenario::Stream)
                    }
                    Self::ResentBlind => Some(Scenario::Records),
                    _ => None,
                }
            }

            /// The bug of this name.
            pub(crate) fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|plant| plant.name() == name)
            }
        }
    };
}

plants! {
    /// The intent to send is not on disk when the request leaves: a crash forgets it.
    NoIntent = "no-intent",
    /// An event is marked as accepted before it is sent.
    MarkBeforeSend = "mark-before-send",
    /// A retry goes under a new identifier.
    NewIdentifier = "new-identifier-on-retry",
    /// Unknowns are sent again for longer than the provider recognises them.
    NoMargin = "no-margin",
    /// The last attempt's time stands for the first one's.
    OneTimestamp = "one-timestamp",
    /// The provider's windows are measured on this host's clock.
    LocalClock = "local-clock",
    /// New work goes before what is unknown.
    UnknownsLast = "unknowns-last",
    /// A duplicate answer is taken for a failure.
    DuplicateFails = "duplicate-is-failure",
    /// A duplicate answer is a yes, whether or not an attempt of ours can have landed.
    DuplicateBlind = "duplicate-blind",
    /// A refusal is dropped as if it had been told.
    DroppedRefusal = "dropped-4xx",
    /// A failure of the provider's is taken for a definite no.
    DroppedFailure = "dropped-5xx",
    /// A rate limit makes what is unknown certain.
    LimitClears = "429-lowers-uncertainty",
    /// Records are acknowledged before they are on disk.
    EarlyAcknowledgement = "acknowledge-before-commit",
    /// Late usage is merged into an event that was sent.
    MergedLate = "late-usage-merged",
    /// What is finer than the provider's digits is dropped.
    LostRemainder = "lost-remainder",
    /// A conflicting copy takes the place of the booked one.
    ConflictOverwrites = "conflict-overwrites",
    /// A record that comes again is booked again.
    DedupeForgotten = "source-dedupe-forgotten",
    /// After a crash, what was in flight is taken for unsent.
    CrashMeansUnsent = "crash-means-unsent",
    /// The watermark moves, and what it passed is not booked.
    CursorFirst = "cursor-before-insert",
    /// An accepted correction is not kept.
    CorrectionForgotten = "correction-forgotten",
    /// A total proves something at its first reading.
    FirstSight = "settled-at-first-sight",
    /// A total proves that something is absent before it can have come in.
    NoHorizon = "judged-before-the-lag",
    /// An older ledger goes on as if nothing had been told since.
    NoTaint = "restore-without-taint",
    /// A pinned failure is asked for again under the same key, for ever.
    KeyKept = "pinned-key-kept",
    /// Windows go on where periods end.
    WindowsUncut = "windows-across-periods",
    /// Which seconds have an entry is forgotten.
    SecondsForgotten = "seconds-forgotten",
    /// How many entries an account was told is forgotten.
    EntriesForgotten = "entries-forgotten",
    /// A refusal that is said of many events at once is believed of each.
    RefusalOfMany = "refusal-of-many-believed",
    /// What a provider that recognises nothing may have is told it again.
    ResentBlind = "resent-blind",
    /// A total says the change that it makes.
    TotalSaysChange = "total-says-change",
    /// A reading that is restored is told for its own time, before the one that it replaces.
    RestoredAtOwnTime = "restored-at-its-own-time",
    /// What a gauge was told is compared as a sum of changes.
    GaugeJudgedAsSum = "gauge-judged-as-sum",
    /// After a restart, what another program told before is told.
    ToldBeforeForgotten = "told-before-forgotten",
    /// In shadow everything is told.
    ShadowLeaks = "shadow-leaks",
    /// Windows go on where another program's telling ends.
    UncutAtBillFrom = "uncut-at-bill-from",
    /// What a remap brings elsewhere stays where it was, too.
    RemapLeavesCopies = "remap-leaves-copies",
    /// What was tried before a cutover was known is tried again.
    BillFromStopsNothing = "bill-from-stops-nothing",
    /// A value goes with the first of its records that is cancelled, though another one has it.
    ValueGoesWithOne = "value-goes-with-one",
    /// Records of one value are counted each by itself.
    ValuesApart = "values-apart",
}

/// The bug of a process, with what it needs of its own.
pub(crate) struct Planted {
    pub(crate) plant: Option<Plant>,
    pub(crate) path: PathBuf,
    pub(crate) stage: Stage,
}

impl Planted {
    fn is(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// A connection past the program's own doors.
    async fn past_the_doors(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(&self.path);
        options.connect().await.expect("the ledger opens beside the program")
    }

    async fn run(&self, statement: &'static str) {
        let mut connection = self.past_the_doors().await;
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("the statement holds");
        connection.close().await.expect("it closes");
    }

    pub(crate) async fn correct(
        &self,
        ledger: &SqliteLedger,
        corrections: Vec<Correction>,
        now: Timestamp,
    ) -> Result<Vec<CorrectionAdmission>, LedgerError> {
        if self.is(Plant::CorrectionForgotten)
            && self.stage.scene().faults.stream(Class::Adjusted).one_in(4)
        {
            let accepted =
                |at| CorrectionAdmission::Accepted { id: CorrectionId(at), standing: None };
            return Ok((1_000..).take(corrections.len()).map(accepted).collect());
        }
        ledger.correct(corrections, now).await
    }

    /// Adopts how the provider is told, as the bug has it.
    pub(crate) async fn adopt_telling(
        &self,
        ledger: &SqliteLedger,
        telling: &Telling,
        meters: &BTreeSet<ProviderMeter>,
        now: Timestamp,
    ) -> Result<Adoption, LedgerError> {
        if self.is(Plant::ShadowLeaks) && telling.mode == Mode::Shadow {
            // The ledger itself would see to it.
            return Ok(Adoption::Adopted { before: None, withdrawn: 0 });
        }
        let adopted = ledger.adopt_telling(&provider_name(), telling, meters, now).await?;
        if self.is(Plant::BillFromStopsNothing) {
            self.run(
                "UPDATE meter_event SET state = 'pending', hold_reason = NULL, \
                 hold_detail = NULL, ambiguous = 0, next_attempt_at = 0 \
                 WHERE hold_reason = 'bill_from'; \
                 UPDATE lane SET next_attempt_at = 0, urgency = 1, deadline_at = 0 \
                 WHERE EXISTS (SELECT 1 FROM meter_event AS e WHERE e.lane_id = lane.id \
                 AND e.state = 'pending')",
            )
            .await;
        }
        Ok(adopted)
    }

    /// Which balances are parted where, as the bug has it.
    pub(crate) fn spanning(&self, balances: &[Spanning]) -> Vec<Spanning> {
        let mut balances = balances.to_vec();
        for each in balances.iter_mut().filter(|_| self.is(Plant::UncutAtBillFrom)) {
            each.bill_from = None;
        }
        balances
    }

    /// When a total was seen before, as the bug has it.
    pub(crate) fn seen_since(&self) -> Option<Timestamp> {
        self.is(Plant::FirstSight).then_some(Timestamp::from_micros(0))
    }

    /// What accrual changes, as the bug has it.
    pub(crate) fn accrual(&self, mut accrual: Accrual) -> Accrual {
        if self.is(Plant::CursorFirst)
            && self.stage.scene().faults.stream(Class::CrashBefore).one_in(8)
        {
            accrual.bookings.clear();
        }
        for booking in accrual.bookings.iter_mut().filter(|_| self.is(Plant::ValuesApart)) {
            let apart = u128::try_from(booking.position.0).unwrap_or_default();
            booking.member = booking.member.map(|_| Member(apart.to_be_bytes()));
        }
        if self.is(Plant::RemapLeavesCopies) {
            accrual.bookings.retain(|booking| booking.cause.0 != Cause::RemapFrom);
        }
        accrual
    }

    /// What accrual made of `booked` lines, as the bug has it.
    pub(crate) async fn accrued(&self, booked: bool) {
        if self.is(Plant::ValueGoesWithOne) && booked {
            self.run(
                "UPDATE balance SET accrued = accrued - 1 WHERE id = (SELECT k.balance_id \
                 FROM booking AS k JOIN balance_member AS m ON m.balance_id = k.balance_id \
                 AND m.member = k.member AND m.level = '1' \
                 WHERE k.id = (SELECT max(id) FROM booking) AND k.cause = 'correction' \
                 AND k.quantity = '-1')",
            )
            .await;
        }
    }

    /// The bounds of periods, as the bug has them.
    pub(crate) fn bounds(
        &self,
        bounds: BTreeMap<Place, Vec<Timestamp>>,
    ) -> BTreeMap<Place, Vec<Timestamp>> {
        if self.is(Plant::WindowsUncut) { BTreeMap::new() } else { bounds }
    }

    /// What a lane was told, as the bug has it.
    pub(crate) fn lane_events(&self, mut events: Vec<LaneEvent>) -> Vec<LaneEvent> {
        for event in events.iter_mut().filter(|_| self.is(Plant::GaugeJudgedAsSum)) {
            event.level = None;
        }
        events
    }

    /// What is due, as the bug has it.
    pub(crate) fn due(&self, mut due: Vec<DueBalance>) -> Vec<DueBalance> {
        if self.is(Plant::WindowsUncut) {
            for balance in &mut due {
                balance.spans_bound = false;
            }
        }
        for balance in &mut due {
            if self.is(Plant::SecondsForgotten) {
                balance.seconds_taken.clear();
            }
            if self.is(Plant::RestoredAtOwnTime) {
                balance.told_at = None;
                for event in &mut balance.events {
                    event.occurred_at = Timestamp::from_micros(0);
                }
            }
        }
        due
    }

    /// How many entries accounts were told, as the bug has it.
    pub(crate) fn entries(
        &self,
        entries: BTreeMap<AccountName, usize>,
    ) -> BTreeMap<AccountName, usize> {
        if self.is(Plant::EntriesForgotten) { BTreeMap::new() } else { entries }
    }

    /// Where the ledger stands as it was before the intent, while the intent is not on disk.
    pub(crate) fn before_intent(&self) -> PathBuf {
        self.path.with_extension("before-intent")
    }

    pub(crate) async fn accept(
        &self,
        ledger: &SqliteLedger,
        mut records: Vec<Admitted>,
        rejected: Vec<Rejected>,
        now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError> {
        if self.is(Plant::DedupeForgotten) {
            for admitted in &mut records {
                let mut record = admitted.record.clone();
                let again = format!("{}-{}", record.id, now.micros());
                record.id = RecordId::new(&again).expect("it is a name");
                *admitted = record.into();
            }
        }
        if self.is(Plant::EarlyAcknowledgement)
            && self.stage.scene().faults.stream(Class::CrashAfter).one_in(10)
        {
            let positions = (1_000..).take(records.len());
            let accepted = |at| Admission::Accepted(tallyd::domain::record::Position(at));
            return Ok(positions.map(accepted).collect());
        }
        let admissions = ledger.accept(records.clone(), rejected, now).await?;
        if self.is(Plant::ConflictOverwrites) {
            let pairs = records.iter().zip(&admissions);
            for (admitted, admission) in pairs {
                let Admission::Conflict(position) = admission else { continue };
                self.run("DROP TRIGGER IF EXISTS usage_record_never_changes").await;
                let mut connection = self.past_the_doors().await;
                sqlx::query(
                    "UPDATE usage_record SET quantity = ?1, content = ?2 WHERE position = ?3",
                )
                .bind(admitted.record.quantity.to_string())
                .bind(admitted.content.as_slice())
                .bind(position.0)
                .execute(&mut connection)
                .await
                .expect("the statement holds");
                connection.close().await.expect("it closes");
            }
        }
        Ok(admissions)
    }

    pub(crate) async fn recover(
        &self,
        ledger: &SqliteLedger,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        if self.is(Plant::CrashMeansUnsent) {
            self.run(
                "UPDATE meter_event SET state = 'pending', ambiguous = 0, next_attempt_at = 0, \
                 epoch = NULL, attempt_id = NULL WHERE state = 'in_flight' AND ambiguous = 0; \
                 UPDATE lane SET event_id = NULL, next_attempt_at = 0, urgency = 1, \
                 deadline_at = 0 WHERE event_id IN \
                 (SELECT id FROM meter_event WHERE state = 'pending')",
            )
            .await;
        }
        ledger.recover_in_flight(now).await
    }

    pub(crate) async fn lease(
        &self,
        ledger: &SqliteLedger,
        provider: &ProviderName,
        mut terms: LeaseTerms,
    ) -> Result<Leases, LedgerError> {
        if self.is(Plant::LocalClock) {
            terms.provider_clock = ClockReading { provider_at: terms.now, local_at: terms.now };
            terms.dedupe_floor = Some(terms.now.plus_micros(-23 * HOUR));
        }
        if self.is(Plant::OneTimestamp) {
            self.run(
                "UPDATE meter_event SET first_attempt_at = last_attempt_at WHERE attempts > 0",
            )
            .await;
        }
        if self.is(Plant::UnknownsLast) {
            self.run(
                "UPDATE meter_event SET next_attempt_at = next_attempt_at + 7200000000 \
                 WHERE state = 'unknown' AND EXISTS (SELECT 1 FROM meter_event AS p \
                 WHERE p.lane_id = meter_event.lane_id AND p.state = 'pending')",
            )
            .await;
        }
        if self.is(Plant::NoIntent) {
            drop(std::fs::remove_file(self.before_intent()));
            let fence = self.path.with_extension("fence");
            drop(std::fs::copy(fence, self.path.with_extension("fence-before-intent")));
            let mut connection = self.past_the_doors().await;
            sqlx::query("VACUUM INTO ?1")
                .bind(self.before_intent().to_string_lossy())
                .execute(&mut connection)
                .await
                .expect("the statement holds");
            connection.close().await.expect("it closes");
        }
        ledger.lease(provider, terms).await
    }

    /// What the program decided, as the bug has it.
    pub(crate) fn settlements(
        &self,
        mut settlements: Vec<Settlement>,
        now: Timestamp,
    ) -> Vec<Settlement> {
        drop(std::fs::remove_file(self.before_intent()));
        for settlement in &mut settlements {
            self.spoil(settlement, now);
        }
        settlements
    }

    fn spoil(&self, settlement: &mut Settlement, now: Timestamp) {
        let accept = |settlement: &mut Settlement| {
            settlement.to = EventState::Accepted;
            settlement.hold = None;
            settlement.next_attempt_at = None;
            settlement.answer.outcome = Outcome::Accepted;
        };
        let outcome = settlement.answer.outcome.kind();
        match self.plant {
            Some(Plant::MarkBeforeSend) => accept(settlement),
            Some(Plant::DuplicateFails) if outcome == OutcomeKind::Duplicate => {
                settlement.to = EventState::Held;
                settlement.hold = Some((HoldReason::Refused, "duplicate".to_owned()));
            }
            Some(Plant::DuplicateBlind) if outcome == OutcomeKind::Duplicate => accept(settlement),
            Some(Plant::DroppedRefusal) if outcome == OutcomeKind::Refused => accept(settlement),
            Some(Plant::DroppedFailure) if outcome == OutcomeKind::Failed => {
                settlement.to = EventState::Pending;
                settlement.ambiguous = false;
                settlement.next_attempt_at = Some(now);
            }
            Some(Plant::LimitClears) if outcome == OutcomeKind::RateLimited => {
                settlement.to = EventState::Pending;
                settlement.ambiguous = false;
            }
            Some(Plant::KeyKept) => settlement.new_key = false,
            Some(_) | None => {}
        }
    }
}

/// The body of a request, as the bug has it.
pub(crate) fn bytes(scene: &Scene, request: &Request<'_>) -> Vec<u8> {
    let tried = scene.witnesses.get(request.identifier).map_or(0, |seen| seen.attempts.len());
    let change = |name: &str, by: &dyn Fn(&str) -> String| {
        let fields = form_urlencoded::parse(request.body).map(|(key, value)| {
            let value = if key == name { by(&value) } else { value.into_owned() };
            (key.into_owned(), value)
        });
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        form.finish().into_bytes()
    };
    if tried > 0 && scene.has(Plant::NewIdentifier) {
        return change("identifier", &|identifier| format!("{identifier}-{tried}"));
    }
    if tried > 0 && scene.has(Plant::MergedLate) {
        return change("payload[value]", &|value| format!("{value}1"));
    }
    request.body.to_vec()
}

/// A body whose value lost what is finer than whole numbers.
pub(crate) fn rounded(encoded: Encoded) -> Encoded {
    let fields = form_urlencoded::parse(&encoded.body).map(|(key, value)| {
        let whole = value.split('.').next().unwrap_or_default().to_owned();
        let value = if key == "payload[value]" { whole } else { value.into_owned() };
        (key.into_owned(), value)
    });
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    Encoded { body: form.finish().into_bytes() }
}
