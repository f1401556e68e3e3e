//! Signals. Here: the first asks for an orderly stop, the second for an end at once. Never here:
//! what a stop does (see [`super::supervisor`]). Read next: [`super::supervisor`].

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
