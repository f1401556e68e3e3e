//! `tallyd ledger archive`, and what other commands say of what it moved.

use std::sync::Arc;

use tallyd::store::Holder;

use super::Place;
use crate::archive::{day, lived};

/// Days before the others' usage, so that it is long ago whenever the tests run.
const LONG_AGO: i64 = -9_000;

/// A place with the usage of three days of long ago.
fn lived_in() -> Place {
    let place = Place::new();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let ledger = lived(place.0.path(), LONG_AGO..LONG_AGO + 3, 3).await;
        Arc::into_inner(ledger).unwrap().close().await;
    });
    std::fs::rename(place.path("ledger"), place.path("tallyd.ledger")).unwrap();
    std::fs::rename(place.path("ledger.fence"), place.path("tallyd.ledger.fence")).unwrap();
    place
}

#[test]
fn what_was_archived_is_checked_traced_and_corrected_no_longer() {
    let place = lived_in();
    let archive = format!("ledger archive old --before {}", day(LONG_AGO + 2));
    let ran = place.run(&archive);
    assert_eq!((ran.code, ran.err.as_str()), (0, "records: 6 of 6\n"), "{ran:?}");
    let file = std::fs::canonicalize(place.path("old")).unwrap();
    let said = format!("Archive 1, {}, holds 6 records and 6 bookings now.", file.display());
    assert!(ran.out.starts_with(&said), "{ran:?}");
    assert!(ran.out.contains("--shrink gives it back to the disk"), "{ran:?}");

    assert_eq!(place.run("ledger verify").code, 0);
    assert!(place.run("ledger verify").out.contains("6 archived records, 3 records"));
    let ran = place.run("ledger verify --archive old");
    assert_eq!(ran.code, 0);
    insta::assert_snapshot!(ran.out, @r"
    Checked old: its storage, 6 records, 6 bookings, 6 balances.
    Every promise holds.
    ");
    assert_eq!(place.run("ledger verify --archive tallyd.ledger").code, 1);

    let id = format!("d{LONG_AGO} r0");
    let traced = |json: bool| {
        let mut command = place.command(if json { "trace --json" } else { "trace" });
        super::Ran::of(command.arg(format!("web/{id}")).output().unwrap())
    };
    assert!(traced(false).out.contains("its content is in archive 1,\n"), "{:?}", traced(false));
    assert_eq!(traced(true).json()["archive"]["file"], "old");
    let mut cancel = place.command("cancel --reason mistaken");
    let ran = super::Ran::of(cancel.arg(format!("web/{id}")).output().unwrap());
    assert_ne!(ran.code, 0);
    assert!(format!("{ran:?}").contains("is in archive 1, which is final"), "{ran:?}");
}

#[test]
fn an_archive_is_made_while_nobody_holds_the_ledger_of_what_is_settled_to_a_new_file() {
    let place = lived_in();
    let ran = place.run("ledger archive old --before yesterday");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--before yesterday is no time like"), "{ran:?}");
    let ran = place.run("ledger archive old --before 9000-01-01T00:00:00Z");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("less than 92 days ago"), "{ran:?}");
    let ran = place.run("ledger archive old --before 1980-01-01T00:00:00Z");
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("Nothing of before"), "{ran:?}");
    place.put("old", "mine");
    let archive = format!("ledger archive old --shrink --before {}", day(LONG_AGO + 2));
    let ran = place.run(&archive);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("nothing is written over one"), "{ran:?}");
    std::fs::remove_file(place.path("old")).unwrap();
    let holder = Holder::take(&place.path("tallyd.ledger"), "a test").unwrap();
    let ran = place.run(&archive);
    assert_eq!(ran.code, 75);
    assert!(ran.err.contains("archives are made while no daemon runs"), "{ran:?}");
    drop(holder);
    let ran = place.run(&archive);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("The ledger's file has"), "{ran:?}");
    assert_eq!(place.run("ledger verify").code, 0);
}
