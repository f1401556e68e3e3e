//! Where something stands in the file, for those who find out later that it is wrong. PURE. Here:
//! the places of providers, their meters and routes. Never here: what is wrong with them (see
//! `resolve`, `cli::check`). Read next: [`super::problem`].

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use super::raw;
use crate::domain::names::{ProviderMeter, ProviderName, RouteName};

/// A place in the file, in bytes.
type Place = Range<usize>;

/// Where providers, their meters and routes stand in a config file.
#[derive(Clone, Debug, Default)]
pub struct Places {
    providers: BTreeMap<String, Provider>,
    routes: BTreeMap<String, Place>,
}

#[derive(Clone, Debug)]
struct Provider {
    table: Place,
    key: Option<Place>,
    account: Option<Place>,
    meters: BTreeMap<String, Place>,
}

impl Places {
    /// The places of what was typed.
    pub(super) fn of(file: &raw::File) -> Self {
        let stripe = file.stripe.iter().map(|(name, raw)| {
            let provider = Provider {
                table: name.span(),
                key: place(&raw.key),
                account: place(&raw.account),
                meters: names(raw.meter.keys()),
            };
            (format!("stripe.{}", name.get_ref()), provider)
        });
        let chargebee = file.chargebee.iter().map(|(name, raw)| {
            let provider = Provider {
                table: name.span(),
                key: place(&raw.key),
                account: place(&raw.site),
                meters: names(raw.item_price.keys().chain(raw.feature.keys())),
            };
            (format!("chargebee.{}", name.get_ref()), provider)
        });
        let planship = file.planship.iter().map(|(name, raw)| {
            let metering_ids = raw.metering_ids.iter().flat_map(|ids| ids.get_ref());
            let provider = Provider {
                table: name.span(),
                key: place(&raw.client_secret),
                account: place(&raw.product),
                meters: names(metering_ids),
            };
            (format!("planship.{}", name.get_ref()), provider)
        });
        let routes = file.route.iter().map(|(name, raw)| {
            let named = raw.event.as_ref().or(raw.meter.as_ref());
            (name.get_ref().clone(), named.map_or(name.span(), Spanned::span))
        });
        let providers = stripe.chain(chargebee).chain(planship);
        Self { providers: providers.collect(), routes: routes.collect() }
    }

    fn of_provider(&self, name: &ProviderName) -> Option<&Provider> {
        self.providers.get(name.as_str())
    }

    /// Where the table of a provider instance begins.
    #[must_use]
    pub fn provider(&self, name: &ProviderName) -> Option<Place> {
        self.of_provider(name).map(|provider| provider.table.clone())
    }

    /// Where its key is referred to.
    #[must_use]
    pub fn key(&self, name: &ProviderName) -> Option<Place> {
        self.of_provider(name)?.key.clone().or_else(|| self.provider(name))
    }

    /// Where its account or site is named, or else its table.
    #[must_use]
    pub fn account(&self, name: &ProviderName) -> Option<Place> {
        self.of_provider(name)?.account.clone().or_else(|| self.provider(name))
    }

    /// Where it declares a meter, or else its table.
    #[must_use]
    pub fn declared(&self, name: &ProviderName, meter: &ProviderMeter) -> Option<Place> {
        let declared = self.of_provider(name)?.meters.get(meter.as_str());
        declared.cloned().or_else(|| self.provider(name))
    }

    /// Where a route names the meter that it tells.
    #[must_use]
    pub fn route(&self, name: &RouteName) -> Option<Place> {
        self.routes.get(name.as_str()).cloned()
    }
}

fn place<T>(field: &raw::Key<T>) -> Option<Place> {
    field.as_ref().map(Spanned::span)
}

fn names<'a>(keys: impl Iterator<Item = &'a Spanned<String>>) -> BTreeMap<String, Place> {
    keys.map(|key| (key.get_ref().clone(), key.span())).collect()
}
