//! Parameters as Chargebee reads them. Here: form encoding with `name[operator]=value`, lists in
//! both forms that its own clients write, and the checks that need nothing but the request. Never
//! here: a rule that looks at the site or the clock. Read next: [`super::query`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sha2::{Digest, Sha256};

use super::refusal::Refusal;

/// Parameters in one request. Chargebee publishes no figure; a form of this size is a mistake.
const PARAMS_MAX: usize = 1_000;
/// The digits of a time in a filter, which is what the published patterns ask for.
const TIME_DIGITS: usize = 10;
/// The longest number, in characters.
const NUMBER_LENGTH_MAX: usize = 20;

/// The parameters of one request that have not been read yet.
///
/// A parameter that comes twice, and one that nobody knows, are refused: what Chargebee does with
/// either is unconfirmed, and a client that is refused is found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    values: BTreeMap<String, String>,
    twice: Option<String>,
    too_many: bool,
}

impl Params {
    pub(super) fn parse(query: &[u8], body: &[u8]) -> Self {
        let mut params = Self::default();
        let pairs = form_urlencoded::parse(query).chain(form_urlencoded::parse(body));
        for (place, (name, value)) in pairs.enumerate() {
            if place >= PARAMS_MAX {
                params.too_many = true;
                break;
            }
            match params.values.entry(name.into_owned()) {
                Entry::Occupied(taken) => params.twice = Some(taken.key().clone()),
                Entry::Vacant(free) => {
                    free.insert(value.into_owned());
                }
            }
        }
        params
    }

    pub(super) fn peek(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What an idempotency key is compared by. Parameters are compared, not bytes, so the order in
    /// which a client happens to write them does not matter.
    pub(super) fn fingerprint(&self, method: &str, path: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        let pairs = self.values.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for field in [method, path].into_iter().chain(pairs) {
            hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(field.as_bytes());
        }
        hash.finalize().into()
    }

    /// A text, if it is there and not empty: an empty one stands for none.
    pub(super) fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, Refusal> {
        let Some(value) = self.values.remove(name) else { return Ok(None) };
        if value.chars().count() > max {
            return Err(Refusal::wrong_value(name, format!("has more than {max} characters")));
        }
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    pub(super) fn required(&mut self, name: &str, max: usize) -> Result<String, Refusal> {
        let missing = || Refusal::wrong_value(name, "cannot be blank");
        self.text(name, max)?.ok_or_else(missing)
    }

    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name, NUMBER_LENGTH_MAX)? else { return Ok(None) };
        let number = text.parse().ok();
        number.map(Some).ok_or_else(|| Refusal::wrong_value(name, "is no whole number"))
    }

    /// `name=true` or `name=false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name, NUMBER_LENGTH_MAX)?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Refusal::wrong_value(name, "is neither true nor false")),
        }
    }

    /// The operators and values of all `name[operator]=value`.
    pub(super) fn operators(&mut self, name: &str) -> Vec<(String, String)> {
        let prefix = format!("{name}[");
        let is_its = |key: &&String| key.starts_with(&prefix) && key.ends_with(']');
        let names: Vec<String> = self.values.keys().filter(is_its).cloned().collect();
        let mut found = Vec::with_capacity(names.len());
        for full in names {
            let operator = full.get(prefix.len()..full.len() - 1).unwrap_or_default().to_owned();
            found.push((operator, self.values.remove(&full).unwrap_or_default()));
        }
        found
    }

    /// Refuses what nothing has read.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.too_many {
            return Err(Refusal::invalid("There are too many parameters"));
        }
        if let Some(name) = self.twice {
            return Err(Refusal::wrong_value(&name, "is there twice"));
        }
        match self.values.first_key_value() {
            Some((name, _)) => {
                let message = format!("{name} is no parameter of this request");
                Err(Refusal::invalid(message).param(name))
            }
            None => Ok(()),
        }
    }
}

/// The entries of `[a,b]`, of `["a","b"]` as Node's client writes it, and of `['a', 'b']` as
/// Python's does.
pub(super) fn list(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    if inner.trim().is_empty() {
        return Some(Vec::new());
    }
    inner.split(',').map(entry).collect()
}

fn entry(text: &str) -> Option<String> {
    let text = text.trim();
    for quote in ['\'', '"'] {
        if let Some(rest) = text.strip_prefix(quote) {
            return rest.strip_suffix(quote).map(str::to_owned);
        }
    }
    (!text.is_empty()).then(|| text.to_owned())
}

/// A time in a filter: ten digits of Unix seconds.
pub(super) fn time(text: &str) -> Option<i64> {
    let is_time = text.len() == TIME_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_every_client_writes_it() {
        let expected = Some(vec!["1601718000".to_owned(), "1601719000".to_owned()]);
        for text in [
            "[1601718000,1601719000]",
            "['1601718000', '1601719000']",
            "[\"1601718000\",\"1601719000\"]",
            " [ 1601718000 , 1601719000 ] ",
        ] {
            assert_eq!(list(text), expected, "{text}");
        }
        assert_eq!(list("[]"), Some(Vec::new()));
        for text in ["", "a,b", "[a", "['a]", "[a,,b]", "[a,]"] {
            assert_eq!(list(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_in_a_filter_has_ten_digits() {
        assert_eq!(time("1601718000"), Some(1_601_718_000));
        for text in ["", "160171800", "16017180000", "+160171800", "1601718000.0"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
