//! An address that stays while what is behind it comes and goes, as a proxy before a daemon has it.
//! Here: bytes passed on, both ways. Never here: what they mean. Read next: `super::daemon`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A relay that passes connections on as long as this lives.
pub(crate) struct Relay {
    /// Where it listens, for good.
    pub(crate) address: SocketAddr,
    behind: watch::Sender<Option<SocketAddr>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// A relay with nothing behind it yet.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (behind, watched) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(run(listener, watched));
        Ok(Self { address, behind, _tasks: tasks })
    }

    /// Passes on to `address` from now on; to nobody where there is none: then whoever connects is
    /// hung up on.
    pub(crate) fn lead_to(&self, address: Option<SocketAddr>) {
        self.behind.send_replace(address);
    }
}

async fn run(listener: TcpListener, behind: watch::Receiver<Option<SocketAddr>>) {
    let mut passing = JoinSet::new();
    loop {
        // A connection that could not be taken is its client's to open again.
        let Ok((client, _)) = listener.accept().await else { continue };
        while passing.try_join_next().is_some() {}
        if let Some(address) = *behind.borrow() {
            passing.spawn(pass(client, address));
        }
    }
}

/// Passes a connection on until either side ends it.
async fn pass(mut client: TcpStream, address: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(address).await {
        // Either may be cut off: that is what the other is to see.
        drop(copy_bidirectional(&mut client, &mut server).await);
    }
}
