//! Metrics. Here: the registry, every metric, and its text form. Never here: a customer's name, as
//! it would make a series per customer. Read next: [`super::logs`].

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::answer::OutcomeKind;
use crate::domain::correction::CorrectionKind;
use crate::domain::drift::Agreement;
use crate::domain::names::ProviderName;
use crate::domain::notice::WebhookOutcome;
use crate::domain::reading::FindingKind;

/// The `Content-Type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds of the batch sizes that are told apart: from a single record to the most that a
/// request may hold by default.
const BATCH_BOUNDS: [f64; 6] = [1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CorrectionLabel {
    kind: String,
    verdict: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    provider: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabel {
    provider: String,
    finding: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgreementLabel {
    provider: String,
    agreement: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    provider: String,
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HoldLabel {
    provider: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MeterLabel {
    provider: String,
    meter: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Unlabelled {}

/// What the ledger stood at, when it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Events by provider and state: (provider, state, how many).
    pub events: Vec<(String, String, i64)>,
    /// Parked records by reason: (reason, how many).
    pub parked: Vec<(String, i64)>,
    /// Held events and balances by provider and reason: (provider, reason, how many).
    pub holds: Vec<(String, String, i64)>,
    /// What is at risk by provider and meter, in whole units: (provider, meter, how much).
    pub at_risk: Vec<(String, String, i64)>,
    /// What is in flight or unknown by provider and meter, in whole units: (provider, meter, how
    /// much).
    pub open: Vec<(String, String, i64)>,
    /// The share of the newest events that is held, in basis points.
    pub held_basis_points: i64,
    /// How long the oldest event that waits to be told has waited, in seconds.
    pub oldest_open_seconds: Option<i64>,
    /// How long until the nearest deadline of an event that waits to be told, in seconds; below
    /// zero when it has passed.
    pub nearest_deadline_seconds: Option<i64>,
    /// Items that came as records, are none, and wait for a person.
    pub rejected_open: i64,
    /// Bytes free on the ledger's disk.
    pub free_bytes: Option<u64>,
}

/// Who was silent, when the ledger was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silences {
    /// How many are, of each kind that is told of: (source, meter or customer, how many).
    pub silent: Vec<(String, i64)>,
    /// How long each source has been quiet, in seconds. Each is a series: whoever shows them bounds
    /// them.
    pub quiet_sources: Vec<(String, i64)>,
}

/// The daemon's metrics. A copy counts into the same.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    records: Family<VerdictLabel, Counter>,
    batches: Histogram,
    corrections: Family<CorrectionLabel, Counter>,
    requests: Family<StatusLabel, Counter>,
    webhooks: Family<OutcomeLabel, Counter>,
    answers: Family<OutcomeLabel, Counter>,
    findings: Family<FindingLabel, Counter>,
    invoices: Family<AgreementLabel, Counter>,
    events: Family<StateLabel, Gauge>,
    parked: Family<ReasonLabel, Gauge>,
    rejected_open: Gauge,
    held: Gauge,
    holds: Family<HoldLabel, Gauge>,
    at_risk: Family<MeterLabel, Gauge>,
    open: Family<MeterLabel, Gauge>,
    held_share: Gauge,
    oldest_open: Gauge,
    // A family without labels: it has no sample while nothing has a deadline, as any number would
    // look like one to an alert.
    nearest_deadline: Family<Unlabelled, Gauge>,
    free_bytes: Family<Unlabelled, Gauge>,
    silent: Family<KindLabel, Gauge>,
    quiet_sources: Family<SourceLabel, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that stand at nothing.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::new(Registry::default()),
            records: Family::default(),
            batches: Histogram::new(BATCH_BOUNDS),
            corrections: Family::default(),
            requests: Family::default(),
            webhooks: Family::default(),
            answers: Family::default(),
            findings: Family::default(),
            invoices: Family::default(),
            events: Family::default(),
            parked: Family::default(),
            rejected_open: Gauge::default(),
            held: Gauge::default(),
            holds: Family::default(),
            at_risk: Family::default(),
            open: Family::default(),
            held_share: Gauge::default(),
            oldest_open: Gauge::default(),
            nearest_deadline: Family::default(),
            free_bytes: Family::default(),
            silent: Family::default(),
            quiet_sources: Family::default(),
        };
        metrics.registry = Arc::new(metrics.register());
        metrics
    }

    fn register(&self) -> Registry {
        let mut all = Registry::with_prefix("tallyd");
        let said = "Items that came as usage records, by what became of them";
        all.register("intake_records", said, self.records.clone());
        let said = "Items in one call to the ledger";
        all.register("intake_batch_records", said, self.batches.clone());
        let said = "Items that came as corrections, by kind and by what became of them";
        all.register("intake_corrections", said, self.corrections.clone());
        let said = "HTTP requests, by the class of the answer's status";
        all.register("http_requests", said, self.requests.clone());
        let said = "Webhooks by provider, if one takes them at their path, and by outcome";
        all.register("webhooks", said, self.webhooks.clone());
        let said = "Attempts to tell a provider, by outcome";
        all.register("delivery_answers", said, self.answers.clone());
        let said = "Totals that were compared with a provider's, by what they came to";
        all.register("reconcile_readings", said, self.findings.clone());
        let said = "Final invoices' lines that were compared with what was told, by agreement";
        all.register("reconcile_invoices", said, self.invoices.clone());
        let said = "Meter events in the ledger, by state";
        all.register("meter_events", said, self.events.clone());
        let said = "Records that wait in front of a route, by reason";
        all.register("parked_records", said, self.parked.clone());
        let said = "Items that came as records, are none, and wait for a person";
        all.register("rejected_open", said, self.rejected_open.clone());
        let said = "Meter events that wait for a person or for proof";
        all.register("held_events", said, self.held.clone());
        let said = "Held meter events and balances, by reason";
        all.register("holds", said, self.holds.clone());
        let said = "What held events and balances stand for, without signs, in whole units";
        all.register("at_risk_quantity", said, self.at_risk.clone());
        let said = "What events in flight or unknown stand for, without signs, in whole units";
        all.register("open_quantity", said, self.open.clone());
        let said =
            "Of the newest 10,000 meter events, how many are held, in hundredths of a percent";
        all.register("held_share_basis_points", said, self.held_share.clone());
        let said = "How long the oldest event that waits to be told has waited";
        let open = self.oldest_open.clone();
        all.register_with_unit("oldest_open_event", said, Unit::Seconds, open);
        let said = "How long until the nearest deadline of an event that waits to be told";
        let nearest = self.nearest_deadline.clone();
        all.register_with_unit("nearest_deadline", said, Unit::Seconds, nearest);
        let said = "Free on the ledger's disk";
        all.register_with_unit("ledger_free", said, Unit::Bytes, self.free_bytes.clone());
        let said =
            "Sources, meters and customers that are silent for longer than their cadence, by kind";
        all.register("silent", said, self.silent.clone());
        let said = "How long nothing new has come from a source, while it was listened for";
        all.register_with_unit("source_quiet", said, Unit::Seconds, self.quiet_sources.clone());
        all
    }

    /// Counts items of a batch that came to `verdict`.
    pub fn records(&self, verdict: &'static str, count: u64) {
        let label = VerdictLabel { verdict: verdict.to_owned() };
        self.records.get_or_create(&label).inc_by(count);
    }

    /// Counts one call to the ledger with this many items.
    pub fn batch(&self, records: usize) {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        self.batches.observe(f64::from(records));
    }

    /// Counts a correction of `kind` that came to `verdict`; the kind of one that could not be read
    /// is not known.
    pub fn correction(&self, kind: Option<CorrectionKind>, verdict: &'static str) {
        let kind = kind.map_or("unknown", CorrectionKind::as_str).to_owned();
        let label = CorrectionLabel { kind, verdict: verdict.to_owned() };
        self.corrections.get_or_create(&label).inc();
    }

    /// Counts an answered HTTP request.
    pub fn request(&self, status: u16) {
        let label = StatusLabel { status: format!("{}xx", status / 100) };
        self.requests.get_or_create(&label).inc();
    }

    /// Counts a webhook's request; without a provider when none takes webhooks at its path. What is
    /// written in a path is no label, as anybody may write one.
    pub fn webhook(&self, provider: Option<&ProviderName>, outcome: WebhookOutcome) {
        let provider = provider.map_or_else(|| "none".to_owned(), ToString::to_string);
        let outcome = outcome.to_string();
        self.webhooks.get_or_create(&OutcomeLabel { provider, outcome }).inc();
    }

    /// Counts a provider's answer.
    pub fn answer(&self, provider: &ProviderName, outcome: OutcomeKind) {
        let (provider, outcome) = (provider.to_string(), outcome.to_string());
        self.answers.get_or_create(&OutcomeLabel { provider, outcome }).inc();
    }

    /// Counts what a provider's total came to.
    pub fn finding(&self, provider: &ProviderName, finding: FindingKind) {
        let (provider, finding) = (provider.to_string(), finding.to_string());
        self.findings.get_or_create(&FindingLabel { provider, finding }).inc();
    }

    /// Counts what a final invoice's line came to.
    pub fn invoice(&self, provider: &ProviderName, agreement: Agreement) {
        let (provider, agreement) = (provider.to_string(), agreement.to_string());
        self.invoices.get_or_create(&AgreementLabel { provider, agreement }).inc();
    }

    /// Shows what the ledger stands at. What is not named any longer is not shown any longer.
    pub fn show(&self, standing: &Standing) {
        self.events.clear();
        let mut held = 0;
        for (provider, state, count) in &standing.events {
            let label = StateLabel { provider: provider.clone(), state: state.clone() };
            self.events.get_or_create(&label).set(*count);
            if state == crate::domain::state::EventState::Held.as_str() {
                held += count;
            }
        }
        self.held.set(held);
        self.holds.clear();
        for (provider, reason, count) in &standing.holds {
            let label = HoldLabel { provider: provider.clone(), reason: reason.clone() };
            self.holds.get_or_create(&label).set(*count);
        }
        for (family, sums) in [(&self.at_risk, &standing.at_risk), (&self.open, &standing.open)] {
            family.clear();
            for (provider, meter, units) in sums {
                let label = MeterLabel { provider: provider.clone(), meter: meter.clone() };
                family.get_or_create(&label).set(*units);
            }
        }
        self.held_share.set(standing.held_basis_points);
        self.parked.clear();
        for (reason, count) in &standing.parked {
            self.parked.get_or_create(&ReasonLabel { reason: reason.clone() }).set(*count);
        }
        self.rejected_open.set(standing.rejected_open);
        self.oldest_open.set(standing.oldest_open_seconds.unwrap_or(0));
        show_or_hide(&self.nearest_deadline, standing.nearest_deadline_seconds);
        let free_bytes = standing.free_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        show_or_hide(&self.free_bytes, free_bytes);
    }

    /// Shows who is silent. What is not named any longer is not shown any longer.
    pub fn show_silences(&self, silences: &Silences) {
        self.silent.clear();
        for (kind, count) in &silences.silent {
            self.silent.get_or_create(&KindLabel { kind: kind.clone() }).set(*count);
        }
        self.quiet_sources.clear();
        for (source, seconds) in &silences.quiet_sources {
            let label = SourceLabel { source: source.clone() };
            self.quiet_sources.get_or_create(&label).set(*seconds);
        }
    }

    /// Everything, in the OpenMetrics text form.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("a string takes whatever is written to it");
        page
    }
}

