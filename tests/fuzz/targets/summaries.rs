//! Stripe's totals, page by page. Here: whatever is taken covers the span that was asked for, each
//! part once, and nothing outside it. Never here: what a total proves. Read next: `stripe_reading`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tallyd::domain::names::AccountName;
use tallyd::domain::reading::Grouping;
use tallyd::domain::time::{Timestamp, Window};
use tallyd::provider::stripe::summaries::{Read, Rows};

fuzz_target!(|data: &[u8]| {
    let Some((choice, pages)) = data.split_first() else { return };
    let grouping = match choice & 3 {
        0 => Grouping::Day,
        1 => Grouping::Hour,
        _ => Grouping::Whole,
    };
    let account = AccountName::new("cus_1").expect("a name");
    let start = Timestamp::from_seconds(1_789_948_800);
    let span = Window { start, end: start.plus_seconds(2 * 86_400) };
    let mut rows = Rows::of("mtr_1", &account, span, grouping, choice & 4 != 0).expect("a span");
    let first = rows.path();
    for page in pages.split(|byte| *byte == 0) {
        match rows.take(page) {
            Ok(Read::All) => break,
            Ok(Read::More) => assert_ne!(rows.path(), first, "the next page is another"),
            Err(_) => return,
        }
    }
    let totals = rows.totals();
    assert_eq!(totals.first().map(|total| total.span.start), Some(span.start));
    assert_eq!(totals.last().map(|total| total.span.end), Some(span.end));
    for pair in totals.windows(2) {
        assert_eq!(pair[0].span.end, pair[1].span.start);
    }
});
