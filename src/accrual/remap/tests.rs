//! What remapping promises, at its edge.

use proptest::prelude::*;

use super::*;
use crate::accrual::route::{Aggregate, WindowRule};
use crate::domain::names::{
    AccountName, CustomerName, MeterName, ProviderMeter, ProviderName, RecordId, SourceName,
};
use crate::domain::record::{Position, Properties, Property, UsageRecord};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Window};

const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);
const STEP: i64 = 4;

fn quantity(text: &str) -> Quantity {
    Quantity::parse_unbounded(text).unwrap()
}

fn entry() -> JournalRecord {
    JournalRecord {
        position: Position(1),
        record: UsageRecord {
            source: SourceName::new("web").unwrap(),
            id: RecordId::new("r1").unwrap(),
            customer: CustomerName::new("cus_1").unwrap(),
            meter: MeterName::new("calls").unwrap(),
            quantity: quantity("5"),
            occurred_at: NOON,
            properties: Properties::from([("user".to_owned(), Property::Text("ada".to_owned()))]),
        },
    }
}

fn transform(aggregate: Aggregate, scale: &str, window: WindowRule) -> Transform {
    Transform { aggregate, scale: quantity(scale), window, settle_micros: 7 }
}

fn summed(scale: &str) -> Transform {
    transform(Aggregate::Sum, scale, WindowRule::Hour)
}

fn counted() -> Transform {
    transform(Aggregate::Count, "1", WindowRule::Hour)
}

fn balance(meter: &str, account: &str, window: WindowRule) -> BalanceKey {
    BalanceKey {
        provider: ProviderName::new("stripe.main").unwrap(),
        account: AccountName::new(account).unwrap(),
        meter: ProviderMeter::new(meter).unwrap(),
        dimensions: String::new(),
        window: window.window_of(NOON),
        record: None,
    }
}

/// Where a route of this version leads, to `meter` of `account`.
fn leads(version: i64, meter: &str, account: &str, transform: Transform) -> Aim {
    let booking = Booking {
        position: Position(1),
        route: RouteVersionId(version),
        balance: balance(meter, account, transform.window),
        fold: transform.fold(),
        quantity: transform.contribution(&Standing::Counts(quantity("5"))),
        member: transform.member(&entry().record),
        cause: (Cause::Record, 0),
        occurred_at: NOON,
        due_at: NOON,
    };
    Aim { booking, transform, folds: None }
}

fn aim(meter: &str, account: &str, transform: Transform) -> Aim {
    leads(2, meter, account, transform)
}

/// What a ledger has of a record once this is booked too, by these aims among others.
fn keep(lines: &mut Vec<Line>, made: &[Booking], aims: &[Aim], corrected_to: i64) {
    for booking in made {
        let by_aim = aims.iter().find(|aim| aim.booking.route == booking.route);
        let by_line = || lines.iter().find(|line| line.route == booking.route);
        let transform = match by_aim {
            Some(aim) => aim.transform.clone(),
            None => by_line().unwrap().transform.clone(),
        };
        let brought = booking.cause.0 == Cause::RemapTo;
        lines.push(Line {
            balance: booking.balance.clone(),
            route: booking.route,
            transform,
            quantity: booking.quantity.clone(),
            cause: booking.cause,
            corrected_to: CorrectionId(if brought { corrected_to } else { 0 }),
        });
    }
}

/// The record as a first route booked it, to `meter` of `cus_1`.
fn booked(meter: &str, transform: &Transform) -> Vec<Line> {
    let (first, mut lines) = (leads(1, meter, "cus_1", transform.clone()), Vec::new());
    keep(&mut lines, std::slice::from_ref(&first.booking), std::slice::from_ref(&first), 0);
    lines
}

fn run(
    corrections: &[(CorrectionId, Change)],
    lines: &[Line],
    aims: &[Aim],
) -> Result<Vec<Booking>, LeftAlone> {
    let entry = entry();
    let record = Booked { entry: &entry, corrections, lines };
    remap(
        record,
        aims,
        |name| name.as_str() == "stripe.main",
        STEP,
        NOON.plus_micros(MICROS_PER_DAY),
    )
}

