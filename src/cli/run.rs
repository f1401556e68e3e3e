//! `tallyd run`. Here: from the config to a running daemon and its exit, and the config read again.
//! Never here: what the daemon is made of (see `daemon::assemble`), what follows from another
//! config ([`crate::daemon::reload`]). Read next: [`crate::daemon`].

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::args::Run;
use super::exit::Exit;
use super::{block_on, configure};
use crate::config::{self, Config, Outside, Overrides, Problem, Problems, SecretPolicy};
use crate::daemon::notify::ServiceHost;
use crate::daemon::reload::{Followed, listed};
use crate::daemon::shutdown::{Hangups, Signals};
use crate::daemon::{Daemon, Reloader, Time};
use crate::telemetry::logs::{self, LogFilter};

pub(super) fn run(arguments: Run) -> anyhow::Result<Exit> {
    let host = ServiceHost::of(&|name| std::env::var_os(name), std::process::id())?;
    let ended = run_for(&host, arguments);
    if let Err(why) = &ended {
        host.status(&format!("ended: {why:#}"));
    }
    ended
}

/// Runs the daemon for the service manager at `host`.
fn run_for(host: &ServiceHost, arguments: Run) -> anyhow::Result<Exit> {
    let Run { configured, listen, log, init } = arguments.clone();
    let mut config = configure(&configured, listen, log, SecretPolicy::Resolve)?;
    config.fencing.may_begin_anew = init;
    let filter = logs::init(&config.telemetry, io::stderr, io::stderr().is_terminal())?;
    block_on(async move {
        let signals = Signals::take().context("cannot take over the signals")?;
        // From here on; one that comes while the daemon starts is followed once it runs.
        let hangups = Hangups::take().context("cannot take over the signals")?;
        let reloading = Reloading { hangups, arguments, filter };
        let (stop, now) = (CancellationToken::new(), CancellationToken::new());
        tokio::select! {
            ended = daemon(host, config, reloading, (stop.clone(), now.clone())) => ended?,
            () = async {
                signals.watch(stop, now).await;
                std::future::pending::<()>().await;
            } => {}
        }
        tracing::info!("stopped");
        Ok(Exit::Ok)
    })
}

/// Makes the daemon and runs it until `stop`; it follows its config meanwhile.
async fn daemon(
    host: &ServiceHost,
    config: Config,
    reloading: Reloading,
    (stop, now): (CancellationToken, CancellationToken),
) -> anyhow::Result<()> {
    host.status("opening the ledger");
    let daemon = tokio::select! {
        // What is half made is dropped: nothing was taken or sent yet, and a transaction of the
        // ledger that was not committed is none.
        () = stop.cancelled() => {
            host.stopping();
            return Ok(());
        }
        made = assemble(config) => made?,
    };
    let address = daemon.address();
    // Whoever started this process learns from this line that it is there, and where.
    writeln!(io::stdout(), "listening at http://{address}")?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, "ready");
    let reloader = daemon.reloader();
    tokio::select! {
        // It is ready first, whatever was asked for while it started.
        biased;
        ended = daemon.run(stop.clone(), now, host) => Ok(ended?),
        () = reloading.on_demand(host, &reloader, &stop) => Ok(()),
    }
}

async fn assemble(config: Config) -> anyhow::Result<Daemon> {
    let followed = config.follow.clone();
    let time = Time::of(&config).await?;
    if let Some(sandbox) = followed {
        let now = time.clock.now();
        tracing::warn!(%now, sandbox, "time is simulated: it follows a sandbox's clock");
    }
    Ok(Daemon::assemble(config, time).await?)
}

/// What it takes to read the config again.
struct Reloading {
    hangups: Hangups,
    arguments: Run,
    filter: LogFilter,
}

impl Reloading {
    /// Reads the config again at every signal, for ever. The service manager at `host` is told when
    /// that begins, and when it has ended, well or not; once `stop` was asked for, it is told of
    /// the stop alone.
    async fn on_demand(
        mut self,
        host: &ServiceHost,
        reloader: &Reloader,
        stop: &CancellationToken,
    ) {
        loop {
            self.hangups.next().await;
            if !stop.is_cancelled() {
                host.reloading();
            }
            reload(reloader, &self.arguments, &self.filter).await;
            if !stop.is_cancelled() {
                host.ready();
            }
        }
    }
}

/// Reads the config again and follows it, or says why not; either way the daemon runs on.
async fn reload(reloader: &Reloader, arguments: &Run, filter: &LogFilter) {
    let config = match read_again(arguments) {
        Ok(config) => config,
        Err(problems) => {
            let errors = problems.errors.len();
            for problem in &problems.errors {
                tell(&problems, problem);
            }
            tracing::error!(errors, "the config is not followed; what ran before runs on");
            return;
        }
    };
    let warnings = config.warnings.clone();
    match reloader.follow(config, Some(filter)).await {
        Ok(Followed { changed, .. }) if changed.is_empty() => {
            tracing::info!("the config was read again: it is as it was");
        }
        Ok(Followed { changed, from }) => {
            for problem in &warnings.warnings {
                let Problem { title, label, help, .. } = problem;
                let line = warnings.line(problem);
                tracing::warn!(line, label, help, "the config: {title}");
            }
            let (changed, from) = (listed(&changed), from.map(|from| from.0));
            tracing::info!(
                changed,
                journal_from = from,
                "the config was read again and is followed"
            );
        }
        Err(why) => {
            let error = format!("{:#}", anyhow::Error::from(why));
            tracing::error!(error, "the config is not followed; what ran before runs on");
        }
    }
}

fn tell(problems: &Problems, problem: &Problem) {
    let Problem { title, label, help, .. } = problem;
    tracing::error!(line = problems.line(problem), label, help, "the config: {title}");
}

/// The config as the command line, the environment and the files have it now.
fn read_again(arguments: &Run) -> Result<Config, Box<Problems>> {
    let Run { configured, listen, log, init: _ } = arguments.clone();
    let overrides = Overrides { ledger: configured.ledger, listen, log };
    let environment = |name: &str| std::env::var(name).ok();
    let outside = Outside { overrides, environment: &environment };
    config::load(&configured.config, &outside, SecretPolicy::Resolve).map_err(Box::new)
}
