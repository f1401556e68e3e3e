//! What the service manager is told. Here: the socket at which systemd listens, what it asked for,
//! and the few words it knows. Never here: when a word is due (see [`super::watchdog`]). Read next:
//! [`super::watchdog`].
//!
//! The protocol is one datagram a word, at the address in an environment variable, and the standard
//! library has all that it takes: sockets with abstract names, and sending without waiting. The
//! crates for it read the environment by themselves, connect by path alone, and wait when the
//! receiver's queue is full, which would halt a worker of this program for the sake of a ping.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Where the service manager listens. A name that begins with `@` is an abstract one.
const SOCKET: &str = "NOTIFY_SOCKET";
/// Within how many microseconds the service manager wants to be pinged.
const WATCHDOG_MICROS: &str = "WATCHDOG_USEC";
/// Longest text of a standing, in bytes: systemd takes a word of 4,096 at the most, and shows a
/// line.
const STATUS_BYTES_MAX: usize = 1_024;
/// The process it wants that of; without it, whoever reads it.
const WATCHDOG_PROCESS: &str = "WATCHDOG_PID";

/// Why what the service manager asked for cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Its address makes no sense.
    #[error("{SOCKET} is {0:?}, and neither a path that begins with `/` nor a name with `@`")]
    Address(OsString),
    /// A number of its is none.
    #[error("{name} is {value:?}, and no whole number above zero")]
    Number {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: OsString,
    },
    /// There can be no socket.
    #[error("no socket can be made to tell the service manager at {SOCKET}")]
    Socket(#[source] io::Error),
}

/// The service manager that started this process, if one did.
#[derive(Debug, Default)]
pub struct ServiceHost {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Within how long it wants to be pinged.
    ping_within: Option<Duration>,
}

impl ServiceHost {
    /// Reads what `environment` says of it to this process. Where it says nothing, nobody is told
    /// anything.
    ///
    /// # Errors
    /// When what it says makes no sense.
    pub fn of(
        environment: &dyn Fn(&str) -> Option<OsString>,
        process: u32,
    ) -> Result<Self, NotifyError> {
        let said = |name: &str| environment(name).filter(|value| !value.is_empty());
        let Some(address) = said(SOCKET) else { return Ok(Self::default()) };
        let address = socket_address(&address).ok_or(NotifyError::Address(address))?;
        let socket = UnixDatagram::unbound().map_err(NotifyError::Socket)?;
        // Nothing of the journey waits for whoever listens.
        socket.set_nonblocking(true).map_err(NotifyError::Socket)?;
        let number = |name: &'static str| match said(name) {
            None => Ok(None),
            Some(value) => match value.to_str().and_then(|text| text.parse::<u64>().ok()) {
                Some(number) if number > 0 => Ok(Some(number)),
                Some(_) | None => Err(NotifyError::Number { name, value }),
            },
        };
        let ping_within = number(WATCHDOG_MICROS)?.map(Duration::from_micros);
        let is_asked = number(WATCHDOG_PROCESS)?.is_none_or(|asked| asked == u64::from(process));
        Ok(Self { socket: Some((socket, address)), ping_within: ping_within.filter(|_| is_asked) })
    }

    /// Within how long it wants to be pinged, if at all.
    #[must_use]
    pub const fn ping_within(&self) -> Option<Duration> {
        self.ping_within
    }

    /// Everything runs: the ledger is open, the listeners are bound, the rooms are started.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The config is being read again; [`Self::ready`] says that this is over. The time tells one
    /// such word from another: it is the kernel's own since the host came up, in microseconds.
    pub fn reloading(&self) {
        let since_boot = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(since_boot.tv_sec) * 1_000_000;
        let micros = micros + i128::from(since_boot.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// A stop has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Everything is alive.
    pub fn ping(&self) {
        self.tell("WATCHDOG=1");
    }

    /// How things stand, for whoever asks `systemctl status`.
    pub fn status(&self, said: &str) {
        let said = &said[..said.floor_char_boundary(STATUS_BYTES_MAX)];
        // A line is a word of its own, so what is said stays in one.
        self.tell(&format!("STATUS={}", said.replace(char::is_control, " ")));
    }

    /// Tells it, or logs why that cannot be done: no usage waits for that.
    fn tell(&self, word: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(word.as_bytes(), address) {
            tracing::warn!(word, %error, "the service manager could not be told");
        }
    }
}

fn socket_address(text: &OsStr) -> Option<SocketAddr> {
    match text.as_bytes() {
        [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(text).ok(),
        _ => None,
    }
}
