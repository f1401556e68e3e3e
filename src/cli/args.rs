//! What a person may type. Here: the commands and their flags, exactly as typed. Never here: what
//! they do, I/O. Read next: [`super`].

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::domain::resolution::{ItemName, Verdict};

pub mod generate;
pub mod check;
pub mod correct;
pub mod demo;
pub mod export;
pub mod rejected;
pub mod remap;
pub mod usage;

/// Books usage records in a local ledger, tells billing providers what the ledger says, and proves
/// that both sides agree.
#[derive(Debug, Parser)]
#[command(name = "tallyd", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole journey on real usage: an embedded ledger, a stand-in for Stripe or for a
    /// Chargebee site, a crash in the middle, and all books side by side at the end; exit 1 if they
    /// differ, with Chargebee by more than what is held with its reason.
    Demo(demo::Demo),
    /// Run the daemon.
    Run(Run),
    /// Tell all that is wrong with the config, with line and fix; with --online, also what the
    /// providers do not agree with.
    Check(check::Check),
    /// Show what waits, what is told and what is held.
    Status(Listing),
    /// Show, per customer and meter, what the provider should hold and the bounds of what it holds.
    Books(Books),
    /// Compare the ledger with providers' own totals and invoices, and explain every difference
    /// down to records; exit 2 if there is one.
    Reconcile(Reconcile),
    /// Get the usages that an invoice bills as a PDF, from a provider that makes one (Chargebee).
    InvoiceUsages(InvoiceUsages),
    /// Show what levers say of a customer's usage; exit 1 if one of them has no figure.
    Usage(usage::Usage),
    /// Show the whole life of one record.
    Trace(Trace),
    /// Show what waits for a person.
    #[command(subcommand)]
    Held(Held),
    /// Work with what came in as a record and is none.
    #[command(subcommand)]
    Rejected(rejected::Rejected),
    /// Tell usage by files that a person uploads, for what is too much for requests.
    #[command(subcommand)]
    Export(export::Export),
    /// Book the usage records of files, or with --corrections accept corrections of records.
    Import(Import),
    /// Take records back, for good: one by its name, or all that the flags find.
    Cancel(correct::Cancel),
    /// Give records another quantity: one by its name, or all that the flags find.
    Adjust(correct::Adjust),
    /// Book history as the routes lead by now: show what that changes at providers, and do it once
    /// that is agreed to.
    Remap(remap::Remap),
    /// Work with customers' accounts at providers.
    #[command(subcommand)]
    Customers(Customers),
    /// Work with the ledger itself.
    #[command(subcommand)]
    Ledger(Ledger),
    /// Print a systemd unit, completions of a shell, or manual pages.
    #[command(subcommand)]
    Generate(generate::Generate),
    /// Run the stand-ins for Stripe and Chargebee, to try tallyd without a key.
    Sandbox(Sandbox),
}

/// Where the config is.
#[derive(Args, Clone, Debug)]
pub struct Configured {
    /// The config file.
    #[arg(long, short, value_name = "FILE", default_value = "tallyd.toml")]
    pub config: PathBuf,
    /// The ledger file, in place of the config's.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    #[command(flatten)]
    /// Where the config is.
    pub configured: Configured,
    /// Where HTTP is served, in place of the config's.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// What is logged, in place of the config's.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Begin a new ledger although the old one is lost; all usage of before its last sending is
    /// then held.
    #[arg(long)]
    pub init: bool,
}

