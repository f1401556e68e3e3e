//! Which provider a run tells. Here: the two that there are, what is known of each as data, and the
//! few questions that each answers in its own way. Never here: an answer; those are in [`stripe`]
//! and [`chargebee`]. Read next: [`super::provider`].

use std::net::SocketAddr;

use anyhow::bail;
use clap::ValueEnum;

use super::compare::Comparison;
use super::daemon::Home;
use super::held::Held;
use super::memory::Memory;
use super::months::Billed;
use super::provider::Provider;
use super::record::{Meter, Record};
use super::relay::Relay;
use super::{chargebee, stripe};

/// Which provider is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Meters that events are sent to, told by the record or in sums.
    Stripe,
    /// A site that keeps entries, told in sums.
    Chargebee,
}

/// What is known of a provider.
#[derive(Debug)]
pub(crate) struct Facts {
    /// What the sandbox calls it, where it says at which address it stands.
    pub(crate) name: &'static str,
    /// What the daemon's config calls it.
    pub(crate) instance: &'static str,
    /// What stands before the names of the sandbox's control that are its own.
    pub(crate) control: &'static str,
    /// What the sandbox's control calls all that it was ever told and took.
    pub(crate) told: &'static str,
    /// What is counted by it.
    pub(crate) meters: &'static [Meter],
    /// Most requests that the daemon tells in its unit of time.
    pub(crate) rate: u32,
    /// What goes wrong with requests that may change something, in basis points.
    pub(crate) faults: &'static [(&'static str, u32)],
    /// How long slow requests wait, in milliseconds: longer than an attempt may take.
    pub(crate) slow_millis: u64,
    /// The environment that the daemon's config refers to.
    pub(crate) secrets: &'static [(&'static str, &'static str)],
    /// What attempts are called, and the routes that they go to.
    pub(crate) attempts: &'static [(&'static str, &'static str)],
    /// Why a balance is held that is looked at again by itself.
    pub(crate) passing: &'static [&'static str],
    /// What a run is unless it is asked for something else: its records, and how long a daemon
    /// lives on average, in milliseconds.
    pub(crate) records: usize,
    pub(crate) life: u64,
    /// Records come in the first of so many parts of the fight; corrections in all of them.
    pub(crate) stretch: usize,
    /// One record in so many is corrected.
    pub(crate) corrected_one_in: u64,
    /// A correction comes at most so many acknowledged records after what it waits for, if it is
    /// soon; if it is late, one in so many of all records.
    pub(crate) soon: u64,
    pub(crate) late_part: usize,
    /// By how much the clock moves when nothing changes while the ledger comes to rest, in seconds:
    /// longer than what is asked again by itself waits. Nothing where nothing has to wait.
    pub(crate) hurry_seconds: Option<i64>,
    /// How long nothing may change while the ledger comes to rest, in seconds.
    pub(crate) still_seconds: u64,
}

impl Kind {
    pub(crate) const fn facts(self) -> &'static Facts {
        match self {
            Self::Stripe => &stripe::FACTS,
            Self::Chargebee => &chargebee::FACTS,
        }
    }

    /// The record of a number: the same whenever it is drawn again. `base` is the second in which
    /// the run began.
    pub(crate) fn draw(self, seed: u64, base: i64, number: u64) -> Record {
        match self {
            Self::Stripe => stripe::load::draw(seed, base, number),
            Self::Chargebee => chargebee::load::draw(seed, base, number),
        }
    }

    /// The tables of the daemon's config that name the provider at `api`.
    pub(crate) fn tables(self, api: SocketAddr, rate: u32) -> String {
        match self {
            Self::Stripe => stripe::tables(api, rate),
            Self::Chargebee => chargebee::tables(api, rate),
        }
    }

    /// The lines of a meter's route.
    pub(crate) const fn route(self, meter: Meter) -> &'static str {
        match self {
            Self::Stripe => stripe::route(meter),
            Self::Chargebee => chargebee::route(meter),
        }
    }

    /// Makes everything at a stand-in that was just started that the load needs; the prices, each
    /// with the meter that it bills.
    pub(crate) async fn prepare(
        self,
        provider: &Provider,
        relay: &Relay,
    ) -> anyhow::Result<Vec<(String, Meter)>> {
        match self {
            Self::Stripe => stripe::account::prepare(provider, relay).await,
            Self::Chargebee => chargebee::site::prepare(provider, relay).await,
        }
    }

    /// Lets the daemon and the provider meet, where the run asks for that.
    pub(crate) async fn acquaint(self, home: &Home, provider: &Provider) -> anyhow::Result<()> {
        match self {
            // What Stripe bills names its period, whenever it is met.
            Self::Stripe => Ok(()),
            Self::Chargebee => chargebee::site::acquaint(provider, home).await,
        }
    }

    /// Has the stand-in forget that it was asked too often: the storms that brought it there were
    /// made on purpose.
    pub(crate) async fn forgive(self, provider: &Provider) -> anyhow::Result<()> {
        match self {
            Self::Stripe => Ok(()),
            Self::Chargebee => chargebee::site::unblock(provider).await,
        }
    }

    /// Somebody changes so much of what the provider holds by hand, which the run has to find.
    pub(crate) async fn meddle(self, provider: &Provider, much: usize) -> anyhow::Result<()> {
        match self {
            Self::Stripe => bail!("nobody changes by hand what a Stripe meter counts"),
            Self::Chargebee => chargebee::site::meddle(provider, much).await,
        }
    }

    /// Compares what is told with what was used, once the ledger rests.
    pub(crate) async fn compare(
        self,
        (home, provider): (&Home, &Provider),
        memory: &Memory,
        held: &mut Held,
        made: &mut Comparison,
    ) -> anyhow::Result<()> {
        match self {
            Self::Stripe => stripe::told::compare((home, provider), memory, held, made).await,
            Self::Chargebee => chargebee::told::compare((home, provider), memory, held, made).await,
        }
    }

    /// Where what the provider holds is not within the bracket of the ledger's books.
    pub(crate) async fn bracket(
        self,
        home: &Home,
        provider: &Provider,
    ) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Stripe => stripe::told::bracket(home, provider).await,
            Self::Chargebee => chargebee::told::bracket(home, provider).await,
        }
    }

    /// Lets the months end and their invoices be final.
    pub(crate) async fn bill(self, provider: &Provider) -> anyhow::Result<Billed> {
        match self {
            Self::Stripe => stripe::billing::bill(provider).await,
            Self::Chargebee => chargebee::billing::bill(provider).await,
        }
    }
}
