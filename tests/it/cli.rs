//! The command line, as a person or a script meets it: the real binary, in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

mod archiving;
mod check;
mod correcting;
mod customers;
mod daemon;
mod demo;
mod documents;
mod exporting;
mod generating;
mod importing;
mod listings;
mod reconciling;
mod rejecting;
mod remapping;

/// A config with one account and two routes, whose secret is nowhere, as in an operator's shell.
const CONFIG: &str = r#"
[stripe.main]
key = { env = "STRIPE_KEY" }

[route.requests]
meter = "requests"
to = "stripe.main"

[route.bytes]
meter = "bytes"
to = "stripe.main"
account = "imported"

[import.access]
id = "id"
time = "time"
customer = "customer"

[[import.access.record]]
meter = "requests"
quantity = "1"
"#;

/// A folder with a config in it, where commands are typed.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.put("tallyd.toml", CONFIG);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyd"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).env_clear();
        command.stdin(Stdio::null());
        command
    }

    /// Runs `tallyd LINE`.
    fn run(&self, line: &str) -> Ran {
        Ran::of(self.command(line).output().unwrap())
    }
}

/// What a command came to.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed"),
            out: settled(&String::from_utf8(output.stdout).unwrap()),
            err: settled(&String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// The exit code, and what was printed where.
    fn whole(&self) -> String {
        let Self { code, out, err } = self;
        let err = if err.is_empty() { String::new() } else { format!("--- stderr\n{err}") };
        format!("exit {code}\n{out}{err}")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

/// The shape of a JSON document: its keys, and what kind of value stands under each.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("[{}]", items.first().map_or_else(String::new, shape)),
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}: {}", shape(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// The text with what differs from run to run replaced: names made by chance, the order of requests
/// in flight together, and how far an instant is from the present.
fn settled(text: &str) -> String {
    let mut settled = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken =
            [taken_identifier(rest), taken_age(rest), taken_ledger(rest), taken_request(rest)];
        match taken.into_iter().flatten().next() {
            Some((length, name)) => {
                settled.push_str(name);
                rest = &rest[length..];
            }
            None => {
                settled.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    settled
}

type Taken = Option<(usize, &'static str)>;

fn hex_run(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_hexdigit).count()
}

fn taken_identifier(text: &str) -> Taken {
    let rest = text.strip_prefix("tallyd-")?;
    let ledger = hex_run(rest);
    let digest = hex_run(rest.get(ledger + 1..)?);
    (ledger == 16 && digest == 32).then_some((7 + 16 + 1 + 32, "[identifier]"))
}

fn taken_ledger(text: &str) -> Taken {
    let rest = text.strip_prefix("(id ")?;
    (hex_run(rest) == 16).then_some((4 + 16, "(id [ledger]"))
}

fn taken_request(text: &str) -> Taken {
    let digits = text.strip_prefix("req_sandbox")?.bytes().take_while(u8::is_ascii_digit).count();
    Some(("req_sandbox".len() + digits, "req_sandbox............"))
}

fn taken_age(text: &str) -> Taken {
    let inner = text.strip_prefix(" (")?.split(')').next()?;
    let age = inner.ends_with(" ago") || inner.starts_with("in ");
    age.then_some((inner.len() + 3, " ([age])"))
}
