//! `[stripe.NAME]`. Here: a Stripe account, its declared meters, and how it is delivered to. Never
//! here: how its events go (see `channel`), whether Stripe agrees (`tallyd check --online`). Read
//! next: `channel`.

use secrecy::{ExposeSecret, SecretString};
use toml::Spanned;

use super::pace::{Pace, named};
use super::route::STRIPE;
use super::{Given, channel};
use crate::config::field::{Table, Whole, name, word};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::secret::{one_secret, secret};
use crate::config::{SecretPolicy, Stripe, raw};
use crate::delivery::{self, Rate};
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::provider_facts::{Formula, MeterPin, Span};
use crate::provider::stripe::settings as stripe;
use crate::reconcile;

/// How a meter adds up, in the words of the file.
pub(super) const FORMULAS: [(&str, Formula); 3] =
    [("sum", Formula::Sum), ("count", Formula::Count), ("last", Formula::Last)];
pub(super) const SPANS: [(&str, Span); 2] = [("hour", Span::Hour), ("day", Span::Day)];

/// Most requests a second: ten times what Stripe grants any account for meter events.
const RATE_MAX: i64 = 10_000;
/// Most requests for totals in 30 days: some accounts have ten times the reads that all have.
pub(super) const READS_PER_MONTH_MAX: i64 = 100_000;

/// What keys begin with that move money, and those that move none.
const LIVE_KEYS: [&str; 2] = ["sk_live_", "rk_live_"];
const TEST_KEYS: [&str; 2] = ["sk_test_", "rk_test_"];

/// Whether a key moves money.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Live,
    Test,
}

