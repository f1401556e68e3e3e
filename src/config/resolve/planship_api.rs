//! `[planship_api]`. Here: whether Planship's usage API is served, for whom and for which products.
//! Never here: the API. Read next: `http`.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;

use super::Given;
use crate::config::field::{Table, name, required};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::secret::secret;
use crate::config::{SecretPolicy, raw};
use crate::domain::names::{NAME_BYTES_MAX, SourceName};
use crate::web::{PLANSHIP_SOURCE, PlanshipApi, TOKEN_BYTES_MIN};

pub(super) fn planship_api(
    api: &raw::Key<raw::PlanshipApi>,
    given: &Given<'_>,
    found: &mut Findings,
) -> Option<PlanshipApi> {
    let table = Table { path: "planship_api".to_owned(), span: api.as_ref()?.span() };
    let api = api.as_ref()?.get_ref();
    let otherwise = "nobody could get a token";
    let id = required(&table, "client_id", &api.client_id, otherwise, "\"my-service\"", found);
    let looked_up = secret(&table, "client_secret", &api.client_secret, given, found);
    let products = products(&table, api, found);
    let source = match &api.source {
        None => SourceName::new(PLANSHIP_SOURCE).ok(),
        Some(field) => {
            let what = format!("`{}`", table.key("source"));
            name(&what, field.get_ref(), field.span(), SourceName::new, found)
        }
    };
    let (Some(id), Some((client_secret, span)), Some(source)) = (id, looked_up, source) else {
        return None;
    };
    if id.get_ref().is_empty() || id.get_ref().contains(':') {
        let title = "`planship_api.client_id` is empty, or holds a colon";
        let label = "a client shows it in front of a colon: it could not be told from the secret";
        let help = "write a short name, such as \"my-service\"";
        found.error(Problem::at(id.span(), title).label(label).help(help));
    }
    let is_read = given.secrets == SecretPolicy::Resolve;
    if is_read && client_secret.expose_secret().len() < TOKEN_BYTES_MIN {
        let title = format!("`planship_api.client_secret` has fewer than {TOKEN_BYTES_MIN} bytes");
        let help = "make one with `openssl rand -hex 32`";
        found.error(Problem::at(span, title).label("it could be guessed").help(help));
    }
    Some(PlanshipApi { client_id: id.get_ref().clone(), client_secret, products, source })
}

fn products(table: &Table, api: &raw::PlanshipApi, found: &mut Findings) -> BTreeSet<String> {
    let otherwise = "every report would be refused";
    let field = required(table, "products", &api.products, otherwise, "[\"my-product\"]", found);
    let Some(field) = field else { return BTreeSet::new() };
    let unusable = |slug: &str| slug.is_empty() || slug.len() > NAME_BYTES_MAX;
    if field.get_ref().is_empty() || field.get_ref().iter().any(|slug| unusable(slug.get_ref())) {
        let title = format!("`{}` is empty, or holds a name that is none", table.key("products"));
        let help = "name the products as the clients do: [\"my-product\"]";
        found.error(Problem::at(field.span(), title).label(otherwise).help(help));
    }
    field.get_ref().iter().map(|slug| slug.get_ref().clone()).collect()
}
