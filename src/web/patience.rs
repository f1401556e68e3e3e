//! Patience with clients. Here: a stream that fails when its client takes too long to begin a
//! request, to finish its head, or to take the answer. Never here: how long a body may take (see
//! [`super::usage`]), HTTP. Read next: [`super::app`].
//!
//! hyper has one timer, for the head, which starts when the connection begins to wait; idling and
//! dribbling could not be told apart by it, and it never looks at a client that does not read.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Between two requests.
    pub idle: Duration,
    /// From a head's first byte to its last; for the first request, from the connection on.
    pub head: Duration,
    /// To take an answer.
    pub take: Duration,
}

/// Where a connection is with its request; told by the service, read by the stream.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU8>);

impl Progress {
    const WAITING: u8 = 0;
    const ANSWERING: u8 = 1;
    const ANSWERED: u8 = 2;

    /// A request's head is complete. From here on the stream does not time its reading, as the
    /// body's reader does.
    pub fn begin(&self) {
        self.0.store(Self::ANSWERING, Ordering::Release);
    }

    /// The answer is made, and has yet to be taken.
    pub fn answered(&self) {
        self.0.store(Self::ANSWERED, Ordering::Release);
    }

    fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::WAITING
    }

    /// Waits for the next request if the answer is made; says whether it was.
    fn taken(&self) -> bool {
        let (from, to) = (Self::ANSWERED, Self::WAITING);
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A stream with limited patience.
#[derive(Debug)]
pub struct Patient<S> {
    stream: S,
    limits: Limits,
    progress: Progress,
    in_head: bool,
    reading: Timer,
    writing: Timer,
}

impl<S> Patient<S> {
    /// Watches `stream`.
    pub fn new(stream: S, limits: Limits, progress: Progress) -> Self {
        // A client that connects has something to say, so the first wait is already for a head.
        let in_head = true;
        let (reading, writing) = (Timer::default(), Timer::default());
        Self { stream, limits, progress, in_head, reading, writing }
    }

    /// The stream itself.
    pub fn into_inner(self) -> S {
        self.stream
    }

    fn wait_for_reader(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.writing.poll(self.limits.take, cx, "the client did not take the answer in time")
    }
}

/// A deadline that is set when it is first asked for.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll(
        &mut self,
        limit: Duration,
        cx: &mut Context<'_>,
        said: &'static str,
    ) -> Poll<io::Error> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, said))
    }

    fn clear(&mut self) {
        self.0 = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = into.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, into) {
            let began = into.filled().len() > before && !this.in_head && this.progress.is_waiting();
            if began {
                this.in_head = true;
                this.reading.clear();
            }
            return Poll::Ready(read);
        }
        if !this.progress.is_waiting() {
            return Poll::Pending;
        }
        let (limit, said) = if this.in_head {
            (this.limits.head, "the client did not send a request's head in time")
        } else {
            (this.limits.idle, "the client sent no further request in time")
        };
        this.reading.poll(limit, cx, said).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_write(cx, bytes) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => this.wait_for_reader(cx).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Ready(flushed) => {
                this.writing.clear();
                // A flush before the answer is made was for an interim `100 Continue`.
                if this.progress.taken() {
                    this.in_head = false;
                    this.reading.clear();
                }
                Poll::Ready(flushed)
            }
            Poll::Pending => this.wait_for_reader(cx).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
