//! Exports over a real ledger: what may go into one and what never does, what a correction comes to
//! meanwhile, and a ledger that was rolled back. The command is in `crate::cli::exporting`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tallyd::clock::Clock as _;
use tallyd::domain::correction::{Change, Correction};
use tallyd::domain::cutover::{Mode, Telling};
use tallyd::domain::event::EventId;
use tallyd::domain::export::{ExportForm, ExportId, ExportStep};
use tallyd::domain::names::{CorrectionName, RecordId, SourceName};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::cutover::{Adoption, CutoverLedger as _};
use tallyd::ledger::delivery::DeliveryLedger as _;
use tallyd::ledger::export::{
    ExportLedger, Exported, NewExport, NewStep, Place, Released, RowPlace,
};
use tallyd::ledger::holds::HoldsLedger as _;
use tallyd::ledger::intake::CorrectionLedger as _;
use tallyd::ledger::operator::OperatorLedger as _;
use tallyd::provider::stripe::bulk;
use tallyd::sandbox::faults::FaultKind;
use tallyd::sandbox::stripe::{Formula, NewMeter};
use tallyd::service::Service as _;
use tallyd::store::Settings;
use tallyd::store::sqlite::{SqliteLedger, backup};

use crate::support::journey::{Setting, World, provider_books, provider_name, record, route};
use crate::support::stripe::{NOON, Running, start_with};

/// What was uploaded late, or is not known any longer.
mod late;

const START: Timestamp = Timestamp::from_seconds(NOON);
const HOUR: i64 = 3_600;

/// A world in which usage waits, and the sandbox that would be told.
struct Stand {
    world: World,
    sandbox: Running,
    folder: tempfile::TempDir,
}

impl Stand {
    /// Nothing is used yet. Contact was made, if it is to be.
    async fn open(contacted: bool) -> Self {
        let meters = vec![NewMeter::new("calls", Formula::Sum)];
        let sandbox = start_with(|stripe| stripe.meters = meters).await;
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path(), &sandbox).await;
        if contacted {
            world.step().await;
        }
        Self { world, sandbox, folder }
    }

    /// 5 wait of each of so many customers.
    async fn waiting(customers: usize) -> Self {
        let stand = Self::open(true).await;
        let at = START.plus_seconds(-2 * HOUR);
        let used = |n: usize| record(&format!("r{n}"), &format!("cus_{n}"), "calls", "5", at);
        stand.world.accept((1..=customers).map(used).collect()).await;
        stand.world.accruer_and_poster().await;
        stand
    }

    /// The events that wait, of those that a table can tell.
    async fn candidates(&self) -> Vec<EventId> {
        let ledger = &self.world.ledger;
        let (mut from, mut found) = (Place::default(), Vec::new());
        loop {
            let waiting = ledger.waiting_for(&asked(), from, 2).await.unwrap();
            let now = self.world.clock.now();
            let fit = |event: &&_| bulk::judge(ExportForm::StripeCsv, event, now).is_ok();
            found.extend(waiting.candidates.iter().filter(fit).map(|event| event.event));
            match waiting.next {
                Some(next) => from = next,
                None => return found,
            }
        }
    }

    async fn begin(&self) -> ExportId {
        done(self.world.ledger.begin_export(&asked(), self.world.clock.now()).await.unwrap())
    }

    /// Exports all that waits.
    async fn export(&self) -> ExportId {
        let (id, events) = (self.begin().await, self.candidates().await);
        let now = self.world.clock.now();
        let marked = done(self.world.ledger.mark_exported(id, &events, now).await.unwrap());
        assert_eq!(usize::try_from(marked).unwrap(), events.len());
        for step in [ExportStep::Sealed, ExportStep::Written] {
            done(self.note(id, step).await);
        }
        id
    }

    async fn note(&self, id: ExportId, step: ExportStep) -> Exported<()> {
        let files = (step == ExportStep::Written).then(|| (1, "ff".to_owned()));
        let step = NewStep { step, files, why: "a test".to_owned(), who: "ada".to_owned() };
        self.world.ledger.note_export(id, &step, self.world.clock.now()).await.unwrap()
    }

    async fn abandon(&self, id: ExportId) {
        done(self.note(id, ExportStep::Abandoned).await);
        let (ledger, now) = (&self.world.ledger, self.world.clock.now());
        let mut after = RowPlace::default();
        while let Released { next: Some(next), .. } =
            done(ledger.release_exported(id, after, now).await.unwrap())
        {
            after = next;
        }
    }

    /// Uploads the rows of an export.
    async fn upload(&self, id: ExportId) {
        let rows = self.world.ledger.exported_events(id, RowPlace::default(), 100).await.unwrap();
        let rows = rows.iter().map(|each| bulk::row(ExportForm::StripeCsv, &each.event).unwrap());
        let (mut text, mut heading) = (String::new(), String::new());
        for row in rows {
            heading = row.heading;
            text.push_str(&row.line);
        }
        let report = self.sandbox.handle.take_file(format!("{heading}{text}").as_bytes()).unwrap();
        assert_eq!(report.refused, []);
    }

    async fn deliver(&self) {
        self.world.run_until(self.world.clock.now().plus_seconds(120)).await;
        self.world.verify().await;
    }

    /// Takes back the usage of the first customer.
    async fn cancel_first(&self) {
        let cancel = Correction {
            source: SourceName::new("web").unwrap(),
            record: RecordId::new("r1").unwrap(),
            name: CorrectionName::new("taken back").unwrap(),
            change: Change::Cancel,
            reason: "a test".to_owned(),
            who: "a test".to_owned(),
        };
        self.world.ledger.correct(vec![cancel], self.world.clock.now()).await.unwrap();
        self.deliver().await;
    }

    /// Two looks at totals that show what is there.
    async fn look_twice(&self) {
        for at in [8 * HOUR, 8 * HOUR + 601] {
            self.world.clock.set(START.plus_seconds(at));
            self.world.settler.run_once(self.world.clock.now()).await.unwrap();
        }
        self.world.verify().await;
    }

    async fn states(&self) -> BTreeMap<String, i64> {
        let status = self.world.ledger.status().await.unwrap();
        status.events.into_iter().map(|(_, state, count)| (state, count)).collect()
    }

    async fn check(&self, states: &[(&str, i64)]) {
        let expected: BTreeMap<String, i64> =
            states.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect();
        assert_eq!(self.states().await, expected);
    }

    async fn refused(&self, why: &str) {
        let (ledger, now) = (&self.world.ledger, self.world.clock.now());
        let said = refusal(ledger.begin_export(&asked(), now).await.unwrap());
        assert!(said.contains(why), "{said}");
        let earlier = ledger.why_not_exported(&provider_name(), &Telling::default()).await.unwrap();
        assert_eq!(earlier, Some(said));
    }
}

