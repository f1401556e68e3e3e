//! A provider instance and its moving parts. Here: what is made of its settings, how the parts are
//! started, and how others take their place while they run. Never here: when that is done
//! ([`crate::daemon::reload`]). Read next: [`super`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::accrual::route::{Route, policies_by_meter};
use crate::clock::Clock;
use crate::daemon::providers::Instance;
use crate::daemon::reporting::{self, Reporting};
use crate::daemon::supervisor::{DRAIN_SECONDS_MAX, Supervisor};
use crate::delivery::courier::Courier;
use crate::domain::cutover::Telling;
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::policies::Policies;
use crate::ledger::LedgerError;
use crate::ledger::delivery::DeliveryLedger as _;
use crate::posting::poster::Poster;
use crate::provider::{NoticeReader, Provider};
use crate::reconcile::listener::Listener;
use crate::reconcile::reporter::Reporter;
use crate::reconcile::settler::Settler;
use crate::reconcile::surveyor::Surveyor;
use crate::schedule::Schedule;
use crate::service::changing::{Changing, Replaceable};
use crate::service::pulse::Pulse;
use crate::service::{Bell, Service, StepError};
use crate::store::sqlite::SqliteLedger;
use crate::telemetry::metrics::Metrics;

/// How often an attempt's time what is in flight has to finish before another courier takes over.
/// Every request ends within that time by itself, and an attempt makes two at most: so none is ever
/// cut, and its event left to a restart.
const ATTEMPTS_PATIENCE: u32 = 3;

/// What the parts of every provider instance work with.
#[derive(Clone)]
pub(in crate::daemon) struct Around {
    pub(in crate::daemon) ledger: Arc<SqliteLedger>,
    pub(in crate::daemon) clock: Arc<dyn Clock>,
    pub(in crate::daemon) metrics: Metrics,
    pub(in crate::daemon) stop: CancellationToken,
}

/// What is made of a provider instance's settings.
pub(in crate::daemon) struct Made {
    provider: Arc<dyn Provider>,
    delivery: Delivery,
    /// The poster's own, which follow from routes.
    policies: HashMap<ProviderMeter, Policies>,
    flush: Option<Schedule>,
    /// What compares totals, follows what is billed, and reports, in this order.
    asides: Vec<Arc<dyn Service>>,
    reporting: Arc<dyn Service>,
}

/// A courier, and how long what it has in flight may need.
#[derive(Clone)]
struct Delivery {
    courier: Arc<Courier>,
    patience: Duration,
}

/// A provider instance that is told, and the bells of its parts.
pub(in crate::daemon) struct Told {
    pub(in crate::daemon) name: ProviderName,
    around: Around,
    /// Whether it is told, and from when on: that stays until a restart.
    pub(in crate::daemon) telling: Telling,
    provider: Changing<dyn Provider>,
    policies: Changing<HashMap<ProviderMeter, Policies>>,
    flush: Changing<Option<Schedule>>,
    poster: Arc<Replaceable>,
    asides: Vec<Arc<Replaceable>>,
    reporting: Arc<Replaceable>,
    delivery: watch::Sender<Delivery>,
    pub(in crate::daemon) poster_bell: Bell,
    pub(in crate::daemon) courier_bell: Bell,
}

impl Told {
    /// Makes ready to tell `instance` what `routes` lead to it; it starts with what the ledger
    /// knows of its meters.
    pub(in crate::daemon) async fn new(
        instance: Instance,
        routes: &[Route],
        around: Around,
    ) -> Result<Self, LedgerError> {
        let name = instance.name().clone();
        let (poster_bell, telling) = (Bell::default(), instance.telling.clone());
        let made = Made::of(instance, routes, &around, &poster_bell).await?;
        let Made { provider, delivery, policies, flush, asides, reporting } = made;
        let poster = poster((&name, &telling), &around, &provider, (&policies, &flush));
        let replaceable = |service| Arc::new(Replaceable::new(service));
        Ok(Self {
            name,
            around,
            telling,
            provider: Changing::of(provider),
            policies: Changing::new(policies),
            flush: Changing::new(flush),
            poster: replaceable(poster),
            asides: asides.into_iter().map(replaceable).collect(),
            reporting: replaceable(reporting),
            delivery: watch::Sender::new(delivery),
            poster_bell,
            courier_bell: Bell::default(),
        })
    }

    /// Who reads its webhooks, where it takes any.
    pub(in crate::daemon) fn reader(&self) -> Option<(ProviderName, Arc<dyn NoticeReader>)> {
        Some((self.name.clone(), self.provider.present().notice_reader()?))
    }

    /// Starts its parts; answers with the bells of all of them.
    pub(in crate::daemon) fn start(&self, supervisor: &mut Supervisor) -> Vec<Bell> {
        let clock = &self.around.clock;
        let reports_bell = Bell::default();
        let mut bells =
            vec![self.poster_bell.clone(), self.courier_bell.clone(), reports_bell.clone()];
        // What is proven absent is sent again, and what is disproved may be told anew; what is
        // learned of a period has balances looked at, events sent first, and what is billed
        // compared.
        let next = bells.clone();
        let mut run = |part: &Arc<Replaceable>, bell: Bell, next: Vec<Bell>| {
            supervisor.step(part.name(), part.clone(), clock, bell, next);
        };
        for aside in &self.asides {
            let bell = Bell::default();
            bells.push(bell.clone());
            run(aside, bell, next.clone());
        }
        run(&self.reporting, reports_bell, Vec::new());
        run(&self.poster, self.poster_bell.clone(), vec![self.courier_bell.clone()]);
        let (newest, bell) = (self.delivery.subscribe(), self.courier_bell.clone());
        let stop = self.around.stop.clone();
        supervisor.start(format!("delivery to {}", self.name), |pulse| {
            deliver(newest, bell, stop, pulse)
        });
        bells
    }

