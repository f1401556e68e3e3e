//! What stays pure. Here: the files that decide, and the words that none of them may say. Never
//! here: who may know whom ([`super::graph`]). Read next: [`super::form`].
//!
//! A pure file is a function of its arguments: it has no task, no clock, no chance, no storage, no
//! network. That is what lets a test enumerate it, and a seed replay what it decided.

use super::source::File;
use super::{assert_none, program};

/// The mark in a file's module documentation.
const MARK: &str = "PURE.";

/// The files that decide. Each of them must carry the mark.
const DECIDERS: &[&str] = &[
    "src/accrual/hear.rs",
    "src/accrual/map.rs",
    "src/accrual/route.rs",
    "src/cli/generate/unit.rs",
    "src/cli/check/agreement.rs",
    "src/delivery/backoff.rs",
    "src/delivery/breaker.rs",
    "src/delivery/settle.rs",
    "src/intake/admit.rs",
    "src/intake/batch.rs",
    "src/intake/cloudevents.rs",
    "src/intake/correct.rs",
    "src/intake/correction_files.rs",
    "src/intake/csv.rs",
    "src/intake/import.rs",
    "src/intake/instant.rs",
    "src/intake/json.rs",
    "src/intake/rows.rs",
    "src/posting/plan.rs",
    "src/provider/chargebee/classify.rs",
    "src/provider/chargebee/download.rs",
    "src/provider/chargebee/encode.rs",
    "src/provider/chargebee/events.rs",
    "src/provider/chargebee/invoices.rs",
    "src/provider/chargebee/objects.rs",
    "src/provider/chargebee/pace.rs",
    "src/provider/chargebee/promises.rs",
    "src/provider/chargebee/subscriptions.rs",
    "src/provider/chargebee/usages.rs",
    "src/provider/chargebee/webhooks.rs",
    "src/provider/counting.rs",
    "src/provider/cryptolens/classify.rs",
    "src/provider/cryptolens/encode.rs",
    "src/provider/cryptolens/promises.rs",
    "src/provider/planship/classify.rs",
    "src/provider/planship/encode.rs",
    "src/provider/planship/promises.rs",
    "src/provider/stripe/bulk.rs",
    "src/provider/stripe/classify.rs",
    "src/provider/stripe/classify/adjustment.rs",
    "src/provider/stripe/classify/stream.rs",
    "src/provider/stripe/encode.rs",
    "src/provider/stripe/encode/json.rs",
    "src/provider/stripe/feeds.rs",
    "src/provider/stripe/invoices.rs",
    "src/provider/stripe/meters.rs",
    "src/provider/stripe/notices.rs",
    "src/provider/stripe/objects.rs",
    "src/provider/stripe/prices.rs",
    "src/provider/stripe/promises.rs",
    "src/provider/stripe/rejections.rs",
    "src/provider/stripe/signature.rs",
    "src/provider/stripe/subscriptions.rs",
    "src/provider/stripe/summaries.rs",
    "src/reconcile/calendar.rs",
    "src/reconcile/drift.rs",
    "src/reconcile/explain.rs",
    "src/reconcile/judge.rs",
    "src/reconcile/line.rs",
    "src/reconcile/parts.rs",
    "src/reconcile/remedy.rs",
    "src/reconcile/span.rs",
    "src/reconcile/suspects.rs",
    "src/schedule.rs",
    "src/usage/answer.rs",
    "src/usage/count.rs",
    "src/usage/lever.rs",
    "src/web/planship/report.rs",
    "src/web/planship/token.rs",
];

/// The words that a pure file does not say. All of `domain` is pure by its room's law.
const IMPURE: &[&[&str]] = &[
    &["async"],
    &["await"],
    &["tokio"],
    &["sqlx"],
    &["reqwest"],
    &["rand"],
    &["getrandom"],
    &["SystemTime"],
    &["std", "::", "fs"],
    &["std", "::", "env"],
    &["std", "::", "net"],
    &["std", "::", "process"],
    &["std", "::", "thread"],
    &["time", "::", "Instant"],
    &["Instant", "::", "now"],
    &["Utc", "::", "now"],
    &["Local", "::", "now"],
];

fn must_be_pure(file: &File) -> bool {
    file.module_doc().contains(MARK) || file.path.starts_with("src/domain/")
}

/// What a pure file says that it may not. A group (`use std::{fs, io}`) is refused whole, so that
/// nothing hides in it.
fn impurities(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    if !must_be_pure(file) {
        return findings;
    }
    for (at, token) in file.tokens.iter().enumerate() {
        if let Some(words) = IMPURE.iter().find(|words| file.reads(at, words)) {
            findings.push(file.finding(token.line, format!("{} in a pure file", words.concat())));
        }
        if file.reads(at, &["use", "std", "::", "{"]) {
            findings.push(file.finding(token.line, "a group of std in a pure file"));
        }
    }
    findings
}

/// Of the files that decide, those that do not say they are pure, or are gone.
fn unmarked(files: &[File], deciders: &[&str]) -> Vec<String> {
    let marked =
        |path: &str| files.iter().any(|file| file.path == path && file.module_doc().contains(MARK));
    let missing = deciders.iter().filter(|path| !marked(path));
    missing.map(|path| format!("{path}:1: no file here says `{MARK}`")).collect()
}

#[test]
fn files_that_decide_say_that_they_are_pure() {
    assert_none(&unmarked(program(), DECIDERS));
}

#[test]
fn pure_files_have_no_task_no_clock_no_chance_no_storage() {
    assert_none(&program().iter().flat_map(impurities).collect::<Vec<_>>());
}

#[test]
fn an_impure_word_is_found_only_where_it_counts() {
    let findings = |text: &str| impurities(&File::new("src/a/b.rs", text)).len();
    let pure = "//! Deciding. PURE. Here: a rule.\n";
    for word in [
        "async fn f() {}",
        "f().await;",
        "use tokio::sync::Mutex;",
        "let a = sqlx::query(b);",
        "use std::fs;",
        "use std::{fs, io};",
        "std::env::var(a);",
        "std::net::IpAddr::from(a);",
        "let a = std::time::Instant::now();",
        "use std::time::SystemTime;",
        "use rand::Rng;",
    ] {
        assert!(findings(&format!("{pure}{word}")) > 0, "{word}");
        assert_eq!(findings(&format!("//! Here: a step.\n{word}")), 0, "{word}");
        assert_eq!(findings(&format!("{pure}// {word}\nlet a = \"{word}\";")), 0, "{word}");
    }
}

#[test]
fn a_file_that_lost_its_mark_is_found() {
    let files = [File::new("src/a.rs", "//! A. PURE. Here."), File::new("src/b.rs", "//! B.")];
    assert_eq!(unmarked(&files, &["src/a.rs"]), [""; 0]);
    assert_eq!(unmarked(&files, &["src/a.rs", "src/b.rs", "src/c.rs"]).len(), 2);
}
