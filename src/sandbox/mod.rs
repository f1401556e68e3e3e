//! Stand-in providers. Here: a server that speaks the providers' wire protocols and holds their
//! rules, so that tallyd can be tried and tested without keys. Never here: code shared with
//! `provider`; this is an independent reading of the same rules. Read next: [`stripe`].
//!
//! ```text
//!   a client ──HTTP──► server ──► stripe (the rules, one lock) ──► books
//!   a harness ─HTTP──► control ─┐      ▲
//!   a test ────────────────────►┴ SandboxHandle
//! ```
//!
//! The sandbox has its own clock: an offset over the one it is given. Everything under `/_sandbox/`
//! is the control and carries no authentication, so bind the sandbox to loopback.

pub mod faults;
pub mod statistics;
pub mod stripe;

mod clock;
mod control;
mod courier;
mod handle;
mod server;
mod wire;

pub use handle::{ClockError, SandboxHandle};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::clock::Clock;
use handle::Shared;
use server::Job;

/// What the sandbox is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen. Port 0 takes any free port; [`Sandbox::address`] says which. Default:
    /// `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// The stand-in for Stripe.
    pub stripe: stripe::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen, stripe: stripe::Settings::default() }
    }
}

/// Why the sandbox could not start or go on.
#[derive(Debug, Error)]
pub enum Error {
    /// The address could not be bound.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The listener failed for good.
    #[error("cannot accept connections any longer")]
    Accept(#[source] io::Error),
    /// A meter in the settings cannot be created.
    #[error("cannot create the meter {event_name:?}: {reason}")]
    Meter {
        /// The meter's event name.
        event_name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The grace of invoices is out of range.
    #[error("invoices cannot be made: {0}")]
    Grace(String),
    /// The webhook endpoints make no sense.
    #[error("webhooks cannot be delivered: {0}")]
    Webhooks(String),
    /// The faults in the settings make no sense.
    #[error("faults cannot be set: {0}")]
    Faults(String),
}

/// A bound sandbox that does not run yet.
#[derive(Debug)]
pub struct Sandbox {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
}

impl Sandbox {
    /// Binds the socket, so that the address is known before anything runs.
    ///
    /// # Errors
    /// The address is taken or a setting makes no sense.
    pub async fn bind(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let (jobs_in, jobs) = mpsc::channel(server::LATE_ANSWERS_MAX);
        let shared = Arc::new(Shared::new(settings.stripe, clock, jobs_in)?);
        let listen = |source| Error::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address, shared, jobs })
    }

    /// Where the sandbox listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base address of the stand-in for Stripe, without a slash at its end.
    #[must_use]
    pub fn stripe_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The control for code in the same process.
    #[must_use]
    pub fn handle(&self) -> SandboxHandle {
        SandboxHandle::new(Arc::clone(&self.shared))
    }

    /// Serves until `shutdown` completes, then lets running answers finish for a moment.
    ///
    /// # Errors
    /// The listener failed for good.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        server::run(self.listener, self.shared, self.jobs, shutdown).await
    }
}
