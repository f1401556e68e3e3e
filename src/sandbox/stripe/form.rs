//! Parameters as Stripe reads them. Here: form encoding with `name[key]=value`, and the checks that
//! need nothing but the request. Never here: a rule that looks at the account or the clock; a
//! refusal from here is never remembered under an idempotency key. Read next: [`super::operation`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::refusal::Refusal;

/// Parameters in one request. Stripe publishes no figure; a form of this size is a mistake.
const PARAMS_MAX: usize = 1_000;
/// The longest text of a time, in characters: an RFC 3339 time with nanoseconds is half as long.
const TIME_LENGTH_MAX: usize = 64;

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
            let name = numbered(name.into_owned(), place);
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

    /// `name=true` or `name=false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        self.word(name, &[("true", true), ("false", false)])
    }

    /// A time that can be unset: an empty one is `Some(None)`.
    pub(super) fn time_or_none(&mut self, name: &str) -> Result<Option<Option<i64>>, Refusal> {
        if self.peek(name) == Some("") {
            self.values.remove(name);
            return Ok(Some(None));
        }
        Ok(self.integer(name)?.map(Some))
    }

    /// The span that `name=at` or `name[gt|gte|lt|lte]=at` asks for, in the unit that `read` gives.
    pub(super) fn span(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Option<i64>,
    ) -> Result<Range<i64>, Refusal> {
        let read = |text: &str| {
            let wrong = || Refusal::invalid(format!("Invalid time: {text}")).param(name);
            read(text).ok_or_else(wrong)
        };
        if self.peek(name).is_some() {
            let at = read(&self.required(name, TIME_LENGTH_MAX)?)?;
            return Ok(at..at.saturating_add(1));
        }
        let mut span = i64::MIN..i64::MAX;
        for (bound, text) in self.map(name)? {
            let at = read(&text)?;
            match bound.as_str() {
                "gt" => span.start = span.start.max(at.saturating_add(1)),
                "gte" => span.start = span.start.max(at),
                "lt" => span.end = span.end.min(at),
                "lte" => span.end = span.end.min(at.saturating_add(1)),
                other => return Err(Refusal::unknown_param(&format!("{name}[{other}]"))),
            }
        }
        Ok(span)
    }

    /// All of `name[place][key]=value`, by place.
    pub(super) fn rows(
        &mut self,
        name: &str,
    ) -> Result<BTreeMap<u32, BTreeMap<String, String>>, Refusal> {
        let mut rows: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
        let prefix = format!("{name}[");
        let names: Vec<String> =
            self.values.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        for full in names {
            let inner = full.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(']'));
            let parts = inner.and_then(|inner| inner.split_once("]["));
            let place = parts.and_then(|(place, key)| Some((place.parse().ok()?, key)));
            let Some((place, key)) = place else {
                return Err(Refusal::invalid(format!("Invalid array: {full}")).param(name));
            };
            let key = key.to_owned();
            if let Some(value) = self.text(&full, usize::MAX)? {
                rows.entry(place).or_default().insert(key, value);
            }
        }
        Ok(rows)
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

/// `name[]`, which some clients write for each entry of an array, as `name[place]`.
fn numbered(name: String, place: usize) -> String {
    match name.strip_suffix("[]") {
        Some(array) => format!("{array}[{place}]"),
        None => name,
    }
}

/// `expand` is accepted everywhere and does nothing: none of these objects has a part to expand.
fn is_expansion(name: &str) -> bool {
    name == "expand" || (name.starts_with("expand[") && name.ends_with(']'))
}
