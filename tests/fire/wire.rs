//! HTTP as a client of its own speaks it. Here: a connection that may be cut anywhere. Never here:
//! what is sent over it. Read next: [`super::client`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long connecting, sending and the answer may take together, in seconds: less than a stopped
/// daemon may be stopped for, so that clients give up on it.
const PATIENCE_SECONDS: u64 = 5;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the connection ends with it.
    pub(crate) is_last: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What a body of records is: one of them or a list, or one a line.
pub(crate) const JSON: &str = "application/json";
pub(crate) const LINES: &str = "application/x-ndjson";
/// What a provider is asked in.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// What a request shows of a token.
pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// What a request shows of a user's name, and of a password that is empty.
pub(crate) fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:")))
}

/// A request with a body of some kind, from whom `shown` proves it.
pub(crate) fn request(method: &str, path: &str, shown: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: fire\r\nauthorization: {shown}\r\n\
         content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A connection.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Sends these bytes, whatever they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sending = timeout(Duration::from_secs(PATIENCE_SECONDS), self.stream.write_all(bytes));
        sending.await.map_err(io::Error::other)?
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let reading = timeout(Duration::from_secs(PATIENCE_SECONDS), self.read_answer());
        reading.await.map_err(io::Error::other)?
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some((answer, length)) = parse(&self.read)? {
                self.read.drain(..length);
                return Ok(answer);
            }
            let have = self.read.len();
            self.read.resize(have + READ_BYTES, 0);
            let more = self.stream.read(self.read.get_mut(have..).unwrap_or_default()).await?;
            self.read.truncate(have + more);
            if more == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Asks once, over a connection of its own.
    pub(crate) async fn ask(
        address: SocketAddr,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<Value> {
        Self::ask_as(address, &bearer("none"), (method, path), (JSON, body)).await
    }

    /// Asks once as somebody, with a body of some kind.
    pub(crate) async fn ask_as(
        address: SocketAddr,
        shown: &str,
        (method, path): (&str, &str),
        (kind, body): (&str, &str),
    ) -> anyhow::Result<Value> {
        let asking = async {
            let mut connection = Self::open(address).await?;
            connection.send(&request(method, path, shown, kind, body)).await?;
            connection.answer().await
        };
        let answer = asking.await.with_context(|| format!("{method} {path} was not answered"))?;
        let said = String::from_utf8_lossy(&answer.body);
        anyhow::ensure!(answer.status == 200, "{method} {path}: {} {said}", answer.status);
        Ok(answer.json())
    }
}

/// The answer that the bytes begin with, and how long it is; nothing when there is more to come.
fn parse(bytes: &[u8]) -> io::Result<Option<(Answer, usize)>> {
    let bad = |what: &str| io::Error::other(format!("no answer that is understood: {what}"));
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(io::Error::other)?;
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| bad("its status"))?;
    let field = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let length: usize = match field("content-length") {
        Some(length) => length.parse().map_err(|_| bad("its length"))?,
        None => return Err(bad("it has no length")),
    };
    let Some(body) = bytes.get(end + 4..end + 4 + length) else { return Ok(None) };
    let is_last = field("connection") == Some("close");
    Ok(Some((Answer { status, body: body.to_vec(), is_last }, end + 4 + length)))
}
