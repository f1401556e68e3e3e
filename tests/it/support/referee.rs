//! The official SDKs as referees: what they understand is their provider's protocol. Here: a Python
//! that has them, and running a script with it. Never here: a claim; those are in the scripts.
//! Read next: `tests/python`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::sync::OnceCell;

/// Runs a command that must succeed; answers what it said.
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

/// Makes a Python with pinned SDKs, once per target directory and set of pins.
async fn make(pins: &str) -> PathBuf {
    let name = pins.trim_end_matches(".txt");
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(pins);
    let wanted = std::fs::read_to_string(&pins).expect("the pins are there");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("referee-{name}"));
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

/// Lets the script of this name judge the stand-in at `url`, whose clock shows `now`.
pub(crate) async fn judge(script: &str, url: &str, now: i64) -> String {
    // Tests that want it at once wait for one another.
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    run_by(PYTHON.get_or_init(|| make("requirements.txt")).await, script, url, now).await
}

/// The same, by Planship's SDK, which has pins of its own.
pub(crate) async fn judge_with_planship(script: &str, url: &str, now: i64) -> String {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    run_by(PYTHON.get_or_init(|| make("planship.txt")).await, script, url, now).await
}

async fn run_by(python: &Path, script: &str, url: &str, now: i64) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let mut referee = Command::new(python);
    referee.arg(script).arg(url).arg(now.to_string()).env("NO_PROXY", "127.0.0.1");
    run(&mut referee).await
}
