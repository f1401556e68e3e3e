//! The HTTP server. Here: connections, time limits, and how an answer leaves or does not. Never
//! here: a rule of a provider. Read next: [`crate::sandbox::wire`].

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::chargebee::Chargebee;
use super::control;
use super::courier;
use super::cryptolens::Cryptolens;
use super::handle::Shared;
use super::planship::Planship;
use super::stand_in::{Admission, Pace, StandIn};
use super::stripe::Stripe;
use super::wire::{Answer, Delivery, Request};
use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// A request that goes on although its client may have left: slow and held ones.
pub(super) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Answers that may be late or held at once. One each for more clients than a load test opens.
pub(super) const LATE_ANSWERS_MAX: usize = 4_096;

/// Connections at once. Below the usual limit of 1,024 open files, with room for the process.
const CONNECTIONS_MAX: usize = 900;

/// The largest request body, in bytes. A meter event is a few hundred; Stripe publishes no figure.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long a client may take to send a request's head, an idle connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client may take to send a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long running answers get after the shutdown. Longer than any answer takes that is not
/// slow on purpose.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Why a connection ends without an answer.
#[derive(Debug, Error)]
enum Closed {
    #[error("closed on purpose, without an answer")]
    OnPurpose,
    #[error("the request's body did not arrive")]
    BodyMissing,
}

/// Which stand-in a listener is the door of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Stripe,
    Chargebee,
    Cryptolens,
    Planship,
}

/// The listeners, one a stand-in.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) stripe: TcpListener,
    pub(super) chargebee: TcpListener,
    pub(super) cryptolens: TcpListener,
    pub(super) planship: TcpListener,
}

impl Listeners {
    /// The next connection, at whichever door it comes.
    async fn accept(&self) -> (Door, io::Result<TcpStream>) {
        tokio::select! {
            came = self.stripe.accept() => (Door::Stripe, came.map(|(stream, _)| stream)),
            came = self.chargebee.accept() => (Door::Chargebee, came.map(|(stream, _)| stream)),
            came = self.cryptolens.accept() => (Door::Cryptolens, came.map(|(stream, _)| stream)),
            came = self.planship.accept() => (Door::Planship, came.map(|(stream, _)| stream)),
        }
    }
}

/// Serves until `shutdown`, then drains.
pub(super) async fn run(
    listeners: Listeners,
    shared: Arc<Shared>,
    mut jobs: mpsc::Receiver<Job>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), super::Error> {
    let mut shutdown = std::pin::pin!(shutdown);
    let stopping = watch::Sender::new(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(courier::run(Arc::clone(&shared), stopping.subscribe()));
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (door, came) = listeners.accept(), if tasks.len() < CONNECTIONS_MAX => match came {
                Ok(stream) => {
                    let (shared, stopping) = (Arc::clone(&shared), stopping.subscribe());
                    tasks.spawn(serve(door, stream, shared, stopping));
                }
                Err(error) if is_passing(&error) => debug!(%error, "a connection was not accepted"),
                Err(error) => return Err(super::Error::Accept(error)),
            },
            Some(job) = jobs.recv() => drop(tasks.spawn(job)),
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => report(ended),
        }
    }
    drop(listeners);
    stopping.send_replace(true);
    let drained = timeout(DRAIN_TIMEOUT, async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    });
    if drained.await.is_err() {
        debug!("some answers were still under way and are dropped");
    }
    Ok(())
}

/// Whether an error of `accept` concerns one connection, or a shortage that will pass.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    )
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

