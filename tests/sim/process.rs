//! The running process. Here: the parts of the program that are stepped, and what a process does
//! before they run. Never here: time, or what happens to a process. Read next: [`crate::world`].

use std::collections::HashMap;
use std::sync::Arc;

use tallyd::accrual::accruer::Accruer;
use tallyd::accrual::route::Route;
use tallyd::delivery::courier::Courier;
use tallyd::domain::time::Timestamp;
use tallyd::ledger::LedgerError;
use tallyd::ledger::delivery::DeliveryLedger as _;
use tallyd::posting::poster::Poster;
use tallyd::reconcile::settler::Settler;
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
}

impl Part {
    /// All parts, in the order of a record's way.
    pub(crate) const ALL: [Self; 4] =
        [Self::Accrual, Self::Posting, Self::Delivery, Self::Settlement];
}

/// The running process.
pub(crate) struct Process {
    pub(crate) ports: Arc<Ports>,
    accruer: Accruer,
    poster: Poster,
    courier: Courier,
    settler: Settler,
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
        let policies =
            routes.iter().map(|route| (route.provider_meter.clone(), route.policies)).collect();
        let poster = Poster::new(provider_name(), ports.clone(), wire.clone());
        let reading =
            tallyd::reconcile::Settings { provider: provider_name(), reads_per_month: READS };
        Self {
            accruer,
            poster: poster.following(policies),
            courier: Courier::new(
                delivery_settings(),
                ports.clone(),
                wire.clone(),
                stage.clock.clone(),
                Arc::new(|_| ()),
            ),
            settler: Settler::new(reading, ports.clone(), wire, Arc::new(|_| ())),
            ports,
        }
    }

    /// The service that a part is.
    pub(crate) fn service(&self, part: Part) -> &dyn Service {
        match part {
            Part::Accrual => &self.accruer,
            Part::Posting => &self.poster,
            Part::Delivery => &self.courier,
            Part::Settlement => &self.settler,
        }
    }
}

/// What a process does before its parts run.
pub(crate) async fn begin(
    ports: Arc<Ports>,
    routes: Vec<Route>,
    now: Timestamp,
) -> Result<Accruer, StepError> {
    ports.recover_in_flight(now).await?;
    let prefixes = HashMap::from([(provider_name(), "cus_")]);
    let accruer = Accruer::adopt(ports, routes, prefixes, now).await;
    accruer.map_err(|error: LedgerError| error.into())
}

fn delivery_settings() -> tallyd::delivery::Settings {
    tallyd::delivery::Settings {
        provider: provider_name(),
        rate_per_second: 100,
        concurrency: 4,
        attempt_timeout_millis: 20_000,
        backoff_first_millis: 500,
        backoff_seconds_max: 300,
        pause_probe_seconds: 60,
        free_bytes_min: 0,
    }
}
