//! What comes between the runs of an archive, or in place of its file or its ledger. Read next:
//! [`super`].

use tallyd::domain::billing::{BilledItem, Subscription, SubscriptionStatus};
use tallyd::domain::event::EventId;
use tallyd::domain::names::{AccountName, ProviderMeter, SubscriptionId};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::reading::{FindingKind, Grouping};
use tallyd::domain::state::{EventState, HoldReason};
use tallyd::domain::time::Window;
use tallyd::ledger::billing::{BillingLedger as _, Learned};
use tallyd::ledger::reconcile::{
    Comparison, Fate, Judged, LaneId, ReconcileLedger as _, fingerprint,
};
use tallyd::store::sqlite::backup;

use super::*;
use crate::support::stand_in;

/// A period of `cus_0` becomes known, whose start lies in the window of the first day.
async fn learn_a_bound(ledger: &SqliteLedger) {
    let meter = ProviderMeter::new("calls").unwrap();
    let period = Window { start: day(0).plus_seconds(2), end: day(400) };
    let subscription = Subscription {
        id: SubscriptionId::new("sub_1").unwrap(),
        account: AccountName::new("cus_0").unwrap(),
        status: SubscriptionStatus::Billing,
        started_at: period.start,
        ended_at: None,
        ends_at: None,
        idle_since: None,
        changed_at: None,
        items: vec![BilledItem { meter, period }],
        latest_invoice: None,
    };
    let nothing = Learned::nothing(day(200));
    let learned = Learned { subscriptions: vec![subscription], ..nothing };
    ledger.learn(&provider_name(), &learned, day(200)).await.unwrap();
}

#[tokio::test]
async fn a_bound_that_is_learned_before_an_archive_is_finished_moves_nothing_of_it() {
    for cut in [Step::Sealed, Step::Named] {
        let folder = tempfile::tempdir().unwrap();
        let opened = lived(folder.path(), 0..3, 6).await;
        let sums = books(&opened).await;
        let wanted = wanted(folder.path(), "old", day(2));
        cut_after(folder.path(), opened, &wanted, cut).await;
        let ledger = ledger(folder.path(), day(200)).await;
        learn_a_bound(&ledger).await;
        tell(&ledger, vec![daily()], day(200)).await;
        verify(&ledger).await;
        assert_eq!(books(&ledger).await, sums);
        assert_eq!(made(&ledger, &wanted, day(200)).await, (12, true), "{cut:?}");
        verify(&ledger).await;
        assert_eq!(verify_archive(&ledger, &wanted.file).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_file_that_is_lost_before_anything_was_emptied_is_made_again() {
    for cut in [Step::Sealed, Step::Named] {
        let folder = tempfile::tempdir().unwrap();
        let opened = lived(folder.path(), 0..3, 6).await;
        let wanted = wanted(folder.path(), "old", day(2));
        cut_after(folder.path(), opened, &wanted, cut).await;
        for name in ["old", "old.partial"] {
            drop(std::fs::remove_file(folder.path().join(name)));
        }
        let ledger = ledger(folder.path(), day(200)).await;
        assert_eq!(made(&ledger, &wanted, day(200)).await, (12, true), "{cut:?}");
        verify(&ledger).await;
        assert_eq!(verify_archive(&ledger, &wanted.file).await, [""; 0]);
    }
}

#[tokio::test]
async fn what_is_left_of_a_file_that_was_being_made_again_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let opened = lived(folder.path(), 0..3, 6).await;
    let wanted = wanted(folder.path(), "old", day(2));
    cut_after(folder.path(), opened, &wanted, Step::Sealed).await;
    std::fs::remove_file(folder.path().join("old.partial")).unwrap();
    for half in ["old.remade", "old.remade-journal"] {
        std::fs::write(folder.path().join(half), "half a file").unwrap();
    }
    let ledger = ledger(folder.path(), day(200)).await;
    assert_eq!(made(&ledger, &wanted, day(200)).await, (12, true));
    verify(&ledger).await;
    assert_eq!(verify_archive(&ledger, &wanted.file).await, [""; 0]);
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("remade")).collect();
    assert_eq!(left, [""; 0]);
}

#[tokio::test]
async fn a_record_whose_correction_had_no_effect_stays_until_somebody_made_up_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), day(0)).await;
    let quantity = |text| Quantity::parse(text).unwrap();
    let adjust = |name: &str, replaces, to| Correction {
        change: Change::Adjust { quantity: quantity(to), replaces: quantity(replaces) },
        ..cancel("d0 r0", name)
    };
    ledger.correct(vec![adjust("early", "7", "2")], day(0)).await.unwrap();
    live(&ledger, folder.path(), 0..3, 6).await;
    let corrections = ledger.questions(10).await.unwrap().corrections;
    assert_eq!(corrections.len(), 1);
    // It stays with the other record of its window.
    let first = wanted(folder.path(), "first", day(2));
    assert_eq!(made(&ledger, &first, day(200)).await, (10, false));
    assert_eq!(ledger.questions(10).await.unwrap().corrections, corrections);
    ledger.correct(vec![adjust("again", "1.5", "2")], day(200)).await.unwrap();
    tell(&ledger, vec![daily()], day(20)).await;
    prove(folder.path()).await;
    accept(&ledger, &usage_of(190, 3), day(192)).await;
    tell(&ledger, vec![daily()], day(192)).await;
    let second = wanted(folder.path(), "second", day(2));
    assert_eq!(made(&ledger, &second, day(200)).await, (2, false));
    verify(&ledger).await;
}

