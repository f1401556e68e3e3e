//! Who may know whom. Here: the table of rooms, and the scan of paths that holds it. Never here:
//! how a file is cut into tokens ([`super::source`]). Read next: [`super::purity`].
//!
//! A single crate has no walls of Cargo's between its rooms, so this table is the walls. A third
//! edge between two rooms is made by editing it, and saying why in the commit.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{File, Token};
use super::{assert_none, house, program};

/// Each room, and the paths it may name beside its own; a path stands for all that lies beneath it,
/// and `room::*` for the room's own types and constants, but none of its modules.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("schedule", &["domain"]),
    ("ledger", &["domain"]),
    ("service", &["domain", "clock", "ledger"]),
    ("provider", &["domain", "clock"]),
    ("store", &["domain", "ledger"]),
    ("intake", &["domain", "clock", "service", "ledger"]),
    ("accrual", &["domain", "clock", "service", "ledger", "provider"]),
    // It asks a schedule when what is due is told; `schedule` is pure, and knows nobody.
    ("posting", &["domain", "clock", "schedule", "service", "ledger", "provider"]),
    ("delivery", &["domain", "clock", "service", "ledger", "provider"]),
    ("reconcile", &["domain", "clock", "service", "ledger", "provider"]),
    // Billing periods are those of the accounts that routes lead to.
    ("usage", &["domain", "clock", "service", "ledger", "accrual::route"]),
    ("telemetry", &["domain"]),
    (
        "web",
        &[
            "domain",
            "clock",
            "service",
            "ledger",
            "intake",
            "usage",
            "telemetry",
            // Webhooks are read by the providers, through their port.
            "provider::*",
        ],
    ),
    (
        "config",
        &[
            "domain",
            "schedule",
            // The rooms' settings, and the pure types that a config is read into.
            "accrual::route",
            "delivery::*",
            "intake::*",
            "intake::import",
            "intake::spool::*",
            "provider::stripe::settings",
            "provider::chargebee::settings",
            "provider::chargebee::usage_events::settings",
            "provider::counting",
            "provider::cryptolens::settings",
            "provider::planship::settings",
            "reconcile::*",
            "store::*",
            "telemetry::*",
            "usage::lever",
            "web::*",
        ],
    ),
    ("sandbox", &["domain", "clock"]),
    ("daemon", EVERY_ROOM),
    ("cli", EVERY_ROOM),
];

/// For those who put the rooms together.
const EVERY_ROOM: &[&str] = &[
    "domain",
    "clock",
    "schedule",
    "ledger",
    "service",
    "provider",
    "store",
    "intake",
    "accrual",
    "posting",
    "delivery",
    "reconcile",
    "usage",
    "telemetry",
    "web",
    "config",
    "sandbox",
    "daemon",
    "cli",
];

/// The rooms that meet only in the ledger.
const SIBLINGS: [&str; 5] = ["intake", "accrual", "posting", "delivery", "reconcile"];

/// Where providers are chosen, beside the room of each.
const CHOOSING: &[&str] = &["src/config/", "src/daemon/providers", "src/cli/"];

/// A choice of storage or of provider, and the only places that may name it beside its own folder.
const CONCRETE: &[(&str, &[&str])] = &[
    ("store::sqlite", &["src/store/", "src/daemon/assemble", "src/cli/"]),
    ("provider::stripe", CHOOSING),
    ("provider::chargebee", CHOOSING),
    ("provider::cryptolens", CHOOSING),
    ("provider::planship", CHOOSING),
    ("sandbox", &["src/daemon/", "src/cli/"]),
];

/// A crate, and the only places that may name it.
const CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["src/store/"]),
    (
        "reqwest",
        &[
            "src/provider/wire.rs",
            "src/provider/stripe/client.rs",
            "src/provider/chargebee/client.rs",
            // Headers of answers that are made up.
            "src/provider/chargebee/classify/tests.rs",
            "src/provider/cryptolens/client.rs",
            "src/provider/cryptolens/classify/tests.rs",
            "src/provider/planship/client.rs",
            "src/provider/planship/classify/tests.rs",
            "src/sandbox/courier.rs",
            // Asks a sandbox what its clock shows.
            "src/daemon/following.rs",
            "src/cli/",
        ],
    ),
    ("stripe_client_core", &["src/provider/stripe/client.rs", "src/provider/stripe/encode.rs"]),
    (
        "stripe_billing",
        &[
            "src/provider/stripe/client.rs",
            "src/provider/stripe/encode.rs",
            "src/provider/stripe/inspection.rs",
            "src/provider/stripe/meters.rs",
        ],
    ),
    ("axum", &["src/web/"]),
    ("chrono_tz", &["src/schedule.rs"]),
    (
        "hmac",
        &[
            "src/provider/stripe/signature.rs",
            "src/sandbox/stripe/webhooks.rs",
            "src/web/planship/token.rs",
        ],
    ),
    ("governor", &["src/delivery/budget.rs"]),
    ("prometheus_client", &["src/telemetry/metrics.rs"]),
    ("tracing_subscriber", &["src/telemetry/logs.rs"]),
    ("clap_complete", &["src/cli/args/generate.rs", "src/cli/generate.rs"]),
    ("clap_mangen", &["src/cli/generate.rs"]),
    ("annotate_snippets", &["src/config/problem.rs"]),
];