async fn world(folder: &Path, sandbox: &Running) -> World {
    let routes = vec![route("calls")];
    World::open(folder, sandbox, &sandbox.clock.clone(), routes, Setting::default()).await
}

fn asked() -> NewExport {
    let (provider, form) = (provider_name(), ExportForm::StripeCsv);
    NewExport { provider, form, meters: Vec::new(), before: None, who: "ada".to_owned() }
}

fn done<T: std::fmt::Debug>(exported: Exported<T>) -> T {
    match exported {
        Exported::Done(value) => value,
        Exported::Refused(why) => panic!("{why}"),
    }
}

fn refusal<T: std::fmt::Debug>(exported: Exported<T>) -> String {
    match exported {
        Exported::Refused(why) => why,
        Exported::Done(value) => panic!("{value:?}"),
    }
}

#[tokio::test]
async fn nothing_is_exported_of_a_provider_that_must_not_be_told() {
    let stand = Stand::open(false).await;
    let (ledger, name) = (&stand.world.ledger, provider_name());
    stand.refused("never in contact").await;
    stand.world.step().await;
    ledger.pause(&name, Some("the key belongs to acct_2"), START).await.unwrap();
    stand.refused("is paused, as the key belongs to acct_2").await;
    ledger.pause(&name, None, START).await.unwrap();
    let id = stand.begin().await;
    let shadow = Telling { mode: Mode::Shadow, ..Telling::default() };
    let meters = [route("calls").provider_meter].into();
    ledger.adopt_telling(&name, &shadow, &meters, START).await.unwrap();
    stand.refused("is in shadow").await;
    // Nor into one that was begun before.
    let said = refusal(ledger.mark_exported(id, &[EventId(1)], START).await.unwrap());
    assert!(said.contains("is in shadow"), "{said}");
}

#[tokio::test]
async fn what_a_request_may_have_told_is_never_exported() {
    for (fault, state) in [
        (FaultKind::AnswerLost, "unknown"),
        // It was turned away for certain, and goes again by a request all the same.
        (FaultKind::RateLimited, "pending"),
    ] {
        let stand = Stand::waiting(1).await;
        stand.sandbox.script(&[fault]);
        stand.world.clock.advance_micros(1_000);
        stand.world.courier.run_once(stand.world.clock.now()).await.unwrap();
        stand.check(&[(state, 1)]).await;
        assert_eq!(stand.candidates().await, []);
        let (id, now) = (stand.begin().await, stand.world.clock.now());
        let marked = stand.world.ledger.mark_exported(id, &[EventId(1)], now).await.unwrap();
        assert_eq!(done(marked), 0, "{state}");
        stand.check(&[(state, 1)]).await;
    }
}

