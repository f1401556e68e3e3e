//! The listeners themselves. Here: sockets, connections, their number, their time, and their end.
//! Never here: what a request asks (see [`super::app`]). Read next: [`super::patience`].

use std::convert::Infallible;
use std::fs;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::app::{App, BodyRead, Deadline, Rooms, private, public};
use super::auth::Callers;
use super::patience::{Limits, Patient, Progress};
use super::{Settings, Token};
use crate::service::changing::Changing;
use crate::telemetry::metrics::Metrics;

/// Largest head of a request, in bytes, and largest piece of a body that is read at once: room for
/// any honest head, small enough to hold one per connection.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most connections at the operator's socket. They are counted apart, so that a full public
/// listener never locks the operator out.
const OPERATOR_CONNECTIONS_MAX: usize = 16;
/// Connections that may wait at the operator's socket.
const OPERATOR_BACKLOG: u32 = 16;
/// Wait after a failed accept, in milliseconds: it fails when the process is out of descriptors,
/// and would fail again at once.
const ACCEPT_RETRY_MILLIS: u64 = 100;
/// How long a closed connection is read on, in milliseconds, and how much, in bytes: closing while
/// the client still sends would reset the connection, and take the answer that says why.
const LINGER_MILLIS: u64 = 1_000;
const LINGER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Why a listener cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The public one.
    #[error("web.listen: {address} cannot be listened at")]
    Public {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        why: io::Error,
    },
    /// The operator's.
    #[error("the operator's socket {path} cannot be listened at")]
    Operator {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        why: io::Error,
    },
}

/// Who may send usage to listeners that serve.
#[derive(Clone)]
pub struct Door(Arc<Changing<Callers>>);

impl Door {
    /// Lets in who shows one of these tokens, from the next request on, and nobody else.
    pub fn admit(&self, tokens: &[Token]) {
        self.0.replace(Arc::new(Callers::new(tokens)));
    }
}

/// The bound listeners. Clients may connect already; they are answered once it runs.
pub struct Server {
    settings: Settings,
    callers: Arc<Changing<Callers>>,
    public: TcpListener,
    address: SocketAddr,
    operator: UnixListener,
}

impl Server {
    /// Binds both listeners.
    ///
    /// # Errors
    /// When one cannot be bound.
    pub async fn bind(settings: &Settings) -> Result<Self, BindError> {
        let refused = |why| BindError::Public { address: settings.listen, why };
        let public = TcpListener::bind(settings.listen).await.map_err(refused)?;
        let address = public.local_addr().map_err(refused)?;
        let path = settings.operator_socket.clone();
        let operator = bind_operator(&path).map_err(|why| BindError::Operator { path, why })?;
        let callers = Arc::new(Changing::new(Callers::new(&settings.tokens)));
        Ok(Self { settings: settings.clone(), callers, public, address, operator })
    }

    /// Where HTTP is served: with the port that was given, when any was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who may send usage, for whoever changes that while it serves.
    #[must_use]
    pub fn door(&self) -> Door {
        Door(Arc::clone(&self.callers))
    }