/// The package that names its programs by their paths.
const FUZZ: &str = include_str!("../../fuzz/Cargo.toml");

/// A path as it is named at a line, from the root of the crate.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    line: usize,
    path: Vec<String>,
}

/// A path as it is written: its words, and the name it is imported under.
struct Written {
    line: usize,
    words: Vec<String>,
    name: Option<String>,
}

/// The module that a file is.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// Every path from the root of the crate that the file names: by `crate` or `super`, in groups, and
/// by a name that it imported.
fn paths(file: &File) -> Vec<Named> {
    let mut modules: Vec<(String, usize)> = Vec::new();
    let mut imports: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut found = Vec::new();
    let (mut at, mut depth, mut in_use) = (0, 0_usize, false);
    while at < file.tokens.len() {
        let token = &file.tokens[at];
        match token.text.as_str() {
            "use" => in_use = true,
            ";" => in_use = false,
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                modules.retain(|(_, opened)| *opened <= depth);
            }
            "mod" if file.tokens.get(at + 2).is_some_and(|after| after.text == "{") => {
                modules.push((file.tokens[at + 1].text.clone(), depth + 1));
            }
            _ => {}
        }
        let continues = at > 0 && file.tokens[at - 1].text == "::";
        let begins = token.is_word() && !continues && (in_use || file.reads(at + 1, &["::"]));
        if !begins || token.text == "use" {
            at += 1;
            continue;
        }
        let mut written = Vec::new();
        at = read_tree(&file.tokens, at, &[], &mut written).max(at + 1);
        let mut module = module_of(&file.path);
        module.extend(modules.iter().map(|(name, _)| name.clone()));
        for each in written {
            let Some(path) = from_root(&module, &each.words, &imports) else { continue };
            if let Some(name) = each.name.filter(|_| in_use) {
                imports.insert(name, path.clone());
            }
            found.push(Named { line: each.line, path });
        }
    }
    found
}

/// Reads a path or a tree of paths that begins at `at`; answers where it ends.
fn read_tree(tokens: &[Token], at: usize, prefix: &[String], into: &mut Vec<Written>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut words, mut at, line) = (prefix.to_vec(), at, tokens[at].line);
    loop {
        if text(at) == "{" {
            at += 1;
            while at < tokens.len() && text(at) != "}" {
                at = if text(at) == "," { at + 1 } else { read_tree(tokens, at, &words, into) };
            }
            return at + 1;
        }
        if text(at) != "self" || words.is_empty() {
            words.push(text(at).to_owned());
        }
        at += 1;
        let goes_on = text(at) == "::"
            && (text(at + 1) == "{"
                || text(at + 1) == "*"
                || tokens.get(at + 1).is_some_and(Token::is_word));
        if !goes_on {
            break;
        }
        at += 1;
    }
    let mut name = words.last().cloned();
    if text(at) == "as" && tokens.get(at + 1).is_some_and(Token::is_word) {
        name = Some(text(at + 1).to_owned());
        at += 2;
    }
    into.push(Written { line, words, name });
    at
}

/// A written path from the root of the crate; nothing when it leads elsewhere.
fn from_root(
    module: &[String],
    words: &[String],
    imports: &BTreeMap<String, Vec<String>>,
) -> Option<Vec<String>> {
    let first = words.first()?;
    let up = words.iter().take_while(|word| *word == "super").count();
    let (mut path, rest) = match first.as_str() {
        "crate" | "tallyd" => (Vec::new(), &words[1..]),
        "self" => (module.to_vec(), &words[1..]),
        "super" => (module[..module.len().saturating_sub(up)].to_vec(), &words[up..]),
        name => (imports.get(name)?.clone(), &words[1..]),
    };
    path.extend(rest.iter().cloned());
    Some(path)
}

