//! Notices in the ledger: kept once, in whatever order they come, until long after they were
//! concluded.

use std::collections::BTreeMap;
use std::sync::Arc;

use tallyd::domain::names::{NoticeId, NoticeKind, ObjectId, ObjectKind, ProviderName};
use tallyd::domain::notice::{CameBy, KEPT_MICROS, Notice, Related};
use tallyd::domain::time::Timestamp;
use tallyd::ledger::notices::{
    Archived, Arrival, Cleared, Conclusion, FORGOTTEN_AT_ONCE, NoticeNumber, NoticesLedger,
};
use tallyd::ledger::operator::{NoticesStatus, OperatorLedger};
use tallyd::store::sqlite::SqliteLedger;

use crate::support::journey::provider_name;
use crate::support::stand_in::ledger;
use crate::support::stripe::NOON;

const START: Timestamp = Timestamp::from_seconds(NOON);

fn name(text: &str) -> NoticeId {
    NoticeId::new(text).unwrap()
}

/// A snapshot event.
fn snapshot(id: &str) -> Arrival {
    let notice = Notice {
        id: name(id),
        snapshot: None,
        kind: NoticeKind::new("customer.subscription.deleted").unwrap(),
        created_at: START,
        livemode: false,
        related: Some(Related {
            kind: ObjectKind::new("subscription").unwrap(),
            id: ObjectId::new(&format!("sub_{id}")).unwrap(),
        }),
        body: format!("{{\"id\": \"{id}\",\n \"text\": \"\u{e9}\\u0000\\\"\"}}"),
    };
    Arrival { provider: provider_name(), notice, came_by: CameBy::Webhook }
}

/// The thin event that announces the same as the snapshot event `of`.
fn thin(id: &str, of: &str) -> Arrival {
    let mut arrival = snapshot(id);
    arrival.notice.snapshot = Some(name(of));
    arrival.notice.related = None;
    arrival.came_by = CameBy::Poll;
    arrival
}

async fn archive(ledger: &Arc<SqliteLedger>, arrivals: &[Arrival]) -> Vec<Archived> {
    ledger.archive_notices(arrivals, START).await.unwrap()
}

/// What waits: the announcement and how often it came again, in order.
async fn waiting(ledger: &Arc<SqliteLedger>) -> Vec<(String, i64)> {
    let waiting = ledger.waiting_notices(&provider_name(), u32::MAX).await.unwrap();
    let told = waiting
        .iter()
        .map(|each| (each.arrival.notice.announcement().to_string(), each.duplicates));
    told.collect()
}

#[tokio::test]
async fn a_notice_is_kept_as_it_came_and_its_repetitions_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let (one, two) = (snapshot("evt_1"), thin("evt_2", "evt_0"));
    let kept = archive(&ledger, &[one.clone(), one.clone(), two.clone()]).await;
    let [first, second] = [NoticeNumber(1), NoticeNumber(2)];
    assert_eq!(kept, [Archived::New(first), Archived::Duplicate(first), Archived::New(second)]);
    assert_eq!(archive(&ledger, std::slice::from_ref(&one)).await, [Archived::Duplicate(first)]);
    // The other form of an announcement, and a thin event that lost its link on the way.
    let mut bare = two.clone();
    bare.notice.snapshot = None;
    let others = [thin("evt_3", "evt_1"), snapshot("evt_0"), bare];
    let repeated = [first, second, second].map(Archived::Duplicate);
    assert_eq!(archive(&ledger, &others).await, repeated);
    let found = ledger.waiting_notices(&provider_name(), 10).await.unwrap();
    assert_eq!(found.iter().map(|each| &each.arrival).collect::<Vec<_>>(), [&one, &two]);
    let counted: Vec<_> = found.iter().map(|each| (each.duplicates, each.received_at)).collect();
    assert_eq!(counted, [(3, START), (2, START)]);
    // Another account's event of the same name is another.
    let eu = ProviderName::new("stripe.eu").unwrap();
    let foreign = Arrival { provider: eu.clone(), ..one };
    assert_eq!(archive(&ledger, &[foreign]).await, [Archived::New(NoticeNumber(3))]);
    let of = |provider: &ProviderName, waiting| NoticesStatus {
        provider: provider.to_string(),
        waiting,
        newest_at: START,
    };
    let status = ledger.status().await.unwrap().notices;
    assert_eq!(status, [of(&eu, 1), of(&provider_name(), 2)]);
    assert_eq!(archive(&ledger, &[]).await, []);
}

