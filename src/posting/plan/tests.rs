//! What the plan promises, at its edge.

use proptest::prelude::*;

use super::*;
use crate::domain::balance::{Balance, BalanceId, BalanceKey};
use crate::domain::names::{AccountName, ProviderMeter, ProviderName};
use crate::domain::record::Position;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Window};
use crate::ledger::posting::PostedEvent;

const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn capabilities() -> Capabilities {
    Capabilities {
        told_as: ToldAs::Delta,
        accepts_past_micros: 35 * MICROS_PER_DAY,
        accepts_past_margin_micros: MICROS_PER_HOUR,
        accepts_ahead_micros: 4 * MICROS_PER_MINUTE,
        digits_max: 15,
        decimals_max: 12,
        negative: true,
        cancels_for_micros: Some(23 * MICROS_PER_HOUR),
        read_back: None,
    }
}

fn quantity(text: &str) -> Quantity {
    Quantity::parse_unbounded(text).unwrap()
}

fn due(accrued: &str, events: &[(EventState, &str, bool)]) -> DueBalance {
    let events: Vec<PostedEvent> = events
        .iter()
        .zip(1..)
        .map(|((state, said, leased), id)| PostedEvent {
            id: EventId(id),
            state: *state,
            quantity: quantity(said),
            leased: *leased,
        })
        .collect();
    let told = events.iter().map(|event| &event.quantity).sum();
    DueBalance {
        balance: Balance {
            id: BalanceId(1),
            key: BalanceKey {
                provider: ProviderName::new("stripe.main").unwrap(),
                account: AccountName::new("cus_1").unwrap(),
                meter: ProviderMeter::new("calls").unwrap(),
                dimensions: String::new(),
                window: Window { start: NOON, end: NOON.plus_seconds(3600) },
                record: None,
            },
            accrued: quantity(accrued),
            told,
            digest: [0; 16],
            newest_at: NOON,
            booked_to: 1,
            told_to: 0,
            events: i64::try_from(events.len()).unwrap(),
            version: 1,
        },
        events,
    }
}

fn check(due: &DueBalance, expected: &str) {
    let plan = plan(due, &capabilities(), NOON, NOON);
    let void: Vec<String> = plan.void.iter().map(|id| format!("void {id}")).collect();
    let tell: Vec<String> =
        plan.tell.iter().map(|tell| format!("tell {}", tell.quantity)).collect();
    let hold = plan.hold.map(|(reason, _)| format!("hold {reason}"));
    let all: Vec<String> = void.into_iter().chain(tell).chain(hold).collect();
    assert_eq!(all.join(", "), expected);
}

#[test]
fn what_is_outstanding_is_told_as_a_delta() {
    check(&due("10", &[]), "tell 10");
    check(&due("10", &[(EventState::Accepted, "7", true)]), "tell 3");
    check(&due("10", &[(EventState::Accepted, "10", true)]), "");
    check(&due("0", &[]), "");
}

#[test]
fn nothing_is_told_twice_while_an_event_is_unknown_or_held() {
    check(&due("10", &[(EventState::Unknown, "10", true)]), "");
    check(&due("10", &[(EventState::Held, "10", true)]), "");
}

#[test]
fn too_much_told_is_withdrawn_where_it_never_left_and_the_rest_is_told_again() {
    check(&due("4", &[(EventState::Pending, "10", false)]), "void 1, tell 4");
    check(
        &due("7", &[(EventState::Accepted, "5", true), (EventState::Pending, "5", false)]),
        "void 2, tell 2",
    );
}

#[test]
fn too_much_told_that_cannot_be_withdrawn_is_held_whole() {
    check(&due("4", &[(EventState::Accepted, "10", true)]), "hold cannot_lower");
    check(&due("4", &[(EventState::Pending, "10", true)]), "hold cannot_lower");
    check(
        &due("1", &[(EventState::Accepted, "5", true), (EventState::Pending, "2", false)]),
        "hold cannot_lower",
    );
}

#[test]
fn a_value_over_the_providers_digits_is_split_and_a_finer_one_waits_for_more() {
    check(&due("12345678901234567", &[]), "tell 12345678901234500, tell 67");
    check(&due("0.0000000000001", &[]), "");
    check(&due("1.0000000000001", &[]), "tell 1");
}

#[test]
fn usage_ahead_of_the_providers_clock_waits_and_usage_past_its_reach_is_held() {
    let balance = due("1", &[]);
    let early = plan(&balance, &capabilities(), NOON.plus_seconds(-600), NOON);
    assert_eq!(early.wait_until, Some(NOON.plus_seconds(360)));
    assert_eq!(early.tell, []);
    let late = plan(&balance, &capabilities(), NOON.plus_seconds(35 * 86_400 - 3600), NOON);
    assert_eq!(late.hold.map(|(reason, _)| reason), Some(HoldReason::DeadlinePassed));
}

#[test]
fn a_counting_meter_is_told_one_event_a_record_and_never_a_sum() {
    let counting = Capabilities { told_as: ToldAs::EachRecord, ..capabilities() };
    let mut one = due("1", &[]);
    one.balance.key.record = Some(Position(9));
    assert_eq!(plan(&one, &counting, NOON, NOON).tell.len(), 1);
    let sum = due("1", &[]);
    let held = plan(&sum, &counting, NOON, NOON).hold.map(|(reason, _)| reason);
    assert_eq!(held, Some(HoldReason::MeterMismatch));
}

proptest! {
    #[test]
    fn a_plan_closes_the_difference_exactly_or_holds_and_changes_nothing(
        accrued in 0i64..100,
        events in prop::collection::vec((0usize..4, 1i64..40, any::<bool>()), 0..6),
    ) {
        let states =
            [EventState::Pending, EventState::Accepted, EventState::Unknown, EventState::Held];
        let events: Vec<_> = events
            .iter()
            .map(|(state, said, leased)| (states[*state], said.to_string(), *leased))
            .collect();
        let events: Vec<_> =
            events.iter().map(|(state, said, leased)| (*state, said.as_str(), *leased)).collect();
        let due = due(&accrued.to_string(), &events);
        let plan = plan(&due, &capabilities(), NOON, NOON);
        let void: Quantity = due
            .events
            .iter()
            .filter(|event| plan.void.contains(&event.id))
            .map(|event| &event.quantity)
            .sum();
        let tell: Quantity = plan.tell.iter().map(|tell| &tell.quantity).sum();
        let told = &(&due.balance.told - &void) + &tell;
        if plan.hold.is_some() {
            prop_assert_eq!((plan.void.len(), plan.tell.len()), (0, 0));
        } else {
            prop_assert_eq!(told, due.balance.accrued.clone());
        }
    }
}