#[tokio::test]
async fn what_is_in_a_file_is_leased_by_nobody_and_goes_into_no_other() {
    let stand = Stand::waiting(5).await;
    assert_eq!(stand.candidates().await.len(), 5);
    let (ledger, id) = (&stand.world.ledger, stand.export().await);
    stand.deliver().await;
    stand.check(&[("held", 5)]).await;
    assert_eq!(stand.sandbox.handle.events(), []);
    assert_eq!(stand.candidates().await, []);
    let other = stand.begin().await;
    let all: Vec<EventId> = (1..=5).map(EventId).collect();
    assert_eq!(done(ledger.mark_exported(other, &all, START).await.unwrap()), 0);
    let sealed = refusal(ledger.mark_exported(id, &all, START).await.unwrap());
    assert!(sealed.contains("is written, and takes no more"), "{sealed}");
    let reasons = ledger.held(10).await.unwrap();
    assert!(reasons.iter().all(|item| item.reason == "exported"), "{reasons:?}");
    // All of it may be there, and none of it certainly.
    let line = ledger.books(&Default::default()).await.unwrap().remove(0);
    assert_eq!((line.low.to_string(), line.high.to_string()), ("0".to_owned(), "5".to_owned()));
}

#[tokio::test]
async fn usage_that_is_taken_back_before_its_file_was_uploaded_is_told_by_nobody() {
    let stand = Stand::waiting(1).await;
    let id = stand.export().await;
    stand.cancel_first().await;
    assert_eq!(stand.sandbox.handle.events(), [], "it waits for what becomes of the file");
    stand.abandon(id).await;
    stand.deliver().await;
    stand.check(&[("superseded", 1)]).await;
    assert_eq!(stand.sandbox.handle.events(), []);
}

#[tokio::test]
async fn usage_that_is_taken_back_after_its_file_was_uploaded_is_taken_back_there() {
    let stand = Stand::waiting(1).await;
    let id = stand.export().await;
    stand.cancel_first().await;
    stand.upload(id).await;
    assert_eq!(stand.sandbox.handle.books().len(), 1);
    stand.look_twice().await;
    stand.deliver().await;
    stand.check(&[("accepted", 1), ("settled", 1)]).await;
    assert_eq!(stand.world.accrued().await, provider_books(stand.sandbox.handle.books()));
}

#[tokio::test]
async fn an_export_that_was_given_up_may_be_made_anew() {
    let stand = Stand::waiting(2).await;
    let first = stand.export().await;
    stand.abandon(first).await;
    stand.check(&[("superseded", 2)]).await;
    stand.world.accruer_and_poster().await;
    let second = stand.export().await;
    // Giving up the first once more gives nothing of the second back.
    stand.abandon(first).await;
    stand.check(&[("held", 2), ("superseded", 2)]).await;
    let exports = stand.world.ledger.exports(None, 10).await.unwrap();
    let held: Vec<(ExportId, i64)> = exports.iter().map(|each| (each.id, each.held)).collect();
    assert_eq!(held, [(second, 2), (first, 0)]);
    stand.upload(second).await;
    stand.look_twice().await;
    stand.check(&[("settled", 2), ("superseded", 2)]).await;
}

#[tokio::test]
async fn a_ledger_of_before_an_export_was_sealed_holds_what_its_files_may_have_told() {
    let stand = Stand::waiting(2).await;
    let (events, id) = (stand.candidates().await, stand.begin().await);
    let copy = stand.folder.path().join("backup");
    let path = stand.folder.path().join("ledger");
    backup::copy(&path, &copy).await.unwrap();
    done(stand.world.ledger.mark_exported(id, &events, START).await.unwrap());
    done(stand.note(id, ExportStep::Sealed).await);
    let Stand { world, folder: _folder, .. } = stand;
    let World { ledger, accruer, poster, courier, settler, listener, .. } = world;
    drop((accruer, poster, courier, settler, listener));
    Arc::into_inner(ledger).unwrap().close().await;
    backup::replace(&path, &copy, "a test", START).await.unwrap();
    let store = Settings { path, cache_kib: 2_048 };
    let ledger = SqliteLedger::open(&store, "a test", START).await.unwrap();
    let held = ledger.held(10).await.unwrap();
    assert_eq!(held.len(), 2);
    assert!(held.iter().all(|item| item.reason == "restored"), "{held:?}");
    let why = refusal(ledger.begin_export(&asked(), START).await.unwrap());
    assert!(why.contains("the ledger was rolled back"), "{why}");
    ledger.caught_up("ada: all files again", START).await.unwrap();
    done(ledger.begin_export(&asked(), START).await.unwrap());
    // What was in doubt once is never exported: a request tells it, or a person.
    let waiting = ledger.waiting_for(&asked(), Place::default(), 10).await.unwrap();
    assert_eq!(waiting.candidates, []);
    ledger.close().await;
}