async fn serve(
    door: Door,
    stream: TcpStream,
    shared: Arc<Shared>,
    mut stopping: watch::Receiver<bool>,
) {
    // Small answers must not wait for the client's acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection closed before it was served");
        return;
    }
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { answer(door, shared, request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = async { stopping.wait_for(|stop| *stop).await.is_ok() } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}

async fn answer(
    door: Door,
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Closed> {
    let delivery = match read(request).await? {
        Some(request) => take(door, shared, request).await,
        None => Delivery::Whole(too_large(door, shared.clock.now())),
    };
    match delivery {
        Delivery::Whole(answer) => Ok(respond(answer, false)),
        Delivery::Cut(answer) => Ok(respond(answer, true)),
        Delivery::Closed => Err(Closed::OnPurpose),
    }
}

fn too_large(door: Door, now: Timestamp) -> Answer {
    match door {
        Door::Stripe => Stripe::too_large(now),
        Door::Chargebee => Chargebee::too_large(now),
        Door::Cryptolens => Cryptolens::too_large(now),
        Door::Planship => Planship::too_large(now),
    }
}

/// What comes of a request that was read in full. The control is behind every door.
pub(super) async fn take(door: Door, shared: Arc<Shared>, request: Request) -> Delivery {
    if request.path.starts_with(control::PREFIX) {
        return Delivery::Whole(control::answer(&shared, &request));
    }
    match door {
        Door::Stripe => ask::<Stripe>(shared, request).await,
        Door::Chargebee => ask::<Chargebee>(shared, request).await,
        Door::Cryptolens => ask::<Cryptolens>(shared, request).await,
        Door::Planship => ask::<Planship>(shared, request).await,
    }
}

/// Reads a request in full; `None` when its body is too large.
async fn read(request: hyper::Request<Incoming>) -> Result<Option<Request>, Closed> {
    let (head, body) = request.into_parts();
    let whole = timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let body = match whole {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Ok(None);
        }
        Ok(Err(_)) | Err(_) => return Err(Closed::BodyMissing),
    };
    Ok(Some(Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    }))
}

/// Takes one request through the rules. The usual one holds the lock once and never waits.
async fn ask<R: StandIn>(shared: Arc<Shared>, request: Request) -> Delivery {
    let now = shared.clock.now();
    let held = *shared.hold.borrow();
    let (mut admitted, pace) = {
        let mut rules = R::of(&shared);
        let mut admitted = match rules.admit(&request, now) {
            Admission::Refused(delivery) => return delivery,
            Admission::Admitted(admitted) => admitted,
        };
        let pace = rules.pace(&admitted);
        if pace == Pace::AtOnce && !(held && R::is_write(&admitted)) {
            let delivery = rules.execute(&mut admitted, now);
            rules.finish(&mut admitted);
            return delivery;
        }
        (admitted, pace)
    };
    // A client that leaves while this waited for room would leave its lane occupied for ever.
    let Ok(room) = shared.jobs.try_reserve() else {
        R::of(&shared).finish(&mut admitted);
        return Delivery::Closed;
    };
    let (sender, receiver) = oneshot::channel();
    room.send(Box::pin(answer_late::<R>(Arc::clone(&shared), admitted, pace, sender)));
    receiver.await.unwrap_or(Delivery::Closed)
}

/// Carries out a slow or held request. It runs beside the connection, so that it goes on when the
/// client gives up, as it does at a real provider.
async fn answer_late<R: StandIn>(
    shared: Arc<Shared>,
    mut admitted: Box<R::Admitted>,
    pace: Pace,
    client: oneshot::Sender<Delivery>,
) {
    shared.in_flight.send_modify(|count| *count += 1);
    if let Pace::SlowBefore(delay) = pace {
        tokio::time::sleep(delay).await;
    }
    let now = shared.clock.now();
    let delivery = R::of(&shared).execute(&mut admitted, now);
    if let Pace::SlowAfter(delay) = pace {
        tokio::time::sleep(delay).await;
    }
    if R::is_write(&admitted) {
        let mut hold = shared.hold.subscribe();
        if hold.wait_for(|held| !held).await.is_err() {
            debug!("the sandbox is going away with an answer held");
        }
    }
    R::of(&shared).finish(&mut admitted);
    shared.in_flight.send_modify(|count| *count -= 1);
    if client.send(delivery).is_err() {
        debug!("a client left before its late answer");
    }
}

fn respond(answer: Answer, cut: bool) -> Response<Body> {
    let length = answer.body.len();
    let body = if cut { cut_body(answer.body) } else { whole_body(answer.body) };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    for (name, value) in answer.headers {
        // A value that cannot stand in a header came from a request's own header and is dropped.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn whole_body(body: Bytes) -> Body {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The first half of `body`, then a broken connection.
fn cut_body(mut body: Bytes) -> Body {
    body.truncate(body.len() / 2);
    let frames = [Ok(Frame::data(body)), Err(io::Error::from(io::ErrorKind::ConnectionAborted))];
    BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames)))
}
