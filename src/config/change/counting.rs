//! What changed of providers that only count. Here: the settings of each, key by key. Never here:
//! what is alike for every provider ([`super`]). Read next: [`super`].

use super::is_same_secret;
use crate::provider::cryptolens::settings as cryptolens;
use crate::provider::planship::settings as planship;

pub(super) fn of_cryptolens(
    old: &cryptolens::Settings,
    new: &cryptolens::Settings,
) -> Vec<(&'static str, bool)> {
    let cryptolens::Settings {
        name: _,
        api,
        token,
        products,
        on_unknown,
        livemode,
        // It follows from `attempt_timeout_seconds`.
        timeout_millis: _,
    } = old;
    vec![
        ("api", *api == new.api),
        ("token", is_same_secret(token, &new.token)),
        ("products", *products == new.products),
        ("on_unknown", *on_unknown == new.on_unknown),
        ("test", *livemode == new.livemode),
    ]
}

pub(super) fn of_planship(
    old: &planship::Settings,
    new: &planship::Settings,
) -> Vec<(&'static str, bool)> {
    let planship::Settings {
        name: _,
        api,
        client_id,
        client_secret,
        product,
        metering_ids,
        on_unknown,
        livemode,
        // It follows from `attempt_timeout_seconds`.
        timeout_millis: _,
    } = old;
    vec![
        ("api", *api == new.api),
        ("client_id", *client_id == new.client_id),
        ("client_secret", is_same_secret(client_secret, &new.client_secret)),
        ("product", *product == new.product),
        ("metering_ids", *metering_ids == new.metering_ids),
        ("on_unknown", *on_unknown == new.on_unknown),
        ("test", *livemode == new.livemode),
    ]
}
