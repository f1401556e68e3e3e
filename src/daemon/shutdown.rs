//! Signals. Here: the first asks for an orderly stop, the second for an end at once. Never here:
//! what a stop does (see [`super::supervisor`]). Read next: [`super::supervisor`].

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals that end the daemon.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
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
