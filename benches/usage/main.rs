//! How long an answer about a customer's usage takes, as records grow. Here: the one benchmark of
//! levers: a ledger that grows to some sizes, asked at each for small customers and for one who has
//! a tenth of all usage, beside a plain `SELECT sum` over the same records. Never here: a test of
//! what is right.
//!
//! ```text
//!   cargo bench --bench usage                                           a million records
//!   cargo bench --bench usage -- --records 10000000 --customers 100000  ten million
//! ```

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Executor as _};
use tallyd::domain::names::{CustomerName, LeverName, MeterName, RecordId, SourceName};
use tallyd::domain::quantity::Quantity;
use tallyd::domain::record::{Property, UsageRecord};
use tallyd::domain::time::{MICROS_PER_DAY, Timestamp};
use tallyd::ledger::intake::{Admitted, IntakeLedger as _};
use tallyd::service::Service as _;
use tallyd::store::sqlite::SqliteLedger;
use tallyd::store::{CACHE_KIB, Settings};
use tallyd::usage::counter::Counter;
use tallyd::usage::desk::Desk;
use tallyd::usage::lever::{BUCKET_PROPERTY, Formula, Lever, Period, SUBSCRIPTION_PROPERTY};
use tokio::time::Instant;

/// Records in one call to the ledger.
const BATCH: u64 = 5_000;
/// Days that the records are spread over.
const DAYS: i64 = 60;
/// The last instant that a record is of.
const NOW: Timestamp = Timestamp::from_seconds(1_790_001_234);
/// Questions for each figure.
const QUESTIONS: u64 = 2_000;
/// Plain sums for each figure: each reads all that there is.
const SUMS: u64 = 20;
/// The customer with a tenth of all usage.
const LARGE: &str = "cus_large";

const PLAIN: &str = "SELECT total(CAST(quantity AS REAL)) FROM usage_record
    WHERE customer = ?1 AND meter = 'calls'";

/// Measures answers about usage.
#[derive(Debug, Parser)]
struct Arguments {
    /// Records in the end; it is measured at a quarter and a half of them as well.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Customers beside the large one.
    #[arg(long, default_value_t = 100_000)]
    customers: u64,
    /// Cargo says so when it runs a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A number that looks like chance, and is the same in each run.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn customer_of(number: u64, customers: u64) -> String {
    match mixed(number) {
        tenth if tenth % 10 == 0 => LARGE.to_owned(),
        other => format!("cus_{}", (other / 10) % customers),
    }
}

fn record(number: u64, customers: u64) -> anyhow::Result<Admitted> {
    let before = i64::try_from(mixed(number ^ 0x5555) >> 1)? % (DAYS * MICROS_PER_DAY);
    let bucket = Property::Text(format!("project-{}", mixed(number ^ 0xaaaa) % 5));
    Ok(Admitted::from(UsageRecord {
        source: SourceName::new("bench")?,
        id: RecordId::new(&format!("r{number}"))?,
        customer: CustomerName::new(&customer_of(number, customers))?,
        meter: MeterName::new("calls")?,
        quantity: Quantity::from(i64::try_from(number % 50)?),
        occurred_at: NOW.plus_micros(-before),
        properties: [(BUCKET_PROPERTY.to_owned(), bucket)].into(),
    }))
}

fn lever(name: &str, period: Period) -> anyhow::Result<Lever> {
    Ok(Lever {
        name: LeverName::new(name)?,
        meter: MeterName::new("calls")?,
        formula: Formula::PerBucket,
        period,
        bucket_property: BUCKET_PROPERTY.to_owned(),
        subscription_property: SUBSCRIPTION_PROPERTY.to_owned(),
        products: BTreeSet::new(),
    })
}

/// The middle, the 99th of a hundred, and the longest.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times.get((times.len().saturating_sub(1)) * share / 100);
    let micros = |time: Option<&Duration>| time.map_or(0, Duration::as_micros);
    let (middle, most, last) = (micros(at(50)), micros(at(99)), micros(times.last()));
    format!("p50 {middle:>9} µs   p99 {most:>9} µs   longest {last:>9} µs")
}

async fn ask(
    desk: &Desk,
    lever: &Lever,
    names: impl Iterator<Item = String>,
) -> anyhow::Result<String> {
    let mut times = Vec::new();
    for name in names {
        let customer = CustomerName::new(&name)?;
        let begun = Instant::now();
        desk.ask(&customer, lever, NOW).await??;
        times.push(begun.elapsed());
    }
    Ok(spread(times))
}

async fn sum(
    connection: &mut SqliteConnection,
    names: impl Iterator<Item = String>,
) -> anyhow::Result<String> {
    let mut times = Vec::new();
    for name in names {
        let begun = Instant::now();
        sqlx::query(PLAIN).bind(name).fetch_one(&mut *connection).await?;
        times.push(begun.elapsed());
    }
    Ok(spread(times))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { records, customers, bench: _ } = Arguments::parse();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = folder.path().join("ledger");
    let settings = Settings { path: path.clone(), cache_kib: CACHE_KIB };
    let ledger = Arc::new(SqliteLedger::open(&settings, "a benchmark", NOW).await?);
    let levers = [
        lever("all", Period::AllTime)?,
        lever("month", Period::Rolling(30 * MICROS_PER_DAY + 12_345_678))?,
    ];
    let counter = Counter::adopt(ledger.clone(), &levers).await?;
    let desk = Desk::new(ledger.clone(), levers.to_vec(), Vec::new(), HashMap::new());
    let mut connection =
        SqliteConnectOptions::new().filename(&path).read_only(false).connect().await?;
    let mut out = io::stdout();
    let mut number = 0;
    for size in [records / 4, records / 2, records] {
        let (mut taken, mut counted) = (Duration::ZERO, Duration::ZERO);
        let from = number;
        while number < size {
            let end = (number + BATCH).min(size);
            let batch = (number..end).map(|each| record(each, customers));
            let batch = batch.collect::<anyhow::Result<Vec<_>>>()?;
            number = end;
            let begun = Instant::now();
            ledger.accept(batch, Vec::new(), NOW).await?;
            taken += begun.elapsed();
            let begun = Instant::now();
            while counter.run_once(NOW).await?.more {}
            counted += begun.elapsed();
        }
        let rate = |time: Duration| u128::from(number - from) * 1_000 / time.as_millis().max(1);
        writeln!(out, "\n{size} records, {customers} customers and one with a tenth of them")?;
        writeln!(out, "  intake {} records/s, counting {} records/s", rate(taken), rate(counted))?;
        let small = || (0..QUESTIONS).map(|each| format!("cus_{}", mixed(each) % customers));
        let large = |times| (0..times).map(|_| LARGE.to_owned());
        for lever in &levers {
            let name = &lever.name;
            writeln!(out, "  {name:<8} small  {}", ask(&desk, lever, small()).await?)?;
            writeln!(out, "  {name:<8} large  {}", ask(&desk, lever, large(QUESTIONS)).await?)?;
        }
        let scanned = sum(&mut connection, large(SUMS)).await?;
        writeln!(out, "  plain sum       {scanned}")?;
    }
    connection.execute("CREATE INDEX plain ON usage_record (customer, meter)").await?;
    let indexed = sum(&mut connection, (0..SUMS).map(|_| LARGE.to_owned())).await?;
    writeln!(out, "  by an index     {indexed}")?;
    Ok(())
}