fn said(bookings: &[Booking]) -> Vec<String> {
    let one = |booking: &Booking| {
        let Booking { balance, quantity, cause, route, .. } = booking;
        let (meter, account) = (&balance.meter, &balance.account);
        format!("{} {quantity} {meter} {account} by {}", cause.0.as_str(), route.0)
    };
    bookings.iter().map(one).collect()
}

fn adjust(replaces: &str, to: &str) -> Change {
    Change::Adjust { quantity: quantity(to), replaces: quantity(replaces) }
}

#[test]
fn what_is_booked_as_the_routes_lead_gets_no_line() {
    let lines = booked("a", &summed("2"));
    assert_eq!(run(&[], &lines, &[aim("a", "cus_1", summed("2.0"))]), Ok(vec![]));
}

#[test]
fn another_scale_takes_all_back_and_brings_the_new_quantity_to_the_same_window() {
    let lines = booked("a", &summed("1"));
    let made = run(&[], &lines, &[aim("a", "cus_1", summed("0.001"))]).unwrap();
    assert_eq!(said(&made), ["remap_from -5 a cus_1 by 1", "remap_to 0.005 a cus_1 by 2"]);
    assert!(made.iter().all(|booking| booking.balance == lines[0].balance));
    assert!(made.iter().all(|booking| booking.cause.1 == STEP));
}

#[test]
fn another_account_meter_or_kind_of_window_takes_the_record_elsewhere() {
    let lines = booked("a", &summed("1"));
    let check = |aims: &[Aim], expected: &[&str]| {
        assert_eq!(said(&run(&[], &lines, aims).unwrap()), expected);
    };
    let from = "remap_from -5 a cus_1 by 1";
    check(&[aim("a", "cus_2", summed("1"))], &[from, "remap_to 5 a cus_2 by 2"]);
    check(&[aim("b", "cus_1", summed("1"))], &[from, "record 5 b cus_1 by 2"]);
    let daily = transform(Aggregate::Sum, "1", WindowRule::Day);
    check(&[aim("a", "cus_1", daily)], &[from, "remap_to 5 a cus_1 by 2"]);
    // One more destination, beside the one that it keeps.
    let both = [aim("a", "cus_1", summed("1")), aim("b", "cus_1", summed("1"))];
    check(&both, &["record 5 b cus_1 by 2"]);
}

#[test]
fn a_window_of_the_same_kind_that_was_cut_or_carried_since_keeps_its_record() {
    let mut lines = booked("a", &summed("1"));
    let carried = BalanceKey {
        window: Window { start: NOON, end: NOON.plus_micros(MICROS_PER_HOUR) },
        ..lines[0].balance.clone()
    };
    for (says, balance, other) in [("-5", lines[0].balance.clone(), 9), ("5", carried.clone(), 8)] {
        let (quantity, cause) = (quantity(says), (Cause::Transfer, other));
        lines.push(Line { balance, quantity, cause, ..lines[0].clone() });
    }
    assert_eq!(run(&[], &lines, &[aim("a", "cus_1", summed("1"))]), Ok(vec![]));
    let made = run(&[], &lines, &[aim("a", "cus_1", summed("3"))]).unwrap();
    assert_eq!(said(&made), ["remap_from -5 a cus_1 by 1", "remap_to 15 a cus_1 by 2"]);
    assert!(made.iter().all(|booking| booking.balance == carried));
    let elsewhere = [aim("a", "cus_2", summed("1"))];
    assert_eq!(run(&[], &lines, &elsewhere), Err(LeftAlone::Carried));
}

