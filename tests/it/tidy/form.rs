//! How large a thing may grow, and how it may be called. Here: the limits and the words. Never
//! here: what a formatter or a linter already holds. Read next: `.clippy.toml`.

use std::fs;

use super::source::{self, File, Token};
use super::{assert_none, house, program};

/// Lines of a file: past this it holds two ideas, and is cut where the first ends.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from `fn` to its closing brace: what one look takes in.
const FUNCTION_LINES_MAX: usize = 70;
/// Characters of a line: two files stand beside each other on a screen.
const LINE_CHARACTERS_MAX: usize = 100;
/// Words in a test's name: fewer do not make a sentence.
const TEST_WORDS_MIN: usize = 3;

/// Words that say nothing about what a thing is. (Cut in two, as are those below, so that this file
/// may hold them.)
const EMPTY_WORDS: &[&str] = &[
    concat!("man", "ager"),
    concat!("man", "agers"),
    concat!("help", "er"),
    concat!("help", "ers"),
    concat!("ut", "il"),
    concat!("ut", "ils"),
    concat!("util", "ity"),
    concat!("com", "mon"),
];
/// What is left behind by somebody who meant to come back.
const LEFTOVERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
/// Code that is left out, or a lint that is silenced without a reason.
const LEFT_OUT: &[&[&str]] = &[
    &["todo", "!"],
    &["unimplemented", "!"],
    &["#", "[", "ignore"],
    &["[", "allow", "("],
    &[",", "allow", "("],
];
/// Keywords before a name that its author chose.
const DECLARING: &[&str] =
    &["fn", "struct", "enum", "union", "trait", "mod", "type", "const", "static", "let", "mut"];

fn too_large(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(file.finding(lines, format!("the file has {lines} lines")));
    }
    for function in file.functions() {
        if function.lines > FUNCTION_LINES_MAX {
            let what = format!("the function {} has {} lines", function.name, function.lines);
            findings.push(file.finding(function.line, what));
        }
    }
    findings
}

fn too_wide(path: &str, text: &str) -> Vec<String> {
    let width = |line: &str| line.chars().count();
    let wide = text.lines().enumerate().filter(|(_, line)| width(line) > LINE_CHARACTERS_MAX);
    wide.map(|(at, line)| format!("{path}:{}: {} characters", at + 1, width(line))).collect()
}

/// The lines of a file that are too wide. In tests, a literal may run on: what the program prints
/// is quoted as it is printed.
fn too_wide_in(file: &File) -> Vec<String> {
    let wide = too_wide(&file.path, &file.text);
    if !file.path.starts_with("tests/") {
        return wide;
    }
    let past = |text: &str| text.chars().skip(LINE_CHARACTERS_MAX).collect::<String>();
    let is_end = |end: String| end.trim().chars().all(|last| ");,".contains(last));
    let lines = file.code.lines().zip(file.comments.lines()).enumerate();
    let quoted: Vec<String> = lines
        .filter(|(_, (code, comment))| is_end(past(code)) && is_end(past(comment)))
        .map(|(at, _)| format!("{}:{}: ", file.path, at + 1))
        .collect();
    let is_quoted = |finding: &String| quoted.iter().any(|place| finding.starts_with(place));
    wide.into_iter().filter(|finding| !is_quoted(finding)).collect()
}

/// The words of an identifier or a path, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in name.chars() {
        if !character.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        if character.is_uppercase() {
            words.push(String::new());
        }
        words.last_mut().expect("there is a first").extend(character.to_lowercase());
    }
    words
}

fn empty_names(file: &File) -> Vec<String> {
    let is_empty = |name: &str| words(name).iter().any(|word| EMPTY_WORDS.contains(&word.as_str()));
    let mut findings = Vec::new();
    if is_empty(&file.path) {
        findings.push(file.finding(1, "the file's name says nothing"));
    }
    for pair in file.tokens.windows(2) {
        if DECLARING.contains(&pair[0].text.as_str()) && is_empty(&pair[1].text) {
            findings.push(file.finding(pair[1].line, format!("{} says nothing", pair[1].text)));
        }
    }
    findings
}

fn leftovers(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, line) in file.comments.lines().enumerate() {
        for word in LEFTOVERS.iter().filter(|word| line.contains(**word)) {
            findings.push(file.finding(at + 1, format!("{word} was left behind")));
        }
    }
    for (at, Token { line, .. }) in file.tokens.iter().enumerate() {
        if let Some(words) = LEFT_OUT.iter().find(|words| file.reads(at, words)) {
            findings.push(file.finding(*line, format!("{} does not stay", words.concat())));
        }
    }
    findings
}

fn undocumented(file: &File) -> Vec<String> {
    let documented = file.module_doc().split_whitespace().count() > 1;
    (!documented).then(|| file.finding(1, "no `//!` says what lives here")).into_iter().collect()
}

fn no_sentence(file: &File) -> Vec<String> {
    let tests = file.functions().into_iter().filter(|function| function.is_test);
    let short = tests.filter(|test| test.name.split('_').count() < TEST_WORDS_MIN);
    let what = |name: &str| format!("the test {name} does not say what holds");
    short.map(|test| file.finding(test.line, what(&test.name))).collect()
}

#[test]
fn files_and_functions_stay_within_one_look() {
    assert_none(&house().iter().flat_map(too_large).collect::<Vec<_>>());
}

