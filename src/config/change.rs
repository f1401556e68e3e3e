//! What differs between two configs. PURE. Here: each difference by its name in the file, and
//! whether a running daemon can follow it. Never here: following it (`daemon::reload`), the content
//! of a secret. Read next: [`super::places`].
//!
//! Every struct is taken apart without a rest, so that a setting that is new is put on one of the
//! two sides by whoever adds it.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret as _, SecretString};

use super::{Account, Config, Reports};
use crate::domain::cutover::Telling;
use crate::domain::names::ProviderName;
use crate::domain::silence::{Speaker, SpeakerKind, Terms};
use crate::provider::chargebee::settings::Password;
use crate::provider::{chargebee, stripe};
use crate::usage::lever::Lever;
use crate::web::Token;
use crate::{delivery, intake, reconcile, store, telemetry, web};

mod counting;

use counting::{of_cryptolens, of_planship};

/// What differs between two configs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What a running daemon follows, by its name in the file; what is new or gone is said to be.
    pub follows: BTreeSet<String>,
    /// What it cannot change before a restart, likewise.
    pub fixed: BTreeSet<String>,
    /// The provider instances that have to be made anew.
    pub providers: BTreeSet<ProviderName>,
}

impl Change {
    /// From `old` to `new`.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut change = Self::default();
        let Config {
            file: _,
            store: store::Settings { path, cache_kib },
            ballast_bytes,
            fencing,
            archive_after_days,
            maintenance,
            held_alarm_basis_points,
            web,
            intake,
            stripe,
            chargebee,
            usage_events,
            cryptolens,
            planship,
            routes,
            tellings,
            imports,
            spools,
            levers,
            planship_api,
            silence,
            telemetry: telemetry::Settings { format, filter },
            follow,
            secrets: _,
            // Where a secret is said to be: what counts is whether it is another.
            secret_places: _,
            warnings: _,
            places: _,
        } = old;
        change.keeps("ledger.path", *path == new.store.path);
        change.keeps("ledger.cache_kib", *cache_kib == new.store.cache_kib);
        change.keeps("ledger.fence", fencing.path == new.fencing.path);
        change.keeps("log.format", *format == new.telemetry.format);
        change.keeps("clock.follow", *follow == new.follow);
        change.tellings(tellings, &new.tellings);
        let alarm = *held_alarm_basis_points == new.held_alarm_basis_points;
        change.may("ledger.ballast_bytes", *ballast_bytes == new.ballast_bytes);
        let archived = *archive_after_days == new.archive_after_days;
        change.may("ledger.archive_after_days", archived);
        change.may("ledger.maintenance", *maintenance == new.maintenance);
        change.may("ledger.held_alarm_basis_points", alarm);
        change.may("log.filter", *filter == new.telemetry.filter);
        change.silence(silence, &new.silence);
        change.web(web, &new.web);
        change.intake(intake, &new.intake);
        change.accounts((stripe, &new.stripe), "rate_per_second", |one| &one.name, of_stripe);
        change.accounts((chargebee, &new.chargebee), "rate_per_minute", |one| &one.name, of_site);
        let events = (usage_events.as_slice(), new.usage_events.as_slice());
        change.accounts(events, "rate_per_minute", |one| &one.name, of_event_site);
        let records = (cryptolens.as_slice(), new.cryptolens.as_slice());
        change.accounts(records, "rate_per_second", |one| &one.name, of_cryptolens);
        let reports = (planship.as_slice(), new.planship.as_slice());
        change.accounts(reports, "rate_per_second", |one| &one.name, of_planship);
        change.tables("route", (routes, &new.routes), |route| route.name.as_str());
        change.tables("import", (imports, &new.imports), |import| import.name.as_str());
        change.spools(spools, &new.spools);
        change.levers(levers, &new.levers);
        let same = is_same_api(planship_api.as_ref(), new.planship_api.as_ref());
        change.keeps("planship_api", same);
        change
    }

    /// Whether there is nothing to follow, and nothing that cannot be followed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        // A provider instance may be made anew for a setting that is named elsewhere.
        self.follows.is_empty() && self.fixed.is_empty()
    }

    /// A key that a running daemon follows.
    fn may(&mut self, key: impl Into<String>, is_same: bool) {
        if !is_same {
            self.follows.insert(key.into());
        }
    }

    /// A key that stays as it is until a restart.
    fn keeps(&mut self, key: &str, is_same: bool) {
        if !is_same {
            self.fixed.insert(key.to_owned());
        }
    }

    fn silence(&mut self, old: &Terms, new: &Terms) {
        let Terms { kinds, gap_percent, floor_micros, said, accepted } = old;
        let of_kind = |all: &BTreeSet<Speaker>, kind: SpeakerKind| -> Vec<Speaker> {
            all.iter().filter(|each| each.kind == kind).cloned().collect()
        };
        for (kind, key, list) in [
            (SpeakerKind::Source, "silence.sources", "silence.accepted_sources"),
            (SpeakerKind::Meter, "silence.meters", "silence.accepted_meters"),
            (SpeakerKind::Customer, "silence.customers", "silence.accepted_customers"),
        ] {
            self.may(key, kinds.contains(&kind) == new.kinds.contains(&kind));
            self.may(list, of_kind(accepted, kind) == of_kind(&new.accepted, kind));
        }
        self.may("silence.gap_percent", *gap_percent == new.gap_percent);
        self.may("silence.quiet_seconds_min", *floor_micros == new.floor_micros);
        for source in said.keys().chain(new.said.keys()) {
            let is_same = said.get(source) == new.said.get(source);
            self.may(format!("source.{source}.silent_after"), is_same);
        }
    }

    fn web(&mut self, old: &web::Settings, new: &web::Settings) {
        let web::Settings {
            listen,
            operator_socket,
            tokens,
            head_millis_max,
            request_millis_max,
            idle_millis_max,
            connections_max,
        } = old;
        self.keeps("http.listen", *listen == new.listen);
        self.keeps("http.operator_socket", *operator_socket == new.operator_socket);
        self.keeps("http.head_seconds_max", *head_millis_max == new.head_millis_max);
        self.keeps("http.request_seconds_max", *request_millis_max == new.request_millis_max);
        self.keeps("http.idle_seconds_max", *idle_millis_max == new.idle_millis_max);
        self.keeps("http.connections_max", *connections_max == new.connections_max);
        let same = |(old, new): (&Token, &Token)| {
            let Token { secret, sources } = old;
            is_same_secret(secret, &new.secret) && *sources == new.sources
        };
        self.may("http.token", all_same(tokens, &new.tokens, same));
    }

    fn intake(&mut self, old: &intake::Settings, new: &intake::Settings) {
        let intake::Settings {
            body_bytes_max,
            batch_records_max,
            record_bytes_max,
            properties_max,
            ahead_micros_max,
            free_bytes_min,
            inflight_bytes_max,
            sources,
        } = old;
        self.may("intake.body_bytes_max", *body_bytes_max == new.body_bytes_max);
        self.may("intake.batch_records_max", *batch_records_max == new.batch_records_max);
        self.may("intake.record_bytes_max", *record_bytes_max == new.record_bytes_max);
        self.may("intake.properties_max", *properties_max == new.properties_max);
        self.may("intake.ahead_seconds_max", *ahead_micros_max == new.ahead_micros_max);
        self.may("intake.free_bytes_min", *free_bytes_min == new.free_bytes_min);
        self.keeps("intake.inflight_bytes_max", *inflight_bytes_max == new.inflight_bytes_max);
        self.tables("source", (sources, &new.sources), |source| source.name.as_str());
    }

    /// From when on each provider is told, and whether: a start adopts that in the ledger.
    fn tellings(
        &mut self,
        old: &BTreeMap<ProviderName, Telling>,
        new: &BTreeMap<ProviderName, Telling>,
    ) {
        let whole = Telling::default();
        for name in old.keys().chain(new.keys()) {
            let (was, is) = (old.get(name).unwrap_or(&whole), new.get(name).unwrap_or(&whole));
            let Telling { mode, cutover } = was;
            self.keeps(&format!("{name}.shadow"), *mode == is.mode);
            self.keeps(&format!("{name}: bill_from"), *cutover == is.cutover);
        }
    }

    /// Levers. Each stays as it is until a restart, which has what it is read from counted.
    fn levers(&mut self, old: &[Lever], new: &[Lever]) {
        for one in new.iter().filter(|one| !old.iter().any(|other| other.name == one.name)) {
            self.keeps(&format!("lever.{} (new)", one.name), false);
        }
        for one in old {
            let Lever { name, .. } = one;
            match new.iter().find(|other| other.name == *name) {
                Some(other) => self.keeps(&format!("lever.{name}"), one == other),
                None => self.keeps(&format!("lever.{name} (gone)"), false),
            }
        }
    }

    /// Directories that are read. Each stays as it is until a restart, with all that its lines are
    /// read by: whoever reads it holds its files open, also those that are gone from it.
    fn spools(&mut self, old: &[intake::spool::Settings], new: &[intake::spool::Settings]) {
        for one in new.iter().filter(|one| !old.iter().any(|other| other.name == one.name)) {
            self.keeps(&format!("spool.{} (new)", one.name), false);
        }
        for one in old {
            let intake::spool::Settings {
                name,
                directory,
                source,
                mapping,
                look_micros,
                silence_micros,
            } = one;
            let Some(other) = new.iter().find(|other| other.name == *name) else {
                self.keeps(&format!("spool.{name} (gone)"), false);
                continue;
            };
            let mut keeps = |key, is_same| self.keeps(&format!("spool.{name}.{key}"), is_same);
            keeps("directory", *directory == other.directory);
            keeps("source", *source == other.source);
            keeps("look_seconds", *look_micros == other.look_micros);
            keeps("silence_seconds", *silence_micros == other.silence_micros);
            match (mapping, &other.mapping) {
                (Some(old), Some(new)) if old.name == new.name => {
                    self.keeps(&format!("import.{} (of spool.{name})", old.name), old == new);
                }
                (old, new) => keeps("mapping", old == new),
            }
        }
    }

    /// Tables by name that a running daemon follows, whether one is new, gone or otherwise.
    fn tables<T: PartialEq>(
        &mut self,
        kind: &str,
        (old, new): (&[T], &[T]),
        name: impl Fn(&T) -> &str,
    ) {
        let in_new = |one: &T| new.iter().find(|other| name(other) == name(one));
        for one in old {
            match in_new(one) {
                None => self.may(format!("{kind}.{} (gone)", name(one)), false),
                Some(other) => self.may(format!("{kind}.{}", name(one)), one == other),
            }
        }
        for one in new.iter().filter(|one| !old.iter().any(|other| name(other) == name(one))) {
            self.may(format!("{kind}.{} (new)", name(one)), false);
        }
    }

    /// Provider instances of one kind. Which there are stays until a restart.
    fn accounts<P>(
        &mut self,
        (old, new): (&[Account<P>], &[Account<P>]),
        rate_key: &'static str,
        name: impl Fn(&P) -> &ProviderName,
        settings: impl Fn(&P, &P) -> Vec<(&'static str, bool)>,
    ) {
        let of = |one: &Account<P>| name(&one.provider).clone();
        for one in new.iter().filter(|one| !old.iter().any(|other| of(other) == of(one))) {
            self.keeps(&format!("{} (new)", of(one)), false);
        }
        for one in old {
            let name = of(one);
            let Some(other) = new.iter().find(|other| of(other) == name) else {
                self.keeps(&format!("{name} (gone)"), false);
                continue;
            };
            let mut keys = settings(&one.provider, &other.provider);
            keys.extend(pace(one, other, rate_key));
            for (key, is_same) in &keys {
                self.may(format!("{name}.{key}"), *is_same);
            }
            // What is kept free on the ledger's disk is intake's setting.
            let is_free = one.delivery.free_bytes_min == other.delivery.free_bytes_min;
            if !is_free || keys.iter().any(|(_, is_same)| !is_same) {
                self.providers.insert(name);
            }
        }
    }
}

