//! The `tallyd` binary.
fn main() {}