fn show_or_hide(family: &Family<Unlabelled, Gauge>, value: Option<i64>) {
    match value {
        Some(value) => {
            family.get_or_create(&Unlabelled {}).set(value);
        }
        None => family.clear(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_page_shows_what_was_counted_and_hides_what_is_not_known() {
        let metrics = Metrics::new();
        metrics.clone().records("accepted", 3);
        metrics.request(503);
        metrics.webhook(None, WebhookOutcome::NotTaken);
        metrics.answer(&ProviderName::new("stripe.main").unwrap(), OutcomeKind::RateLimited);
        let mut standing = Standing {
            events: vec![("stripe.main".to_owned(), "held".to_owned(), 2)],
            holds: vec![("stripe.main".to_owned(), "refused".to_owned(), 2)],
            at_risk: vec![("stripe.main".to_owned(), "calls".to_owned(), 7)],
            open: vec![("stripe.main".to_owned(), "bytes".to_owned(), 9)],
            oldest_open_seconds: Some(12),
            held_basis_points: 60,
            nearest_deadline_seconds: Some(-7),
            ..Standing::default()
        };
        metrics.show(&standing);
        metrics.show_silences(&Silences {
            silent: vec![("source".to_owned(), 1)],
            quiet_sources: vec![("web".to_owned(), 7_300)],
        });
        let page = metrics.encode();
        for line in [
            "tallyd_intake_records_total{verdict=\"accepted\"} 3",
            "tallyd_http_requests_total{status=\"5xx\"} 1",
            "tallyd_webhooks_total{provider=\"none\",outcome=\"not_taken\"} 1",
            "tallyd_delivery_answers_total{provider=\"stripe.main\",outcome=\"rate_limited\"} 1",
            "tallyd_meter_events{provider=\"stripe.main\",state=\"held\"} 2",
            "tallyd_held_events 2",
            "tallyd_holds{provider=\"stripe.main\",reason=\"refused\"} 2",
            "tallyd_at_risk_quantity{provider=\"stripe.main\",meter=\"calls\"} 7",
            "tallyd_open_quantity{provider=\"stripe.main\",meter=\"bytes\"} 9",
            "tallyd_oldest_open_event_seconds 12",
            "tallyd_held_share_basis_points 60",
            "tallyd_nearest_deadline_seconds{} -7",
            "tallyd_silent{kind=\"source\"} 1",
            "tallyd_source_quiet_seconds{source=\"web\"} 7300",
        ] {
            assert!(page.lines().any(|each| each == line), "{line}\n{page}");
        }
        // Each says what it is.
        let told = |kind: &str| -> BTreeSet<String> {
            let lines = page.lines().filter_map(|line| line.strip_prefix(kind));
            lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
        };
        assert_eq!(told("# HELP "), told("# TYPE "));
        let said = told("# HELP ");
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            assert!(said.iter().any(|name| line.starts_with(name.as_str())), "{line}\n{page}");
        }
        standing.nearest_deadline_seconds = None;
        standing.open.clear();
        metrics.show(&standing);
        assert!(!metrics.encode().contains("tallyd_open_quantity{"));
        assert!(!metrics.encode().contains("tallyd_nearest_deadline_seconds{}"));
    }
}