#[test]
fn lines_stay_within_their_width() {
    let rust = house().iter().map(too_wide_in);
    let sql = ["src", "migrations"].into_iter().flat_map(|folder| source::files(folder, "sql"));
    let sql = sql.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        too_wide(path.strip_prefix(source::root()).unwrap().to_str().unwrap(), &text)
    });
    assert_none(&rust.chain(sql).flatten().collect::<Vec<_>>());
}

#[test]
fn names_say_what_a_thing_is() {
    assert_none(&house().iter().flat_map(empty_names).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later_and_no_lint_is_silenced_without_a_reason() {
    assert_none(&house().iter().flat_map(leftovers).collect::<Vec<_>>());
}

#[test]
fn every_file_opens_with_what_lives_in_it() {
    assert_none(&house().iter().flat_map(undocumented).collect::<Vec<_>>());
}

#[test]
fn the_names_of_tests_are_sentences() {
    let tests: usize = house().iter().map(|file| file.functions().len()).sum();
    assert!(tests > 500, "only {tests} functions were found");
    assert_none(&house().iter().flat_map(no_sentence).collect::<Vec<_>>());
    assert!(program().iter().flat_map(File::functions).any(|function| function.is_test));
}

fn snippet(text: &str) -> File {
    File::new("src/a/b.rs", text)
}

#[test]
fn one_line_too_many_is_found_in_a_file_and_in_a_function() {
    let file = |lines: usize| snippet(&"\n".repeat(lines));
    assert_eq!(too_large(&file(FILE_LINES_MAX)).len(), 0);
    assert_eq!(too_large(&file(FILE_LINES_MAX + 1)).len(), 1);
    let function = |lines: usize| snippet(&format!("fn f() {{{}}}", "\n".repeat(lines - 1)));
    assert_eq!(too_large(&function(FUNCTION_LINES_MAX)).len(), 0);
    assert_eq!(too_large(&function(FUNCTION_LINES_MAX + 1)).len(), 1);
}

#[test]
fn one_character_too_many_is_found_whatever_its_bytes() {
    assert_eq!(too_wide("a", &"─".repeat(LINE_CHARACTERS_MAX)), [""; 0]);
    let wide = format!("\n{}\n", "─".repeat(LINE_CHARACTERS_MAX + 1));
    assert_eq!(too_wide("a", &wide), ["a:2: 101 characters"]);
    let long = "long ".repeat(LINE_CHARACTERS_MAX / 5);
    for (text, in_tests, in_program) in [
        (format!("check(\"{long}\");"), 0, 1),
        (format!("check(\"\n{long}…\n\");"), 0, 1),
        (format!("check(\"{long}\", and_more);"), 1, 1),
        (format!("// {long}"), 1, 1),
    ] {
        assert_eq!(too_wide_in(&File::new("tests/it/a.rs", &text)).len(), in_tests, "{text}");
        assert_eq!(too_wide_in(&snippet(&text)).len(), in_program, "{text}");
    }
}

#[test]
fn empty_names_are_found_where_they_are_declared() {
    let word = EMPTY_WORDS[0];
    let camel = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    for text in [
        format!("struct Lane{camel};"),
        format!("fn {word}_of() {{}}"),
        format!("mod {word};"),
        format!("let mut {word}_1 = 0;"),
    ] {
        assert_eq!(empty_names(&snippet(&text)).len(), 1, "{text}");
    }
    assert_eq!(empty_names(&snippet(&format!("use other::{word}; // {word}"))).len(), 0);
    assert_eq!(empty_names(&snippet("fn futile() {} fn utilize() {}")).len(), 0);
    assert_eq!(empty_names(&File::new(&format!("src/a/{word}.rs"), "")).len(), 1);
}

#[test]
fn what_is_left_for_later_is_found_in_comments_and_in_code() {
    for text in [
        format!("// {}: later", LEFTOVERS[0]),
        format!("/* {} */", LEFTOVERS[1]),
        "fn f() { todo!() }".to_owned(),
        "fn f() { unimplemented!(\"a\") }".to_owned(),
        "#[test]\n#[ignore = \"slow\"]\nfn f() {}".to_owned(),
        "#[allow(dead_code)]\nfn f() {}".to_owned(),
        "#![allow(missing_docs, reason = \"a\")]".to_owned(),
        "#[cfg_attr(test, allow(dead_code))]".to_owned(),
    ] {
        assert_eq!(leftovers(&snippet(&text)).len(), 1, "{text}");
    }
    let kept = format!("let a = \"{}\"; b.allow(c); #[expect(lint, reason = \"d\")]", LEFTOVERS[0]);
    assert_eq!(leftovers(&snippet(&kept)).len(), 0);
}

#[test]
fn a_file_without_words_at_its_top_is_found() {
    assert_eq!(undocumented(&snippet("//! A room. Here: a thing.\n")).len(), 0);
    assert_eq!(undocumented(&snippet("// A room.\nfn f() {}")).len(), 1);
    assert_eq!(undocumented(&snippet("//! room.\n")).len(), 1);
}

#[test]
fn a_test_whose_name_is_no_sentence_is_found() {
    for text in ["#[test]\nfn parses_it() {}", "#[tokio::test]\nasync fn works() {}"] {
        assert_eq!(no_sentence(&snippet(text)).len(), 1, "{text}");
    }
    let fine = "#[test]\nfn a_name_is_read() {}\nfn prepare() {}\n#[cfg(test)]\nfn b() {}";
    assert_eq!(no_sentence(&snippet(fine)).len(), 0);
}
