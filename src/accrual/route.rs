//! Routes: which records go where. PURE. Here: a route as the operator meant it, whether it takes a
//! record, and what it makes of one. Never here: balances, the ledger. Read next: [`super::map`].

use std::collections::{BTreeMap, HashMap};

use crate::domain::correction::{CorrectionPolicy, Standing};
use crate::domain::fold::Fold;
use crate::domain::names::{
    AccountName, CustomerName, MeterName, ProviderMeter, ProviderName, RouteName,
};
use crate::domain::period::LatePolicy;
use crate::domain::policies::Policies;
use crate::domain::quantity::Quantity;
use crate::domain::record::{Properties, UsageRecord};
use crate::domain::state::ParkReason;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, Timestamp, Window};
use crate::domain::unique::{Member, Uncountable};
use crate::ledger::accrual::RouteDefinition;

/// The span summed when the operator set none: fine enough for any invoice, and a few hundred
/// events a customer and month.
pub const WINDOW: WindowRule = WindowRule::Hour;
/// What the records of a window come to when the operator set nothing.
pub const AGGREGATE: Aggregate = Aggregate::Sum;
/// How long after a window's end it is posted, in microseconds, when the operator set none: sources
/// that report every minute have then been heard several times.
pub const SETTLE_MICROS: i64 = 5 * MICROS_PER_MINUTE;

/// How corrections are told when the operator set nothing: a cancelled event leaves the least
/// behind at the provider, and a negative one serves when it is too late for that.
pub const CORRECTIONS: CorrectionPolicy = CorrectionPolicy::CancelThenNegative;
/// What becomes of late usage when the operator set nothing: a person decides, as nothing that is
/// billed elsewhere, or never, should surprise anybody.
pub const LATE: LatePolicy = LatePolicy::Hold;

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
    /// The billing period, as far as periods are known, and all time where none is: of a gauge,
    /// whose newest reading is what its meter bills of a period.
    Period,
    /// All time: what is told counts when it is told, and nobody can say of when it was.
    Ever,
}

/// What the records of a window come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Their quantities, scaled, added up.
    Sum,
    /// How many they are.
    Count,
    /// The newest one's quantity, scaled: of readings of a level.
    Last,
    /// The largest of their quantities, scaled: the peak of a level.
    Max,
    /// How many distinct values of the property of this name they have. A record of quantity zero
    /// is not counted.
    Unique(String),
}

/// How a customer's account at the provider is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountRule {
    /// The customer's name is the account; a `stripe:` in front of it (the provider's kind) is
    /// taken off.
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
    /// What the records of a window come to.
    pub aggregate: Aggregate,
    /// What a quantity is multiplied with: exact.
    pub scale: Quantity,
    /// How the account is found.
    pub account: AccountRule,
    /// How long after a window's end, in microseconds, it is posted: late usage that arrives in
    /// time joins the same event.
    pub settle_micros: i64,
    /// How what was told is taken back, and what becomes of usage that comes too late. No part of
    /// the definition: they decide over what is outstanding now, not over what is booked.
    pub policies: Policies,
}

impl WindowRule {
    /// The window that holds `at`; for [`Self::Record`], the one microsecond of the record; for
    /// [`Self::Period`] all time, which is cut where periods are known to end; for [`Self::Ever`]
    /// all time.
    #[must_use]
    pub fn window_of(self, at: Timestamp) -> Window {
        let span = match self {
            Self::Record => return Window { start: at, end: at.plus_micros(1) },
            Self::Period | Self::Ever => return Window::ALWAYS,
            Self::Minute => MICROS_PER_MINUTE,
            Self::Hour => MICROS_PER_HOUR,
            Self::Day => MICROS_PER_DAY,
        };
        let start = at.floor_to(span);
        Window { start, end: start.plus_micros(span) }
    }

    /// Its text form in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Minute => "1m",
            Self::Hour => "1h",
            Self::Day => "1d",
            Self::Period => "period",
            Self::Ever => "ever",
        }
    }
}

impl WindowRule {
    /// Whether its windows end by themselves, so that what they come to is known at a time.
    #[must_use]
    pub const fn ends(self) -> bool {
        match self {
            Self::Record | Self::Minute | Self::Hour | Self::Day => true,
            Self::Period | Self::Ever => false,
        }
    }

    /// The one with this text form.
    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Record, Self::Minute, Self::Hour, Self::Day, Self::Period, Self::Ever];
        all.into_iter().find(|rule| rule.as_str() == text)
    }
}