    /// Makes what its settings come to now. Nothing of it runs yet.
    pub(in crate::daemon) async fn remake(
        &self,
        instance: Instance,
        routes: &[Route],
    ) -> Result<Made, LedgerError> {
        Made::of(instance, routes, &self.around, &self.poster_bell).await
    }

    /// Has these take the place of its parts: each of a service at its next step, the courier once
    /// what is in flight has ended.
    pub(in crate::daemon) fn replace(&self, made: Made) {
        let Made { provider, delivery, policies, flush, asides, reporting } = made;
        let told = (&self.name, &self.telling);
        self.poster.replace(poster(told, &self.around, &provider, (&policies, &flush)));
        for (place, aside) in self.asides.iter().zip(asides) {
            place.replace(aside);
        }
        self.reporting.replace(reporting);
        self.delivery.send_replace(delivery);
        self.provider.replace(provider);
        self.policies.replace(Arc::new(policies));
        self.flush.replace(Arc::new(flush));
        self.ring();
    }

    /// Follows what is left to policy by these routes.
    pub(in crate::daemon) fn follow(&self, routes: &[Route]) {
        let policies = policies_by_meter(routes, &self.name);
        if policies != *self.policies.present() {
            let provider = self.provider.present();
            let (told, flush) = ((&self.name, &self.telling), self.flush.present());
            let policed = (&policies, &*flush);
            self.poster.replace(poster(told, &self.around, &provider, policed));
            self.policies.replace(Arc::new(policies));
            self.ring();
        }
    }

    fn ring(&self) {
        self.poster_bell.ring();
        self.courier_bell.ring();
    }
}

impl Made {
    async fn of(
        instance: Instance,
        routes: &[Route],
        around: &Around,
        contacted: &Bell,
    ) -> Result<Self, LedgerError> {
        let name = instance.name().clone();
        let Around { ledger, clock, metrics, stop } = around;
        let Instance {
            provider,
            billing,
            documents: _,
            delivery,
            reconcile,
            reports,
            flush,
            telling,
        } = instance;
        provider.adopt_meters(ledger.provider_facts(&name).await?.meters);
        let patience = Duration::from_millis(delivery.attempt_timeout_millis.into());
        let patience = patience * ATTEMPTS_PATIENCE;
        let observed = (metrics.clone(), name.clone());
        let courier = Courier::new(
            delivery,
            ledger.clone(),
            provider.clone(),
            clock.clone(),
            Arc::new(move |outcome| observed.0.answer(&observed.1, outcome)),
        );
        let courier = Arc::new(courier.ringing(contacted.clone()).in_mode(telling.mode));
        let observed = (metrics.clone(), name.clone());
        let settler = Settler::new(
            reconcile.clone(),
            ledger.clone(),
            provider.clone(),
            Arc::new(move |finding| observed.0.finding(&observed.1, finding)),
        );
        // It looks at what another program told.
        let surveyor =
            Surveyor::new(reconcile.clone(), ledger.clone(), provider.clone(), telling.clone());
        let settler = settler.telling(telling.clone());
        let mut asides: Vec<Arc<dyn Service>> = vec![Arc::new(settler), Arc::new(surveyor)];
        if let Some(reader) = billing {
            let (ledger, provider) = (ledger.clone(), provider.clone());
            asides.push(Arc::new(Listener::new(reconcile.clone(), ledger, provider, reader)));
        }
        // Makes reports: where a schedule says when, and on invoices that differ.
        let reporter = Reporter::new(reconcile, ledger.clone(), provider.clone(), clock.clone());
        let reporter = reporter.telling(telling);
        let observed = (metrics.clone(), name.clone());
        let invoices: reporting::Observer =
            Arc::new(move |agreement| observed.0.invoice(&observed.1, agreement));
        let policies = policies_by_meter(routes, &name);
        let (shared, stop) = (ledger.clone(), stop.clone());
        let reporting = Reporting::new(name, reporter, shared, clock.clone(), reports, stop);
        Ok(Self {
            provider,
            delivery: Delivery { courier, patience },
            policies,
            flush,
            asides,
            reporting: Arc::new(reporting.observed(invoices)),
        })
    }
}

fn poster(
    (name, telling): (&ProviderName, &Telling),
    around: &Around,
    provider: &Arc<dyn Provider>,
    (policies, flush): (&HashMap<ProviderMeter, Policies>, &Option<Schedule>),
) -> Arc<dyn Service> {
    let poster = Poster::new(name.clone(), around.ledger.clone(), provider.clone());
    let poster = poster.following(policies.clone()).flushing(flush.clone());
    Arc::new(poster.telling(telling.clone()))
}

/// Delivers by the newest courier until `stop`. One that another takes the place of leases nothing
/// more and sees what it has in flight to its end, before the other begins: so no lane is ever used
/// by both, and no answer is missed. Both beat on the one pulse, as they are one part.
async fn deliver(
    mut newest: watch::Receiver<Delivery>,
    bell: Bell,
    stop: CancellationToken,
    pulse: Pulse,
) -> Result<(), StepError> {
    while !stop.is_cancelled() {
        let Delivery { courier, patience } = newest.borrow_and_update().clone();
        let turn = stop.child_token();
        let drain = || match stop.is_cancelled() {
            true => Duration::from_secs(DRAIN_SECONDS_MAX),
            false => patience,
        };
        let delivering = courier.run_until(bell.clone(), turn.clone(), drain, pulse.clone());
        tokio::pin!(delivering);
        tokio::select! {
            ended = &mut delivering => return ended,
            Ok(()) = newest.changed() => {
                turn.cancel();
                delivering.await?;
            }
        }
    }
    Ok(())
}
