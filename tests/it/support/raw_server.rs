//! A server that does what no HTTP library would. Here: TCP connections that follow a script byte
//! by byte, and a record of all that arrived. Never here: HTTP, beyond where a request ends. Read
//! next: `crate::provider_stripe`.

#![expect(clippy::unwrap_used, reason = "a test server that cannot go on fails its test")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What the server does next on a connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Reads to the end of a request's head, and no byte of its body.
    ReadHead,
    /// Reads a whole request.
    Read,
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Does nothing until the client gives up.
    Hang,
}

/// What arrived.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// How many connections were opened.
    pub(crate) connections: usize,
    /// The requests, as far as they were read, in the order in which they began to be.
    pub(crate) requests: Vec<Vec<u8>>,
}

/// A listening server. Each connection takes the next script; when the scripts are used up, further
/// connections are read to their end, so that a request too many is seen.
#[derive(Debug)]
pub(crate) struct RawServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    record: Mutex<Record>,
    open: Mutex<Vec<TcpStream>>,
    stopping: Mutex<bool>,
}

impl RawServer {
    pub(crate) fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let acceptor = {
            let shared = shared.clone();
            std::thread::spawn(move || accept(&listener, &shared, scripts))
        };
        Self { address, shared, acceptor }
    }

    /// The server's base address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address alone, for another scheme.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection and tells what arrived.
    pub(crate) fn finish(self) -> Record {
        *self.shared.stopping.lock().unwrap() = true;
        // Wakes the acceptor, which then sees that it is to stop.
        drop(TcpStream::connect(self.address));
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // A connection that the client has closed is shut already.
            drop(stream.shutdown(Shutdown::Both));
        }
        self.acceptor.join().unwrap();
        std::mem::take(&mut *self.shared.record.lock().unwrap())
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, scripts: Vec<Vec<Step>>) {
    let mut scripts = scripts.into_iter();
    let mut connections = Vec::new();
    loop {
        let (stream, _) = listener.accept().unwrap();
        if *shared.stopping.lock().unwrap() {
            break;
        }
        shared.record.lock().unwrap().connections += 1;
        shared.open.lock().unwrap().push(stream.try_clone().unwrap());
        let script = scripts.next().unwrap_or_else(|| vec![Step::Read, Step::Hang]);
        let shared = shared.clone();
        connections.push(std::thread::spawn(move || serve(stream, &shared, script)));
    }
    for connection in connections {
        connection.join().unwrap();
    }
}

/// Follows the script to its end, then closes; a client that is gone ends it early.
fn serve(mut stream: TcpStream, shared: &Shared, script: Vec<Step>) {
    let mut unread = Vec::new();
    for step in script {
        let went_on = match step {
            Step::ReadHead => read(&mut stream, shared, &mut unread, false),
            Step::Read => read(&mut stream, shared, &mut unread, true),
            Step::Write(bytes) => stream.write_all(&bytes).is_ok(),
            Step::Hang => {
                let mut ignored = [0; 1024];
                while stream.read(&mut ignored).is_ok_and(|count| count > 0) {}
                false
            }
        };
        if !went_on {
            break;
        }
    }
    // The record's copy of the stream would keep it open.
    drop(stream.shutdown(Shutdown::Both));
}

/// Reads one request and records it. Answers whether it came as far as was wanted.
fn read(stream: &mut TcpStream, shared: &Shared, unread: &mut Vec<u8>, with_body: bool) -> bool {
    let mut request = Vec::new();
    let mut recorded = None;
    loop {
        let bytes = if with_body { 4096 } else { 1 };
        let mut buffer = vec![0; bytes];
        let found = if unread.is_empty() {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return false,
                Ok(count) => buffer[..count].to_vec(),
            }
        } else {
            std::mem::take(unread)
        };
        request.extend_from_slice(&found);
        let end = request_end(&request, with_body);
        if let Some(end) = end {
            *unread = request.split_off(end);
        }
        let requests = &mut shared.record.lock().unwrap().requests;
        let index = *recorded.get_or_insert_with(|| {
            requests.push(Vec::new());
            requests.len() - 1
        });
        requests[index].clone_from(&request);
        if end.is_some() {
            return true;
        }
    }
}

/// Where the request ends, once it is there.
fn request_end(request: &[u8], with_body: bool) -> Option<usize> {
    let head = request.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    if !with_body {
        return Some(head);
    }
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let end = head + length.map_or(0, |length| length.trim().parse().unwrap());
    (request.len() >= end).then_some(end)
}
