//! `tallyd run`. Here: from the config to a running daemon and its exit. Never here: what the
//! daemon is made of (see `daemon::assemble`). Read next: [`crate::daemon`].

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::args::Run;
use super::exit::Exit;
use super::{block_on, configure};
use crate::config::{Config, SecretPolicy};
use crate::daemon::notify::ServiceHost;
use crate::daemon::shutdown::Signals;
use crate::daemon::{Daemon, Time};
use crate::telemetry::logs;

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
    let Run { configured, listen, log, init } = arguments;
    let mut config = configure(&configured, listen, log, SecretPolicy::Resolve)?;
    config.fencing.may_begin_anew = init;
    logs::init(&config.telemetry, io::stderr, io::stderr().is_terminal())?;
    block_on(async move {
        let signals = Signals::take().context("cannot take over the signals")?;
        let (stop, now) = (CancellationToken::new(), CancellationToken::new());
        tokio::select! {
            ended = daemon(host, config, stop.clone(), now.clone()) => ended?,
            () = async {
                signals.watch(stop, now).await;
                std::future::pending::<()>().await;
            } => {}
        }
        tracing::info!("stopped");
        Ok(Exit::Ok)
    })
}

/// Makes the daemon and runs it until `stop`.
async fn daemon(
    host: &ServiceHost,
    config: Config,
    stop: CancellationToken,
    now: CancellationToken,
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
    Ok(daemon.run(stop, now, host).await?)
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
