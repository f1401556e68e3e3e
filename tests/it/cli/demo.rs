//! `tallyd demo`: the real binary, its daemon a child of its own, on the usage of its busiest
//! customers.

use super::Place;

#[test]
fn the_demo_with_stripe_ends_with_three_equal_books() {
    let ran = Place::new().run("demo --customers 8 --kill-after 20");
    assert_eq!(ran.code, 0, "{ran:?}");
    let introduced = "usage: 1874 requests of 8 customers to a real web site in May 2015, shifted";
    assert!(ran.out.starts_with(introduced), "{}", ran.out);
    for part in ["SIGKILL to pid ", "started again (pid ", "meter events accepted, "] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let last = ran.out.lines().last();
    assert_eq!(last, Some("the books are equal for all 16 customers and meters"), "{}", ran.out);
}

#[test]
fn a_demo_that_would_lose_more_answers_than_it_claims_is_refused() {
    let ran = Place::new().run("demo --lost 501");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert_eq!(ran.err, "tallyd: --lost 501: at most 500 basis points\n");
}
