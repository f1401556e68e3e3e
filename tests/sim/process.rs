//! The running process. Here: the parts of the program that are stepped, and what a process does
//! before they run. Never here: time, or what happens to a process. Read next: [`crate::world`].

use std::collections::HashMap;
use std::sync::Arc;

use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::Route;
use tallyd::delivery::Rate;
use tallyd::delivery::courier::Courier;
use tallyd::domain::cutover::Telling;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::LedgerError;
use tallyd::ledger::cutover::Adoption;
use tallyd::ledger::delivery::DeliveryLedger as _;
use tallyd::posting::poster::Poster;
use tallyd::provider::Provider as _;
use tallyd::reconcile::listener::Listener;
use tallyd::reconcile::settler::Settler;
use tallyd::schedule::Schedule;
use tallyd::service::{Service, StepError};

use crate::ports::Ports;
use crate::scene::Stage;
use crate::wire::Wire;
use crate::workload::provider_name;

/// More requests for totals than any run makes.
const READS: u32 = 1_000_000;

/// The parts that are stepped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Accrual,
    Posting,
    Delivery,
    Settlement,
    Listening,
}

impl Part {
    /// The parts of a record's way, in its order.
    pub(crate) const OF_USAGE: &'static [Self] =
        &[Self::Accrual, Self::Posting, Self::Delivery, Self::Settlement];
    /// These and what keeps up with what is billed, which comes first.
    pub(crate) const ALL: &'static [Self] =
        &[Self::Listening, Self::Accrual, Self::Posting, Self::Delivery, Self::Settlement];
}

/// The running process.
pub(crate) struct Process {
    pub(crate) ports: Arc<Ports>,
    pub(crate) wire: Arc<Wire>,
    accruer: Accruer,
    poster: Poster,
    courier: Courier,
    settler: Settler,
    listener: Listener,
}

impl Process {
    /// A process that has begun.
    pub(crate) fn new(
        ports: Arc<Ports>,
        wire: Arc<Wire>,
        accruer: Accruer,
        routes: &[Route],
        stage: &Stage,
    ) -> Self {
        let policies = routes
            .iter()
            .map(|route| (route.provider_meter.clone(), route.policies.clone()))
            .collect();
        let poster = Poster::new(provider_name(), ports.clone(), wire.clone());
        Self {
            accruer,
            poster: poster.following(policies),
            courier: Courier::new(
                delivery_settings(wire.batch_max() > 1),
                ports.clone(),
                wire.clone(),
                stage.clock.clone(),
                Arc::new(|_| ()),
            ),
            listener: Listener::new(
                reading(),
                ports.clone(),
                wire.clone(),
                crate::billing::reader(&wire),
            ),
            settler: Settler::new(reading(), ports.clone(), wire.clone(), Arc::new(|_| ())),
            ports,
            wire,
        }
    }

    /// The same, which takes over from another program: what it posts goes by `posts`.
    pub(crate) fn telling(self, telling: &Telling, posts: Telling) -> Self {
        Self {
            courier: self.courier.in_mode(posts.mode),
            poster: self.poster.telling(posts),
            settler: self.settler.telling(telling.clone()),
            ..self
        }
    }

    /// The same, which tells what is due at the times of `flush` only, where there is one.
    pub(crate) fn flushing(self, flush: Option<Schedule>) -> Self {
        Self { poster: self.poster.flushing(flush), ..self }
    }

    /// The service that a part is.
    pub(crate) fn service(&self, part: Part) -> &dyn Service {
        match part {
            Part::Accrual => &self.accruer,
            Part::Posting => &self.poster,
            Part::Delivery => &self.courier,
            Part::Settlement => &self.settler,
            Part::Listening => &self.listener,
        }
    }
}

/// What the program may read.
pub(crate) fn reading() -> tallyd::reconcile::Settings {
    tallyd::reconcile::Settings { provider: provider_name(), reads_per_month: READS }
}

/// What a process does before its parts run.
pub(crate) async fn begin(
    ports: Arc<Ports>,
    routes: Vec<Route>,
    prefix: &'static str,
    now: Timestamp,
) -> Result<Accruer, StepError> {
    ports.recover_in_flight(now).await?;
    let prefixes = HashMap::from([(provider_name(), prefix)]);
    let accruer = Accruer::adopt(ports, routes, prefixes, now).await;
    accruer.map_err(|error: LedgerError| error.into())
}

/// Has the provider told as its config says, as a process does before its parts run.
pub(crate) async fn adopt(
    ports: Arc<Ports>,
    telling: Telling,
    routes: Vec<Route>,
    now: Timestamp,
) -> Result<(), StepError> {
    let meters = routes.into_iter().map(|route| route.provider_meter).collect();
    match ports.adopt_telling(&telling, &meters, now).await? {
        Adoption::Adopted { .. } => Ok(()),
        Adoption::Refused(lacking) => panic!("{lacking:?}"),
    }
}

/// Where many events go by one request, a moment has to let several go: the tolerance of a limit
/// of ten thousand a second is fifty.
fn delivery_settings(batches: bool) -> tallyd::delivery::Settings {
    tallyd::delivery::Settings {
        provider: provider_name(),
        rate: Rate::per_second(100),
        batched_rate: batches.then(|| Rate::per_second(10_000)),
        limited_pause_seconds: 1,
        concurrency: 4,
        attempt_timeout_millis: 20_000,
        backoff_first_millis: 500,
        backoff_seconds_max: 300,
        pause_probe_seconds: 60,
        free_bytes_min: 0,
    }
}
