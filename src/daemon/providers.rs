//! Provider instances, made of their settings. Here: the one place that chooses among the rooms of
//! providers. Never here: what is done with an instance. Read next: [`super::assemble`].

use std::collections::HashMap;
use std::sync::Arc;

use crate::accrual::accruer::{Accruer, Whole};
use crate::accrual::widen::Widening;
use crate::config::{Account, Config, Reports};
use crate::domain::cutover::{Mode, Telling};
use crate::domain::names::ProviderName;
use crate::provider::Provider;
use crate::provider::billing::BillingReader;
use crate::provider::chargebee::usage_events::UsageEvents;
use crate::provider::chargebee::{self, Chargebee};
use crate::provider::counting;
use crate::provider::cryptolens::Cryptolens;
use crate::provider::documents::UsageDocuments;
use crate::provider::planship::Planship;
use crate::provider::shadowed::Shadowed;
use crate::provider::stripe::{self, Stripe};
use crate::schedule::Schedule;
use crate::{delivery, reconcile};

/// Why a provider instance could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A Stripe account.
    #[error(transparent)]
    Stripe(#[from] stripe::BuildError),
    /// A Chargebee site.
    #[error(transparent)]
    Chargebee(#[from] chargebee::BuildError),
    /// A provider that only counts.
    #[error(transparent)]
    Counting(#[from] counting::BuildError),
}

/// A provider instance, and how it is worked with.
pub struct Instance {
    /// Whom to tell.
    pub provider: Arc<dyn Provider>,
    /// What reads how it bills; nothing where that is not followed.
    pub billing: Option<Arc<dyn BillingReader>>,
    /// What makes documents of what was used; nothing where it makes none.
    pub documents: Option<Arc<dyn UsageDocuments>>,
    /// The delivery to it.
    pub delivery: delivery::Settings,
    /// The reading of its totals.
    pub reconcile: reconcile::Settings,
    /// The reports on it that are made by a schedule.
    pub reports: Option<Reports>,
    /// When what is due is told; nothing where it is told at once.
    pub flush: Option<Schedule>,
    /// Whether it is told, and from when on.
    pub telling: Telling,
}

impl Instance {
    fn of<P>(
        config: &Config,
        provider: Arc<dyn Provider>,
        billing: Option<Arc<dyn BillingReader>>,
        account: &Account<P>,
    ) -> Self {
        let Account { provider: _, delivery, reconcile, reports, widened_from: _, flush } = account;
        let flush = flush.clone();
        let (delivery, reconcile) = (delivery.clone(), reconcile.clone());
        let (documents, reports) = (None, reports.clone());
        let telling = config.tellings.get(&delivery.provider).cloned().unwrap_or_default();
        // Whoever holds an instance in shadow cannot send by it.
        let provider: Arc<dyn Provider> = match telling.mode {
            Mode::Live => provider,
            Mode::Shadow => Arc::new(Shadowed::new(provider)),
        };
        Self { provider, billing, documents, delivery, reconcile, reports, flush, telling }
    }

    /// Its name, such as `stripe.main`.
    #[must_use]
    pub const fn name(&self) -> &ProviderName {
        &self.delivery.provider
    }
}

/// All provider instances of a config, in the order of the file's kinds and of their names.
///
/// # Errors
/// When one cannot be worked with as it is set.
pub fn instances(config: &Config) -> Result<Vec<Instance>, BuildError> {
    let mut all = Vec::new();
    for account in &config.stripe {
        let stripe = Arc::new(Stripe::new(&account.provider)?);
        all.push(Instance::of(config, stripe.clone(), Some(stripe), account));
    }
    for site in &config.chargebee {
        let chargebee = Arc::new(Chargebee::new(site.provider.clone())?);
        let instance = Instance::of(config, chargebee.clone(), Some(chargebee.clone()), site);
        all.push(Instance { documents: Some(chargebee), ..instance });
    }
    for site in &config.usage_events {
        // Its bills are not followed; the room says why.
        let events = Arc::new(UsageEvents::new(site.provider.clone())?);
        all.push(Instance::of(config, events, None, site));
    }
    for account in &config.cryptolens {
        // Nothing tells how it bills.
        let cryptolens = Arc::new(Cryptolens::new(account.provider.clone())?);
        all.push(Instance::of(config, cryptolens, None, account));
    }
    for product in &config.planship {
        // How it charges, if it does, is not told with usage.
        let planship = Arc::new(Planship::new(product.provider.clone())?);
        all.push(Instance::of(config, planship, None, product));
    }
    Ok(all)
}

/// From how many entries of an account on its windows are widened, at the sites of a config where
/// they are.
#[must_use]
pub fn widening(config: &Config) -> Widening {
    let sites = config.chargebee.iter();
    sites.filter_map(|site| Some((site.delivery.provider.clone(), site.widened_from?))).collect()
}

/// The meters of a config that keep one total a window.
#[must_use]
pub fn kept_whole(config: &Config) -> Whole {
    let pins = config.stripe.iter().flat_map(|account| {
        account.provider.meters.iter().map(|pin| (&account.provider.name, pin))
    });
    let whole = pins.filter(|(_, pin)| pin.span.is_some());
    whole.map(|(name, pin)| (name.clone(), pin.meter.clone())).collect()
}

/// The same accruer, which books into the windows that a config has it book into.
#[must_use]
pub fn placing(accruer: Accruer, config: &Config) -> Accruer {
    let tellings = config.tellings.iter();
    let cutovers = tellings.map(|(name, telling)| (name.clone(), telling.cutover.clone()));
    accruer
        .widening(widening(config))
        .keeping_whole(kept_whole(config))
        .cutting_over(cutovers.collect())
}

/// What the accounts of each provider instance of a config start with; nothing where they have no
/// form of their own.
#[must_use]
pub fn account_prefixes(config: &Config) -> HashMap<ProviderName, &'static str> {
    let is_stripe = |name: &ProviderName| {
        config.stripe.iter().any(|account| account.delivery.provider == *name)
    };
    let prefix = |name: &ProviderName| {
        if is_stripe(name) { stripe::settings::ACCOUNT_PREFIX } else { "" }
    };
    let names = config.deliveries().map(|delivery| &delivery.provider);
    names.map(|name| (name.clone(), prefix(name))).collect()
}
