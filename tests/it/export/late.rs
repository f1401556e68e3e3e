//! Exports whose files were uploaded late, or to a ledger and a config that changed since. Read
//! next: [`super`].

use tallyd::domain::billing::{Invoice, InvoiceStatus};
use tallyd::domain::cutover::Cutover;
use tallyd::domain::quantity::Quantity;
use tallyd::domain::time::Window;
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::report::ReportLedger as _;

use super::*;
use crate::support::billing::invoice_of;

impl Stand {
    /// An invoice over the day before becomes final, and bills so much of the customer's calls.
    async fn invoiced(&self, billed: &str) {
        let span = Window { start: START.plus_seconds(-24 * HOUR), end: START };
        let mut invoice: Invoice = invoice_of(span, InvoiceStatus::Final, START.plus_seconds(HOUR));
        invoice.lines[0].quantity = Quantity::parse(billed).unwrap();
        let now = START.plus_seconds(2 * HOUR);
        let learned = Learned { invoices: vec![invoice], ..Learned::nothing(now) };
        self.world.ledger.learn(&provider_name(), &learned, now).await.unwrap();
    }

    /// The first look at the final invoice; answers how many there are to look at.
    async fn compared(&self) -> usize {
        let ledger = &self.world.ledger;
        let periods = ledger.final_periods(&provider_name(), 10).await.unwrap();
        ledger.note_compared(&periods, self.world.clock.now()).await.unwrap();
        periods.len()
    }

    async fn held(&self) -> Vec<String> {
        let held = self.world.ledger.held(10).await.unwrap();
        held.into_iter().map(|item| item.reason).collect()
    }
}

#[tokio::test]
async fn what_was_uploaded_after_its_invoice_was_final_is_held_as_late_and_not_settled() {
    let stand = Stand::waiting(1).await;
    let id = stand.export().await;
    stand.invoiced("0").await;
    assert_eq!(stand.compared().await, 1);
    stand.upload(id).await;
    stand.look_twice().await;
    assert_eq!(stand.held().await, ["late_for_period"]);
    // Whoever compares invoices looks at this one again.
    assert_eq!(stand.compared().await, 1);
    let export = stand.world.ledger.exports(Some(id), 1).await.unwrap().remove(0);
    assert_eq!((export.held, export.present), (0, 1));
    let said = refusal(stand.note(id, ExportStep::Abandoned).await);
    assert!(said.contains("are at the provider already"), "{said}");
    // It stays so, however often its total is read.
    for at in [16 * HOUR, 16 * HOUR + 601, 24 * HOUR] {
        stand.world.clock.set(START.plus_seconds(at));
        stand.world.settler.run_once(stand.world.clock.now()).await.unwrap();
    }
    assert_eq!(stand.held().await, ["late_for_period"]);
    stand.world.verify().await;
}

#[tokio::test]
async fn what_was_uploaded_in_time_is_settled_though_its_invoice_is_final_by_now() {
    let stand = Stand::waiting(1).await;
    let id = stand.export().await;
    stand.upload(id).await;
    stand.invoiced("5").await;
    assert_eq!(stand.compared().await, 1);
    stand.look_twice().await;
    stand.check(&[("settled", 1)]).await;
    assert_eq!(stand.compared().await, 1, "the total says more than was known of the invoice");
    assert_eq!(stand.compared().await, 0);
}

#[tokio::test]
async fn what_a_file_tells_of_before_a_bill_from_that_came_late_is_left_to_a_person() {
    let stand = Stand::waiting(2).await;
    let id = stand.export().await;
    let all = Some(START.plus_seconds(-HOUR));
    let cutover = Cutover { all, ..Cutover::default() };
    let telling = Telling { mode: Mode::Live, cutover };
    let meters = [route("calls").provider_meter].into();
    let ledger = &stand.world.ledger;
    let adopted = ledger.adopt_telling(&provider_name(), &telling, &meters, START).await.unwrap();
    assert!(matches!(adopted, Adoption::Adopted { withdrawn: 2, .. }), "{adopted:?}");
    let held = ledger.held(10).await.unwrap();
    assert_eq!(held.len(), 2);
    for item in &held {
        assert_eq!(item.reason, "bill_from");
        assert!(item.detail.contains("export 1"), "{}", item.detail);
    }
    // Its files are not written again, and giving it up tells nothing of it.
    let export = ledger.exports(Some(id), 1).await.unwrap().remove(0);
    assert_eq!((export.events, export.held), (2, 0));
    stand.abandon(id).await;
    stand.deliver().await;
    assert_eq!(stand.sandbox.handle.events(), []);
    stand.check(&[("held", 2)]).await;
}

