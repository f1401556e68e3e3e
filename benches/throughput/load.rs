//! The load. Here: keep-alive connections that send requests built before, one after the other, and
//! read every answer. Never here: a server. It has a runtime of its own, so that the server's is
//! the daemon's and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longest answer that is read, in bytes: intake lists at most a hundred records.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends all of `requests` over `connections` connections; how long it took, from the first byte to
/// the last answer. Connecting is not timed.
pub(crate) fn send(
    address: SocketAddr,
    connections: usize,
    requests: &Arc<Vec<Vec<u8>>>,
) -> anyhow::Result<Duration> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let ready = Arc::new(Barrier::new(connections + 1));
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            let (requests, next, ready) = (Arc::clone(requests), Arc::clone(&next), ready.clone());
            clients.spawn(async move {
                let stream = TcpStream::connect(address).await;
                ready.wait().await;
                let mut stream = stream?;
                stream.set_nodelay(true)?;
                let mut answer = vec![0; ANSWER_BYTES_MAX];
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    stream.write_all(request).await?;
                    read_answer(&mut stream, &mut answer).await?;
                }
                Ok(())
            });
        }
        ready.wait().await;
        let began = Instant::now();
        while let Some(ended) = clients.join_next().await {
            let ended: anyhow::Result<()> = ended?;
            ended?;
        }
        Ok(began.elapsed())
    })
}

/// Reads one answer, which has to be 200.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<()> {
    let mut have = 0;
    loop {
        let read = stream.read(&mut buffer[have..]).await?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        have += read;
        let answer = str::from_utf8(&buffer[..have])?;
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .context("an answer without a length")?;
        if body.len() < length.parse()? {
            continue;
        }
        if !head.starts_with("HTTP/1.1 200") {
            bail!("the server answered {answer}");
        }
        return Ok(());
    }
}