pub(super) fn accounts(
    accounts: &raw::Named<raw::Stripe>,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> Vec<Stripe> {
    let mut all = Vec::new();
    for (key, raw) in accounts {
        if let Some((table, name)) = named(STRIPE, "the account's name", key, found) {
            all.push(account(&table, name, raw, free_bytes_min, given, found));
        }
    }
    all
}

fn account(
    table: &Table,
    name: ProviderName,
    raw: &raw::Stripe,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> Stripe {
    let meters = raw.meter.iter().filter_map(|(key, raw)| meter(table, key, raw, found)).collect();
    let api = address(&table.key("api"), &raw.api, stripe::API, found);
    let account = own_id(table, raw, found);
    let (key, kind) = key(table, raw, given, found);
    if let (Some(KeyKind::Live), Some(field)) = (kind, &raw.api)
        && api != stripe::API
    {
        let title = format!("`{}` has a live key, and its `api` is not Stripe's", table.path);
        let label = "the key that moves money would be sent there";
        let help = "remove `api`, or use a test key";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    let rate = match kind {
        Some(KeyKind::Live) => stripe::RATE_PER_SECOND_LIVE,
        Some(KeyKind::Test) | None => stripe::RATE_PER_SECOND_TEST,
    };
    let per_second = Whole::new(
        table.key("rate_per_second"),
        1,
        RATE_MAX,
        "nothing would be sent, or most of it refused",
    )
    .read(&raw.rate_per_second, rate, found);
    let pace = Pace {
        concurrency: (&raw.concurrency, delivery::CONCURRENCY),
        attempt_timeout_seconds: &raw.attempt_timeout_seconds,
        backoff_first_millis: &raw.backoff_first_millis,
        backoff_seconds_max: &raw.backoff_seconds_max,
        pause_probe_seconds: &raw.pause_probe_seconds,
        zone: &raw.zone,
        flush: &raw.flush,
        reconcile: &raw.reconcile,
        heal: &raw.heal,
    };
    let paced = (name.clone(), Rate::per_second(per_second));
    let channel = channel::read(table, raw, kind == Some(KeyKind::Test), found);
    let batched_rate = channel::rate(table, raw, channel, kind == Some(KeyKind::Live), found);
    let delivery = pace.delivery(table, paced, free_bytes_min, found);
    let delivery = delivery::Settings { batched_rate, ..delivery };
    let reads_per_month = reads_per_month(table, raw, found);
    let reconcile = reconcile::Settings { provider: name.clone(), reads_per_month };
    let timeout_millis = delivery.attempt_timeout_millis - delivery::ATTEMPT_MARGIN_MILLIS;
    let webhook_secrets = webhook_secrets(table, raw, given, found);
    let stream_api = channel::stream_api(table, raw, &api, kind == Some(KeyKind::Live), found);
    let provider = stripe::Settings {
        name,
        api,
        stream_api,
        channel,
        key,
        account,
        meters,
        webhook_secrets,
        timeout_millis,
    };
    let (flush, reports) = pace.schedules(table, found);
    Stripe { provider, delivery, reconcile, reports, widened_from: None, flush }
}

fn reads_per_month(table: &Table, raw: &raw::Stripe, found: &mut Findings) -> u32 {
    let otherwise = "Stripe would refuse readings that its people need";
    Whole::new(table.key("reads_per_month"), 0, READS_PER_MONTH_MAX, otherwise).read(
        &raw.reads_per_month,
        reconcile::READS_PER_MONTH,
        found,
    )
}

fn key(
    table: &Table,
    raw: &raw::Stripe,
    given: &Given<'_>,
    found: &mut Findings,
) -> (SecretString, Option<KeyKind>) {
    let none = || (SecretString::from(String::new()), None);
    let Some((key, span)) = secret(table, "key", &raw.key, given, found) else { return none() };
    match given.secrets {
        SecretPolicy::Resolve => {}
        SecretPolicy::CheckPresence | SecretPolicy::Unneeded => return none(),
    }
    let is_live = LIVE_KEYS.iter().any(|prefix| key.expose_secret().starts_with(prefix));
    let kind = if is_live {
        Some(KeyKind::Live)
    } else if is_test_key(&key) {
        Some(KeyKind::Test)
    } else {
        let title = format!("`{}` is no secret or restricted key of Stripe", table.key("key"));
        let label = "Stripe would refuse every request";
        let help = "use a key that starts with rk_live_, sk_live_, rk_test_ or sk_test_";
        found.error(Problem::at(span, title).label(label).help(help));
        None
    };
    (key, kind)
}

/// The secrets of the account's webhook endpoints. One that is nothing would let anybody sign.
fn webhook_secrets(
    table: &Table,
    raw: &raw::Stripe,
    given: &Given<'_>,
    found: &mut Findings,
) -> Vec<SecretString> {
    let Some(list) = &raw.webhook_secrets else { return Vec::new() };
    let path = table.key("webhook_secrets");
    let most = stripe::WEBHOOK_SECRETS_MAX;
    if list.get_ref().len() > most {
        let title = format!("`{path}` has more than {most} secrets");
        let label = "whatever anybody sends would be hashed once for each";
        let help = "keep those in force: one an endpoint, and two while one is rolled";
        found.error(Problem::at(list.span(), title).label(label).help(help));
    }
    let mut secrets = Vec::new();
    for (index, field) in list.get_ref().iter().enumerate() {
        let path = format!("{path}.{}", index + 1);
        let Some((secret, span)) = one_secret(&path, field, given, found) else { continue };
        if given.secrets == SecretPolicy::Resolve && !is_signing_secret(secret.expose_secret()) {
            let title = format!("`{path}` is no signing secret of Stripe");
            let label = "no webhook would be signed with it, or anybody could sign one";
            let help = "copy it from the webhook endpoint at Stripe: it starts with whsec_";
            found.error(Problem::at(span, title).label(label).help(help));
        }
        secrets.push(secret);
    }
    secrets
}

fn is_signing_secret(secret: &str) -> bool {
    let rest = secret.strip_prefix(stripe::WEBHOOK_SECRET_PREFIX);
    rest.is_some_and(|rest| rest.len() >= stripe::WEBHOOK_SECRET_BYTES_MIN)
}

/// An address of the API's. A mistake in it would send a secret elsewhere, so it has one plain
/// form.
pub(super) fn address(
    path: &str,
    field: &raw::Key<String>,
    otherwise: &str,
    found: &mut Findings,
) -> String {
    let Some(field) = field else { return otherwise.to_owned() };
    let text = field.get_ref().strip_suffix('/').unwrap_or(field.get_ref());
    let (problem, label) = match text.split_once("://") {
        Some(("https", host)) if plain_host(host) => return text.to_owned(),
        Some(("http", host)) if plain_host(host) && is_loopback(host) => return text.to_owned(),
        Some(("http", host)) if plain_host(host) => (
            format!("`{path}` is not encrypted, and not on this host"),
            "everybody on the way could read the key",
        ),
        Some(_) | None => (
            format!("`{path}` is not the plain address of a server"),
            "it is not clear where the key would be sent",
        ),
    };
    let help = "write https://HOST, or http://127.0.0.1:PORT for a stand-in on this host";
    found.error(Problem::at(field.span(), problem).label(label).help(help));
    otherwise.to_owned()
}

/// Whether a key moves no money.
pub(super) fn is_test_key(key: &SecretString) -> bool {
    TEST_KEYS.iter().any(|prefix| key.expose_secret().starts_with(prefix))
}

/// Whether this is a host, perhaps with a port, and nothing else.
pub(super) fn plain_host(host: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    !host.is_empty() && host.chars().all(plain)
}

pub(super) fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<std::net::SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn own_id(table: &Table, raw: &raw::Stripe, found: &mut Findings) -> Option<String> {
    let field = raw.account.as_ref()?;
    let text = field.get_ref();
    let id = text.strip_prefix("acct_");
    if !id.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric())) {
        let title = format!("`{}` is {text:?}, and no account id", table.key("account"));
        let label = "no key belongs to it: nothing would be sent";
        let help = "copy the id from Stripe's settings: it starts with acct_";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    Some(text.clone())
}

fn meter(
    table: &Table,
    key: &Spanned<String>,
    raw: &raw::StripeMeter,
    found: &mut Findings,
) -> Option<MeterPin> {
    let inner = Table { path: table.key(&format!("meter.{}", key.get_ref())), span: key.span() };
    let event = name("the meter's name", key.get_ref(), key.span(), ProviderMeter::new, found);
    if key.get_ref().chars().count() > stripe::EVENT_NAME_CHARS_MAX {
        let most = stripe::EVENT_NAME_CHARS_MAX;
        let title = format!("the meter's name is longer than {most} characters");
        let label = "no meter at Stripe has an event name as long";
        let help = "use the event name of the meter at Stripe";
        found.error(Problem::at(key.span(), title).label(label).help(help));
    }
    let formula = word(&inner.key("formula"), &raw.formula, &FORMULAS, Formula::Sum, found);
    let span =
        raw.span.as_ref().map(|_| word(&inner.key("span"), &raw.span, &SPANS, Span::Hour, found));
    if let (Formula::Count, Some(field)) = (formula, &raw.span) {
        let title =
            format!("`{}` is set, and `{}` is \"count\"", inner.key("span"), inner.key("formula"));
        let label = "of each span the meter keeps one event, which counts as one whatever was used";
        let help = "send this usage to a meter whose formula is \"sum\"";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    if let (Formula::Last, Some(field)) = (formula, &raw.span) {
        let title =
            format!("`{}` is set, and `{}` is \"last\"", inner.key("span"), inner.key("formula"));
        let label = "of each span the meter keeps one value: which of them it bills is not known";
        let help = "send this usage to a meter without an event time window";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    Some(MeterPin {
        meter: event?,
        id: meter_id(&inner, raw, found),
        formula,
        customer_key: payload_key(
            &inner,
            "customer_key",
            &raw.customer_key,
            stripe::CUSTOMER_KEY,
            found,
        ),
        value_key: payload_key(&inner, "value_key", &raw.value_key, stripe::VALUE_KEY, found),
        span,
        active: true,
        learned: false,
    })
}

fn meter_id(table: &Table, raw: &raw::StripeMeter, found: &mut Findings) -> Option<String> {
    let field = raw.id.as_ref()?;
    if field.get_ref().is_empty() {
        let title = format!("`{}` is empty", table.key("id"));
        let label = "another meter that takes over the name would not be noticed";
        let help = "copy the meter's id from Stripe, or remove this line";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    Some(field.get_ref().clone())
}

fn payload_key(
    table: &Table,
    key: &str,
    field: &raw::Key<String>,
    default: &str,
    found: &mut Findings,
) -> String {
    let Some(field) = field else { return default.to_owned() };
    let text = field.get_ref();
    if text.is_empty() || text.chars().count() > stripe::PAYLOAD_KEY_CHARS_MAX {
        let most = stripe::PAYLOAD_KEY_CHARS_MAX;
        let title = format!("`{}` needs 1 to {most} characters", table.key(key));
        let label = "Stripe would refuse every event of this meter";
        let help = format!("copy it from the meter at Stripe; without this line it is {default:?}");
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    text.clone()
}
