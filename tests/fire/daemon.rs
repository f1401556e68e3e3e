//! The real binary. Here: its folder, its config, its start, its signals, its commands. Never here:
//! when any of that happens. Read next: [`super::director`].

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use super::kind::Kind;
use super::memory::Way;
use super::provider::Provider;
use super::shared::TOKEN;

/// The folder of files that are read as they grow, in the daemon's.
pub(crate) const SPOOL: &str = "spool";
/// How long a command that reads the ledger may take, in seconds: it reads all of it.
const COMMAND_SECONDS_MAX: u64 = 600;
/// Most bytes of the log that are shown.
const TAIL_BYTES: usize = 2_000;

/// The folder of the daemon: its config, its log, and its ledger unless that lies elsewhere.
pub(crate) struct Home {
    kind: Kind,
    folder: PathBuf,
    ledger: PathBuf,
    began: Instant,
}

impl Home {
    /// One whose daemon tells the provider, this often at most, and keeps its ledger in `ledgers`.
    pub(crate) fn new(
        folder: &Path,
        ledgers: Option<&Path>,
        provider: &Provider,
        rate: u32,
    ) -> anyhow::Result<Self> {
        let (kind, api) = (provider.kind, provider.address);
        let ledger = ledgers.unwrap_or(folder).join("tallyd.ledger");
        let home = Self { kind, folder: folder.to_owned(), ledger, began: Instant::now() };
        let text = home.config(api, rate);
        std::fs::write(home.path().join("tallyd.toml"), text).context("cannot write the config")?;
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Where the ledger is.
    pub(crate) fn ledger(&self) -> &Path {
        &self.ledger
    }

    /// Whether there is a ledger yet.
    pub(crate) fn has_ledger(&self) -> bool {
        self.ledger.exists()
    }

    /// Brings the ledger into the folder, for whoever looks into it.
    pub(crate) fn bring_ledger(&self) -> anyhow::Result<()> {
        for name in ["tallyd.ledger", "tallyd.ledger-wal"] {
            let (from, to) = (self.ledger.with_file_name(name), self.path().join(name));
            if from != to && from.exists() {
                std::fs::copy(&from, &to).context("cannot keep the ledger")?;
            }
        }
        Ok(())
    }

    fn config(&self, api: SocketAddr, rate: u32) -> String {
        let facts = self.kind.facts();
        let (mut routes, mut columns) = (String::new(), String::new());
        for meter in facts.meters {
            let (name, lines, to) = (meter.name(), self.kind.route(*meter), facts.instance);
            routes += &format!("[route.{name}]\nmeter = \"{name}\"\nto = \"{to}\"\n{lines}\n");
            columns += &format!(
                "[[import.table.record]]\nmeter = \"{name}\"\ncolumn = \"{name}\"\n\
                 id_suffix = \"-{name}\"\nwhen_empty = \"skip\"\n"
            );
        }
        format!(
            "[ledger]\npath = {ledger:?}\n\
             [http]\nlisten = \"127.0.0.1:0\"\noperator_socket = {socket:?}\n\
             [[http.token]]\nsecret = {{ env = \"FIRE_TOKEN\" }}\nsources = [\"{web}\"]\n\
             [intake]\nfree_bytes_min = 1048576\n\
             [spool.{spool}]\ndirectory = {SPOOL:?}\n\
             {provider}{routes}[import.table]\n{columns}[log]\nfilter = \"warn\"\n\
             [clock]\nfollow = \"http://{api}\"\n",
            ledger = self.ledger,
            socket = self.path().join("operator.sock"),
            web = Way::Http.source(),
            spool = Way::Spool.source(),
            provider = self.kind.tables(api, rate),
        )
    }

    /// The program, with what it needs to know.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyd"));
        command.env_clear().env("FIRE_TOKEN", TOKEN);
        command.envs(self.kind.facts().secrets.iter().copied());
        command.current_dir(self.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command of the program that reads the ledger; its exit code, and what it printed.
    pub(crate) async fn read(&self, arguments: &[&str]) -> anyhow::Result<(Option<i32>, Value)> {
        let mut command = self.command();
        command.args(arguments).args(["--config", "tallyd.toml", "--json"]);
        let limit = Duration::from_secs(COMMAND_SECONDS_MAX);
        let ended = timeout(limit, command.output()).await;
        let what = || format!("tallyd {}", arguments.join(" "));
        let Output { status, stdout, stderr } =
            ended.with_context(|| format!("{} takes too long", what()))?.with_context(what)?;
        match serde_json::from_slice(&stdout) {
            Ok(said) => Ok((status.code(), said)),
            Err(_) => bail!("{}: {status} {}", what(), String::from_utf8_lossy(&stderr)),
        }
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// Writes into the log what is done to the daemon, for whoever reads it afterwards.
    pub(crate) fn note(&self, what: &str) -> anyhow::Result<()> {
        let millis = self.began.elapsed().as_millis();
        let mut log = self.open_log()?;
        writeln!(log, "fire, after {millis} ms: {what}").context("cannot write the log")
    }

    fn open_log(&self) -> anyhow::Result<File> {
        let log = File::options().create(true).append(true).open(self.log());
        log.context("cannot open the log")
    }

    /// Everything that its daemons wrote to their standard error.
    pub(crate) fn said(&self) -> String {
        let bytes = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What they wrote from that place on; of much, the end.
    pub(crate) fn said_from(&self, place: usize) -> String {
        let said = self.said();
        let from = place.max(said.len().saturating_sub(TAIL_BYTES));
        said.get(said.ceil_char_boundary(from)..).unwrap_or_default().to_owned()
    }

    /// Starts the daemon, which may or may not come to listen.
    pub(crate) fn start(&self) -> anyhow::Result<Daemon> {
        let mut command = self.command();
        command.args(["run", "--config", "tallyd.toml"]);
        command.stdout(Stdio::piped()).stderr(self.open_log()?);
        let mut process = command.spawn().context("cannot start the daemon")?;
        let output = process.stdout.take().context("the daemon has no output")?;
        Ok(Daemon { process, output: BufReader::new(output).lines() })
    }
}

/// A running daemon. Dropping it kills it.
pub(crate) struct Daemon {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    /// Waits until it says where it listens; nothing when it ends instead.
    pub(crate) async fn listening(&mut self) -> anyhow::Result<Option<SocketAddr>> {
        let Some(line) = self.output.next_line().await? else { return Ok(None) };
        let address = line.strip_prefix("listening at http://").and_then(|at| at.parse().ok());
        Ok(Some(address.with_context(|| format!("the daemon said {line:?}"))?))
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok());
        // One that has ended already has no number any more.
        let Some(pid) = pid.and_then(Pid::from_raw) else { return Ok(()) };
        kill_process(pid, signal).context("cannot signal the daemon")
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.process.wait().await?)
    }
}