/// Flags of a listing.
#[derive(Args, Clone, Debug)]
pub struct Listing {
    #[command(flatten)]
    /// Where the config is.
    pub configured: Configured,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `books`.
#[derive(Args, Clone, Debug)]
pub struct Books {
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
    /// Only this account at the provider.
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Only this meter of the provider.
    #[arg(long, value_name = "METER")]
    pub meter: Option<String>,
    /// One line per window, instead of one per account and meter.
    #[arg(long)]
    pub by_window: bool,
}

/// Flags of `reconcile`.
#[derive(Args, Clone, Debug)]
pub struct Reconcile {
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
    /// Only this provider instance; by default every one.
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Only this account at the provider, and all meters of it, also where nothing is known of any
    /// usage.
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Only this meter of the provider.
    #[arg(long, value_name = "METER")]
    pub meter: Option<String>,
    /// Only periods or months that end after this instant; by default the start of the UTC month
    /// before this one.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only periods or months that begin before this instant; by default now.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Print CSV, a line for each total.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Have settlement look next at what a provider lacks, and hold what two reports show to be
    /// gone. What a provider has too much is only said.
    #[arg(long)]
    pub apply: bool,
    /// Show the newest report that was kept, and read nothing.
    #[arg(long, conflicts_with_all = ["account", "meter", "since", "until", "csv", "apply"])]
    pub last: bool,
}

/// Flags of `invoice-usages`.
#[derive(Args, Clone, Debug)]
pub struct InvoiceUsages {
    /// The invoice's id at the provider.
    #[arg(value_name = "INVOICE")]
    pub invoice: String,
    /// Where the PDF is put; what is there already is not overwritten.
    #[arg(long, value_name = "FILE")]
    pub pdf: PathBuf,
    /// The provider instance, such as chargebee.main; needed where several make such documents.
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    #[command(flatten)]
    /// Where the config is.
    pub configured: Configured,
}

/// Flags of `trace`.
#[derive(Args, Clone, Debug)]
pub struct Trace {
    /// The record, as SOURCE/ID.
    #[arg(value_name = "SOURCE/ID")]
    pub record: String,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Commands of `held`.
#[derive(Debug, Subcommand)]
pub enum Held {
    /// List held events and balances, conflicts, corrections without effect, and parked records,
    /// with what ends each.
    List(HeldList),
    /// Show one with its attempts and moves, or with its two copies.
    Show(HeldShow),
    /// Decide one: say what is true of it, and why. The decision is kept for ever.
    Resolve(HeldResolve),
}

/// Flags of `held list`.
#[derive(Args, Clone, Debug)]
pub struct HeldList {
    /// List at most so many of each, the oldest.
    // More than a person works through before asking again.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub limit: u32,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Flags of `held show`.
#[derive(Args, Clone, Debug)]
pub struct HeldShow {
    /// What `held list` calls it: event:12, balance:7, conflict:3.
    #[arg(value_name = "NAME", value_parser = item_name)]
    pub name: ItemName,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Flags of `held resolve`.
#[derive(Args, Clone, Debug)]
pub struct HeldResolve {
    /// What `held list` calls it: event:12, balance:7, conflict:3.
    #[arg(value_name = "NAME", value_parser = item_name)]
    pub name: ItemName,
    /// What is true of it. Of an event: billed (the provider holds it), not-billed (it does not:
    /// tell it), write-off (it is not to be told). Of a balance: billed or write-off. Of a
    /// conflict: first (the booked copy is right) or second (the other one is).
    #[arg(long = "as", value_name = "VERDICT", value_parser = verdict)]
    pub verdict: Verdict,
    /// Why, in a sentence.
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Who decides; by default whoever runs this.
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    /// Only show what would change.
    #[arg(long)]
    pub dry_run: bool,
    /// Decide only if its token is still this one, as a listing showed it; by default, as it is
    /// now.
    #[arg(long, value_name = "TOKEN")]
    pub expect: Option<String>,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

fn item_name(text: &str) -> Result<ItemName, String> {
    ItemName::parse(text)
        .ok_or_else(|| "held things are called event:12, balance:7 or conflict:3".to_owned())
}

fn verdict(text: &str) -> Result<Verdict, String> {
    Verdict::from_typed(text).ok_or_else(|| {
        let known: Vec<String> = Verdict::ALL.iter().map(|verdict| verdict.typed()).collect();
        format!("there is {}", known.join(", "))
    })
}

/// Flags of `import`.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// The files, NDJSON or as their mapping says; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The source the records come from.
    #[arg(long, value_name = "NAME", required_unless_present = "corrections")]
    pub source: Option<String>,
    /// The files hold corrections: NDJSON, or a CSV table, with source (unless --source says it),
    /// record, id (the correction's own), kind (cancel, adjust), quantity, replaces, reason.
    #[arg(long, conflicts_with = "mapping")]
    pub corrections: bool,
    /// The mapping of the config that makes records of rows; by default the one named like the
    /// source, if there is one.
    #[arg(long, value_name = "NAME")]
    pub mapping: Option<String>,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Commands of `customers`.
#[derive(Debug, Subcommand)]
pub enum Customers {
    /// Import customers' accounts from a CSV file with the columns `customer` and `account`.
    Import(CustomersImport),
}

/// Flags of `customers import`.
#[derive(Args, Clone, Debug)]
pub struct CustomersImport {
    /// The file; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The provider instance the accounts are at, such as stripe.main.
    #[arg(long, value_name = "NAME")]
    pub provider: String,
    #[command(flatten)]
    /// The listing's flags.
    pub listing: Listing,
}

/// Commands of `ledger`.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Check every promise that the ledger's rows make about each other; exit 2 if one is broken.
    Verify(LedgerVerify),
    /// Move settled records of long ago to a file, while no daemon runs. What is sent again of them
    /// stays known.
    Archive(LedgerArchive),
    /// Copy the ledger to a file, also while a daemon runs.
    Backup(LedgerBackup),
    /// Put a backup in the ledger's place, while no daemon runs. What may have been sent since the
    /// backup was made is held.
    Restore(LedgerRestore),
    /// Say that the sources sent again what a restored ledger lacked.
    CaughtUp(LedgerCaughtUp),
}

/// Flags of `ledger verify`.
#[derive(Args, Clone, Debug)]
pub struct LedgerVerify {
    /// Check this archive of the ledger instead of the ledger.
    #[arg(long, value_name = "FILE")]
    pub archive: Option<PathBuf>,
    #[command(flatten)]
    /// Where the ledger is, and how it is listed.
    pub listing: Listing,
}

/// Flags of `ledger archive`.
#[derive(Args, Clone, Debug)]
pub struct LedgerArchive {
    /// The archive, which must not be there yet.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only windows that ended before this instant, which is at least `ledger.archive_after_days`
    /// ago.
    #[arg(long, value_name = "TIME")]
    pub before: String,
    /// Give the room in the ledger's file back to the disk afterwards; this takes as much room as
    /// the ledger has, while it lasts.
    #[arg(long)]
    pub shrink: bool,
    #[command(flatten)]
    /// Where the config is.
    pub configured: Configured,
}

/// Flags of `ledger backup`.
#[derive(Args, Clone, Debug)]
pub struct LedgerBackup {
    /// The file, which must not be there yet.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    /// Where the config is.
    pub configured: Configured,
}

/// Flags of `ledger restore`.
#[derive(Args, Clone, Debug)]
pub struct LedgerRestore {
    /// The backup.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    /// Where the config is.
    pub configured: Configured,
}

/// Flags of `ledger caught-up`.
#[derive(Args, Clone, Debug)]
pub struct LedgerCaughtUp {
    /// What was sent again, in a sentence.
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Who says so; by default whoever runs this.
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    #[command(flatten)]
    /// Where the config is.
    pub configured: Configured,
}

/// Flags of `sandbox`.
#[derive(Args, Clone, Debug)]
pub struct Sandbox {
    /// Where the stand-in for Stripe listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8485")]
    pub listen: SocketAddr,
    /// Where the stand-in for Chargebee listens; by default the next port, 127.0.0.1:8486.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_chargebee: Option<SocketAddr>,
    /// Where the stand-in for Cryptolens listens; by default the port after that, 127.0.0.1:8487.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_cryptolens: Option<SocketAddr>,
    /// Where the stand-in for Planship listens; by default the port after that, 127.0.0.1:8488.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_planship: Option<SocketAddr>,
    /// Meters that exist at the start, as EVENT_NAME, or with :sum|count|last and :hour|day behind.
    #[arg(long = "meter", value_name = "METER")]
    pub meters: Vec<String>,
    /// Allow 1,000 meter events a second, as a live account, instead of 25 requests as a sandbox.
    #[arg(long)]
    pub live_limits: bool,
    /// How long an event takes to count, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MILLISECONDS")]
    pub lag: u64,
    /// Faults, as KIND=BASIS_POINTS: answer_lost=400.
    #[arg(long = "fault", value_name = "KIND=BASIS_POINTS")]
    pub faults: Vec<String>,
    /// The seed of the faults.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub seed: u64,
}
