//! Each kind of difference by example; that what may be is never one, and that the event that is
//! gone is always named.

use proptest::prelude::*;

use super::*;
use crate::domain::balance::BalanceId;
use crate::domain::event::EventId;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR};

const PROMISE: ReadBack = ReadBack {
    lag_micros: 7 * MICROS_PER_HOUR,
    landing_micros: 24 * MICROS_PER_HOUR,
    grain_micros: 60_000_000,
    digits_max: 15,
};
/// When everything was tried last.
const SENT: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn event(id: i64, quantity: impl Into<Quantity>, state: EventState) -> LaneEvent {
    let may_exist = matches!(state, EventState::Accepted | EventState::Unknown);
    let hold = (state == EventState::Held).then_some(HoldReason::Refused);
    LaneEvent {
        usage: Standing { event: EventId(id), state, may_exist, hold, attempts: 1, last_at: SENT },
        cancel: None,
        balance: BalanceId(1),
        window: Window { start: SENT, end: SENT.plus_seconds(1) },
        quantity: quantity.into(),
        level: None,
        occurred_at: SENT,
    }
}

fn settled(id: i64, quantity: i64) -> LaneEvent {
    event(id, quantity, EventState::Settled)
}

fn of(total: &str, events: &[LaneEvent], hours: i64) -> Option<Found> {
    let total = Quantity::parse_unbounded(total).unwrap();
    let span = Window { start: SENT, end: SENT.plus_micros(MICROS_PER_DAY) };
    let read_at = SENT.plus_micros(hours * MICROS_PER_HOUR);
    let compared = Compared { span, total: Ok(&total), events, read_at, bounded: true };
    of_total(&compared, &PROMISE)
}