#[tokio::test]
async fn ten_thousand_notices_leave_the_same_in_whatever_order_they_come() {
    const ANNOUNCED: u64 = 7_000;
    const REPEATED: u64 = 3_000;
    let event = |number: u64| match number % 4 {
        // Announced in both forms, of which either may come first.
        0 => thin(&format!("evt_thin_{number}"), &format!("evt_{number}")),
        _ => snapshot(&format!("evt_{number}")),
    };
    let again = |number: u64| match number % 8 {
        0 => snapshot(&format!("evt_{number}")),
        _ => event(number),
    };
    let mut state = 7_u64;
    let mut below = |bound: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut arrivals: Vec<Arrival> = (0..ANNOUNCED).map(event).collect();
    arrivals.extend((0..REPEATED).map(|_| again(below(ANNOUNCED))));
    let mut ends: Vec<BTreeMap<String, i64>> = Vec::new();
    for shuffled in [false, true] {
        if shuffled {
            for last in (1..arrivals.len()).rev() {
                arrivals
                    .swap(last, usize::try_from(below(u64::try_from(last).unwrap() + 1)).unwrap());
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path(), START).await;
        let mut fresh = 0;
        for batch in arrivals.chunks(if shuffled { 333 } else { 1_000 }) {
            let archived = archive(&ledger, batch).await;
            fresh += archived.iter().filter(|each| matches!(each, Archived::New(_))).count();
        }
        assert_eq!(u64::try_from(fresh).unwrap(), ANNOUNCED);
        ends.push(waiting(&ledger).await.into_iter().collect());
    }
    let repeated = u64::try_from(ends[0].values().sum::<i64>()).unwrap();
    assert_eq!((u64::try_from(ends[0].len()).unwrap(), repeated), (ANNOUNCED, REPEATED));
    assert!(ends[0] == ends[1], "the order of arrival shows");
}

#[tokio::test]
async fn notices_wait_in_order_until_each_is_concluded_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    for (second, id) in [(0, "evt_9"), (1, "evt_5"), (1, "evt_7"), (2, "evt_1")] {
        let at = START.plus_seconds(second);
        ledger.archive_notices(&[snapshot(id)], at).await.unwrap();
    }
    let two = ledger.waiting_notices(&provider_name(), 2).await.unwrap();
    let number = two[1].number;
    assert_eq!(two[1].arrival.notice.id.as_str(), "evt_5");
    let acted = Conclusion::Acted("the subscription was looked at".to_owned());
    let ignored = Conclusion::Ignored("nothing follows from it".to_owned());
    assert!(ledger.conclude_notice(number, &acted, START).await.unwrap());
    assert!(!ledger.conclude_notice(number, &ignored, START).await.unwrap());
    assert!(!ledger.conclude_notice(NoticeNumber(99), &ignored, START).await.unwrap());
    // What was acted on does not wait again because it is repeated.
    assert_eq!(archive(&ledger, &[snapshot("evt_5")]).await, [Archived::Duplicate(number)]);
    let left: Vec<String> = waiting(&ledger).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, ["evt_9", "evt_7", "evt_1"]);
    let status = ledger.status().await.unwrap().notices;
    assert_eq!((status[0].waiting, status[0].newest_at), (3, START.plus_seconds(2)));
}

#[tokio::test]
async fn notices_are_known_again_for_as_long_as_they_may_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let numbers = archive(&ledger, &[snapshot("evt_1"), snapshot("evt_2")]).await;
    let Archived::New(first) = numbers[0] else { panic!("{numbers:?}") };
    let acted = Conclusion::Acted("looked at".to_owned());
    ledger.conclude_notice(first, &acted, START).await.unwrap();
    let cleared = async |at: Timestamp| ledger.clear_notices(at).await.unwrap();
    let (kept, day) = (START.plus_micros(KEPT_MICROS), 86_400);
    assert_eq!(cleared(kept).await, Cleared::default());
    let one = |given_up, forgotten| Cleared { given_up, forgotten };
    assert_eq!(cleared(kept.plus_seconds(1)).await, one(1, 1));
    assert_eq!(waiting(&ledger).await, []);
    // The one that was given up is known for as long again; the other one is new.
    let late = ledger.archive_notices(&[snapshot("evt_2")], kept.plus_seconds(day)).await.unwrap();
    assert!(matches!(late[0], Archived::Duplicate(_)), "{late:?}");
    let anew = ledger.archive_notices(&[snapshot("evt_1")], kept.plus_seconds(day)).await.unwrap();
    assert!(matches!(anew[0], Archived::New(_)), "{anew:?}");
    let later = kept.plus_seconds(2).plus_micros(KEPT_MICROS);
    assert_eq!(cleared(later).await, one(0, 1));
    assert_eq!(waiting(&ledger).await, [("evt_1".to_owned(), 0)]);
}

#[tokio::test]
async fn old_notices_are_cleared_away_some_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), START).await;
    let all: Vec<Arrival> =
        (0..=FORGOTTEN_AT_ONCE).map(|number| snapshot(&format!("evt_{number}"))).collect();
    archive(&ledger, &all).await;
    let late = START.plus_micros(KEPT_MICROS).plus_seconds(1);
    let steps =
        [ledger.clear_notices(late).await.unwrap(), ledger.clear_notices(late).await.unwrap()];
    let most = u64::from(FORGOTTEN_AT_ONCE);
    assert_eq!(steps.map(|step| (step.given_up, step.is_full())), [(most, true), (1, false)]);
}
