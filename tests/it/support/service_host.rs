//! A service manager's end of the notification socket. Here: hearing what a daemon says to it.
//! Never here: what it should say. Read next: `crate::watching`.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use super::daemon::until;

/// Hears every word that is told it.
pub(crate) struct Listening {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Listening {
    /// At a path.
    pub(crate) fn at(path: &Path) -> Self {
        Self::on(UnixDatagram::bind(path).unwrap())
    }

    /// At an abstract name, without its `@`.
    pub(crate) fn at_abstract(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        Self::on(UnixDatagram::bind_addr(&address).unwrap())
    }

    fn on(socket: UnixDatagram) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// All that was heard until now, in its order.
    pub(crate) fn heard(&mut self) -> &[String] {
        let mut word = [0; 4096];
        loop {
            match self.socket.recv(&mut word) {
                Ok(length) => {
                    self.heard.push(String::from_utf8(word[..length].to_vec()).unwrap());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return &self.heard,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until it heard this.
    pub(crate) async fn hears(&mut self, what: &str, is_it: impl Fn(&str) -> bool) {
        until(what, async || {
            let heard = self.heard();
            if heard.iter().any(|word| is_it(word)) { Ok(()) } else { Err(format!("{heard:?}")) }
        })
        .await;
    }

    /// How many of what was heard are pings.
    pub(crate) fn pings(&mut self) -> usize {
        self.heard().iter().filter(|word| *word == "WATCHDOG=1").count()
    }
}
