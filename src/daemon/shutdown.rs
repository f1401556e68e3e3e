//! Signals. Here: the first asks for an orderly stop, the second for an end at once; one that asks
//! for the config to be read again. Never here: what a stop does (see [`super::supervisor`]), nor a
//! reload ([`super::reload`]). Read next: [`super::supervisor`].

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// SIGXFSZ, for which tokio has no name.
const FILE_TOO_LARGE: i32 = rustix::process::Signal::XFSZ.as_raw();

/// The signals that end the daemon.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Taken over and never acted on: the kernel sends it when a file grows past the process's
    /// limit. The default would kill the process in mid-write and without a word; so the write
    /// fails, and the process ends as for any other failure of the ledger's storage.
    _file_too_large: Signal,
}

impl Signals {
    /// Takes them over from the default, which would kill the process.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SignalKind::from_raw(FILE_TOO_LARGE))?,
        })
    }

    /// Cancels `stop` at the first signal and `now` at the second.
    pub async fn watch(mut self, stop: CancellationToken, now: CancellationToken) {
        for (token, said) in
            [(stop, "stopping; a second signal ends at once"), (now, "ending at once")]
        {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "{said}");
            token.cancel();
        }
    }
}

/// The signal that asks for the config to be read again.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Takes it over from the default, which would kill the process.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one. Those that come before it is waited for again are one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // The runtime ends, and with it everything that could be asked for.
            std::future::pending::<()>().await;
        }
    }
}
