//! `[clock]`. PURE. Here: whose time it is, and that simulated time comes near no real money. Never
//! here: asking what a clock shows (`crate::daemon::following`). Read next: [`super::http`].

use secrecy::ExposeSecret as _;
use toml::Spanned;

use super::Given;
use super::account::{is_loopback, is_test_key, plain_host};
use super::metered_usage::PLANSHIP;
use super::record_usage::CRYPTOLENS;
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::{Chargebee, SecretPolicy, Stripe, UsageEvents, raw};
use crate::domain::names::ProviderName;

/// The key of the one setting here, as problems name it.
const KEY: &str = "clock.follow";

/// The address of the sandbox whose clock is followed, if one is. Every account has to be told
/// there, with a test key, and every Chargebee site at a stand-in on this host: usage of a
/// simulated month must not reach a real account, be it one that moves no money, and one that does
/// least of all. `counting` are the providers that only count and are told at whose they are.
pub(super) fn follow(
    file: &raw::File,
    stripe: &[Stripe],
    (usages, events): (&[Chargebee], &[UsageEvents]),
    counting: &[(&ProviderName, &str)],
    given: &Given<'_>,
    found: &mut Findings,
) -> Option<String> {
    let field = file.clock.follow.as_ref()?;
    let text = field.get_ref().strip_suffix('/').unwrap_or(field.get_ref());
    let host = text.strip_prefix("http://").filter(|host| plain_host(host));
    if !host.is_some_and(is_loopback) {
        let title = format!("`{KEY}` is not the address of a sandbox on this host");
        let label = "time would be whatever another host says";
        let help = "write http://127.0.0.1:PORT, as `tallyd sandbox` prints it";
        found.error(Problem::at(field.span(), title).label(label).help(help));
        return None;
    }
    let usages = usages.iter().map(|site| &site.provider);
    let usages = usages.filter(|site| site.is_at_chargebee()).map(|site| &site.name);
    let events = events.iter().map(|site| &site.provider);
    let events = events.filter(|site| site.is_at_chargebee()).map(|site| &site.name);
    for name in usages.chain(events) {
        let own = |key: &&Spanned<String>| name.as_str() == format!("chargebee.{}", key.get_ref());
        let Some((key, raw)) = file.chargebee.iter().find(|(key, _)| own(key)) else { continue };
        let title = format!("`{KEY}` is set, and `{name}` is told at Chargebee itself");
        let label = "its customers would be billed by a simulated time";
        let help = "remove `follow`, or set `api` there to the stand-in for Chargebee, as \
                    `tallyd sandbox` prints it with /api/v2 behind it";
        let place = raw.api.as_ref().map_or(key.span(), Spanned::span);
        let problem = Problem::at(field.span(), title).label(label).help(help);
        found.error(problem.context(place, "it is told there"));
    }
    apart_from_counting(field, counting, file, found);
    for account in stripe {
        let name = &account.provider.name;
        let own = |key: &&Spanned<String>| name.as_str() == format!("stripe.{}", key.get_ref());
        let Some((key, raw)) = file.stripe.iter().find(|(key, _)| own(key)) else { continue };
        let table = format!("stripe.{}", key.get_ref());
        let judged = given.secrets == SecretPolicy::Resolve
            && !account.provider.key.expose_secret().is_empty();
        if judged && !is_test_key(&account.provider.key) {
            let title = format!("`{KEY}` is set, and `{table}.key` is no test key");
            let label = "customers would be billed by a simulated time";
            let help = "remove `follow`, or use a key that starts with sk_test_ or rk_test_";
            let place = raw.key.as_ref().map_or(key.span(), Spanned::span);
            let problem = Problem::at(field.span(), title).label(label).help(help);
            found.error(problem.context(place, "this key"));
        } else if account.provider.api != text {
            let title = format!("`{KEY}` is set, and `{table}.api` is another address");
            let label = "usage of a simulated time would be told where time is another";
            let help = format!("remove `follow`, or set `api = \"{text}\"` there");
            let place = raw.api.as_ref().map_or(key.span(), Spanned::span);
            let problem = Problem::at(field.span(), title).label(label).help(help);
            found.error(problem.context(place, "it is told here"));
        }
    }
    Some(text.to_owned())
}

/// Refuses a provider that only counts and is told at whose it is.
fn apart_from_counting(
    field: &Spanned<String>,
    counting: &[(&ProviderName, &str)],
    file: &raw::File,
    found: &mut Findings,
) {
    for (name, whose) in counting {
        let cryptolens = file.cryptolens.keys().map(|key| (CRYPTOLENS, key));
        let mut keys = cryptolens.chain(file.planship.keys().map(|key| (PLANSHIP, key)));
        let own = |(kind, key): &(&str, &Spanned<String>)| {
            name.as_str().strip_prefix(kind) == Some(key.get_ref().as_str())
        };
        let Some((_, key)) = keys.find(own) else { continue };
        let title = format!("`{KEY}` is set, and `{name}` is told at {whose} itself");
        let label = "its customers would be billed by a simulated time";
        let help = format!(
            "remove `follow`, or set `api` there to the stand-in for {whose}, as `tallyd sandbox` \
             prints it"
        );
        let problem = Problem::at(field.span(), title).label(label).help(help);
        found.error(problem.context(key.span(), "it is told there"));
    }
}
