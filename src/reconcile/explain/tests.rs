//! Every kind of explanation, by example; and that the truth is never explained away.

use proptest::prelude::*;

use super::*;
use crate::domain::event::EventId;
use crate::domain::reading::Grouping;
use crate::domain::state::HoldReason;
use crate::domain::time::{MICROS_PER_HOUR, Window};
use crate::reconcile::judge::{Reading, judge};

const PROMISE: ReadBack = ReadBack {
    lag_micros: 7 * MICROS_PER_HOUR,
    landing_micros: 24 * MICROS_PER_HOUR,
    grain_micros: 60_000_000,
    digits_max: 15,
};
/// When everything was tried last.
const SENT: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// The window of every balance: the day that [`SENT`] is in.
const DAY: Window = Window {
    start: Timestamp::from_seconds(1_789_948_800),
    end: Timestamp::from_seconds(1_790_035_200),
};

fn hours_after(hours: i64) -> Timestamp {
    SENT.plus_micros(hours * MICROS_PER_HOUR)
}

fn standing(id: i64, state: EventState, may_exist: bool) -> Standing {
    let hold = (state == EventState::Held).then_some(HoldReason::WindowPassed);
    Standing { event: EventId(id), state, may_exist, hold, attempts: 1, last_at: SENT }
}

fn event(id: i64, balance: i64, quantity: &str, state: EventState, may_exist: bool) -> LaneEvent {
    LaneEvent {
        usage: standing(id, state, may_exist),
        cancel: None,
        balance: BalanceId(balance),
        window: DAY,
        level: None,
        quantity: Quantity::parse(quantity).unwrap(),
        occurred_at: SENT,
    }
}

fn accepted(id: i64, balance: i64, quantity: &str) -> LaneEvent {
    event(id, balance, quantity, EventState::Accepted, true)
}

fn cancelled(mut event: LaneEvent, id: i64, state: EventState) -> LaneEvent {
    event.cancel = Some(standing(id, state, true));
    event
}

fn found(total: &str, events: &[LaneEvent]) -> Finding {
    found_beside(total, events, &[])
}

fn found_beside(total: &str, events: &[LaneEvent], untold: &[Untold]) -> Finding {
    let total = Quantity::parse_unbounded(total).unwrap();
    explain(&total, events, untold, (hours_after(31), &PROMISE))
}

#[test]
fn what_a_lost_ledger_may_have_told_under_another_name_leaves_a_total_open() {
    let restored = |id, balance, quantity: &str| {
        let mut event = event(id, balance, quantity, EventState::Held, true);
        event.usage.hold = Some(HoldReason::Restored);
        event
    };
    // 31 became 8: told as such by the lost ledger, it makes 31 with the 23 of another balance.
    let events = [restored(1, 1, "31"), restored(2, 2, "23")];
    let untold = |balance, quantity: &str| Untold {
        balance: BalanceId(balance),
        window: DAY,
        quantity: Quantity::parse_unbounded(quantity).unwrap(),
    };
    assert_eq!(found("31", &events), Finding::Settled(vec![true, false]));
    let corrected = [untold(1, "-23")];
    assert_eq!(found_beside("31", &events, &corrected), Finding::Ambiguous);
    // By the hour each balance is alone.
    assert_eq!(found_beside("8", &events[..1], &corrected), Finding::Settled(vec![true]));
    assert_eq!(found_beside("31", &events[..1], &corrected), Finding::Settled(vec![true]));
    assert_eq!(found_beside("0", &events[..1], &corrected), Finding::Settled(vec![false]));
    assert_eq!(found_beside("5", &events[..1], &corrected), Finding::Unexplained);
}

#[test]
fn a_total_that_has_everything_settles_everything() {
    let events = [accepted(1, 1, "5"), accepted(2, 2, "0.5"), accepted(3, 1, "-2")];
    assert_eq!(found("3.5", &events), Finding::Settled(vec![true; 3]));
    assert_eq!(found("0", &[]), Finding::Settled(vec![]));
    assert_eq!(found("1", &[]), Finding::Unexplained);
}

#[test]
fn what_a_lost_ledger_may_have_told_is_absent_only_from_a_total_over_its_whole_window() {
    let mut restored = event(1, 1, "58", EventState::Held, true);
    restored.usage.hold = Some(HoldReason::Restored);
    let hour = Window { start: SENT.floor_to(MICROS_PER_HOUR), end: hours_after(1) };
    let moved = |span: Window| {
        let (total, events) = (Quantity::zero(), [restored.clone()]);
        let (read_at, grouping) = (hours_after(60), Grouping::Hour);
        let (events, untold) = (&events, &[]);
        let reading = Reading { span, total: &total, events, untold, read_at, grouping };
        judge(&reading, &PROMISE).fates.len()
    };
    // It told 35 of the 58 as an event of another hour.
    assert_eq!(moved(hour), 0);
    assert_eq!(moved(DAY), 1);
}

