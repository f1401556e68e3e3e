//! `tallyd customers import`.

use super::Place;

#[test]
fn accounts_are_imported_and_only_changes_count() {
    let place = Place::new();
    place.put("a.csv", "customer,account\nacme,cus_1\nbolt,cus_2\nacme,cus_1\n");
    let line = "customers import a.csv --provider stripe.main";
    insta::assert_snapshot!(place.run(line).whole(), @r"
    exit 0
    2 accounts at stripe.main: 2 changed.
    ");
    place.put("a.csv", "account,customer\ncus_1,acme\ncus_3,bolt\n");
    let again = place.run(&format!("{line} --json"));
    insta::assert_snapshot!(again.json().to_string(), @r#"{"provider":"stripe.main","accounts":2,"changed":1}"#);
}

#[test]
fn a_table_that_may_not_be_meant_changes_nothing() {
    let place = Place::new();
    for (text, said) in [
        ("", "a.csv has no column \"customer\""),
        ("customer\n", "a.csv has no column \"account\""),
        ("customer,account,customer\n", "a.csv has the column \"customer\" twice"),
        ("customer,acount\n", "a.csv has a column \"acount\", and takes only customer and account"),
        ("customer,account\nacme,\n", "nothing was imported:\na.csv:2 account is empty"),
        (
            "customer,account\nacme,cus_1\n\"bo\nlt\",cus_2\nacme,cus_2\n",
            "nothing was imported:\na.csv:3 customer holds a control character\na.csv:5 customer \
             \"acme\" has the account \"cus_2\", and \"cus_1\" on line 2",
        ),
    ] {
        place.put("a.csv", text);
        let ran = place.run("customers import a.csv --provider stripe.main");
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{text}");
        assert_eq!(ran.err, format!("tallyd: {said}\n"), "{text}");
    }
    assert!(!place.path("tallyd.ledger").exists());
}

#[test]
fn accounts_are_at_a_provider_that_is_configured() {
    let place = Place::new();
    place.put("a.csv", "customer,account\nacme,cus_1\n");
    let ran = place.run("customers import a.csv --provider stripe.mian");
    insta::assert_snapshot!(ran.whole(), @r#"
    exit 1
    --- stderr
    tallyd: the provider "stripe.mian" is not configured; there is stripe.main
    "#);
}