/// How a provider instance is worked with.
fn pace<P>(
    old: &Account<P>,
    new: &Account<P>,
    rate_key: &'static str,
) -> Vec<(&'static str, bool)> {
    let Account { provider: _, delivery, reconcile, reports, widened_from, flush } = old;
    let delivery::Settings {
        provider: _,
        rate,
        batched_rate,
        limited_pause_seconds: _,
        concurrency,
        attempt_timeout_millis,
        backoff_first_millis,
        backoff_seconds_max,
        pause_probe_seconds,
        free_bytes_min: _,
    } = delivery;
    let reconcile::Settings { provider: _, reads_per_month } = reconcile;
    let next = &new.delivery;
    let schedule = |reports: &Option<Reports>| reports.as_ref().map(|it| it.schedule.clone());
    // Without a schedule there is nothing that it could be said of.
    let heals = match (reports, &new.reports) {
        (Some(Reports { schedule: _, heal }), Some(next)) => *heal == next.heal,
        (None, _) | (_, None) => true,
    };
    vec![
        (rate_key, *rate == next.rate),
        ("stream_events_per_second", *batched_rate == next.batched_rate),
        ("concurrency", *concurrency == next.concurrency),
        ("attempt_timeout_seconds", *attempt_timeout_millis == next.attempt_timeout_millis),
        ("backoff_first_millis", *backoff_first_millis == next.backoff_first_millis),
        ("backoff_seconds_max", *backoff_seconds_max == next.backoff_seconds_max),
        ("pause_probe_seconds", *pause_probe_seconds == next.pause_probe_seconds),
        ("reads_per_month", *reads_per_month == new.reconcile.reads_per_month),
        ("reconcile", schedule(reports) == schedule(&new.reports)),
        ("flush", *flush == new.flush),
        ("heal", heals),
        ("near_usages_max", *widened_from == new.widened_from),
    ]
}

