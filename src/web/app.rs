//! What the handlers share. Here: the rooms behind the listeners, the two routers, and a request's
//! deadline. Never here: sockets (see [`super::server`]). Read next: [`super::auth`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::Callers;
use super::holds::{self, Holds};
use super::planship::Planship;
use super::reconcile::{self, Reports};
use super::webhooks::{self, Refusals, Webhooks};
use super::{
    answer, corrections, export, health, levers, operator, planship, rejected, remaps, trace, usage,
};
use crate::domain::names::ProviderName;
use crate::intake::gate::Gate;
use crate::ledger::export::ExportLedger;
use crate::ledger::intake::CorrectionLedger;
use crate::ledger::operator::OperatorLedger;
use crate::ledger::rejected::RejectedLedger;
use crate::ledger::remap::RemapLedger;
use crate::service::Bell;
use crate::service::changing::Changing;
use crate::telemetry::metrics::Metrics;
use crate::usage::desk::Desk;

/// Whether usage is taken, as the supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is.
    Ready,
    /// It is not; why.
    NotReady(String),
}

/// What stands behind the listeners.
#[derive(Clone)]
pub struct Rooms {
    /// The door for usage.
    pub gate: Arc<Gate>,
    /// The ledger, for corrections.
    pub corrections: Arc<dyn CorrectionLedger>,
    /// The ledger, for what was rejected.
    pub rejected: Arc<dyn RejectedLedger>,
    /// The ledger, for history that is booked anew.
    pub remaps: Arc<dyn RemapLedger>,
    /// The ledger, for exports.
    pub exports: Arc<dyn ExportLedger>,
    /// The ledger, for the operator.
    pub ledger: Arc<dyn OperatorLedger>,
    /// What programs may ask of a customer's usage.
    pub usage: Arc<Desk>,
    /// Who takes what Planship's SDKs report, where their API is served.
    pub planship: Option<Arc<Planship>>,
    /// Where requests and records are counted.
    pub metrics: Metrics,
    /// Whether usage is taken.
    pub readiness: watch::Receiver<Readiness>,
    /// The configured providers, so that accounts are not imported for a misspelt one.
    pub providers: Vec<ProviderName>,
    /// Rung when accounts were imported: parked usage may go on.
    pub accrual: Bell,
    /// What is held, and who is told of a verdict.
    pub holds: Holds,
    /// The ledger, for what reports leave in it.
    pub reports: Arc<dyn Reports>,
    /// Who reads webhooks, and where they are kept.
    pub webhooks: Webhooks,
}

/// What the handlers share.
pub(super) struct App {
    pub(super) rooms: Rooms,
    pub(super) callers: Arc<Changing<Callers>>,
    /// Calls to the ledger, which run on when their client goes away: others wait for the same
    /// commit.
    pub(super) work: TaskTracker,
    pub(super) stop: CancellationToken,
    /// What the log was told of refused webhooks.
    pub(super) refusals: Refusals,
}

impl App {
    pub(super) fn new(
        callers: Arc<Changing<Callers>>,
        rooms: Rooms,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (work, refusals) = (TaskTracker::new(), Refusals::default());
        Arc::new(Self { rooms, callers, work, stop, refusals })
    }
}

/// The router of the public listener.
pub(super) fn public(app: Arc<App>) -> Router {
    finish(
        Router::new()
            .route("/v1/usage", post(usage::from_caller))
            .route("/v1/usage/{source}/{id}", get(trace::for_caller))
            .route("/v1/usage/{source}/{id}/cancel", post(corrections::cancel))
            .route("/v1/usage/{source}/{id}/adjust", post(corrections::adjust))
            .route("/v1/customers/{customer}/usage", get(levers::all_for_caller))
            .route("/v1/customers/{customer}/usage/{lever}", get(levers::one_for_caller))
            .route("/api/v1/auth/token", post(planship::token))
            .route(
                "/api/v1/customers/{customer}/products/{product}/usage/{meter}",
                get(planship::of_meter).post(planship::report),
            )
            .route(
                "/api/v1/customers/{customer}/products/{product}/levers/{lever}/usage",
                get(planship::of_lever),
            )
            .route("/webhooks/{provider}", post(webhooks::receive))
            .route("/healthz", get(health::live))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(health::metrics)),
        app,
    )
}

/// The router of the operator's socket.
pub(super) fn private(app: Arc<App>) -> Router {
    finish(
        Router::new()
            .route("/v1/usage", post(usage::from_operator))
            .route("/v1/usage/{source}/{id}", get(trace::for_operator))
            .route("/v1/corrections", post(corrections::from_operator))
            .route("/v1/rejected", post(rejected::keep))
            .route("/v1/rejected/resubmit", post(rejected::resubmit))
            .route("/v1/rejected/dismiss", post(rejected::dismiss))
            .route("/v1/customers", post(operator::customers))
            .route("/v1/customers/{customer}/usage", get(levers::all_for_operator))
            .route("/v1/customers/{customer}/usage/{lever}", get(levers::one_for_operator))
            .route("/v1/remaps", post(remaps::begin))
            .route("/v1/remaps/stop", post(remaps::stop))
            .route("/v1/held", post(holds::resolve))
            .route("/v1/export/begin", post(export::begin))
            .route("/v1/export/mark", post(export::mark))
            .route("/v1/export/step", post(export::step))
            .route("/v1/export/release", post(export::release))
            .route("/v1/caught-up", post(holds::caught_up))
            .route("/v1/reconcile", post(reconcile::take))
            .route("/v1/status", get(operator::status)),
        app,
    )
}

fn finish(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router
        .fallback(async || {
            answer::refuse(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
        })
        .method_not_allowed_fallback(async || {
            let said = "this path does not take this method";
            answer::refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", said)
        })
        .with_state(app)
}

/// When a request has to be answered at the latest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }
}

/// Whether a request's body was read to its end. If not, the client may still be sending when it is
/// answered.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyRead(Arc<AtomicBool>);

impl BodyRead {
    pub(super) fn set(&self, read: bool) {
        self.0.store(read, Ordering::Release);
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