#[test]
fn what_no_route_takes_what_a_person_decided_and_what_would_be_a_level_is_left_alone() {
    let mut lines = booked("a", &summed("1"));
    assert_eq!(run(&[], &lines, &[]), Err(LeftAlone::NoRoute));
    let largest = transform(Aggregate::Max, "1", WindowRule::Hour);
    assert_eq!(run(&[], &lines, &[aim("a", "cus_1", largest)]), Err(LeftAlone::Aggregate));
    let (quantity, cause) = (quantity("-2"), (Cause::WriteOff, 3));
    lines.push(Line { quantity, cause, ..lines[0].clone() });
    assert_eq!(run(&[], &lines, &[aim("a", "cus_1", summed("2"))]), Err(LeftAlone::Decided));
    let mut gone = booked("a", &summed("1"));
    gone[0].balance.provider = ProviderName::new("stripe.old").unwrap();
    let elsewhere = [aim("b", "cus_1", summed("1"))];
    assert_eq!(run(&[], &gone, &elsewhere), Err(LeftAlone::NotTold));
    let occupied = Aim { folds: Some(Fold::Max), ..elsewhere[0].clone() };
    assert_eq!(run(&[], &booked("a", &summed("1")), &[occupied]), Err(LeftAlone::Aggregate));
    // Where its booking stays as it is, nothing of the decision changes.
    let both = [aim("a", "cus_1", summed("1")), aim("b", "cus_1", summed("1"))];
    assert_eq!(said(&run(&[], &lines, &both).unwrap()), ["record 5 b cus_1 by 2"]);
}

#[test]
fn distinct_values_go_elsewhere_and_neither_become_a_sum_nor_those_of_another_property() {
    let by =
        |property: &str| transform(Aggregate::Unique(property.to_owned()), "1", WindowRule::Hour);
    let lines = booked("a", &by("user"));
    let made = run(&[], &lines, &[aim("a", "cus_2", by("user"))]).unwrap();
    assert_eq!(said(&made), ["remap_from -1 a cus_1 by 1", "remap_to 1 a cus_2 by 2"]);
    let member = by("user").member(&entry().record);
    assert!(member.is_some() && made.iter().all(|booking| booking.member == member));
    for other in [summed("1"), counted(), by("device")] {
        let aims = [aim("a", "cus_1", other.clone())];
        assert_eq!(run(&[], &lines, &aims), Err(LeftAlone::Aggregate));
        let aims = [aim("a", "cus_1", by("user"))];
        assert_eq!(run(&[], &booked("a", &other), &aims), Err(LeftAlone::Aggregate));
    }
}

#[test]
fn a_record_that_is_cancelled_or_waits_for_its_routes_gets_no_line() {
    let lines = booked("a", &summed("1"));
    let aims = [aim("b", "cus_1", summed("1"))];
    assert_eq!(run(&[(CorrectionId(1), Change::Cancel)], &lines, &aims), Ok(vec![]));
    assert_eq!(run(&[], &[], &aims), Ok(vec![]));
}

#[test]
fn a_correction_that_said_nothing_before_a_remap_is_in_what_the_remap_brings_and_not_beside_it() {
    // Of a record that was counted as one, another quantity changed nothing.
    let mut lines = booked("a", &counted());
    let mut corrections = vec![(CorrectionId(1), adjust("5", "8"))];
    assert_eq!(follow(&entry(), &corrections, &lines, NOON), []);
    let aims = [aim("a", "cus_1", summed("1"))];
    let made = run(&corrections, &lines, &aims).unwrap();
    assert_eq!(said(&made), ["remap_from -1 a cus_1 by 1", "remap_to 8 a cus_1 by 2"]);
    keep(&mut lines, &made, &aims, 1);
    assert_eq!(follow(&entry(), &corrections, &lines, NOON), []);
    corrections.push((CorrectionId(2), adjust("8", "9")));
    let followed = follow(&entry(), &corrections, &lines, NOON);
    assert_eq!(said(&followed), ["correction 1 a cus_1 by 2"]);
}