/// Whether `path` lies at or beneath `prefix`.
fn beneath(path: &[String], prefix: &str) -> bool {
    let is_item = |word: &str| word.starts_with(char::is_uppercase);
    let mut words = path.iter();
    prefix.split("::").all(|wanted| {
        words.next().is_some_and(|word| word == wanted || (wanted == "*" && is_item(word)))
    })
}

/// Whether `path` only leads towards `prefix`, as `use crate::provider` does.
fn towards(path: &[String], prefix: &str) -> bool {
    beneath(&prefix.split("::").map(str::to_owned).collect::<Vec<_>>(), &path.join("::"))
}

/// What a file names that its room may not.
fn strangers(file: &File) -> Vec<String> {
    let module = module_of(&file.path);
    let Some(room) = module.first() else { return Vec::new() };
    let Some((_, may_name)) = MAY_NAME.iter().find(|(name, _)| name == room) else {
        return vec![file.finding(1, format!("the room {room} is not in the table of rooms"))];
    };
    let mut findings = Vec::new();
    for Named { line, path } in paths(file) {
        let own = path.first() == Some(room);
        let allowed = |prefix: &&str| beneath(&path, prefix) || towards(&path, prefix);
        if !own && !path.is_empty() && !may_name.iter().any(allowed) {
            findings.push(file.finding(line, format!("{room} may not name {}", path.join("::"))));
        }
    }
    findings
}

/// What a file names of a choice that is made elsewhere.
fn choices(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    let paths = paths(file);
    for (choice, places) in CONCRETE {
        let own = format!("src/{}/", choice.replace("::", "/"));
        if file.path.starts_with(&own) || places.iter().any(|place| file.path.starts_with(place)) {
            continue;
        }
        for Named { line, path } in &paths {
            if beneath(path, choice) {
                findings.push(file.finding(*line, format!("{choice} is not chosen here")));
            }
        }
    }
    findings
}

/// What a file names of crates that others keep.
fn crates(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, places) in CRATES {
        if places.iter().any(|place| file.path.starts_with(place)) {
            continue;
        }
        for token in file.tokens.iter().filter(|token| token.text == *name) {
            findings.push(file.finding(token.line, format!("{name} is named only in {places:?}")));
        }
    }
    findings
}

#[test]
fn rooms_name_only_whom_they_may_know() {
    assert_none(&program().iter().flat_map(strangers).collect::<Vec<_>>());
}

#[test]
fn storage_and_providers_are_chosen_in_one_place() {
    assert_none(&program().iter().flat_map(choices).collect::<Vec<_>>());
}

#[test]
fn each_crate_that_could_spread_has_its_place() {
    assert_none(&program().iter().flat_map(crates).collect::<Vec<_>>());
}

#[test]
fn the_table_names_every_room_and_no_other() {
    let lib = File::new("src/lib.rs", &std::fs::read_to_string("src/lib.rs").unwrap());
    let declared: BTreeSet<&str> = (0..lib.tokens.len())
        .filter(|at| lib.reads(*at, &["mod"]))
        .map(|at| lib.tokens[at + 1].text.as_str())
        .collect();
    assert_eq!(declared, MAY_NAME.iter().map(|(room, _)| *room).collect());
    for (room, may_name) in MAY_NAME {
        for name in *may_name {
            let other = name.split("::").next().unwrap_or_default();
            assert!(declared.contains(other), "{room} may name {name}, which is no room");
        }
    }
}

#[test]
fn the_table_keeps_siblings_apart_and_has_no_circle() {
    for (room, may_name) in MAY_NAME.iter().filter(|(room, _)| SIBLINGS.contains(room)) {
        assert!(!SIBLINGS.iter().any(|sibling| may_name.contains(sibling)), "{room}");
    }
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    let assembled = |room: &str| ["daemon", "cli"].contains(&room);
    let mut rest: Vec<_> = MAY_NAME.iter().filter(|(room, _)| !assembled(room)).collect();
    while !rest.is_empty() {
        let before = rest.len();
        rest.retain(|(room, may_name)| {
            let known = |name: &&str| settled.contains(name.split("::").next().unwrap_or_default());
            let ready = may_name.iter().all(known);
            if ready {
                settled.insert(room);
            }
            !ready
        });
        assert!(rest.len() < before, "a circle among {rest:?}");
    }
}

