//! Routes: which records go where. PURE. Here: a route as the operator meant it, whether it takes a
//! record, and what it makes of one. Never here: balances, the ledger. Read next: `accrual::map`.

use std::collections::BTreeMap;

use crate::domain::names::{MeterName, ProviderMeter, ProviderName, RouteName};
use crate::domain::quantity::Quantity;

/// The span of usage that one balance sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowRule {
    /// Each record by itself.
    Record,
    /// A UTC minute.
    Minute,
    /// A UTC hour.
    Hour,
    /// A UTC day.
    Day,
}

/// What a record adds to its balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Its quantity, scaled.
    Sum,
    /// One.
    Count,
}

/// How a customer's account at the provider is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountRule {
    /// The customer's name is the account; a `stripe:` in front of it (the provider's kind) is taken
    /// off.
    Identity,
    /// The account is this text with `{customer}` replaced.
    Template(String),
    /// The account stands in the imported table.
    Imported,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// The meter it takes.
    pub meter: MeterName,
    /// The properties a record must have, by name and text.
    pub matches: BTreeMap<String, String>,
    /// The provider instance it goes to.
    pub provider: ProviderName,
    /// What it is counted as there.
    pub provider_meter: ProviderMeter,
    /// The span summed.
    pub window: WindowRule,
    /// What a record adds.
    pub aggregate: Aggregate,
    /// What a quantity is multiplied with: exact.
    pub scale: Quantity,
    /// How the account is found.
    pub account: AccountRule,
    /// How long after a window's end, in microseconds, it is posted: late usage that arrives in time
    /// joins the same event.
    pub settle_micros: i64,
}
