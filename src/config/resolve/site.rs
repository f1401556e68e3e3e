//! `[chargebee.NAME]`. Here: a Chargebee site that meters by usages, the item prices that usage is
//! told for, and how it is delivered to. Never here: a site that meters by events (see
//! `event_site`), whether Chargebee agrees. Read next: `event_site`.

use secrecy::{ExposeSecret as _, SecretString};
use toml::Spanned;

use super::Given;
use super::account::{is_loopback, plain_host};
use super::pace::{Pace, named};
use super::route::CHARGEBEE;
use crate::config::field::{Table, Whole, name, required, word};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::secret::{one_secret, secret};
use crate::config::{Chargebee, SecretPolicy, raw};
use crate::delivery::{self, Rate};
use crate::domain::entries;
use crate::domain::fold::Fold;
use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::quantity;
use crate::provider::chargebee::settings::{self as chargebee, ItemPrice, Password};
use crate::reconcile;

/// How a term's usages of an item price come to what is billed, in the words of the file.
pub(super) const AGGREGATIONS: [(&str, Fold); 3] =
    [("sum", Fold::Sum), ("most_recent", Fold::Last), ("max", Fold::Max)];
/// What becomes of a subscription's windows when few usages are left to it, in the words of the
/// file.
const NEAR_USAGES_MAX: [(&str, Near); 2] = [("hold", Near::Hold), ("widen", Near::Widen)];
/// Most requests a minute: what the largest plan has.
const RATE_MAX: i64 = 3_500;
/// Most readings in 30 days: a hundred a minute.
const READS_PER_MONTH_MAX: i64 = 100 * 60 * 24 * 30;
/// Most usages of a subscription's life that can be set: one a minute for two years.
const USAGES_MAX: i64 = 1_000_000;

/// How a site meters, in the words of the file.
const MODES: [(&str, Mode); 2] = [("usages", Mode::Usages), ("usage_events", Mode::UsageEvents)];

/// How a site meters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// By quantities that are entered.
    Usages,
    /// By events.
    UsageEvents,
}

impl Mode {
    /// The mode of a site, as far as the file says it; a word that nobody knows is none's fault
    /// here.
    pub(super) fn of(raw: &raw::Chargebee) -> Self {
        let said = raw.mode.as_ref().map(|mode| mode.get_ref().as_str());
        let known = MODES.iter().find(|(word, _)| said == Some(word));
        known.map_or(Self::Usages, |(_, mode)| *mode)
    }
}

#[derive(Clone, Copy)]
enum Near {
    /// They stay, and without any usage left it is held.
    Hold,
    /// They become months.
    Widen,
}

pub(super) fn sites(
    sites: &raw::Named<raw::Chargebee>,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> Vec<Chargebee> {
    let mut all = Vec::new();
    for (key, raw) in sites {
        let mode = format!("{CHARGEBEE}{}.mode", key.get_ref());
        word(&mode, &raw.mode, &MODES, Mode::Usages, found);
        if Mode::of(raw) != Mode::Usages {
            continue;
        }
        if let Some((table, own)) = named(CHARGEBEE, "the site's name", key, found) {
            no_features(&table, raw, found);
            all.push(site(&table, own, raw, free_bytes_min, given, found));
        }
    }
    all
}

/// Refuses features where item prices are told.
fn no_features(table: &Table, raw: &raw::Chargebee, found: &mut Findings) {
    for key in raw.feature.keys() {
        let path = table.key(&format!("feature.{}", key.get_ref()));
        let title = format!("`{path}` is a feature, and `{}` meters by usages", table.path);
        let label = "it would be told nothing";
        let help = "set `mode = \"usage_events\"` there, or declare the item price instead";
        found.error(Problem::at(key.span(), title).label(label).help(help));
    }
}

fn site(
    table: &Table,
    own: ProviderName,
    raw: &raw::Chargebee,
    free_bytes_min: u64,
    given: &Given<'_>,
    found: &mut Findings,
) -> Chargebee {
    let site = site_name(table, raw, found);
    let api = api(table, raw, &site, found);
    let Numbers { decimals, usages_max, invoices_close_after_hours, rate, reads_per_month } =
        numbers(table, raw, found);
    let pace = pace(raw);
    let paced = (own.clone(), Rate::per_minute(rate));
    let delivery = delivery::Settings {
        limited_pause_seconds: chargebee::LIMITED_PAUSE_SECONDS,
        ..pace.delivery(table, paced, free_bytes_min, found)
    };
    let (flush, reports) = pace.schedules(table, found);
    let item_prices =
        raw.item_price.iter().filter_map(|(key, raw)| item_price(table, key, raw, found)).collect();
    let key = key(table, raw, &site, given, found);
    let webhooks = webhooks(table, raw, given, found);
    let timeout_millis = delivery.attempt_timeout_millis - delivery::ATTEMPT_MARGIN_MILLIS;
    let reconcile = reconcile::Settings { provider: own.clone(), reads_per_month };
    let widened_from = widened_from(table, raw, (usages_max, invoices_close_after_hours), found);
    let provider = chargebee::Settings {
        name: own,
        site,
        api,
        key,
        item_prices,
        decimals,
        usages_max,
        invoices_close_after_hours,
        webhooks,
        rate_per_minute: rate,
        timeout_millis,
    };
    Chargebee { provider, delivery, reconcile, reports, widened_from, flush }
}

/// What a site's table counts.
struct Numbers {
    decimals: u32,
    usages_max: u32,
    invoices_close_after_hours: u32,
    rate: u32,
    reads_per_month: u32,
}

/// How a site is told, whichever way it meters.
pub(super) fn pace(raw: &raw::Chargebee) -> Pace<'_> {
    Pace {
        concurrency: (&raw.concurrency, chargebee::CONCURRENCY),
        attempt_timeout_seconds: &raw.attempt_timeout_seconds,
        backoff_first_millis: &raw.backoff_first_millis,
        backoff_seconds_max: &raw.backoff_seconds_max,
        pause_probe_seconds: &raw.pause_probe_seconds,
        zone: &raw.zone,
        flush: &raw.flush,
        reconcile: &raw.reconcile,
        heal: &raw.heal,
    }
}