#[test]
fn what_is_certain_is_the_base_of_the_sum() {
    let events = [
        event(1, 1, "7", EventState::Settled, true),
        event(2, 1, "9", EventState::Held, false),
        event(3, 1, "11", EventState::Superseded, false),
        event(4, 1, "13", EventState::Pending, false),
        event(5, 1, "17", EventState::Void, false),
        accepted(6, 2, "5"),
    ];
    let counts = |last| vec![true, false, false, false, false, last];
    assert_eq!(found("12", &events), Finding::Settled(counts(true)));
    assert_eq!(found("7", &events), Finding::Settled(counts(false)));
    assert_eq!(found("21", &events), Finding::Unexplained);
}

#[test]
fn two_explanations_fit_only_when_they_differ_in_some_balance() {
    let apart = [accepted(1, 1, "5"), event(2, 2, "5", EventState::Held, true)];
    assert_eq!(found("5", &apart), Finding::Ambiguous);
    // In one balance the same remains to be told, and the yes is believed before the doubt.
    let together = [event(1, 1, "5", EventState::Held, true), accepted(2, 1, "5")];
    assert_eq!(found("5", &together), Finding::Settled(vec![false, true]));
    let twice = [accepted(1, 1, "5"), accepted(2, 1, "5")];
    assert_eq!(found("5", &twice), Finding::Settled(vec![true, false]));
    let told_again = [event(1, 1, "5", EventState::Superseded, true), accepted(2, 1, "5")];
    assert_eq!(found("5", &told_again), Finding::Settled(vec![false, true]));
    assert_eq!(found("10", &told_again), Finding::Settled(vec![true, true]));
}

#[test]
fn a_cancel_and_its_target_are_one_unit() {
    let pair = [cancelled(accepted(1, 1, "5"), 2, EventState::Accepted)];
    assert_eq!(found("0", &pair), Finding::Settled(vec![false]));
    assert_eq!(found("5", &pair), Finding::Settled(vec![true]));
    let beside = [cancelled(accepted(1, 1, "5"), 2, EventState::Accepted), accepted(3, 1, "5")];
    assert_eq!(found("5", &beside), Finding::Settled(vec![false, true]));
    let proven = [cancelled(accepted(1, 1, "5"), 2, EventState::Settled)];
    assert_eq!(found("5", &proven), Finding::Unexplained);
    let never_sent = [cancelled(accepted(1, 1, "5"), 2, EventState::Pending)];
    assert_eq!(found("5", &never_sent), Finding::Settled(vec![true]));
}

#[test]
fn presence_waits_for_the_lag_and_absence_for_what_may_still_land() {
    let events = [accepted(1, 1, "5")];
    let at = |total: &str, hours: i64| {
        explain(&Quantity::parse(total).unwrap(), &events, &[], (hours_after(hours), &PROMISE))
    };
    assert_eq!(at("5", 6), Finding::Early);
    assert_eq!(at("5", 7), Finding::Settled(vec![true]));
    assert_eq!(at("0", 7), Finding::Early);
    assert_eq!(at("0", 30), Finding::Early);
    assert_eq!(at("0", 31), Finding::Settled(vec![false]));
    let pair = [cancelled(event(1, 1, "5", EventState::Settled, true), 2, EventState::Accepted)];
    let of_pair = |total: &str, hours: i64| {
        explain(&Quantity::parse(total).unwrap(), &pair, &[], (hours_after(hours), &PROMISE))
    };
    assert_eq!(of_pair("0", 7), Finding::Settled(vec![false]));
    assert_eq!(of_pair("5", 30), Finding::Early);
    assert_eq!(of_pair("5", 31), Finding::Settled(vec![true]));
}

#[test]
fn digits_that_a_float_may_have_lost_are_not_compared() {
    let small = [accepted(1, 1, "0.1"), accepted(2, 2, "0.2")];
    assert_eq!(found("0.30000000000000004", &small), Finding::Incomparable);
    assert_eq!(found("0.3", &small), Finding::Settled(vec![true, true]));
    let large = [accepted(1, 1, "999999999999999"), accepted(2, 2, "1")];
    assert_eq!(found("1000000000000000", &large), Finding::Incomparable);
    let wide = [accepted(1, 1, "1000"), accepted(2, 2, "0.000000000001")];
    assert_eq!(found("1000", &wide), Finding::Incomparable);
}