/// The kind, the quantity, and the suspects as `set role event`.
fn said(found: Option<Found>) -> (DriftKind, String, Vec<String>) {
    let found = found.expect("there is a difference");
    let suspects = found.suspects.iter();
    let suspects =
        suspects.map(|each| format!("{} {} {}", each.set, each.role, each.item.number)).collect();
    (found.kind, found.quantity.to_string(), suspects)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_total_within_the_bracket_is_no_difference() {
    let events =
        [settled(1, 5), event(2, 3, EventState::Accepted), event(3, -1, EventState::Unknown)];
    for total in ["4", "5", "7.5", "8"] {
        assert_eq!(of(total, &events, 40), None, "{total}");
    }
    assert_eq!(of("0", &[], 40), None);
}

#[test]
fn what_is_gone_is_missing_and_named() {
    let events = [settled(1, 5), settled(2, 7), settled(3, 11)];
    let missing = |quantity: &str, suspects: &[&str]| {
        (DriftKind::Missing, quantity.to_owned(), names(suspects))
    };
    assert_eq!(said(of("16", &events, 40)), missing("7", &["1 absent 2"]));
    assert_eq!(said(of("11", &events, 40)), missing("12", &["1 absent 1", "1 absent 2"]));
    assert_eq!(said(of("0", &events, 40)).2.len(), 3);
    assert_eq!(said(of("3", &events, 40)), missing("20", &[]));
}

#[test]
fn what_is_there_too_much_counts_twice_or_was_taken_for_absent() {
    let mut events = vec![settled(1, 5), event(2, 7, EventState::Held)];
    let excess = |quantity: &str, suspects: &[&str]| {
        (DriftKind::Excess, quantity.to_owned(), names(suspects))
    };
    assert_eq!(said(of("10", &events, 40)), excess("5", &["1 twice 1"]));
    assert_eq!(said(of("12", &events, 40)), excess("7", &["1 present 2"]));
    let mut cancelled = settled(3, 4);
    let mut cancel = cancelled.usage.clone();
    cancel.event = EventId(4);
    cancelled.cancel = Some(cancel);
    events.push(cancelled);
    assert_eq!(of("5", &events, 40), None);
    assert_eq!(said(of("9", &events, 40)), excess("4", &["1 present 3"]));
}

#[test]
fn what_nobody_told_is_a_remote_that_is_not_known() {
    let nothing = [event(1, 7, EventState::Void)];
    for events in [&nothing[..], &[]] {
        let (kind, quantity, suspects) = said(of("3", events, 40));
        assert_eq!((kind, quantity.as_str()), (DriftKind::UnknownRemote, "3"));
        assert_eq!(suspects, Vec::<String>::new());
    }
}

#[test]
fn what_cannot_be_judged_says_so() {
    let events = [settled(1, 5)];
    assert_eq!(of("0", &events, 6).unwrap().kind, DriftKind::Unverifiable, "too young");
    assert_eq!(of("0", &events, 8).unwrap().kind, DriftKind::Missing);
    let long = of("1234567890.123456", &events, 40).unwrap();
    assert_eq!(long.kind, DriftKind::Unverifiable);
    let total = Quantity::from(9);
    let span = Window { start: SENT, end: SENT.plus_micros(MICROS_PER_DAY) };
    let read_at = SENT.plus_micros(MICROS_PER_DAY);
    let compared = Compared { span, total: Ok(&total), events: &events, read_at, bounded: false };
    assert_eq!(of_total(&compared, &PROMISE).unwrap().kind, DriftKind::Unverifiable);
    let unread = Compared { total: Err("it does not answer"), ..compared };
    assert_eq!(of_total(&unread, &PROMISE).unwrap().detail, "it does not answer");
}

#[test]
fn what_is_held_is_told_by_why_it_is() {
    let mut gone = event(1, 5, EventState::Held);
    gone.usage.hold = Some(HoldReason::Disproved);
    let mut tardy = event(2, 7, EventState::Held);
    tardy.usage.hold = Some(HoldReason::LateForPeriod);
    let events = [gone, tardy, event(3, 11, EventState::Held)];
    let proven = (DriftKind::Missing, "5".to_owned(), names(&["1 held 1"]));
    assert_eq!(said(disproved(&events)), proven);
    let waits = Outstanding {
        balance: BalanceId(9),
        quantity: 2.into(),
        too_fine: false,
        hold: Some((HoldReason::NoPeriod, String::new())),
    };
    let all = said(late(&events, &[waits]));
    assert_eq!(all, (DriftKind::Late, "9".to_owned(), names(&["1 held 2", "1 held 9"])));
    assert_eq!(late(&events[..1], &[]), None);
}

#[test]
fn an_invoice_is_compared_with_the_total_or_else_with_the_ledger() {
    let events = [settled(1, 5), settled(2, 7)];
    let unbilled = |billed: i64, total: Option<i64>| {
        let total = total.map(Quantity::from);
        let told = ToldOf { events: &events, before: &Bracket::nothing(), bills: Fold::Sum };
        of_invoice((&billed.into(), "in_1"), total.as_ref(), told, 15)
    };
    assert_eq!(unbilled(12, None), None);
    assert_eq!(unbilled(12, Some(12)), None);
    assert_eq!(unbilled(0, Some(-3)), None, "a total below zero is billed as nothing");
    let found = said(unbilled(5, Some(12)));
    assert_eq!(found, (DriftKind::Unbilled, "7".to_owned(), names(&["1 absent 2"])));
    assert_eq!(said(unbilled(13, None)).1, "1");
}

#[test]
fn an_invoice_bills_what_another_program_told_of_its_period_too() {
    let events = [settled(1, 5), settled(2, 7)];
    let bracket = |low: i64, high: i64| Bracket { low: low.into(), high: high.into() };
    let unbilled = |billed: i64, before: &Bracket| {
        let told = ToldOf { events: &events, before, bills: Fold::Sum };
        of_invoice((&billed.into(), "in_1"), None, told, 15)
    };
    assert_eq!(unbilled(112, &bracket(100, 100)), None);
    assert_eq!(said(unbilled(12, &bracket(100, 100))).1, "100");
    // Where its period begins within a minute, that minute's usage may be another period's.
    assert_eq!(unbilled(110, &bracket(98, 100)), None);
    assert_eq!(said(unbilled(113, &bracket(98, 100))).1, "1");
}

#[test]
fn an_invoice_of_levels_is_compared_with_the_newest_or_the_largest_that_may_count() {
    let at =
        |second, event: LaneEvent| LaneEvent { occurred_at: SENT.plus_seconds(second), ..event };
    let events = [
        at(1, settled(1, 9)),
        at(2, settled(2, 5)),
        at(3, event(3, 7, EventState::Unknown)),
        at(4, event(4, 20, EventState::Dead)),
    ];
    let bills = |fold, billed: i64, events: &[LaneEvent]| {
        let total = Some(Quantity::from(3));
        let told = ToldOf { events, before: &Bracket::nothing(), bills: fold };
        of_invoice((&billed.into(), "in_1"), total.as_ref(), told, 15).map(|found| {
            assert_eq!((found.kind, found.suspects.len()), (DriftKind::Unbilled, 0));
            found.quantity.to_string()
        })
    };
    let said = |fold, events: &[LaneEvent]| -> Vec<Option<String>> {
        [0, 5, 7, 9, 10].map(|billed| bills(fold, billed, events)).to_vec()
    };
    let off = |by: &str| Some(by.to_owned());
    assert_eq!(said(Fold::Last, &events), [off("5"), None, None, off("2"), off("3")]);
    assert_eq!(said(Fold::Max, &events), [off("9"), off("4"), off("2"), None, off("1")]);
    let open = &events[2..];
    assert_eq!(said(Fold::Last, open), [None, None, None, off("2"), off("3")]);
    assert_eq!(said(Fold::Max, open), [None, None, None, off("2"), off("3")]);
    assert_eq!(said(Fold::Last, &[])[..2], [None, off("5")]);
}

/// Events of all states, with quantities that are often alike.
fn any_events() -> impl Strategy<Value = Vec<LaneEvent>> {
    let one = (prop::sample::select(EventState::ALL), -9_i64..=9, any::<bool>());
    prop::collection::vec(one, 0..20).prop_map(|all| {
        let each = |(at, (state, quantity, may_exist)): (usize, (EventState, i64, bool))| {
            let id = i64::try_from(at).unwrap() + 1;
            let mut made = event(id, quantity, state);
            made.usage.may_exist |= may_exist && state != EventState::Pending;
            made
        };
        all.into_iter().enumerate().map(each).collect()
    })
}

/// The total, if of the open events those count that `counts` says.
fn total_of(events: &[LaneEvent], counts: &[bool]) -> Quantity {
    let counted = events.iter().zip(counts).filter(|(event, counts)| match share(event) {
        Share::All => true,
        Share::Nothing => false,
        Share::Open => **counts,
    });
    counted.map(|(event, _)| &event.quantity).sum()
}

proptest! {
    #[test]
    fn what_may_be_is_never_a_difference(
        events in any_events(),
        counts in prop::collection::vec(any::<bool>(), 20),
        hours in 0_i64..50,
    ) {
        let total = total_of(&events, &counts).to_string();
        prop_assert_eq!(of(&total, &events, hours), None);
    }

    #[test]
    fn a_single_event_that_is_gone_is_always_named(
        mut events in any_events(),
        gone in 1_i64..100,
        at in 0_usize..20,
        counts in prop::collection::vec(any::<bool>(), 20),
    ) {
        let total = total_of(&events, &counts).to_string();
        events.insert(at.min(events.len()), settled(77, gone));
        if let Some(found) = of(&total, &events, 40) {
            prop_assert_eq!(found.kind, DriftKind::Missing);
            let named = found.suspects.iter().any(|each| each.item.number == 77);
            prop_assert!(named, "{:?}", found.suspects);
        }
    }
}