fn of_stripe(
    old: &stripe::settings::Settings,
    new: &stripe::settings::Settings,
) -> Vec<(&'static str, bool)> {
    let stripe::settings::Settings {
        name: _,
        api,
        stream_api,
        channel,
        key,
        account,
        meters,
        webhook_secrets,
        // It follows from `attempt_timeout_seconds`.
        timeout_millis: _,
    } = old;
    let secrets =
        all_same(webhook_secrets, &new.webhook_secrets, |(old, new)| is_same_secret(old, new));
    vec![
        ("api", *api == new.api),
        ("stream_api", *stream_api == new.stream_api),
        ("channel", *channel == new.channel),
        ("key", is_same_secret(key, &new.key)),
        ("account", *account == new.account),
        ("meter", *meters == new.meters),
        ("webhook_secrets", secrets),
    ]
}

fn of_site(
    old: &chargebee::settings::Settings,
    new: &chargebee::settings::Settings,
) -> Vec<(&'static str, bool)> {
    let chargebee::settings::Settings {
        name: _,
        site,
        api,
        key,
        item_prices,
        decimals,
        usages_max,
        invoices_close_after_hours,
        webhooks,
        // They follow from `rate_per_minute` and `attempt_timeout_seconds`.
        rate_per_minute: _,
        timeout_millis: _,
    } = old;
    let user = |webhooks: &Option<Password>| webhooks.as_ref().map(|it| it.user.clone());
    let password = match (webhooks, &new.webhooks) {
        (Some(old), Some(new)) => is_same_secret(&old.password, &new.password),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let hours = *invoices_close_after_hours == new.invoices_close_after_hours;
    vec![
        ("site", *site == new.site),
        ("api", *api == new.api),
        ("key", is_same_secret(key, &new.key)),
        ("item_price", *item_prices == new.item_prices),
        ("decimals", *decimals == new.decimals),
        ("usages_max", *usages_max == new.usages_max),
        ("invoices_close_after_hours", hours),
        ("webhook_user", user(webhooks) == user(&new.webhooks)),
        ("webhook_password", password),
    ]
}

fn of_event_site(
    old: &chargebee::usage_events::settings::Settings,
    new: &chargebee::usage_events::settings::Settings,
) -> Vec<(&'static str, bool)> {
    let chargebee::usage_events::settings::Settings {
        name: _,
        site,
        api,
        // It follows from `api`.
        ingest: _,
        key,
        features,
        // No key sets it, and the other follows from `attempt_timeout_seconds`.
        reads_per_minute: _,
        timeout_millis: _,
    } = old;
    vec![
        ("site", *site == new.site),
        ("api", *api == new.api),
        ("key", is_same_secret(key, &new.key)),
        ("feature", *features == new.features),
    ]
}

/// Whether the API is served as it was.
fn is_same_api(old: Option<&web::PlanshipApi>, new: Option<&web::PlanshipApi>) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(old), Some(new)) => {
            let web::PlanshipApi { client_id, client_secret, products, source } = old;
            *client_id == new.client_id
                && is_same_secret(client_secret, &new.client_secret)
                && *products == new.products
                && *source == new.source
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether a secret is what it was. Both were read by this process, so the time that this takes
/// tells nobody anything.
fn is_same_secret(old: &SecretString, new: &SecretString) -> bool {
    old.expose_secret() == new.expose_secret()
}

fn all_same<T>(old: &[T], new: &[T], same: impl Fn((&T, &T)) -> bool) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(same)
}
