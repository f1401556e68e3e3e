//! What following promises, at its edge.

use proptest::prelude::*;

use super::*;
use crate::accrual::route::{Aggregate, WindowRule};
use crate::domain::names::{
    AccountName, CustomerName, MeterName, ProviderMeter, ProviderName, RecordId, SourceName,
};
use crate::domain::record::{Position, Properties, UsageRecord};
use crate::domain::time::{MICROS_PER_HOUR, Window};

const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn quantity(text: &str) -> Quantity {
    Quantity::parse_unbounded(text).unwrap()
}

fn entry(quantity: Quantity) -> JournalRecord {
    JournalRecord {
        position: Position(1),
        record: UsageRecord {
            source: SourceName::new("web").unwrap(),
            id: RecordId::new("r1").unwrap(),
            customer: CustomerName::new("cus_1").unwrap(),
            meter: MeterName::new("calls").unwrap(),
            quantity,
            occurred_at: NOON,
            properties: Properties::new(),
        },
    }
}

fn transform(aggregate: Aggregate, scale: &str) -> Transform {
    Transform { aggregate, scale: quantity(scale), window: WindowRule::Hour, settle_micros: 7 }
}

/// The line of the record itself, in the balance of `meter`.
fn booked(meter: &str, transform: Transform, quantity: Quantity) -> Line {
    let standing = crate::domain::correction::Standing::Counts(quantity);
    Line {
        balance: BalanceKey {
            provider: ProviderName::new("stripe.main").unwrap(),
            account: AccountName::new("cus_1").unwrap(),
            meter: ProviderMeter::new(meter).unwrap(),
            dimensions: String::new(),
            window: Window { start: NOON, end: NOON.plus_micros(MICROS_PER_HOUR) },
            record: None,
        },
        route: RouteVersionId(1),
        quantity: transform.contribution(&standing),
        transform,
        cause: (Cause::Record, 0),
        corrected_to: CorrectionId::default(),
    }
}

fn as_line(booking: &Booking, transform: Transform) -> Line {
    Line {
        balance: booking.balance.clone(),
        route: booking.route,
        transform,
        quantity: booking.quantity.clone(),
        cause: booking.cause,
        corrected_to: CorrectionId::default(),
    }
}

fn adjust(replaces: &str, to: &str) -> Change {
    Change::Adjust { quantity: quantity(to), replaces: quantity(replaces) }
}

fn numbered(changes: Vec<Change>) -> Vec<(CorrectionId, Change)> {
    (1..).map(CorrectionId).zip(changes).collect()
}

