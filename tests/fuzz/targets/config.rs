//! Config files. Here: every text is read or refused with places that exist in it, and what was
//! written as a secret is not repeated. Never here: secrets from outside. Read next: `cron`.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tallyd::config::{Outside, Overrides, SecretPolicy, load_text};

/// A value that must not be repeated, wherever a secret is expected.
const CANARY: &str = "sk_live_canary";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let outside = Outside { overrides: Overrides::default(), environment: &|_| None };
    let read =
        |text: &str| load_text(text, Path::new("tallyd.toml"), &outside, SecretPolicy::Unneeded);
    match read(text) {
        Ok(config) => {
            let shown = config.warnings.to_string();
            assert!(config.warnings.is_empty() || !shown.is_empty());
        }
        Err(problems) => {
            assert!(!problems.errors.is_empty(), "refused without a reason");
            assert!(!problems.to_string().is_empty());
        }
    }
    let secret = format!("[stripe.main]\nkey = \"{CANARY}\"\n{text}");
    if let Err(problems) = read(&secret) {
        assert!(!problems.to_string().contains(CANARY), "a secret was repeated");
    }
});
