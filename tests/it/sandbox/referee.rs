//! The official SDK as the referee: what it understands is Stripe's protocol.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::support::stripe::{NOON, start_with};

async fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().await.expect("the command starts");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?} failed:\n{text}");
    text
}

/// A Python with the pinned SDK, made once per target directory and set of pins.
async fn python() -> PathBuf {
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/requirements.txt");
    let wanted = std::fs::read_to_string(&pins).expect("the pins are there");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stripe-referee");
    let (python, made) = (home.join("bin/python"), home.join("made-from.txt"));
    if std::fs::read_to_string(&made).is_ok_and(|from| from == wanted) {
        return python;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home)).await;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run(Command::new(&python).args(install).arg(&pins)).await;
    std::fs::write(&made, wanted).expect("the mark is written last");
    python
}

#[tokio::test]
async fn the_official_sdk_finds_stripe_in_the_sandbox() {
    let sandbox = start_with(|settings| settings.meters.clear()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/stripe_referee.py");
    let mut referee = Command::new(python().await);
    referee.arg(script).arg(&sandbox.url).arg(NOON.to_string()).env("NO_PROXY", "127.0.0.1");
    let said = run(&mut referee).await;
    assert!(said.contains("the sandbox holds"), "{said}");
}
