//! `tallyd run`. Here: from the config to a running daemon and its exit. Never here: what the
//! daemon is made of (see `daemon::assemble`). Read next: [`crate::daemon`].

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::args::Run;
use super::exit::Exit;
use super::{block_on, configure};
use crate::config::SecretPolicy;
use crate::daemon::shutdown::Signals;
use crate::daemon::{Daemon, Time};
use crate::telemetry::logs;

pub(super) fn run(arguments: Run) -> anyhow::Result<Exit> {
    let Run { configured, listen, log, init } = arguments;
    let mut config = configure(&configured, listen, log, SecretPolicy::Resolve)?;
    config.fencing.may_begin_anew = init;
    logs::init(&config.telemetry, io::stderr, io::stderr().is_terminal())?;
    block_on(async move {
        let signals = Signals::take().context("cannot take over the signals")?;
        let followed = config.follow.clone();
        let time = Time::of(&config).await?;
        if let Some(sandbox) = followed {
            let now = time.clock.now();
            tracing::warn!(%now, sandbox, "time is simulated: it follows a sandbox's clock");
        }
        let daemon = Daemon::assemble(config, time).await?;
        let address = daemon.address();
        // Whoever started this process learns from this line that it is there, and where.
        writeln!(io::stdout(), "listening at http://{address}")?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, "ready");
        let (stop, now) = (CancellationToken::new(), CancellationToken::new());
        tokio::select! {
            ended = daemon.run(stop.clone(), now.clone()) => ended?,
            () = async {
                signals.watch(stop, now).await;
                std::future::pending::<()>().await;
            } => {}
        }
        tracing::info!("stopped");
        Ok(Exit::Ok)
    })
}
