//! What the operator set for a Chargebee site that meters by usage events, already validated. Never
//! here: TOML. Read next: `super::promises`.

use secrecy::SecretString;

use crate::domain::names::{ProviderMeter, ProviderName};
use crate::domain::time::MICROS_PER_HOUR;
use crate::provider::chargebee::settings::{API_PATH, api_of, is_live};

/// What the address of the host that takes events ends with.
/// <https://apidocs.chargebee.com/docs/api/usage_events>
pub const INGEST_HOST_SUFFIX: &str = ".ingest.chargebee.com";
/// Events a minute, when the operator set none: four fifths of what the host takes, as the site's
/// other writers share it.
pub const RATE_PER_MINUTE: u32 = 8_000;
/// Most events a minute: what the host takes of a site ("Limit: 10,000 events per minute":
/// <https://apidocs.au.chargebee.com/docs/api/usage_events/create-a-usage-event>; newer pages name
/// a page of limits instead).
pub const RATE_PER_MINUTE_MAX: i64 = 10_000;
/// Longest id of a feature, in characters.
pub const FEATURE_CHARS_MAX: usize = 100;
/// Longest name of a property, in characters: with it, the longest subscription and the longest
/// number an event stays below the kibibyte that Chargebee takes.
pub const PROPERTY_CHARS_MAX: usize = 100;
/// Longest window of usage that is told as one event, in microseconds: an event is of the time of
/// its newest usage, so with an hour's all of it counts within an hour of its own time.
pub const WINDOW_MICROS_MAX: i64 = MICROS_PER_HOUR;
/// Longest time that a window may wait for late usage, in hours. With an hour's window that leaves
/// five of the eleven hours within which an event is told (`super::promises`) to an outage.
pub const SETTLE_HOURS_MAX: i64 = 5;

/// A metered feature that usage is told for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its id.
    pub id: ProviderMeter,
    /// The property of an event that its meter adds up.
    pub property: String,
}

/// One Chargebee site that meters by usage events.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider instance's name, such as `chargebee.main`.
    pub name: ProviderName,
    /// The site's name, such as `acme` or `acme-test`.
    pub site: String,
    /// The address of the API that is read, without a slash at its end; a live site's is its own.
    pub api: String,
    /// The address that events are told at, likewise.
    pub ingest: String,
    /// The API key, with full access.
    pub key: SecretString,
    /// The metered features that usage is told for. Their meters add the property up: their
    /// aggregation is "sum".
    pub features: Vec<Feature>,
    /// Requests a minute that readings keep to. They go to the site itself, of whose limit the
    /// ingest host's is none.
    pub reads_per_minute: u32,
    /// How long one request may take, in milliseconds.
    pub timeout_millis: u32,
}

impl Settings {
    /// Whether the site moves money.
    #[must_use]
    pub fn livemode(&self) -> bool {
        is_live(&self.site)
    }

    /// Whether it is told at the site's own address, and not at a stand-in.
    #[must_use]
    pub fn is_at_chargebee(&self) -> bool {
        self.api == api_of(&self.site)
    }
}

/// Where a site's events are told, at Chargebee itself.
#[must_use]
pub fn ingest_of(site: &str) -> String {
    format!("https://{site}{INGEST_HOST_SUFFIX}{API_PATH}")
}

/// Whether a property can have this name: a letter, then letters, digits and underscores. So have
/// Chargebee's own clients it (<https://github.com/openaudr/audr>, its sink for Chargebee).
#[must_use]
pub fn is_property(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(plain)
        && text.len() <= PROPERTY_CHARS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_named_as_a_meter_can_read_it() {
        assert!(is_property("calls") && is_property("input_tokens2"));
        for wrong in ["", "2calls", "_calls", "api-calls", "a b", "é"] {
            assert!(!is_property(wrong), "{wrong}");
        }
        assert!(!is_property(&"x".repeat(PROPERTY_CHARS_MAX + 1)));
    }

    #[test]
    fn events_of_a_test_site_are_told_at_its_own_host() {
        let address = "https://acme-test.ingest.chargebee.com/api/v2";
        assert_eq!(ingest_of("acme-test"), address);
    }
}
