//! Blotting out secrets. PURE. Here: what in a config text may be a secret that was written where a
//! reference belongs. Never here: secrets as they are meant to be given (see `secret`). Read next:
//! `problem`.
//!
//! A problem is shown with its line, and a line may hold a secret that was typed there by mistake,
//! even in a file that is no valid TOML. So this reads plain text, and rather blots out too much.

/// What Stripe's secrets start with. The start itself is shown: it says what kind it is.
const PREFIXES: [&str; 7] =
    ["sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_", "sk_org_", "ek_live_"];
/// How the names of keys end whose value may be a secret.
const SECRET_KEYS: [&str; 5] = ["key", "secret", "secrets", "token", "password"];
/// Keys that end so, and never hold a secret.
const PLAIN_KEYS: [&str; 2] = ["customer_key", "value_key"];

/// `text` with every word blotted out that has the form of a provider's secret.
pub(super) fn redact_words(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    blot_words(text, &mut bytes);
    String::from_utf8(bytes).expect("whole characters are replaced by asterisks")
}

/// A config file's `text` with everything blotted out that may be a secret, byte for byte: places
/// in it stay what they were.
pub(super) fn redact_source(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    blot_words(text, &mut bytes);
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find('=')) {
        let equals = from + found;
        from = equals + 1;
        if names_a_secret(&text[..equals], &text[from..]) {
            let end = end_of_value(text, from);
            blot(&mut bytes, from, end);
            from = end;
        }
    }
    String::from_utf8(bytes).expect("whole characters are replaced by asterisks")
}

fn blot_words(text: &str, bytes: &mut [u8]) {
    for prefix in PREFIXES {
        for (start, _) in text.match_indices(prefix) {
            let word = start + prefix.len();
            let rest = &text[word..];
            let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '*');
            let length = rest.find(|c: char| !inside(c)).unwrap_or(rest.len());
            blot(bytes, word, word + length);
        }
    }
}

/// Whether `name` has the usual form of an environment variable's name. Random secrets hardly ever
/// do: this tells a secret that was typed in place of a reference from a reference.
pub(super) fn is_variable_name(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_') && name.chars().all(inside)
}

/// Whether what stands `before` an equals sign ends with a key whose value, which stands `after`
/// it, may be a secret.
fn names_a_secret(before: &str, after: &str) -> bool {
    let name = before.trim_end().trim_end_matches(['"', '\'']);
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let outside = name.char_indices().rfind(|(_, c)| !inside(*c));
    let start = outside.map_or(0, |(at, c)| at + c.len_utf8());
    let name = name[start..].to_ascii_lowercase();
    if name == "env" {
        let quoted = after.trim_start().trim_start_matches(['"', '\'']);
        let end = quoted.find(['"', '\'', '\n']).unwrap_or(quoted.len());
        return !is_variable_name(&quoted[..end]);
    }
    SECRET_KEYS.iter().any(|end| name.ends_with(end)) && !PLAIN_KEYS.contains(&name.as_str())
}

/// Where the value ends that starts behind an equals sign at `from`. A table or an array ends at
/// once: what is inside has keys of its own, and a reference is no secret.
fn end_of_value(text: &str, from: usize) -> usize {
    let rest = &text[from..];
    let value = rest.trim_start_matches([' ', '\t']);
    let start = from + rest.len() - value.len();
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inside) = value.strip_prefix(quotes) {
            return inside.find(quotes).map_or(text.len(), |end| start + 3 + end);
        }
    }
    if value.starts_with('{') || value.starts_with("[[") {
        return from;
    }
    start + value.find(['\n', '\r']).unwrap_or(value.len())
}

/// Replaces what says something; quotes, blanks and brackets keep the line's shape.
fn blot(bytes: &mut [u8], from: usize, to: usize) {
    for byte in &mut bytes[from..to] {
        if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'[' | b']' | b'#') {
            *byte = b'*';
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_may_be_a_secret_is_blotted_out_and_what_is_not_stays() {
        for (text, shown) in [
            ("key = \"sk_live_abc\"", "key = \"***********\""),
            ("account = \"rk_test_a1 b\"", "account = \"rk_test_** b\""),
            ("api_key=hunter2 # why", "api_key=******* # ***"),
            ("secret = '''a\nb'''\nx = 1", "secret = '''*\n*'''\nx = 1"),
            ("\"secret\" = 'a b'\nx = 1", "\"secret\" = '* *'\nx = 1"),
            ("token = [\"a\", \"b\"]", "token = [\"*\"* \"*\"]"),
            ("key = { env = \"NAME\" }", "key = { env = \"NAME\" }"),
            ("t = [{ secret = \"ab\" }]", "t = [{ secret = \"**\" *]"),
            ("webhook_secrets = [\"a\"]", "webhook_secrets = [\"*\"]"),
            ("\u{feff}key = 1", "\u{feff}key = *"),
            ("key = { env = \"hunter2\" }", "key = { env = \"*******\" *"),
            ("customer_key = \"who\"", "customer_key = \"who\""),
            ("[stripe.monkey]\nrate = 3", "[stripe.monkey]\nrate = 3"),
        ] {
            assert_eq!(redact_source(text), shown);
        }
    }

    proptest! {
        #[test]
        fn places_stay_what_they_were(text in "(key|secret|=|\\PC|\"|'|\n|sk_live_){0,40}") {
            let redacted = redact_source(&text);
            prop_assert_eq!(redacted.len(), text.len());
            prop_assert_eq!(redacted.lines().count(), text.lines().count());
        }
    }
}