impl Aggregate {
    /// Its text form in the configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Last => "last",
            Self::Max => "max",
            Self::Unique(_) => "unique",
        }
    }

    /// How what its records stand for comes to what their balance accrues.
    #[must_use]
    pub const fn fold(&self) -> Fold {
        match self {
            Self::Sum | Self::Count => Fold::Sum,
            Self::Last => Fold::Last,
            Self::Max => Fold::Max,
            Self::Unique(_) => Fold::Unique,
        }
    }

    /// The value that a record with these properties is counted by; nothing where values are not
    /// counted.
    ///
    /// # Errors
    /// With the property and the reason why the record is not counted by it.
    pub fn member(&self, properties: &Properties) -> Result<Option<Member>, (&str, Uncountable)> {
        match self {
            Self::Sum | Self::Count | Self::Last | Self::Max => Ok(None),
            Self::Unique(property) => match Member::of(properties, property) {
                Ok(member) => Ok(Some(member)),
                Err(why) => Err((property, why)),
            },
        }
    }
}

/// What a route makes of a record's quantity, and when it has it posted: what a correction needs to
/// know of the route version that booked its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// What the records of a window come to.
    pub aggregate: Aggregate,
    /// What a quantity is multiplied with.
    pub scale: Quantity,
    /// The span summed.
    pub window: WindowRule,
    /// How long after a window's end, in microseconds, it is posted.
    pub settle_micros: i64,
}

impl Transform {
    /// When a balance of this window is posted that something was done to after its record was
    /// booked. A window that has ended is corrected at once: a provider cancels an event only for
    /// so long. So is a gauge, of which every reading is told, and what has no end to wait for.
    #[must_use]
    pub fn due_at(&self, window: Window, now: Timestamp) -> Timestamp {
        if window.end > now && self.window.ends() {
            window.end.plus_micros(self.settle_micros)
        } else {
            now
        }
    }

    /// Whether a record counts by both alike, in windows of one kind.
    #[must_use]
    pub fn counts_like(&self, other: &Self) -> bool {
        self.aggregate == other.aggregate
            && self.scale == other.scale
            && self.window == other.window
    }

    /// Whether it is of a gauge.
    #[must_use]
    pub fn is_gauge(&self) -> bool {
        self.window == WindowRule::Period
    }

    /// How what its records stand for comes to what their balance accrues.
    #[must_use]
    pub fn fold(&self) -> Fold {
        if self.is_gauge() { Fold::Gauge } else { self.aggregate.fold() }
    }

    /// Whether what both make of records can be in one balance: it comes to one thing by them, and
    /// counts values of one property where it counts such.
    #[must_use]
    pub fn mixes_with(&self, other: &Self) -> bool {
        match (&self.aggregate, &other.aggregate) {
            (Aggregate::Unique(one), Aggregate::Unique(other)) => one == other,
            (
                Aggregate::Sum
                | Aggregate::Count
                | Aggregate::Last
                | Aggregate::Max
                | Aggregate::Unique(_),
                Aggregate::Sum
                | Aggregate::Count
                | Aggregate::Last
                | Aggregate::Max
                | Aggregate::Unique(_),
            ) => self.fold() == other.fold(),
        }
    }

    /// The value that a record is counted by, where values are counted and it has one.
    #[must_use]
    pub fn member(&self, record: &UsageRecord) -> Option<Member> {
        self.aggregate.member(&record.properties).ok().flatten()
    }

    /// What a record that counts so stands for in its balance.
    #[must_use]
    pub fn contribution(&self, standing: &Standing) -> Quantity {
        match (standing, &self.aggregate) {
            (
                Standing::Cancelled,
                Aggregate::Sum
                | Aggregate::Count
                | Aggregate::Last
                | Aggregate::Max
                | Aggregate::Unique(_),
            ) => Quantity::zero(),
            (Standing::Counts(_), Aggregate::Count) => Quantity::one(),
            (Standing::Counts(quantity), Aggregate::Unique(_)) => match quantity.is_zero() {
                true => Quantity::zero(),
                false => Quantity::one(),
            },
            (Standing::Counts(quantity), Aggregate::Sum | Aggregate::Last | Aggregate::Max) => {
                quantity * &self.scale
            }
        }
    }

