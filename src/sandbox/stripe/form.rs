//! Parameters as Stripe reads them. Here: form encoding with `name[key]=value`, and the checks that
//! need nothing but the request. Never here: a rule that looks at the account or the clock; a
//! refusal from here is never remembered under an idempotency key. Read next: [`super::operation`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sha2::{Digest, Sha256};

use super::refusal::Refusal;

/// Parameters in one request. Stripe publishes no figure; a form of this size is a mistake.
const PARAMS_MAX: usize = 1_000;

/// The parameters of one request that have not been read yet.
///
/// A parameter that comes twice is refused: which of the two would count is unconfirmed.
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
            let name = name.into_owned();
            if is_expansion(&name) {
                continue;
            }
            match params.values.entry(name) {
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

    /// A text, if it is there. An empty one is refused: it would mean "unset", and nothing here can
    /// be unset.
    pub(super) fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, Refusal> {
        let Some(value) = self.values.remove(name) else { return Ok(None) };
        if value.is_empty() {
            let message =
                format!("You passed an empty string for '{name}', which cannot be unset.");
            return Err(Refusal::invalid(message).code("parameter_invalid_empty").param(name));
        }
        if value.chars().count() > max {
            let head: String = value.chars().take(20).collect();
            let message = format!("Invalid string: {head}...; must be at most {max} characters");
            return Err(Refusal::invalid(message).param(name));
        }
        Ok(Some(value))
    }

    pub(super) fn required(&mut self, name: &str, max: usize) -> Result<String, Refusal> {
        self.text(name, max)?.ok_or_else(|| Refusal::missing(name))
    }

    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name, 40)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let message = format!("Invalid integer: {text}");
            Refusal::invalid(message).code("parameter_invalid_integer").param(name)
        })
    }

    /// One of a closed set of words.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name, 100)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("Invalid {name}: must be one of {}", known.join(", "));
            Refusal::invalid(message).param(name)
        })
    }

    /// All of `name[key]=value`, sorted by key.
    pub(super) fn map(&mut self, name: &str) -> Result<BTreeMap<String, String>, Refusal> {
        if self.values.contains_key(name) {
            return Err(Refusal::invalid("Invalid object").param(name));
        }
        let mut map = BTreeMap::new();
        let prefix = format!("{name}[");
        let names: Vec<String> =
            self.values.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        for full in names {
            let key = full.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(']'));
            let Some(key) = key.filter(|key| !key.is_empty() && !key.contains(['[', ']'])) else {
                return Err(Refusal::invalid(format!("Invalid object: {full}")).param(name));
            };
            let key = key.to_owned();
            if let Some(value) = self.text(&full, usize::MAX)? {
                map.insert(key, value);
            }
        }
        Ok(map)
    }

    /// Refuses what nothing has read.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.too_many {
            return Err(Refusal::invalid("Received too many parameters"));
        }
        if let Some(name) = self.twice {
            return Err(Refusal::invalid(format!("Received twice: {name}")).param(name));
        }
        match self.values.first_key_value() {
            Some((name, _)) => Err(Refusal::unknown_param(name)),
            None => Ok(()),
        }
    }
}

/// `expand` is accepted everywhere and does nothing: none of these objects has a part to expand.
fn is_expansion(name: &str) -> bool {
    name == "expand" || (name.starts_with("expand[") && name.ends_with(']'))
}