/// A ledger of when an export was begun, in place of the one that knew that its files were
/// uploaded.
async fn rolled_back() -> (SqliteLedger, ExportId, tempfile::TempDir, Running) {
    let stand = Stand::waiting(2).await;
    let (events, id) = (stand.candidates().await, stand.begin().await);
    done(stand.world.ledger.mark_exported(id, &events, START).await.unwrap());
    let path = stand.folder.path().join("ledger");
    backup::copy(&path, &stand.folder.path().join("backup")).await.unwrap();
    for step in [ExportStep::Sealed, ExportStep::Written, ExportStep::Confirmed] {
        done(stand.note(id, step).await);
    }
    let (ledger, folder, sandbox) = put_back(stand).await;
    (ledger, id, folder, sandbox)
}

/// The backup in place of the ledger.
async fn put_back(stand: Stand) -> (SqliteLedger, tempfile::TempDir, Running) {
    let Stand { world, folder, sandbox } = stand;
    let (path, copy) = (folder.path().join("ledger"), folder.path().join("backup"));
    let World { ledger, accruer, poster, courier, settler, listener, .. } = world;
    drop((accruer, poster, courier, settler, listener));
    Arc::into_inner(ledger).unwrap().close().await;
    backup::replace(&path, &copy, "a test", START).await.unwrap();
    let store = Settings { path, cache_kib: 2_048 };
    (SqliteLedger::open(&store, "a test", START).await.unwrap(), folder, sandbox)
}

fn step(step: ExportStep) -> NewStep {
    let files = (step == ExportStep::Written).then(|| (1, "ff".to_owned()));
    NewStep { step, files, why: "a test".to_owned(), who: "ada".to_owned() }
}

#[tokio::test]
async fn files_of_before_a_rollback_are_not_written_again_but_may_be_said_to_be_uploaded() {
    let (ledger, id, _folder, _sandbox) = rolled_back().await;
    let held = ledger.held(10).await.unwrap();
    assert!(held.iter().all(|item| item.reason == "exported"), "{held:?}");
    let export = ledger.exports(Some(id), 1).await.unwrap().remove(0);
    assert!(export.rolled_back);
    // Nothing more goes into it: nobody knows what its files hold.
    let marked = refusal(ledger.mark_exported(id, &[EventId(1)], START).await.unwrap());
    assert!(marked.contains("the ledger was rolled back"), "{marked}");
    ledger.caught_up("ada: all files again", START).await.unwrap();
    for each in [ExportStep::Sealed, ExportStep::Written] {
        let said = refusal(ledger.note_export(id, &step(each), START).await.unwrap());
        assert!(said.contains("the ledger was rolled back after export 1"), "{said}");
    }
    // That it was written is not known here, and it may be known that it was uploaded.
    done(ledger.note_export(id, &step(ExportStep::Confirmed), START).await.unwrap());
    ledger.close().await;
}

#[tokio::test]
async fn what_is_given_up_after_a_rollback_may_be_at_the_provider_all_the_same() {
    let (ledger, id, _folder, _sandbox) = rolled_back().await;
    let said = refusal(ledger.note_export(id, &step(ExportStep::Abandoned), START).await.unwrap());
    assert!(said.contains("the ledger was rolled back"), "{said}");
    ledger.caught_up("ada: all files again", START).await.unwrap();
    done(ledger.note_export(id, &step(ExportStep::Abandoned), START).await.unwrap());
    let place = RowPlace::default();
    let released = done(ledger.release_exported(id, place, START).await.unwrap());
    assert_eq!(released.events, 2);
    // A total that contains them settles them: their file may have been uploaded before.
    let books = ledger.books(&Default::default()).await.unwrap();
    let bounds: Vec<(String, String)> =
        books.iter().map(|line| (line.low.to_string(), line.high.to_string())).collect();
    assert!(bounds.iter().all(|each| *each == ("0".to_owned(), "5".to_owned())), "{bounds:?}");
    assert_eq!(ledger.verify().await.unwrap().findings, Vec::<String>::new());
    ledger.close().await;
}

#[tokio::test]
async fn no_two_exports_have_one_number_though_a_backup_took_the_ledgers_place() {
    let stand = Stand::waiting(1).await;
    let folder = stand.folder.path();
    backup::copy(&folder.join("ledger"), &folder.join("backup")).await.unwrap();
    let first = stand.export().await;
    let (ledger, _folder, _sandbox) = put_back(stand).await;
    ledger.caught_up("ada: all files again", START).await.unwrap();
    let second = done(ledger.begin_export(&asked(), START).await.unwrap());
    assert_eq!((first, second), (ExportId(1), ExportId(2)));
    ledger.close().await;
}
