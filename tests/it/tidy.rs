//! The house, held by tests: who may know whom, what stays pure, how large a thing may grow. Here:
//! the rules over the files as they lie there. Never here: behaviour. Read next: [`graph`].
//!
//! Each rule is a function from a file to what is wrong with it, and each is shown to fail on a
//! snippet that breaks it, beside the rule.

mod form;
mod graph;
mod purity;
mod source;

use std::sync::LazyLock;

use source::File;

/// Asserts that nothing was found; each finding is `file:line: what`.
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Every Rust file, cut once for all rules: those of the program, then those of its tests.
static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let mut files = source::rust_files("src");
    files.extend(source::rust_files("tests"));
    files
});

/// Every Rust file of the program.
fn program() -> &'static [File] {
    let end = FILES.partition_point(|file| file.path.starts_with("src/"));
    assert!(end > 50, "only {end} files were found under src");
    &FILES[..end]
}

/// Every Rust file of the program and of its tests.
fn house() -> &'static [File] {
    &FILES
}