#[tokio::test]
async fn a_move_that_an_archive_keeps_from_being_made_is_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = lived(folder.path(), 0..3, 6).await;
    assert_eq!(made(&ledger, &wanted(folder.path(), "old", day(2)), day(200)).await.0, 12);
    let span = Window { start: day(0).plus_seconds(-43_200), end: day(1).plus_seconds(-43_200) };
    let lane = LaneId(1);
    let events = ledger.lane_events(lane, span, 10).await.unwrap();
    let event: EventId = events[0].usage.event;
    let why = "not there".to_owned();
    let hold = Some((HoldReason::Disproved, why.clone()));
    let part = Judged {
        span,
        total: Quantity::zero(),
        fingerprint: fingerprint(&events),
        finding: FindingKind::Settled,
        detail: why.clone(),
        fates: vec![Fate { event, to: EventState::Held, why, hold }],
    };
    let grouping = Grouping::Whole;
    let comparison = Comparison { lane, grouping, provider_at: day(200), parts: vec![part] };
    let concluded = ledger.conclude(comparison, day(200)).await.unwrap();
    assert_eq!((concluded.moved, concluded.outdated), (0, 0));
    verify(&ledger).await;
}

#[tokio::test]
async fn no_two_archives_have_one_number_though_a_backup_took_the_ledgers_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let opened = lived(folder.path(), 0..3, 6).await;
    let copy = folder.path().join("backup");
    backup::copy(&path, &copy).await.unwrap();
    assert_eq!(made(&opened, &wanted(folder.path(), "first", day(1)), day(200)).await.0, 6);
    Arc::into_inner(opened).unwrap().close().await;
    backup::replace(&path, &copy, "a test", day(200)).await.unwrap();
    let ledger = stand_in::ledger(folder.path(), day(200)).await;
    let archived = archive(&ledger, &wanted(folder.path(), "second", day(1)), day(200)).await;
    let Archiving::Made(second) = archived else { panic!("{archived:?}") };
    assert_eq!((second.number, second.records), (2, 6));
    verify(&ledger).await;
    // The first is of no archive that this ledger knows.
    match ledger.verify_archive(&folder.path().join("first")).await.unwrap() {
        Checked::Refused(why) => assert!(why.contains("which knows of none"), "{why}"),
        other @ Checked::Archive(..) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_archived_may_be_younger_where_the_operator_says_so_but_no_younger_than_bills() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = lived(folder.path(), 0..3, 3).await;
    let young = |age_days| Wanted { age_days, ..wanted(folder.path(), "young", day(2)) };
    for age_days in [1, 36] {
        let why = refused(&ledger, &young(age_days), day(37)).await;
        assert!(why.contains("less than 36 days ago"), "{why}");
    }
    assert_eq!(made(&ledger, &young(36), day(38)).await, (6, false));
}
