//! Mistakes in the file's form: what is no TOML, no key, no value of its kind.

use super::{read, refused, sound_and};

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    refused(
        "[http]\nlisten = \n",
        "",
        "this is not TOML: string values must be quoted, expected literal string",
    );
}

#[test]
fn a_route_that_is_there_twice_is_refused() {
    refused("[route.a]\n[route.a]\n", "a", "`a` is there twice");
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    let text = "[http]\nlisen = \"127.0.0.1:1\"\n";
    refused(text, "lisen", "there is no key `http.lisen`");
    let problems = read(text).expect_err("no such key");
    assert!(problems.errors[0].help.starts_with("did you mean `listen`?"), "{problems}");
}

#[test]
fn a_misspelt_key_is_not_missing_too() {
    let text =
        "[stripe.main]\nkey = { env = \"TEST\" }\n[route.a]\nmetr = \"a\"\nto = \"stripe.main\"\n";
    refused(text, "metr", "there is no key `route.a.metr`");
}

#[test]
fn an_unknown_table_is_refused() {
    refused("[paddle.main]\n", "paddle", "there is no key `paddle`");
}

#[test]
fn a_value_of_another_kind_is_refused() {
    for (text, at, title) in [
        (
            "[http]\nconnections_max = \"9\"",
            "\"9\"",
            "`http.connections_max` has to be an integer, and a text is not",
        ),
        (
            "[http]\nconnections_max = 1.5",
            "1.5",
            "`http.connections_max` has to be an integer, and a floating-point number is not",
        ),
        (
            "[ledger]\npath = 7",
            "7",
            "`ledger.path` has to be a text in quotes, and an integer is not",
        ),
        ("ledger = true", "true", "`ledger` has to be a table, and a truth value is not"),
        ("[http]\ntoken = 3", "3", "`http.token` has to be an array, and an integer is not"),
    ] {
        refused(text, at, title);
    }
    let text = sound_and("match = { region = 3 }");
    refused(
        &text,
        "3",
        "`route.requests.match.region` has to be a text in quotes, and an integer is not",
    );
    let text = sound_and("scale = true");
    refused(
        &text,
        "true",
        "`route.requests.scale` has to be a decimal number in quotes, and a truth value is not",
    );
}

#[test]
fn a_file_of_another_program_is_not_told_key_by_key() {
    let text: String = (0..100).map(|number| format!("key{number} = 1\n")).collect();
    let problems = read(&text).expect_err("no config");
    assert_eq!(problems.errors.len(), 51);
    assert_eq!(problems.errors[50].title, "more than 50 keys cannot be read");
}

#[test]
fn no_text_makes_the_reader_panic() {
    use proptest::prelude::*;
    let word = prop_oneof![
        Just("[http]\n"),
        Just("[[http.token]]\n"),
        Just("[route.a]\n"),
        Just("[stripe.a]\n"),
        Just("meter = "),
        Just("key = "),
        Just("secret = "),
        Just("account = "),
        Just("scale = "),
        Just("{ env = \"TEST\" }\n"),
        Just("\"stripe.a\"\n"),
        Just("\"ä€\"\n"),
        Just("1.5\n"),
        Just("\"\"\""),
        Just("["),
        Just("]"),
        Just("\u{feff}"),
        Just("\r\n"),
        Just("# x"),
        Just("\""),
    ];
    let text = proptest::collection::vec(word, 0..12).prop_map(|words| words.concat());
    proptest!(|(text in text)| {
        match read(&text) {
            Ok(config) => drop(config.warnings.render(false)),
            Err(problems) => drop(problems.render(true)),
        }
    });
}
