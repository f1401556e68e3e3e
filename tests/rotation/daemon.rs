//! The real binary. Here: its folder, its config, its lives, and what its ledger has. Never here:
//! what is written for it to read ([`super::logs`]). Read next: [`super::compare`].

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tallyd");
/// The longest that anything here may take; past it a run has got stuck.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks at something.
const LOOK: Duration = Duration::from_millis(50);
/// How long a file may be as it is before the daemon judges its last line, in seconds: shorter than
/// the default, so that a run sees it happen.
const SILENCE_SECONDS: u32 = 3;

/// The folder of the daemon: its config, its log, its ledger and its spools.
pub(crate) struct Home {
    folder: TempDir,
    runtime: Runtime,
}

impl Home {
    /// # Errors
    /// When a folder or a file cannot be made.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let mut config = "[ledger]\npath = \"tallyd.ledger\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\noperator_socket = \"tallyd.sock\"\n\
             [intake]\nfree_bytes_min = 1048576\n[log]\nfilter = \"warn\"\n"
            .to_owned();
        for spool in super::logs::SPOOLS {
            config += &format!(
                "[spool.{spool}]\ndirectory = \"{spool}\"\nsilence_seconds = {SILENCE_SECONDS}\n"
            );
            fs::create_dir(folder.path().join(spool)).context("cannot make a spool")?;
        }
        fs::write(folder.path().join("tallyd.toml"), config).context("cannot write the config")?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { folder, runtime })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves everything where it is.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let log = File::options().create(true).append(true).open(self.path().join("log"))?;
        let mut command = Command::new(PROGRAM);
        command.env_clear().current_dir(self.path()).args(arguments);
        command.args(["--config", "tallyd.toml"]).stdin(Stdio::null()).stderr(log);
        Ok(command)
    }

    /// Rows of the ledger.
    pub(crate) fn rows(&self, query: &'static str) -> anyhow::Result<Vec<SqliteRow>> {
        let path = self.path().join("tallyd.ledger");
        self.runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(path).read_only(true);
            let mut connection: SqliteConnection = options.connect().await?;
            let rows = sqlx::query(query).fetch_all(&mut connection).await?;
            connection.close().await?;
            Ok(rows)
        })
    }

    /// Whether the ledger has a record.
    pub(crate) fn has(&self, source: &str, id: &str) -> anyhow::Result<bool> {
        let record = format!("{source}/{id}");
        let mut command = self.command(&["trace", &record, "--json"])?;
        Ok(command.stdout(Stdio::null()).status()?.success())
    }

    /// Waits until the ledger has a record.
    pub(crate) fn wait_for(&self, source: &str, id: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.has(source, id)? {
            ensure!(began.elapsed() < PATIENCE, "{source}/{id} is not booked");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The ledger keeps its promises.
    pub(crate) fn verify(&self) -> anyhow::Result<()> {
        let mut command = self.command(&["ledger", "verify"])?;
        let status = command.stdout(Stdio::null()).status()?;
        ensure!(status.success(), "`tallyd ledger verify` ended with {status}");
        Ok(())
    }
}

/// A running daemon. Dropping it kills it.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts one, and waits until it listens.
    pub(crate) fn start(home: &Home) -> anyhow::Result<Self> {
        let mut process = home.command(&["run"])?.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().context("the daemon has no output")?;
        let daemon = Self(process);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.starts_with("listening at"), "the daemon said {line:?}");
        Ok(daemon)
    }

    /// Fails when it has ended by itself.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(ended.is_none(), "the daemon ended by itself: {ended:?}");
        Ok(())
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.must_run()?;
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits for a good end.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("the daemon has no number")?, Signal::TERM)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
