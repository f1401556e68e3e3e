//! `tallyd demo`: the real binary, its daemon a child of its own, on the usage of its busiest
//! customers.

use super::Place;

#[test]
fn the_demo_with_stripe_ends_with_three_equal_books() {
    let ran = Place::new().run("demo --customers 8 --kill-after 20");
    assert_eq!(ran.code, 0, "{ran:?}");
    let introduced = "usage: 1872 requests of 8 customers to a real web site in May 2015, shifted";
    assert!(ran.out.starts_with(introduced), "{}", ran.out);
    for part in ["SIGKILL to pid ", "started again (pid ", "meter events accepted, "] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let last = ran.out.lines().last();
    assert_eq!(last, Some("the books are equal for all 16 customers and meters"), "{}", ran.out);
}

#[test]
fn the_demo_of_other_kinds_of_meters_ends_with_three_equal_books() {
    // Events one by one take a minute, of which a count in the journey takes none.
    for (kind, told, kill_after) in [
        ("totals", " totals of an hour", 20),
        ("peaks", "58 largest records of a day", 20),
        ("gauges", "16 gauges, of which the newest record is billed", 8),
    ] {
        let ran = Place::new()
            .run(&format!("demo --meters {kind} --customers 8 --kill-after {kill_after}"));
        assert_eq!(ran.code, 0, "{kind}: {ran:?}");
        assert!(ran.out.contains(told) && ran.out.contains("SIGKILL to pid "), "{}", ran.out);
        let last = ran.out.lines().last();
        assert_eq!(last, Some("the books are equal for all 16 customers and meters"), "{kind}");
    }
    let refused = Place::new().run("demo --provider chargebee --meters peaks");
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
}

#[test]
fn the_demo_by_the_stream_ends_with_three_equal_books_too() {
    let ran = Place::new().run("demo --channel stream --customers 16 --kill-after 60");
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in ["every session of the stream ended before its time", "SIGKILL to pid "] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let last = ran.out.lines().last().unwrap_or_default();
    assert!(last.starts_with("the books are equal for all "), "{}", ran.out);
    let refused = Place::new().run("demo --provider chargebee --channel v2");
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
}

#[test]
fn the_demo_with_whoever_only_counts_explains_every_difference_by_what_is_held() {
    for (provider, stands_in) in
        [("cryptolens", "stand-in for Cryptolens at "), ("planship", "stand-in for Planship at ")]
    {
        let ran =
            Place::new().run(&format!("demo --provider {provider} --customers 40 --kill-after 40"));
        assert_eq!(ran.code, 0, "{ran:?}");
        for part in [stands_in, "SIGKILL to pid ", "started again (pid ", "held as window_passed"] {
            assert!(ran.out.contains(part), "{part}: {}", ran.out);
        }
        let last = ran.out.lines().last().unwrap_or_default();
        let explained = "differ by no more than what is held, which may be there";
        assert!(last.ends_with(explained), "{}", ran.out);
    }
}

#[test]
fn the_demo_with_chargebee_explains_every_difference_by_what_is_held() {
    let place = Place::new();
    let ran = place.run("demo --provider chargebee --customers 8 --kill-after 20 --keep kept");
    assert_eq!(ran.code, 0, "{ran:?}");
    let leaver = "cus_9ba8db89efbe89";
    let parts = [
        "usage: 1872 requests of the 8 busiest customers of a real web site in May 2015;",
        "to be told as 58 entries: a day of a customer and a meter each",
        "2015-05-18 00:10  411 records of 2015-05-17 are booked and told: 14 entries made",
        "SIGKILL to the daemon (pid ",
        &format!("2015-05-19 12:00  the subscription of {leaver} is cancelled at the site"),
        "is held, as nothing bills it:\n                  bytes 580008 (no_period), requests 39 (no_period)",
        "that day's entry of 180 is deleted, and 179 entered anew",
        "that day's entry of 2007720 is deleted, and 1993872 entered anew",
        "is a further entry of its day, on the pending invoice",
        "bills 127 requests,",
        "is held: requests 40 (late_for_period)",
        "held as late_for_period, ended by: bill it outside",
        "held as no_period, ended by: a subscription that bills that time ends it",
        "entries made for 58 days of a customer and a meter, 2 of them deleted again, ",
        " billed by 8 closed invoices;",
        "the books are equal for 13 of 16 customers and meters; for the other 3 they differ by what is held",
        "kept: try tallyd trace web/late-2 --config kept/tallyd.toml",
    ];
    for part in parts {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let totals: Vec<Vec<&str>> =
        ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    for total in [
        ["requests", "1936", "1936", "1857", "79"],
        ["bytes", "315163810", "315163810", "314583802", "580008"],
    ] {
        assert!(totals.iter().any(|cells| *cells == total), "{total:?}: {}", ran.out);
    }
    let late = place.run("trace web/late-2 --config kept/tallyd.toml");
    for part in ["held      late_for_period: 40 is outstanding", "which bills 99 for its period"] {
        assert!(late.out.contains(part), "{late:?}");
    }
}

#[test]
fn a_demo_that_would_lose_more_answers_than_it_claims_is_refused() {
    let ran = Place::new().run("demo --lost 501");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert_eq!(ran.err, "tallyd: --lost 501: at most 500 basis points\n");
}