/// Readings in any 30 days.
pub(super) fn reads_per_month(table: &Table, raw: &raw::Chargebee, found: &mut Findings) -> u32 {
    let otherwise = "readings would take the minute's requests from what is to be told";
    let bound = Whole::new(table.key("reads_per_month"), 0, READS_PER_MONTH_MAX, otherwise);
    bound.read(&raw.reads_per_month, chargebee::READS_PER_MONTH, found)
}

fn numbers(table: &Table, raw: &raw::Chargebee, found: &mut Findings) -> Numbers {
    let bound = |key: &str, most, otherwise| Whole::new(table.key(key), 0, most, otherwise);
    let decimals = bound(
        "decimals",
        quantity::DECIMALS_MAX,
        "the site would refuse usage, or round it on the bill",
    )
    .read(&raw.decimals, chargebee::DECIMALS, found);
    let usages_max = bound(
        "usages_max",
        USAGES_MAX,
        "usage would be held, or be refused by the site",
    )
    .read(&raw.usages_max, chargebee::USAGES_MAX, found);
    let invoices_close_after_hours = bound(
        "invoices_close_after_hours",
        chargebee::INVOICES_CLOSE_AFTER_HOURS_MAX,
        "usage would be told to invoices that are closed, and never be billed",
    )
    .read(&raw.invoices_close_after_hours, chargebee::INVOICES_CLOSE_AFTER_HOURS, found);
    let otherwise = "nothing would be sent, or the whole site be blocked";
    let rate = Whole::new(table.key("rate_per_minute"), 1, RATE_MAX, otherwise).read(
        &raw.rate_per_minute,
        chargebee::RATE_PER_MINUTE,
        found,
    );
    let reads_per_month = reads_per_month(table, raw, found);
    Numbers { decimals, usages_max, invoices_close_after_hours, rate, reads_per_month }
}

/// From how many usages of a subscription on its windows are widened.
fn widened_from(
    table: &Table,
    raw: &raw::Chargebee,
    (usages_max, close_after_hours): (u32, u32),
    found: &mut Findings,
) -> Option<u32> {
    let field = raw.near_usages_max.as_ref()?;
    let path = table.key("near_usages_max");
    match word(&path, &raw.near_usages_max, &NEAR_USAGES_MAX, Near::Hold, found) {
        Near::Hold => None,
        Near::Widen => {
            if close_after_hours == 0 {
                let title = format!("`{path}` is \"widen\", and invoices are closed at once");
                let label = "a term's usage would be told after its end, when its bill is closed";
                let help = "have the site leave its invoices pending, or set \"hold\"";
                found.error(Problem::at(field.span(), title).label(label).help(help));
            }
            Some(entries::few_from(usages_max))
        }
    }
}