#[test]
fn every_file_is_part_of_the_program() {
    let mut declared: BTreeSet<Vec<String>> = BTreeSet::new();
    let files = house();
    // Each folder of `tests` is a program of its own.
    let within = |path: &str| Some(path.strip_prefix("tests/")?.split_once('/')?.1.to_owned());
    let module = |file: &File| module_of(within(&file.path).as_ref().unwrap_or(&file.path));
    for file in files {
        for at in (0..file.tokens.len()).filter(|at| file.reads(*at, &["mod"])) {
            let mut child = module(file);
            child.push(file.tokens[at + 1].text.clone());
            declared.insert(child);
        }
    }
    let is_target = |file: &File| {
        let path = file.path.strip_prefix("tests/fuzz/");
        path.is_some_and(|path| FUZZ.contains(&format!("path = \"{path}\"")))
    };
    let orphans = files.iter().filter(|file| {
        let module = module(file);
        !module.is_empty() && !declared.contains(&module) && !is_target(file)
    });
    let told = |file: &File| file.finding(1, "no module declares this file");
    assert_none(&orphans.map(told).collect::<Vec<_>>());
}

/// The findings of `rule` in a file at `path` that reads `text`, without what repeats the path.
fn found(rule: fn(&File) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    let short = |finding: String| finding.replace(&format!("{path}:"), "");
    rule(&File::new(path, text)).into_iter().map(short).collect()
}

#[test]
fn a_room_that_names_a_stranger_is_found_in_every_way_of_writing_it() {
    let findings = |text| found(strangers, "src/intake/gate.rs", text);
    assert_eq!(findings("use crate::domain::time;\nuse super::batch;"), [""; 0]);
    assert_eq!(findings("// crate::web\nlet a = \"crate::web\";"), [""; 0]);
    assert_eq!(findings("\nuse crate::web::app;"), ["2: intake may not name web::app"]);
    assert_eq!(findings("fn f(a: crate::web::App) {}"), ["1: intake may not name web::App"]);
    assert_eq!(findings("use super::super::web;"), ["1: intake may not name web"]);
    assert_eq!(
        findings("use crate::{clock::Clock, web::{self, app}};"),
        ["1: intake may not name web", "1: intake may not name web::app",]
    );
    assert_eq!(findings("use crate::*;"), ["1: intake may not name *"]);
    assert_eq!(
        findings("mod tests {\n use super::super::super::web;\n}"),
        ["2: intake may not name web"]
    );
    assert_eq!(findings("mod a { }\nuse super::super::web;"), ["2: intake may not name web"]);
    assert_eq!(
        found(strangers, "src/lane/a.rs", ""),
        ["1: the room lane is not in the table of rooms"]
    );
    for sibling in ["accrual", "posting", "delivery", "reconcile"] {
        let text = format!("use crate::{sibling}::x;");
        assert_eq!(found(strangers, "src/intake/gate.rs", &text).len(), 1);
    }
}

#[test]
fn a_room_that_may_name_a_part_of_another_is_held_to_that_part() {
    let findings = |text| found(strangers, "src/config/mod.rs", text);
    assert_eq!(findings("use crate::{provider, store};\nstore::Settings"), [""; 0]);
    assert_eq!(findings("use crate::provider::stripe::settings as wire;\nwire::A"), [""; 0]);
    assert_eq!(
        findings("use crate::provider;\nprovider::stripe::client::A"),
        ["2: config may not name provider::stripe::client::A"]
    );
    assert_eq!(
        findings("use crate::store as ledger;\nfn f(a: ledger::lock::Holder) {}"),
        ["2: config may not name store::lock::Holder"]
    );
}

#[test]
fn a_choice_or_a_crate_out_of_its_place_is_found() {
    let sqlite = "use crate::store::sqlite::SqliteLedger;";
    assert_eq!(found(choices, "src/daemon/assemble.rs", sqlite), [""; 0]);
    assert_eq!(
        found(choices, "src/daemon/run.rs", sqlite),
        ["1: store::sqlite is not chosen here"]
    );
    let stripe = "use super::stripe::Stripe;";
    assert_eq!(found(choices, "src/provider/mod.rs", stripe), [""; 0]);
    let stripe = "use self::stripe::Stripe;";
    assert_eq!(
        found(choices, "src/provider/mod.rs", stripe),
        ["1: provider::stripe is not chosen here"]
    );
    assert_eq!(found(crates, "src/store/mod.rs", "use sqlx::Row;"), [""; 0]);
    assert_eq!(found(crates, "src/cli/mod.rs", "\nsqlx::query(a);").len(), 1);
    assert_eq!(found(crates, "src/provider/stripe/meters.rs", "use reqwest::Url;").len(), 1);
}
