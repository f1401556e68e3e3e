//! The house, held by tests: who may know whom, what stays pure, how large a thing may grow. Here:
//! the rules over the files as they lie there. Never here: behaviour. Read next: [`graph`].
//!
//! Each rule is a function from a file to what is wrong with it, and each is shown to fail on a
//! snippet that breaks it, beside the rule.

mod form;
mod graph;
mod purity;
mod source;

use source::File;

/// Asserts that nothing was found; each finding is `file:line: what`.
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Every Rust file of the program.
fn program() -> Vec<File> {
    let files = source::rust_files("src");
    assert!(files.len() > 50, "only {} files were found under src", files.len());
    files
}

/// Every Rust file of the program and of its tests.
fn house() -> Vec<File> {
    let mut files = program();
    files.extend(source::rust_files("tests"));
    files
}