#[test]
fn thousands_of_events_are_cheap_when_nearly_all_are_there() {
    let of = |balance: fn(i64) -> i64| -> Vec<LaneEvent> {
        (1..=5_000).map(|id| accepted(id, balance(id), "1")).collect()
    };
    let one = of(|_| 1);
    assert_eq!(found("5000", &one), Finding::Settled(vec![true; 5_000]));
    let mut lacking = vec![true; 5_000];
    lacking[4_998..].fill(false);
    assert_eq!(found("4998", &one), Finding::Settled(lacking));
    assert_eq!(found("0", &one), Finding::Settled(vec![false; 5_000]));
    assert_eq!(found("5001", &one), Finding::Unexplained);
    let many = of(|id| id);
    assert_eq!(found("5000", &many), Finding::Settled(vec![true; 5_000]));
    assert_eq!(found("4999", &many), Finding::Ambiguous);
}

#[test]
fn a_search_that_would_not_end_is_given_up_as_ambiguous() {
    let events: Vec<LaneEvent> = (0..80)
        .map(|id| accepted(id, id, &(1_000_003 * id * id + 7 * id + 1).to_string()))
        .collect();
    let half: Quantity = events.iter().step_by(2).map(|event| &event.quantity).sum();
    assert_eq!(found(&half.to_string(), &events), Finding::Ambiguous);
}

/// A group of a few open events, and which of them are truly there.
fn group() -> impl Strategy<Value = Vec<(LaneEvent, bool)>> {
    let one = (0_i64..3, -6_i64..9, any::<bool>(), 0..4_usize);
    proptest::collection::vec(one, 0..9).prop_map(|all| {
        let mut events = Vec::new();
        for (id, (balance, quantity, there, kind)) in (1..).zip(all) {
            let state = [
                EventState::Accepted,
                EventState::Held,
                EventState::Superseded,
                EventState::Settled,
            ][kind];
            let there = there || state == EventState::Settled;
            events.push((event(id, balance, &quantity.to_string(), state, true), there));
        }
        events
    })
}

fn by_balance(events: &[LaneEvent], counts: &[bool]) -> BTreeMap<BalanceId, Quantity> {
    let mut sums = BTreeMap::new();
    for (event, counts) in events.iter().zip(counts) {
        let sum = sums.entry(event.balance).or_insert_with(Quantity::zero);
        if *counts {
            *sum = &*sum + &event.quantity;
        }
    }
    sums
}

proptest! {
    #[test]
    fn the_truth_is_never_explained_away(group in group()) {
        let (events, truth): (Vec<LaneEvent>, Vec<bool>) = group.into_iter().unzip();
        let total: Quantity = events
            .iter()
            .zip(&truth)
            .filter(|(_, there)| **there)
            .map(|(event, _)| &event.quantity)
            .sum();
        let finding = explain(&total, &events, &[], (hours_after(31), &PROMISE));
        // Every choice of the open events that makes the total, told apart by what it leaves in
        // the balances.
        let open: Vec<usize> =
            (0..events.len()).filter(|at| share(&events[*at]) == Share::Open).collect();
        let mut fitting = BTreeSet::new();
        for choice in 0_usize..1 << open.len() {
            let mut counts: Vec<bool> =
                events.iter().map(|event| share(event) == Share::All).collect();
            for (bit, at) in open.iter().enumerate() {
                counts[*at] = choice >> bit & 1 == 1;
            }
            let sums = by_balance(&events, &counts);
            if sums.values().sum::<Quantity>() == total {
                let sums: Vec<String> = sums.values().map(Quantity::to_string).collect();
                fitting.insert(sums);
            }
        }
        match finding {
            Finding::Settled(counts) => {
                prop_assert_eq!(fitting.len(), 1);
                prop_assert_eq!(by_balance(&events, &counts), by_balance(&events, &truth));
            }
            Finding::Ambiguous => prop_assert!(fitting.len() > 1),
            Finding::Early | Finding::Unexplained | Finding::Incomparable => {
                prop_assert!(false, "{finding:?}");
            }
        }
    }
}

#[test]
fn what_a_person_settled_is_not_missed_in_a_total_that_lags() {
    let events = [event(1, 1, "7", EventState::Settled, true), accepted(2, 2, "5")];
    let mut late = events.clone();
    late[0].usage.last_at = hours_after(30);
    assert_eq!(found("5", &events), Finding::Unexplained);
    assert_eq!(found("5", &late), Finding::Early);
    let mut cancelled = [cancelled(events[0].clone(), 3, EventState::Settled), accepted(2, 2, "5")];
    assert_eq!(found("12", &cancelled), Finding::Unexplained);
    if let Some(cancel) = &mut cancelled[0].cancel {
        cancel.last_at = hours_after(30);
    }
    assert_eq!(found("12", &cancelled), Finding::Early);
}