fn said(bookings: &[Booking]) -> String {
    let one = |each: &Booking| {
        format!("{} {} {} {}", each.balance.meter, each.cause.0, each.cause.1, each.quantity)
    };
    bookings.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_correction_follows_every_booking_through_its_own_transform() {
    let lines = [
        booked("sums", transform(Aggregate::Sum, "0.5"), quantity("6")),
        booked("counts", transform(Aggregate::Count, "1"), quantity("6")),
    ];
    let changes = numbered(vec![adjust("6", "8"), Change::Cancel]);
    insta::assert_snapshot!(said(&follow(&entry(quantity("6")), &changes, &lines, NOON)), @r"
    sums correction 1 1
    sums correction 2 -4
    counts correction 2 -1
    ");
}

#[test]
fn a_correction_takes_from_what_was_written_off_first() {
    let sums = || transform(Aggregate::Sum, "1");
    let mut lines = vec![booked("sums", sums(), quantity("5"))];
    let written_off =
        Line { quantity: quantity("-5"), cause: (Cause::WriteOff, 9), ..lines[0].clone() };
    lines.push(written_off);
    let changes = numbered(vec![adjust("5", "2"), Change::Cancel]);
    insta::assert_snapshot!(said(&follow(&entry(quantity("5")), &changes, &lines, NOON)), @r"
    sums correction 1 -3
    sums reversal 1 3
    sums correction 2 -2
    sums reversal 2 2
    ");
    // Had it been told after all, and counted again, there is nothing to take from.
    let present = Line { quantity: quantity("5"), cause: (Cause::Presence, 4), ..lines[0].clone() };
    lines.push(present);
    insta::assert_snapshot!(said(&follow(&entry(quantity("5")), &changes, &lines, NOON)), @r"
    sums correction 1 -3
    sums correction 2 -2
    ");
}

#[test]
fn a_level_that_is_corrected_after_it_was_written_off_is_what_it_is_corrected_to() {
    let last = || transform(Aggregate::Last, "1");
    let mut lines = vec![booked("seats", last(), quantity("12"))];
    let written_off =
        Line { quantity: quantity("-2"), cause: (Cause::WriteOff, 9), ..lines[0].clone() };
    lines.push(written_off);
    let changes = numbered(vec![adjust("12", "15"), Change::Cancel]);
    insta::assert_snapshot!(said(&follow(&entry(quantity("12")), &changes, &lines, NOON)), @r"
    seats correction 1 3
    seats reversal 1 2
    seats correction 2 -15
    ");
    // A reading of nothing that is cancelled has a line for that, which says so by being there.
    let nothing = [
        booked("seats", last(), quantity("0")),
        booked("sums", transform(Aggregate::Sum, "1"), quantity("0")),
    ];
    let cancel = numbered(vec![Change::Cancel]);
    let followed = said(&follow(&entry(quantity("0")), &cancel, &nothing, NOON));
    assert_eq!(followed, "seats correction 1 0");
}

#[test]
fn a_record_that_is_counted_by_its_value_stands_for_one_until_it_is_cancelled_or_nothing() {
    let by_user = || transform(Aggregate::Unique("user".to_owned()), "1");
    let lines = [booked("users", by_user(), quantity("6"))];
    let changes = numbered(vec![adjust("6", "8"), adjust("8", "0"), adjust("0", "2")]);
    insta::assert_snapshot!(said(&follow(&entry(quantity("6")), &changes, &lines, NOON)), @r"
    users correction 2 -1
    users correction 3 1
    ");
    let changes = numbered(vec![Change::Cancel]);
    let followed = follow(&entry(quantity("6")), &changes, &lines, NOON);
    assert_eq!(said(&followed), "users correction 1 -1");
    // One that never was used was never counted.
    let lines = [booked("users", by_user(), quantity("0"))];
    assert_eq!(follow(&entry(quantity("0")), &changes, &lines, NOON), []);
}

#[test]
fn usage_that_comes_back_takes_from_what_was_left_told_too_much_first() {
    let sums = || transform(Aggregate::Sum, "1");
    let mut lines = vec![booked("sums", sums(), quantity("20"))];
    let line = |says: &str, cause| Line { quantity: quantity(says), cause, ..lines[0].clone() };
    // The provider holds 20 for good; 13 of that was told too much.
    let told = [line("-13", (Cause::Correction, 1)), line("13", (Cause::WriteOff, 9))];
    lines.extend(told);
    let changes = numbered(vec![adjust("20", "7"), adjust("7", "16"), adjust("16", "25")]);
    insta::assert_snapshot!(said(&follow(&entry(quantity("20")), &changes, &lines, NOON)), @r"
    sums correction 2 9
    sums reversal 2 -9
    sums correction 3 9
    sums reversal 3 -4
    ");
}

#[test]
fn a_window_that_has_ended_is_corrected_at_once() {
    let lines = [booked("sums", transform(Aggregate::Sum, "1"), quantity("5"))];
    let due = |now| follow(&entry(quantity("5")), &numbered(vec![Change::Cancel]), &lines, now);
    let end = NOON.plus_micros(MICROS_PER_HOUR);
    assert_eq!(due(NOON)[0].due_at, end.plus_micros(7));
    assert_eq!(due(end)[0].due_at, end);
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let number = || (0i64..6).prop_map(|number| quantity(&number.to_string()));
    let adjust =
        (number(), number()).prop_map(|(replaces, quantity)| Change::Adjust { quantity, replaces });
    proptest::collection::vec(prop_oneof![9 => adjust, 1 => Just(Change::Cancel)], 0..12)
}

proptest! {
    #[test]
    fn the_lines_of_a_record_always_sum_to_what_it_counts_with(
        changes in changes(), start in 0i64..6, seen in 0usize..12,
    ) {
        let start = quantity(&start.to_string());
        let entry = entry(start.clone());
        let changes = numbered(changes);
        let sums = || transform(Aggregate::Sum, "0.25");
        let record = booked("sums", sums(), start.clone());
        // At once, or some before the others: the same lines.
        let at_once = follow(&entry, &changes, std::slice::from_ref(&record), NOON);
        let some = &changes[..seen.min(changes.len())];
        let mut lines = vec![record.clone()];
        let first = follow(&entry, some, &lines, NOON);
        lines.extend(first.iter().map(|booking| as_line(booking, sums())));
        let later = follow(&entry, &changes, &lines, NOON);
        let in_two: Vec<Booking> = first.into_iter().chain(later).collect();
        prop_assert_eq!(&in_two, &at_once);
        lines.truncate(1);
        lines.extend(in_two.iter().map(|booking| as_line(booking, sums())));
        prop_assert_eq!(follow(&entry, &changes, &lines, NOON), vec![]);
        let total: Quantity = lines.iter().map(|line| &line.quantity).sum();
        let (_, standing) = fold(&start, changes.iter().map(|(_, change)| change));
        prop_assert_eq!(total, sums().contribution(&standing));
    }
}
