//! What was typed. PURE. Here: the file's shape, key for key, with places. Never here: a default, a
//! judgement. Read next: `load`, `resolve`.
//!
//! Every key may be missing: `resolve` says which must not be, so that a missing key is one problem
//! among others. Values of several shapes are read by hand: `toml::Spanned` does not survive
//! serde's `untagged`, `tag` and `flatten`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use toml::Spanned;

/// A key that may be missing.
pub(super) type Key<T> = Option<Spanned<T>>;
/// Tables by name: `[route.NAME]`.
pub(super) type Named<T> = BTreeMap<Spanned<String>, T>;

/// Declares tables of the file. Each reads only the keys it names, and none has to be there.
macro_rules! tables {
    ($($(#[$doc:meta])+ $name:ident { $($key:ident: $kind:ty,)+ })+) => {$(
        $(#[$doc])+
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name { $(pub(super) $key: $kind,)+ }
    )+};
}

tables! {
    /// The whole file.
    File {
        ledger: Ledger,
        http: Http,
        intake: Intake,
        source: Named<Source>,
        stripe: Named<Stripe>,
        chargebee: Named<Chargebee>,
        cryptolens: Named<Cryptolens>,
        planship: Named<Planship>,
        route: Named<Route>,
        import: Named<Import>,
        spool: Named<Spool>,
        lever: Named<Lever>,
        planship_api: Key<PlanshipApi>,
        silence: Silence,
        log: Log,
        clock: Clock,
    }
    /// `[ledger]`
    Ledger {
        path: Key<String>,
        fence: Key<String>,
        cache_kib: Key<i64>,
        archive_after_days: Key<i64>,
        ballast_bytes: Key<i64>,
        maintenance: Key<String>,
        zone: Key<String>,
        held_alarm_basis_points: Key<i64>,
    }
    /// `[http]`
    Http {
        listen: Key<String>,
        operator_socket: Key<String>,
        head_seconds_max: Key<i64>,
        request_seconds_max: Key<i64>,
        idle_seconds_max: Key<i64>,
        connections_max: Key<i64>,
        token: Vec<Spanned<Token>>,
    }
    /// `[[http.token]]`
    Token {
        secret: Key<Secret>,
        sources: Key<Vec<Spanned<String>>>,
    }
    /// `[intake]`
    Intake {
        body_bytes_max: Key<i64>,
        batch_records_max: Key<i64>,
        record_bytes_max: Key<i64>,
        properties_max: Key<i64>,
        ahead_seconds_max: Key<i64>,
        free_bytes_min: Key<i64>,
        inflight_bytes_max: Key<i64>,
    }
    /// `[source.NAME]`
    Source {
        zone: Key<String>,
        cloudevents: Key<String>,
        silent_after: Key<String>,
    }
    /// `[stripe.NAME]`
    Stripe {
        key: Key<Secret>,
        api: Key<String>,
        channel: Key<String>,
        stream_api: Key<String>,
        stream_events_per_second: Key<i64>,
        account: Key<String>,
        shadow: Key<bool>,
        bill_from: Key<String>,
        customer: Named<BilledFrom>,
        rate_per_second: Key<i64>,
        concurrency: Key<i64>,
        attempt_timeout_seconds: Key<i64>,
        backoff_first_millis: Key<i64>,
        backoff_seconds_max: Key<i64>,
        pause_probe_seconds: Key<i64>,
        reads_per_month: Key<i64>,
        zone: Key<String>,
        flush: Key<String>,
        reconcile: Key<String>,
        heal: Key<String>,
        webhook_secrets: Key<Vec<Spanned<Secret>>>,
        meter: Named<StripeMeter>,
    }
    /// `[stripe.NAME.meter.EVENT_NAME]`
    StripeMeter {
        id: Key<String>,
        formula: Key<String>,
        customer_key: Key<String>,
        value_key: Key<String>,
        span: Key<String>,
    }
    /// `[chargebee.NAME]`
    Chargebee {
        key: Key<Secret>,
        site: Key<String>,
        api: Key<String>,
        mode: Key<String>,
        shadow: Key<bool>,
        bill_from: Key<String>,
        subscription: Named<BilledFrom>,
        decimals: Key<i64>,
        usages_max: Key<i64>,
        near_usages_max: Key<String>,
        invoices_close_after_hours: Key<i64>,
        webhook_user: Key<String>,
        webhook_password: Key<Secret>,
        rate_per_minute: Key<i64>,
        concurrency: Key<i64>,
        attempt_timeout_seconds: Key<i64>,
        backoff_first_millis: Key<i64>,
        backoff_seconds_max: Key<i64>,
        pause_probe_seconds: Key<i64>,
        reads_per_month: Key<i64>,
        zone: Key<String>,
        flush: Key<String>,
        reconcile: Key<String>,
        heal: Key<String>,
        item_price: Named<ItemPrice>,
        feature: Named<Feature>,
    }
    /// `[chargebee.NAME.item_price.ID]`
    ItemPrice {
        aggregation: Key<String>,
    }
    /// `[cryptolens.NAME]`
    Cryptolens {
        token: Key<Secret>,
        api: Key<String>,
        test: Key<bool>,
        products: Key<Vec<Spanned<i64>>>,
        on_unknown: Key<String>,
        other_stripe: Key<bool>,
        shadow: Key<bool>,
        bill_from: Key<String>,
        license: Named<BilledFrom>,
        rate_per_second: Key<i64>,
        concurrency: Key<i64>,
        attempt_timeout_seconds: Key<i64>,
        backoff_first_millis: Key<i64>,
        backoff_seconds_max: Key<i64>,
        pause_probe_seconds: Key<i64>,
        zone: Key<String>,
        flush: Key<String>,
    }
    /// `[planship.NAME]`
    Planship {
        client_id: Key<String>,
        client_secret: Key<Secret>,
        api: Key<String>,
        test: Key<bool>,
        product: Key<String>,
        metering_ids: Key<Vec<Spanned<String>>>,
        on_unknown: Key<String>,
        shadow: Key<bool>,
        bill_from: Key<String>,
        customer: Named<BilledFrom>,
        rate_per_second: Key<i64>,
        concurrency: Key<i64>,
        attempt_timeout_seconds: Key<i64>,
        backoff_first_millis: Key<i64>,
        backoff_seconds_max: Key<i64>,
        pause_probe_seconds: Key<i64>,
        zone: Key<String>,
        flush: Key<String>,
    }
    /// `[stripe.NAME.customer.ID]`, `[chargebee.NAME.subscription.ID]`,
    /// `[cryptolens.NAME.license.KEY]`, `[planship.NAME.customer.ID]`
    BilledFrom {
        bill_from: Key<String>,
    }
    /// `[chargebee.NAME.feature.ID]`
    Feature {
        property: Key<String>,
    }
    /// `[route.NAME]`
    Route {
        meter: Key<String>,
        r#match: BTreeMap<Spanned<String>, Spanned<String>>,
        to: Key<String>,
        event: Key<String>,
        window: Key<String>,
        aggregate: Key<String>,
        unique: Key<String>,
        scale: Key<Decimal>,
        hold_above: Key<Decimal>,
        account: Key<Account>,
        settle: Key<String>,
        bill_from: Key<String>,
        corrections: Key<String>,
        late: Key<String>,
    }
    /// `account = { template = "…" }`
    AccountTemplate {
        template: Key<String>,
    }
    /// `[import.NAME]`
    Import {
        format: Key<String>,
        delimiter: Key<String>,
        id: Key<String>,
        time: Key<String>,
        customer: Key<String>,
        properties: Key<Vec<Spanned<String>>>,
        record: Vec<Spanned<ImportRecord>>,
    }
    /// `[[import.NAME.record]]`
    ImportRecord {
        meter: Key<String>,
        quantity: Key<Decimal>,
        column: Key<String>,
        id_suffix: Key<String>,
        when_empty: Key<String>,
    }
    /// `[spool.NAME]`
    Spool {
        directory: Key<String>,
        source: Key<String>,
        mapping: Key<String>,
        look_seconds: Key<i64>,
        silence_seconds: Key<i64>,
    }
    /// `[lever.NAME]`
    Lever {
        metering_id: Key<String>,
        formula: Key<String>,
        period: Key<String>,
        bucket_property: Key<String>,
        subscription_property: Key<String>,
        products: Key<Vec<Spanned<String>>>,
    }
    /// `[planship_api]`
    PlanshipApi {
        client_id: Key<String>,
        client_secret: Key<Secret>,
        products: Key<Vec<Spanned<String>>>,
        source: Key<String>,
    }
    /// `[silence]`
    Silence {
        sources: Key<bool>,
        meters: Key<bool>,
        customers: Key<bool>,
        gap_percent: Key<i64>,
        quiet_seconds_min: Key<i64>,
        accepted_sources: Key<Vec<Spanned<String>>>,
        accepted_meters: Key<Vec<Spanned<String>>>,
        accepted_customers: Key<Vec<Spanned<String>>>,
    }
    /// `[log]`
    Log {
        format: Key<String>,
        filter: Key<String>,
    }
    /// `[clock]`
    Clock {
        follow: Key<String>,
    }
    /// `{ env = "NAME" }`, `{ file = "path" }` or `{ credential = "name" }`
    Reference {
        env: Key<String>,
        file: Key<String>,
        credential: Key<String>,
    }
}

/// Where a secret is, or that one was written down. What was written is not kept.
#[derive(Debug)]
pub(super) enum Secret {
    Reference(Reference),
    Literal,
}

/// How an account is found: a word, or a template.
#[derive(Debug)]
pub(super) enum Account {
    Word(String),
    Template(AccountTemplate),
}

/// An exact decimal as text or integer. A float is no exact decimal, and its digits are not kept.
#[derive(Debug)]
pub(super) enum Decimal {
    Text(String),
    Integer(i64),
    Float,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reference such as { env = \"NAME\" }")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
                Reference::deserialize(MapAccessDeserializer::new(map)).map(Secret::Reference)
            }
            fn visit_str<E: Error>(self, _secret: &str) -> Result<Secret, E> {
                Ok(Secret::Literal)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Account;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"identity\", \"imported\" or { template = \"…{customer}…\" }")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Account, A::Error> {
                AccountTemplate::deserialize(MapAccessDeserializer::new(map)).map(Account::Template)
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<Account, E> {
                Ok(Account::Word(word.to_owned()))
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl Visitor<'_> for Shape {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number in quotes")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Decimal, E> {
                Ok(Decimal::Text(text.to_owned()))
            }
            fn visit_i64<E: Error>(self, integer: i64) -> Result<Decimal, E> {
                Ok(Decimal::Integer(integer))
            }
            fn visit_f64<E: Error>(self, _float: f64) -> Result<Decimal, E> {
                Ok(Decimal::Float)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}
