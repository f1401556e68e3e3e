//! What may be typed after `tallyd demo`. Here: its flags, exactly as typed. Never here: what they
//! do. Read next: [`super::rejected`].

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Whom the demo's daemon tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoProvider {
    /// Meters at Stripe: hourly sums, within the real present.
    Stripe,
    /// A site at Chargebee: daily entries, and by the stand-in's clock a month until its invoices
    /// are closed, with corrections, a cancelled subscription, and usage that comes late and too
    /// late.
    Chargebee,
    /// An account at Cryptolens, by RecordUsage: what its lost answers leave unknown is held.
    Cryptolens,
    /// A product at Planship, by reports: likewise, while its tokens end.
    Planship,
}

/// How the demo's daemon tells Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoChannel {
    /// Event by event, by version 1 of the API.
    V1,
    /// Event by event, by version 2.
    V2,
    /// Many events a request, by the stream, whose sessions all end once on the way.
    Stream,
}

/// What the meters of the demo's Stripe account take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoMeters {
    /// What was used in each hour, added up.
    Sums,
    /// One event for each record.
    Counts,
    /// Of each hour the total that came last.
    Totals,
    /// The largest record of each day.
    Peaks,
    /// The newest record.
    Gauges,
}

/// Flags of `demo`.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Whom the daemon tells.
    #[arg(long, value_enum, default_value = "stripe", value_name = "NAME")]
    pub provider: DemoProvider,
    /// How Stripe is told; the others have no such choice.
    #[arg(long, value_enum, default_value = "v1", value_name = "CHANNEL")]
    pub channel: DemoChannel,
    /// What Stripe's meters take; the others have no such choice.
    #[arg(long, value_enum, default_value = "sums", value_name = "KIND")]
    pub meters: DemoMeters,
    /// Kill the daemon after so many accepted meter events, or entries at a site, instead of in the
    /// middle.
    #[arg(long, value_name = "EVENTS")]
    pub kill_after: Option<u64>,
    /// The seed of the faults.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub seed: u64,
    /// Answers that the stand-in loses after it applied the request, in basis points.
    #[arg(long, default_value_t = 400, value_name = "BASIS_POINTS")]
    pub lost: u32,
    /// Only the usage of so many customers, those with the most first. By default all with Stripe,
    /// 200 with Chargebee, where each day of a customer is a request, and 500 with the others.
    // Those that play a part in a journey are among the busiest eight.
    #[arg(
        long,
        value_name = "COUNT",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(8..)
    )]
    pub customers: Option<usize>,
    /// Keep the ledger and the config in this folder, instead of a temporary one.
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
}