/// The site's name: what stands before `.chargebee.com`.
pub(super) fn site_name(table: &Table, raw: &raw::Chargebee, found: &mut Findings) -> String {
    let otherwise = "it is not clear whom to tell";
    let field = required(table, "site", &raw.site, otherwise, "\"acme-test\"", found);
    let Some(field) = field else { return String::new() };
    let text = field.get_ref();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || !text.chars().all(plain) {
        let title = format!("`{}` is {text:?}, and no site's name", table.key("site"));
        let label = "nothing would be found there";
        let help = "write what stands before .chargebee.com; a test site's ends with -test";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    text.clone()
}

/// The API's address: the site's own, or that of a stand-in on this host.
pub(super) fn api(table: &Table, raw: &raw::Chargebee, site: &str, found: &mut Findings) -> String {
    let own = chargebee::api_of(site);
    let Some(field) = &raw.api else { return own };
    let text = field.get_ref().strip_suffix('/').unwrap_or(field.get_ref());
    if text == own {
        return own;
    }
    let host = text.strip_prefix("http://").and_then(|rest| rest.strip_suffix(chargebee::API_PATH));
    let is_here = host.is_some_and(|host| plain_host(host) && is_loopback(host));
    if is_here && !chargebee::is_live(site) {
        return text.to_owned();
    }
    if is_here {
        let title = format!("`{}` is a live site, and its `api` is not its own", table.path);
        let label = "the key that moves money would be sent there";
        let help = "remove `api`, or name a test site, whose name ends with -test";
        found.error(Problem::at(field.span(), title).label(label).help(help));
        return own;
    }
    let title =
        format!("`{}` is neither the site's own address nor on this host", table.key("api"));
    let label = "the key would be sent there";
    let help = "remove `api`, or write http://127.0.0.1:PORT/api/v2 for a stand-in on this host";
    found.error(Problem::at(field.span(), title).label(label).help(help));
    own
}

pub(super) fn key(
    table: &Table,
    raw: &raw::Chargebee,
    site: &str,
    given: &Given<'_>,
    found: &mut Findings,
) -> SecretString {
    let Some((key, span)) = secret(table, "key", &raw.key, given, found) else {
        return SecretString::from(String::new());
    };
    match given.secrets {
        SecretPolicy::Resolve => {}
        SecretPolicy::CheckPresence | SecretPolicy::Unneeded => {
            return SecretString::from(String::new());
        }
    }
    let (contrary, kind) =
        if chargebee::is_live(site) { ("test_", "live") } else { ("live_", "test") };
    if key.expose_secret().starts_with(contrary) {
        let title = format!("`{}` is no key of a {kind} site, and `site` is one", table.key("key"));
        let label = "Chargebee would refuse every request";
        let help = "use a key of that site, or name the site that the key is of";
        found.error(Problem::at(span, title).label(label).help(help));
    }
    key
}

/// What the site's webhooks carry. A password that can be guessed would let anybody have tallyd ask
/// the site, until its reads are used up.
fn webhooks(
    table: &Table,
    raw: &raw::Chargebee,
    given: &Given<'_>,
    found: &mut Findings,
) -> Option<Password> {
    let Some(field) = &raw.webhook_password else {
        if let Some(user) = &raw.webhook_user {
            let title = format!("`{}` has no password beside it", table.key("webhook_user"));
            let label = "no webhook would be taken";
            let help = "add webhook_password = { env = \"NAME\" }, or remove this line";
            found.error(Problem::at(user.span(), title).label(label).help(help));
        }
        return None;
    };
    let path = table.key("webhook_password");
    let (password, span) = one_secret(&path, field, given, found)?;
    let least = chargebee::WEBHOOK_PASSWORD_BYTES_MIN;
    if given.secrets == SecretPolicy::Resolve && password.expose_secret().len() < least {
        let title = format!("`{path}` has less than {least} bytes");
        let label = "it could be guessed by whoever reaches this host";
        let help = "make a longer one, for the site's webhook settings and for here";
        found.error(Problem::at(span, title).label(label).help(help));
    }
    let own = || chargebee::WEBHOOK_USER.to_owned();
    let user = raw.webhook_user.as_ref().map_or_else(own, |user| user.get_ref().clone());
    if let Some(field) = raw.webhook_user.as_ref().filter(|_| user.contains(':')) {
        let title = format!("`{}` has a colon", table.key("webhook_user"));
        let label = "what stands behind it would be taken for the password";
        let help = "choose a name without one";
        found.error(Problem::at(field.span(), title).label(label).help(help));
    }
    Some(Password { user, password })
}

/// The id of what a site charges for, such as an item price.
pub(super) fn meter(
    what: &str,
    key: &Spanned<String>,
    most: usize,
    found: &mut Findings,
) -> Option<ProviderMeter> {
    let is_id = format!("the {what}'s id");
    let meter = name(&is_id, key.get_ref(), key.span(), ProviderMeter::new, found);
    if key.get_ref().chars().count() > most {
        let title = format!("{is_id} is longer than {most} characters");
        let label = format!("no {what} at Chargebee has an id as long");
        let help = format!("copy the id of the {what} from Chargebee");
        found.error(Problem::at(key.span(), title).label(label).help(help));
    }
    meter
}

fn item_price(
    table: &Table,
    key: &Spanned<String>,
    raw: &raw::ItemPrice,
    found: &mut Findings,
) -> Option<ItemPrice> {
    let path = table.key(&format!("item_price.{}", key.get_ref()));
    let inner = Table { path, span: key.span() };
    let id = meter("item price", key, chargebee::ITEM_PRICE_CHARS_MAX, found);
    // No answer tells it, and deltas that were taken for totals would bill the last of them alone.
    let otherwise = "no answer of Chargebee's tells it, and the bill depends on it";
    required(&inner, "aggregation", &raw.aggregation, otherwise, "\"sum\"", found)?;
    let path = inner.key("aggregation");
    let aggregation = word(&path, &raw.aggregation, &AGGREGATIONS, Fold::Sum, found);
    Some(ItemPrice { id: id?, aggregation })
}