#[test]
fn what_was_decided_of_a_record_that_was_taken_away_is_not_told_again_where_it_was() {
    let mut lines = booked("a", &summed("1"));
    let away = [aim("b", "cus_1", summed("1"))];
    let made = run(&[], &lines, &away).unwrap();
    keep(&mut lines, &made, &away, 0);
    // What could not be taken back stays there for good, as somebody said.
    let (quantity, cause) = (quantity("5"), (Cause::WriteOff, 3));
    lines.push(Line { quantity, cause, ..lines[0].clone() });
    let back = [leads(3, "a", "cus_1", summed("1"))];
    assert_eq!(run(&[], &lines, &back), Err(LeftAlone::Decided));
}

#[test]
fn what_was_decided_at_one_account_takes_nothing_of_a_correction_at_another() {
    let mut lines = booked("a", &summed("1"));
    let aims = [aim("a", "cus_2", summed("1"))];
    let made = run(&[], &lines, &aims).unwrap();
    keep(&mut lines, &made, &aims, 0);
    let (quantity, cause) = (quantity("5"), (Cause::WriteOff, 3));
    lines.push(Line { quantity, cause, ..lines[0].clone() });
    let corrected = [(CorrectionId(1), adjust("5", "8"))];
    let followed = follow(&entry(), &corrected, &lines, NOON);
    assert_eq!(said(&followed), ["correction 3 a cus_2 by 2"]);
}

#[test]
fn a_correction_of_a_record_that_was_taken_away_changes_nothing_where_it_was() {
    let mut lines = booked("a", &summed("1"));
    let aims = [aim("b", "cus_1", summed("1"))];
    let made = run(&[], &lines, &aims).unwrap();
    keep(&mut lines, &made, &aims, 6);
    let cancelled = [(CorrectionId(7), Change::Cancel)];
    let followed = follow(&entry(), &cancelled, &lines, NOON);
    assert_eq!(said(&followed), ["correction -5 b cus_1 by 2"]);
}

/// Where routes lead to in one round: by meter, an account, a scale, and whether records count.
type Routes = std::collections::BTreeMap<usize, (usize, i64, bool)>;

fn aims_of(round: i64, routes: &Routes) -> Vec<Aim> {
    let lead = |(meter, (account, scale, counts)): (&usize, &(usize, i64, bool))| {
        let by = if *counts { counted() } else { summed(&scale.to_string()) };
        let version = round * 10 + i64::try_from(*meter).unwrap();
        leads(version, &format!("m{meter}"), ["cus_1", "cus_2"][*account], by)
    };
    routes.iter().map(lead).collect()
}

proptest! {
    #[test]
    fn each_destination_has_what_the_routes_make_of_a_record_by_now(
        rounds in prop::collection::vec(
            (
                prop::collection::btree_map(0usize..3, (0usize..2, 1i64..4, any::<bool>()), 1..3),
                prop::option::of(0i64..9),
            ),
            1..6,
        ),
    ) {
        let mut lines = booked("m0", &summed("1"));
        let (mut corrections, mut present) = (Vec::new(), "5".to_owned());
        for (round, (routes, adjusted)) in (2i64..).zip(&rounds) {
            if let Some(to) = adjusted {
                corrections.push((CorrectionId(round), adjust(&present, &to.to_string())));
                present = to.to_string();
                let followed = follow(&entry(), &corrections, &lines, NOON);
                keep(&mut lines, &followed, &[], 0);
            }
            let aims = aims_of(round, routes);
            let made = run(&corrections, &lines, &aims).unwrap();
            keep(&mut lines, &made, &aims, round);
            for (meter, account) in (0..3).flat_map(|meter| [(meter, "cus_1"), (meter, "cus_2")]) {
                let key = balance(&format!("m{meter}"), account, WindowRule::Hour);
                let its = lines.iter().filter(|line| line.balance == key);
                let has: Quantity = its.map(|line| &line.quantity).sum();
                let led = aims.iter().find(|aim| aim.booking.balance == key);
                let counts = Standing::Counts(quantity(&present));
                let due = led.map_or(Quantity::zero(), |aim| aim.transform.contribution(&counts));
                prop_assert_eq!(has, due, "m{} of {}", meter, account);
            }
            prop_assert_eq!(run(&corrections, &lines, &aims), Ok(vec![]));
        }
    }
}
