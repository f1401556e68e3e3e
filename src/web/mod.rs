//! The listeners. Here: HTTP in, for usage, health and metrics, and the operator's socket. Never here:
//! what a record means. Read next: `web::server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::domain::names::SourceName;

/// What the operator set for the listeners.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// Where the operator's socket lies.
    pub operator_socket: PathBuf,
    /// Who may send usage.
    pub tokens: Vec<Token>,
    /// How long a client may take to send a request's head, in seconds.
    pub head_seconds_max: u32,
    /// How long a whole request may take, in seconds.
    pub request_seconds_max: u32,
    /// How long a connection may idle between two requests, in seconds.
    pub idle_seconds_max: u32,
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
