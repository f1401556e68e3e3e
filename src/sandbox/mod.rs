//! Stand-in providers. Here: a server that speaks the providers' wire protocols and holds their
//! rules, so that tallyd can be tried and tested without keys. Never here: code shared with
//! `provider`; this is an independent reading of the same rules. Read next: [`stripe`],
//! [`chargebee`], [`cryptolens`], [`planship`].
//!
//! ```text
//!   a client ──HTTP──► server ─┬─► stripe (the rules, one lock) ──► books
//!                              ├─► chargebee (likewise) ──────────► books
//!                              ├─► cryptolens (likewise) ─────────► books
//!                              └─► planship (likewise) ───────────► books
//!   a harness ─HTTP──► control ─┐      ▲
//!   a test ────────────────────►┴ SandboxHandle
//! ```
//!
//! Each stand-in has a port of its own, and the control is on all of them. The sandbox has its own
//! clock, one for all: an offset over the one it is given. Everything under `/_sandbox/`
//! is the control and carries no authentication, so bind the sandbox to loopback.

pub mod chargebee;
pub mod cryptolens;
pub mod faults;
pub mod planship;
pub mod statistics;
pub mod stripe;

mod calendar;
mod clock;
mod control;
mod counting;
mod courier;
mod deliveries;
mod handle;
mod limiter;
mod pins;
mod server;
mod stand_in;
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
use server::{Job, Listeners};

/// What the sandbox is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the stand-in for Stripe listens. Port 0 takes any free port; [`Sandbox::address`] says
    /// which. Default: `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// Where the stand-in for Chargebee listens; [`Sandbox::chargebee_url`] says where that is.
    /// Default: `127.0.0.1:0`.
    pub listen_chargebee: SocketAddr,
    /// Where the stand-in for Cryptolens listens; [`Sandbox::cryptolens_url`] says where that is.
    /// Default: `127.0.0.1:0`.
    pub listen_cryptolens: SocketAddr,
    /// Where the stand-in for Planship listens; [`Sandbox::planship_url`] says where that is.
    /// Default: `127.0.0.1:0`.
    pub listen_planship: SocketAddr,
    /// The stand-in for Stripe.
    pub stripe: stripe::Settings,
    /// The stand-in for Chargebee.
    pub chargebee: chargebee::Settings,
    /// The stand-in for Cryptolens.
    pub cryptolens: cryptolens::Settings,
    /// The stand-in for Planship.
    pub planship: planship::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen,
            listen_chargebee: listen,
            listen_cryptolens: listen,
            listen_planship: listen,
            stripe: stripe::Settings::default(),
            chargebee: chargebee::Settings::default(),
            cryptolens: cryptolens::Settings::default(),
            planship: planship::Settings::default(),
        }
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
    /// An item price in the settings cannot be created.
    #[error("cannot create the item price {id:?}: {reason}")]
    ItemPrice {
        /// The item price's id.
        id: String,
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
    listeners: Listeners,
    address: SocketAddr,
    chargebee_address: SocketAddr,
    cryptolens_address: SocketAddr,
    planship_address: SocketAddr,
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
}

impl Sandbox {
    /// Binds the sockets, so that the addresses are known before anything runs.
    ///
    /// # Errors
    /// An address is taken or a setting makes no sense.
    pub async fn bind(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let (jobs_in, jobs) = mpsc::channel(server::LATE_ANSWERS_MAX);
        let (listen, listen_chargebee) = (settings.listen, settings.listen_chargebee);
        let (listen_cryptolens, listen_planship) =
            (settings.listen_cryptolens, settings.listen_planship);
        let shared = Arc::new(Shared::new(settings, clock, jobs_in)?);
        let (stripe, address) = bound(listen).await?;
        let (chargebee, chargebee_address) = bound(listen_chargebee).await?;
        let (cryptolens, cryptolens_address) = bound(listen_cryptolens).await?;
        let (planship, planship_address) = bound(listen_planship).await?;
        // Its answers name the address that its files lie at.
        shared.chargebee().set_address(format!("http://{chargebee_address}"));
        let listeners = Listeners { stripe, chargebee, cryptolens, planship };
        Ok(Self {
            listeners,
            address,
            chargebee_address,
            cryptolens_address,
            planship_address,
            shared,
            jobs,
        })
    }

    /// Where the stand-in for Stripe listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base address of the stand-in for Stripe, without a slash at its end.
    #[must_use]
    pub fn stripe_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The base address of the stand-in for Chargebee, without a slash at its end. Its API is under
    /// `/api/v2`.
    #[must_use]
    pub fn chargebee_url(&self) -> String {
        format!("http://{}", self.chargebee_address)
    }

    /// The base address of the stand-in for Cryptolens, without a slash at its end.
    #[must_use]
    pub fn cryptolens_url(&self) -> String {
        format!("http://{}", self.cryptolens_address)
    }

    /// The base address of the stand-in for Planship, without a slash at its end. Its API is under
    /// `/api/v1`.
    #[must_use]
    pub fn planship_url(&self) -> String {
        format!("http://{}", self.planship_address)
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
        server::run(self.listeners, self.shared, self.jobs, shutdown).await
    }
}

async fn bound(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    Ok((listener, address))
}
