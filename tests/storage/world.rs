//! What a run takes place in. Here: a folder, a stand-in for the provider and the daemon, each a
//! process of its own, and how they are spoken to. Never here: what is said. Read next:
//! [`super::script`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::trace::Tracer;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tallyd");
/// The longest that anything here may take; past it a run has got stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The longest that one HTTP answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(25);
/// Time between two looks at something.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
const TOKEN: &str = "a-token-for-the-matrix";
const LEDGER: &str = "tallyd.ledger";

/// A process that is killed when it is dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        let status = self.0.try_wait()?;
        Ok(status.map(|status| status.code().unwrap_or(-1)))
    }

    /// The first line that it says, or how it ended instead.
    fn first_line(&mut self) -> anyhow::Result<Result<String, i32>> {
        let output = self.0.stdout.take().context("its output is not read")?;
        let (said, says) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(output).read_line(&mut line);
            // Whoever asked may have lost patience.
            drop(said.send(read.map(|_| line)));
        });
        let line = says.recv_timeout(PATIENCE).context("it says nothing")??;
        if line.is_empty() {
            return Ok(Err(self.wait()?));
        }
        Ok(Ok(line.trim().to_owned()))
    }

    fn wait(&mut self) -> anyhow::Result<i32> {
        let begun = Instant::now();
        loop {
            if let Some(code) = self.ended()? {
                return Ok(code);
            }
            if begun.elapsed() > PATIENCE {
                bail!("it does not end");
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The stand-in for the provider.
#[derive(Debug)]
pub(crate) struct Sandbox {
    _process: Process,
    pub(crate) url: String,
}

impl Sandbox {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.args(["sandbox", "--listen", "127.0.0.1:0", "--live-limits"]);
        command.args(["--meter", "calls", "--meter", "bytes"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process(command.spawn()?);
        let line = match process.first_line()? {
            Ok(line) => line,
            Err(code) => bail!("the sandbox ended with {code}"),
        };
        let url = line.strip_prefix("stripe ").context("the sandbox says no address")?;
        Ok(Self { _process: process, url: url.to_owned() })
    }

    fn ask(&self, head: &str, body: &str) -> anyhow::Result<Value> {
        let stream = tcp(&self.url)?;
        let (status, text) = exchange(stream, head, "", body)?;
        anyhow::ensure!(status == 200, "the sandbox answered {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// From now on, answers are kept back.
    pub(crate) fn hold_answers(&self) -> anyhow::Result<()> {
        self.ask("POST /_sandbox/answers", r#"{"held":true}"#).map(drop)
    }

    pub(crate) fn statistics(&self) -> anyhow::Result<Value> {
        self.ask("GET /_sandbox/statistics", "")
    }

    /// What counts there, by meter and customer.
    pub(crate) fn books(&self) -> anyhow::Result<BTreeMap<(String, String), u64>> {
        let books = self.ask("GET /_sandbox/books", "")?;
        let lines = books["books"].as_array().context("no books")?;
        lines
            .iter()
            .map(|line| {
                let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
                Ok(((text("event_name"), text("customer")), text("total").parse()?))
            })
            .collect()
    }
}

/// A daemon's folder.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
}

impl Home {
    /// Writes the config for a provider at `api`.
    pub(crate) fn configure(&self, api: &str, maintenance: &str) -> anyhow::Result<()> {
        let routes: String = ["calls", "bytes"]
            .map(|meter| {
                format!(
                    "[route.{meter}]\nmeter = \"{meter}\"\nto = \"stripe.main\"\nsettle = \"1s\"\n"
                )
            })
            .concat();
        let text = format!(
            "[ledger]\npath = \"{LEDGER}\"\nballast_bytes = 1048576\n\
             maintenance = \"{maintenance}\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\noperator_socket = \"operator.sock\"\n\
             [[http.token]]\nsecret = {{ env = \"TEST_TOKEN\" }}\nsources = [\"web\"]\n\
             [intake]\nfree_bytes_min = 1048576\n\
             [stripe.main]\nkey = {{ env = \"TEST_KEY\" }}\napi = \"{api}\"\n\
             rate_per_second = 1000\nbackoff_first_millis = 20\nbackoff_seconds_max = 1\n\
             pause_probe_seconds = 1\nattempt_timeout_seconds = 5\n{routes}"
        );
        Ok(fs::write(self.folder.join("tallyd.toml"), text)?)
    }

    /// The ledger's file, or one that lies beside it under its name.
    pub(crate) fn ledger(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{LEDGER}{ending}"))
    }

    /// Copies what a daemon left here to another folder.
    pub(crate) fn copy(&self, to: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_file() && name.to_string_lossy().starts_with(LEDGER) {
                fs::copy(entry.path(), to.join(name))?;
            }
        }
        Ok(())
    }

    fn prepare(&self, command: &mut Command) {
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.env("TEST_KEY", "sk_test_ofTheStorageMatrix").env("TEST_TOKEN", TOKEN);
    }

    /// Starts the daemon, watched or not; answers how it ended, when it did so at once.
    pub(crate) fn start(&self, tracer: Option<&Tracer>) -> anyhow::Result<Started> {
        let program = Path::new(PROGRAM);
        let mut command = tracer.map_or_else(|| Command::new(program), |it| it.command(program));
        command.args(["run", "--config", "tallyd.toml"]);
        self.prepare(&mut command);
        let errors = File::options().create(true).append(true).open(self.folder.join("stderr"))?;
        command.stdout(Stdio::piped()).stderr(errors);
        let mut process = Process(command.spawn()?);
        let pid = process.0.id();
        match process.first_line()? {
            Err(code) => Ok(Started::Ended { code, pid }),
            Ok(line) => {
                let url = line.strip_prefix("listening at ").context("it says no address")?;
                let socket = self.folder.join("operator.sock");
                Ok(Started::Runs(Daemon { process, url: url.to_owned(), socket, pid }))
            }
        }
    }

    /// What its daemons wrote to their standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// Runs another command here to its end: its exit code, and what it wrote.
    pub(crate) fn command(&self, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).args(["--config", "tallyd.toml"]);
        self.prepare(&mut command);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.code().unwrap_or(-1), said))
    }

    /// What `ledger verify` says, unless it is that all is well.
    pub(crate) fn verify(&self) -> anyhow::Result<()> {
        let (code, said) = self.command(&["ledger", "verify"])?;
        anyhow::ensure!(code == 0, "ledger verify ended with {code}\n{said}");
        Ok(())
    }
}

/// How a start came out.
#[derive(Debug)]
pub(crate) enum Started {
    Runs(Daemon),
    Ended { code: i32, pid: u32 },
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Process,
    url: String,
    socket: PathBuf,
    pub(crate) pid: u32,
}

impl Daemon {
    pub(crate) fn is_gone(&mut self) -> anyhow::Result<bool> {
        Ok(self.process.ended()?.is_some())
    }

    /// Sends usage: status and body, or nothing when the daemon went away.
    pub(crate) fn post(&self, body: &str) -> Option<(u16, Value)> {
        let more = format!("Authorization: Bearer {TOKEN}\r\n");
        let (status, text) = exchange(tcp(&self.url).ok()?, "POST /v1/usage", &more, body).ok()?;
        Some((status, serde_json::from_str(&text).ok()?))
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).ok()?;
        let (status, text) = exchange(stream, "GET /v1/status", "", "").ok()?;
        (status == 200).then(|| serde_json::from_str(&text).ok()).flatten()
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn stop(mut self) -> anyhow::Result<i32> {
        self.signal(Signal::TERM);
        self.process.wait()
    }

    /// Ends it without a word.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may be gone already.
            let _is_there = kill_process(pid, signal).is_ok();
        }
    }
}

fn tcp(url: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(url.strip_prefix("http://").context("no address")?)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    Ok(stream)
}

/// One request over a connection of its own.
fn exchange(
    mut stream: impl Read + Write,
    head: &str,
    more: &str,
    body: &str,
) -> anyhow::Result<(u16, String)> {
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").context("half an answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, text.to_owned()))
}