    /// The transform of a stored [`Route::definition`]; nothing when it is none.
    #[must_use]
    pub fn of_definition(definition: &str) -> Option<Self> {
        let definition: serde_json::Value = serde_json::from_str(definition).ok()?;
        let aggregate = match definition.get("aggregate")?.as_str()? {
            "sum" => Aggregate::Sum,
            "count" => Aggregate::Count,
            "last" => Aggregate::Last,
            "max" => Aggregate::Max,
            "unique" => Aggregate::Unique(definition.get("unique")?.as_str()?.to_owned()),
            _ => return None,
        };
        let scale = Quantity::parse_unbounded(definition.get("scale")?.as_str()?).ok()?;
        let window = WindowRule::parse(definition.get("window")?.as_str()?)?;
        let settle_micros = definition.get("settle_micros")?.as_i64()?;
        Some(Self { aggregate, scale, window, settle_micros })
    }
}

impl Route {
    /// What it makes of a record's quantity.
    #[must_use]
    pub fn transform(&self) -> Transform {
        Transform {
            aggregate: self.aggregate.clone(),
            scale: self.scale.clone(),
            window: self.window,
            settle_micros: self.settle_micros,
        }
    }

    /// Whether this route takes `record`.
    #[must_use]
    pub fn takes(&self, record: &UsageRecord) -> bool {
        self.meter == record.meter
            && self.matches.iter().all(|(name, wanted)| {
                record.properties.get(name).is_some_and(|have| have.as_text() == wanted)
            })
    }

    /// The account that usage of `customer` goes to: `imported`, where accounts are imported. One
    /// that does not start with `prefix` is none of the provider's.
    ///
    /// # Errors
    /// Why there is none, and the particulars.
    pub fn account_of(
        &self,
        customer: &CustomerName,
        imported: Option<&AccountName>,
        prefix: &str,
    ) -> Result<AccountName, (ParkReason, String)> {
        let text = match &self.account {
            AccountRule::Identity => {
                let kind = self.provider.as_str().split('.').next().unwrap_or_default();
                let name = customer.as_str();
                let bare = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':'));
                bare.unwrap_or(name).to_owned()
            }
            AccountRule::Template(template) => template.replace("{customer}", customer.as_str()),
            AccountRule::Imported => {
                let account = imported.ok_or_else(|| {
                    let why = format!("no account of \"{customer}\" at {}", self.provider);
                    (ParkReason::NoAccount, why)
                })?;
                account.as_str().to_owned()
            }
        };
        let malformed = |why: String| (ParkReason::AccountMalformed, why);
        if !text.starts_with(prefix) {
            let why = format!("\"{text}\" is no account of {}: {prefix}…", self.provider);
            return Err(malformed(why));
        }
        AccountName::new(&text).map_err(|error| malformed(format!("\"{text}\" {error}")))
    }

    /// What `record` stands for in its balance.
    #[must_use]
    pub fn contribution(&self, record: &UsageRecord) -> Quantity {
        self.transform().contribution(&Standing::Counts(record.quantity.clone()))
    }

    /// The route as the ledger keeps it: a text that changes exactly when its meaning does. The
    /// form is frozen: an old ledger's versions must still compare equal.
    #[must_use]
    pub fn definition(&self) -> RouteDefinition {
        let account = match &self.account {
            AccountRule::Identity => "identity".to_owned(),
            AccountRule::Template(template) => format!("template:{template}"),
            AccountRule::Imported => "imported".to_owned(),
        };
        let mut definition = serde_json::json!({
            "meter": self.meter.as_str(),
            "match": self.matches,
            "to": self.provider.as_str(),
            "event": self.provider_meter.as_str(),
            "window": self.window.as_str(),
            "aggregate": self.aggregate.as_str(),
            "scale": self.scale.to_string(),
            "account": account,
            "settle_micros": self.settle_micros,
        });
        match &self.aggregate {
            Aggregate::Sum | Aggregate::Count | Aggregate::Last | Aggregate::Max => {}
            Aggregate::Unique(property) => definition["unique"] = property.as_str().into(),
        }
        RouteDefinition { name: self.name.clone(), definition: definition.to_string() }
    }
}

/// What is left to policy of each meter of `provider`: where routes that feed the same meter do not
/// agree, the most careful one is followed.
#[must_use]
pub fn policies_by_meter(
    routes: &[Route],
    provider: &ProviderName,
) -> HashMap<ProviderMeter, Policies> {
    let mut policies = HashMap::new();
    for route in routes.iter().filter(|route| route.provider == *provider) {
        let policy =
            policies.entry(route.provider_meter.clone()).or_insert_with(|| route.policies.clone());
        *policy = policy.clone().with(route.policies.clone());
    }
    policies
}
