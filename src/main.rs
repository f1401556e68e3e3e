//! The `tallyd` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tallyd::cli::main()
}