    /// Serves until `stop`; then no connection is accepted any more, what is in flight is finished
    /// within a request's time, and what is not is dropped.
    pub async fn run(self, rooms: Rooms, stop: CancellationToken) {
        let Self { settings, callers, public: public_socket, operator, .. } = self;
        let app = App::new(callers, rooms, stop.clone());
        let limits = Limits {
            idle: millis(settings.idle_millis_max),
            head: millis(settings.head_millis_max),
            take: millis(settings.request_millis_max),
        };
        let house = |router| House {
            router,
            limits,
            answer: millis(settings.request_millis_max),
            metrics: app.rooms.metrics.clone(),
            stop: stop.clone(),
            cut: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        let (outside, inside) = (house(public(Arc::clone(&app))), house(private(Arc::clone(&app))));
        let most = usize::try_from(settings.connections_max).unwrap_or(usize::MAX);
        let accept_public = async || accept_tcp(&public_socket).await;
        let accept_operator = async || accept_unix(&operator).await;
        tokio::join!(
            outside.serve(accept_public, most),
            inside.serve(accept_operator, OPERATOR_CONNECTIONS_MAX)
        );
        drop((public_socket, operator));
        if let Err(why) = fs::remove_file(&settings.operator_socket) {
            tracing::debug!(error = %why, "the operator's socket was gone already");
        }
        let patience = millis(settings.request_millis_max);
        tokio::join!(outside.close(patience), inside.close(patience));
        app.work.close();
        // A call to the ledger that outlasts its request is not waited for without end; whether it
        // commits is for the ledger to know.
        if timeout(patience, app.work.wait()).await.is_err() {
            tracing::warn!("stopped while the ledger had not answered yet");
        }
    }
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(u64::from(millis))
}

async fn accept_tcp(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    // Answers are small and written whole; waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn accept_unix(listener: &UnixListener) -> io::Result<UnixStream> {
    listener.accept().await.map(|(stream, _)| stream)
}

/// Binds the operator's socket so that nobody else can connect for even a moment: its mode is set
/// before it listens. A socket left by a crash is replaced; the ledger's lock says that its owner
/// is gone.
fn bind_operator(path: &Path) -> io::Result<UnixListener> {
    if let Ok(found) = fs::symlink_metadata(path)
        && found.file_type().is_socket()
    {
        fs::remove_file(path)?;
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(OPERATOR_BACKLOG)
}

/// One listener's connections.
struct House {
    router: Router,
    limits: Limits,
    answer: Duration,
    metrics: Metrics,
    stop: CancellationToken,
    cut: CancellationToken,
    connections: TaskTracker,
}

impl House {
    /// Accepts connections until `stop`, and holds at most `most`.
    async fn serve<S, F>(&self, accept: impl Fn() -> F, most: usize)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<S>>,
    {
        let seats = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let accept_one = async || {
            let seat = Arc::clone(&seats).acquire_owned().await;
            (seat.expect("the semaphore is never closed"), accept().await)
        };
        loop {
            let (seat, accepted) = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = accept_one() => accepted,
            };
            match accepted {
                Ok(stream) => {
                    let connection = self.connection(stream);
                    self.connections.spawn(async move {
                        connection.await;
                        drop(seat);
                    });
                }
                Err(why) => {
                    tracing::warn!(error = %why, "a connection was not accepted");
                    sleep(Duration::from_millis(ACCEPT_RETRY_MILLIS)).await;
                }
            }
        }
    }

    /// One connection, from its first request to its last.
    fn connection<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let progress = Progress::default();
        let stream = Patient::new(stream, self.limits, progress.clone());
        let (router, metrics) = (self.router.clone(), self.metrics.clone());
        let (stop, cut, answer) = (self.stop.clone(), self.cut.clone(), self.answer);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // The patient stream is stricter; this is the second line, and needs the timer above.
            .header_read_timeout(self.limits.idle + self.limits.head)
            .max_buf_size(HEAD_BYTES_MAX);
        // Whether the last request's body was read: one flag, as requests come one after the other.
        let body_read = BodyRead::default();
        body_read.set(true);
        let last_read = body_read.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            progress.begin();
            let answering = respond(router.clone(), request, answer, body_read.clone());
            let (progress, metrics) = (progress.clone(), metrics.clone());
            Box::pin(async move {
                let response = answering.await;
                progress.answered();
                metrics.request(response.status().as_u16());
                Ok::<_, Infallible>(response)
            })
        });
        async move {
            let mut connection = http.serve_connection(TokioIo::new(stream), service);
            let mut stopping = false;
            let ended = loop {
                tokio::select! {
                    ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
                    () = cut.cancelled() => return,
                    () = stop.cancelled(), if !stopping => {
                        stopping = true;
                        Pin::new(&mut connection).graceful_shutdown();
                    }
                }
            };
            match ended {
                Ok(()) if last_read.is_done() => {}
                Ok(()) => linger(connection.into_parts().io.into_inner().into_inner()).await,
                Err(why) => tracing::debug!(error = %why, "a connection ended early"),
            }
        }
    }

    /// Waits for the connections to end, and cuts those that do not within `patience`.
    async fn close(&self, patience: Duration) {
        self.connections.close();
        if timeout(patience, self.connections.wait()).await.is_err() {
            tracing::warn!("connections are cut: they did not finish in time");
            self.cut.cancel();
            self.connections.wait().await;
        }
    }
}

async fn respond(
    router: Router,
    request: Request<Incoming>,
    limit: Duration,
    body_read: BodyRead,
) -> Response {
    body_read.set(request.body().is_end_stream());
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Deadline::after(limit));
    request.extensions_mut().insert(body_read.clone());
    let mut response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(impossible) => match impossible {},
    };
    if !body_read.is_done() {
        // The connection ends with this answer. A client that is not told would send its next
        // request into the close, and could not know what became of it.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Says that nothing more is sent, and reads what the client still sends.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let drained = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    match timeout(Duration::from_millis(LINGER_MILLIS), drained).await {
        Ok(Ok(_)) | Err(_) => {}
        Ok(Err(why)) => tracing::trace!(error = %why, "a connection was closed by its client"),
    }
}
