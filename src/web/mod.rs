//! The listeners. Here: HTTP in, for usage, health and metrics, and the operator's socket. Never
//! here: what a record means. Read next: [`server`], then down the list.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use secrecy::SecretString;

use crate::domain::names::SourceName;

pub mod server;
pub mod patience;
pub mod app;
pub mod auth;
pub mod answer;
pub mod usage;
pub mod health;
pub mod operator;
pub mod holds;
mod export;
pub mod reconcile;
pub mod standing;
pub mod rejected;
pub mod remaps;
pub mod corrections;
pub mod levers;
pub mod planship;
pub mod trace;
pub mod webhooks;

/// Where HTTP is served when the operator did not say: on this host only.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8484);
/// Seconds for a request's head: a client on a slow line needs one or two.
pub const HEAD_SECONDS_MAX: u32 = 5;
/// Seconds for a whole request: the largest body over a slow line, and its commit.
pub const REQUEST_SECONDS_MAX: u32 = 20;
/// Seconds between two requests of a connection: below the minute at which common proxies give up,
/// so that a silent peer does not hold a place.
pub const IDLE_SECONDS_MAX: u32 = 15;
/// Connections at once: the default limit of open files of a service, shared with the ledger.
pub const CONNECTIONS_MAX: u32 = 1024;
/// Shortest bearer token, in bytes: 16 random letters and digits hold more than 80 bits, which
/// nobody guesses over a network.
pub const TOKEN_BYTES_MIN: usize = 16;
/// The source of what is reported by Planship's API, when the operator named none.
pub const PLANSHIP_SOURCE: &str = "planship";
/// Longest path of a Unix socket, in bytes: the kernel's 108 with the closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// What the operator set for the listeners.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// Where the operator's socket lies.
    pub operator_socket: PathBuf,
    /// Who may send usage.
    pub tokens: Vec<Token>,
    /// How long a client may take to send a request's head, in milliseconds.
    pub head_millis_max: u32,
    /// How long a whole request may take from its head to the answer, in milliseconds; taking the
    /// answer may take as long again.
    pub request_millis_max: u32,
    /// How long a connection may idle between two requests, in milliseconds.
    pub idle_millis_max: u32,
    /// Most connections at once; above it new ones wait.
    pub connections_max: u32,
}

/// A bearer token, and the sources it may speak for.
#[derive(Clone, Debug)]
pub struct Token {
    /// The secret.
    pub secret: SecretString,
    /// The sources. With exactly one, records need not name it.
    pub sources: Vec<SourceName>,
}

/// What the operator set for Planship's usage API.
#[derive(Clone, Debug)]
pub struct PlanshipApi {
    /// Who may have a token.
    pub client_id: String,
    /// What proves it.
    pub client_secret: SecretString,
    /// The products that usage may be reported of.
    pub products: BTreeSet<String>,
    /// The source of the records.
    pub source: SourceName,
}
