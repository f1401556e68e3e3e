//! What counting distinct values promises, at its edge.

use proptest::prelude::*;

use super::*;
use crate::domain::fold::Fold;
use crate::domain::record::Property;
use crate::domain::time::Timestamp;

fn quantity(text: &str) -> Quantity {
    Quantity::parse_unbounded(text).unwrap()
}

fn member(value: u8) -> Member {
    Member([value; 16])
}

/// Records, each of a value, with what it stands for.
fn shares(records: &[(u8, i64)]) -> Vec<Share> {
    let share = |(position, (value, stands_for)): (i64, &(u8, i64))| Share {
        quantity: Quantity::from(*stands_for),
        member: Some(member(*value)),
        ..Share::new(Timestamp::from_seconds(position), Position(position))
    };
    (1..).zip(records).map(share).collect()
}

fn said(lines: &[Quantity]) -> Vec<String> {
    lines.iter().map(Quantity::to_string).collect()
}

#[test]
fn a_value_counts_once_and_goes_with_the_last_of_its_records() {
    let check = |records: &[(u8, i64)], expected: &str| {
        assert_eq!(count(&shares(records)).to_string(), expected, "{records:?}");
    };
    check(&[(1, 1), (2, 1), (1, 1)], "2");
    check(&[(1, 0), (2, 1), (1, 1)], "2");
    check(&[(1, 0), (2, 1), (1, 0)], "1");
    // One that was written off takes nothing from another of its value.
    check(&[(1, -1), (1, 1)], "1");
    check(&[(1, -1)], "0");
    check(&[], "0");
}

#[test]
fn a_record_is_counted_by_the_text_of_its_property() {
    let text = |text: &str| Property::Text(text.to_owned());
    let properties = Properties::from([
        ("user".to_owned(), text("7")),
        ("number".to_owned(), Property::Number("7".to_owned())),
        ("flag".to_owned(), Property::Flag(true)),
        ("empty".to_owned(), text("")),
        ("most".to_owned(), text(&"x".repeat(VALUE_BYTES_MAX))),
        ("long".to_owned(), text(&"x".repeat(VALUE_BYTES_MAX + 1))),
    ]);
    let of = |name: &str| Member::of(&properties, name);
    assert_eq!(of("user"), of("number"));
    assert_ne!(of("user"), of("flag"));
    assert!(of("flag").is_ok() && of("most").is_ok());
    assert_eq!(of("none"), Err(Uncountable::Missing));
    assert_eq!(of("empty"), Err(Uncountable::Empty));
    let long = of("long").unwrap_err();
    assert_eq!(long.to_string(), "has 201 bytes, and at most 200 are told apart");
}

#[test]
fn a_member_never_changes() {
    let properties = Properties::from([("user".to_owned(), Property::Text("ada".to_owned()))]);
    let member = Member::of(&properties, "user").unwrap();
    assert_eq!(hex::encode(member.0), "8228bbcae5cdfce48b1bacb87b3babe9");
}

#[test]
fn the_values_that_came_last_go_first_with_all_of_their_records() {
    let records = shares(&[(1, 1), (2, 1), (1, 1), (2, 1), (3, 1)]);
    assert_eq!(said(&bring(&records, &quantity("2"))), ["0", "0", "0", "0", "-1"]);
    assert_eq!(said(&bring(&records, &quantity("1"))), ["0", "-1", "0", "-1", "-1"]);
    // More than there are: one that went comes back, and the newest stands for what is beyond.
    let records = shares(&[(1, 1), (2, 0), (2, 0)]);
    assert_eq!(said(&bring(&records, &quantity("2"))), ["0", "0", "1"]);
    assert_eq!(said(&bring(&records, &quantity("4"))), ["0", "0", "3"]);
}

/// What is written off of records, each of a value, with what it stood for before an event, with
/// what that says, and by now.
fn check(amount: &str, outstanding: &str, records: &[(u8, [i64; 3])], lines: &[&str]) {
    let now: Vec<(u8, i64)> = records.iter().map(|(value, [_, _, now])| (*value, *now)).collect();
    let records: Vec<Said> = shares(&now)
        .into_iter()
        .zip(records)
        .map(|(share, (_, [before, after, _]))| Said {
            share,
            before: (*before).into(),
            after: (*after).into(),
        })
        .collect();
    let found = without(&records, &quantity(amount), &quantity(outstanding));
    assert_eq!(said(&found), lines, "{amount}, {outstanding} outstanding, over {records:?}");
}

#[test]
fn an_event_is_written_off_over_the_values_that_it_brought() {
    // One of a value that was told before stays, though the event covers it too.
    check("-1", "0", &[(1, [1, 1, 1]), (1, [0, 1, 1]), (2, [0, 1, 1])], &["0", "0", "-1"]);
    // So do other values. What came later of the same value goes with it.
    check("-1", "1", &[(2, [0, 1, 1]), (2, [0, 0, 1]), (3, [0, 0, 1])], &["-1", "-1", "0"]);
    // It brought two, and one was taken away: as many go as it said, the newest first.
    check("-1", "0", &[(1, [1, 0, 0]), (2, [0, 1, 1]), (3, [0, 1, 1])], &["0", "0", "-1"]);
}

#[test]
fn what_has_gone_since_is_not_written_off_with_its_event() {
    check("-2", "-1", &[(1, [0, 1, 1]), (2, [0, 1, 0])], &["-1", "0"]);
    check("-1", "-1", &[(1, [0, 1, 0]), (2, [1, 1, 1])], &["0", "0"]);
}

#[test]
fn what_an_event_was_to_take_away_comes_back() {
    check("1", "0", &[(1, [1, 0, 0]), (2, [1, 1, 1])], &["1", "0"]);
    // It has come back by itself.
    check("1", "1", &[(1, [1, 0, 0]), (1, [0, 0, 1])], &["0", "0"]);
}

proptest! {
    #[test]
    fn records_are_brought_to_whatever_was_told(
        records in prop::collection::vec((0_u8..4, -1_i64..3), 1..9),
        level in 0_i64..9,
    ) {
        let mut shares = shares(&records);
        let level = Quantity::from(level);
        let lines = bring(&shares, &level);
        for (share, line) in shares.iter_mut().zip(&lines) {
            share.quantity = &share.quantity + line;
        }
        prop_assert_eq!(count(&shares), level.clone());
        prop_assert_eq!(Fold::Unique.of(&shares).unwrap_or_default(), level);
    }

    #[test]
    fn no_more_is_written_off_than_an_event_said(
        records in prop::collection::vec((0_u8..3, 0_i64..2, 0_i64..2, 0_i64..2), 1..8),
        amount in -5_i64..5,
        outstanding in -3_i64..3,
    ) {
        let now: Vec<(u8, i64)> = records.iter().map(|(value, _, _, now)| (*value, *now)).collect();
        let present = shares(&now);
        let records: Vec<Said> = present
            .iter()
            .zip(&records)
            .map(|(share, (_, before, after, _))| Said {
                share: share.clone(),
                before: (*before).into(),
                after: (*after).into(),
            })
            .collect();
        let lines = without(&records, &amount.into(), &outstanding.into());
        let mut written = present.clone();
        for (share, line) in written.iter_mut().zip(&lines) {
            share.quantity = &share.quantity + line;
            prop_assert!(!share.quantity.is_negative());
        }
        let change = &count(&written) - &count(&present);
        let amount = Quantity::from(amount);
        prop_assert!(change.is_zero() || change.is_negative() == amount.is_negative());
        prop_assert!(change.magnitude() <= amount.magnitude());
    }
}
