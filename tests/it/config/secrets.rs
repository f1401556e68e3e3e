//! Secrets: found where the config refers to, judged, and never shown.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::ExposeSecret;
use tallyd::config::{Outside, Overrides, Problems, SecretPlace, SecretPolicy, load, load_text};

use super::{LIVE_KEY, SOUND, TEST_KEY, TOKEN, outside, read, refused, sound};

/// A config file in a folder of its own, beside a file with a secret.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn with(text: &str, secret: &str, mode: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("tallyd.toml"), text).expect("a config file");
        let path = folder.path().join("secret");
        std::fs::write(&path, secret).expect("a secret file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        Self { folder }
    }

    fn load(&self, policy: SecretPolicy) -> Result<tallyd::config::Config, Problems> {
        let folder = self.folder.path().display().to_string();
        let environment =
            move |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| folder.clone());
        let outside = Outside { overrides: Overrides::default(), environment: &environment };
        load(&self.folder.path().join("tallyd.toml"), &outside, policy)
    }
}

const BY_FILE: &str = "[stripe.main]\nkey = { file = \"secret\" }\n\
    [route.a]\nmeter = \"a\"\nto = \"stripe.main\"\n";

#[test]
fn a_secret_is_read_from_the_environment_a_file_or_a_credential() {
    let config = sound(SOUND);
    assert_eq!(config.stripe[0].provider.key.expose_secret(), TEST_KEY);
    for text in [BY_FILE.to_owned(), BY_FILE.replace("file", "credential")] {
        let place = Place::with(&text, &format!("{LIVE_KEY}\n"), 0o600);
        let config = place.load(SecretPolicy::Resolve).unwrap();
        assert_eq!(config.stripe[0].provider.key.expose_secret(), LIVE_KEY);
        assert!(config.warnings.is_empty(), "{}", config.warnings);
    }
}

#[test]
fn a_literal_secret_is_refused_and_not_shown() {
    let key = format!("[stripe.main]\nkey = \"{LIVE_KEY}\" # canary\n");
    refused(
        &key,
        &format!("\"{LIVE_KEY}\""),
        "`stripe.main.key` is a secret written into the config file",
    );
    let token = format!("[[http.token]]\nsources = [\"web\"]\nsecret = \"{TOKEN}\"\n");
    let title = "`http.token.1.secret` is a secret written into the config file";
    refused(&token, &format!("\"{TOKEN}\""), title);
    insta::assert_snapshot!(read(&key).expect_err("a literal"), @r#"
    error: `stripe.main.key` is a secret written into the config file
     --> /etc/tallyd/tallyd.toml:2:7
      |
    2 | key = "********************" # ******
      |       ^^^^^^^^^^^^^^^^^^^^^^ whoever sees the file, or a copy of it, has the secret
      |
      = help: refer to it: { env = "NAME" }, { file = "path" } or { credential = "name" }

    warning: no route is configured
    --> /etc/tallyd/tallyd.toml
     = note: usage is booked and waits, until a route takes it
     = help: add a table such as [route.requests] with `meter` and `to`

    /etc/tallyd/tallyd.toml: 1 error, 1 warning
    "#);
}

#[test]
fn no_problem_shows_a_secret_wherever_it_was_typed() {
    for line in [
        "[stripe.main]\nkey = \"SECRET\"",
        "[stripe.main]\nkey = SECRET",
        "[stripe.main]\nkey = \"SECRET",
        "[stripe.main]\nkey = '''\nSECRET\n'''\nx = 1",
        "[stripe.main]\nkey = { env = \"SECRET\" }",
        "[stripe.main]\nkey = { env = 'SECRET', file = 'x' }",
        "[stripe.main]\nkey = [\"SECRET\"]",
        "[stripe.main]\nkye = \"SECRET\"",
        "[stripe.main]\napi_key = \"SECRET\"",
        "[stripe.main]\naccount = \"SECRET\"",
        "[stripe.SECRET]\nkey = 1",
        "[http]\ntoken = \"SECRET\"",
        "[http]\ntoken = [\"SECRET\"]",
        "[http]\ntoken = [{ secret = \"SECRET\", x = 1 }]",
        "[log]\nfilter = \"SECRET\"",
        "[route.a]\nto = \"SECRET\"\nscale = \"SECRET\"",
        "SECRET",
    ] {
        let text = line.replace("SECRET", LIVE_KEY);
        let problems = read(&text).expect_err(line);
        let shown = format!("{problems} {problems:?} {}", problems.render(true));
        assert!(!shown.contains("canary"), "{line}\n{shown}");
    }
    for line in [
        "[[http.token]]\nsecret = \"SECRET\"",
        "[[http.token]]\nsecret = { env = \"SECRET\" }",
        "[http]\ntoken = \"SECRET\"",
    ] {
        let problems = read(&line.replace("SECRET", TOKEN)).expect_err(line);
        assert!(!format!("{problems} {problems:?}").contains("canary"), "{line}\n{problems}");
    }
}

#[test]
fn a_config_never_shows_its_secrets() {
    let token = "[[http.token]]\nsecret = { env = \"TOKEN\" }\nsources = [\"web\"]\n";
    let config = sound(&format!("{SOUND}{token}"));
    assert_eq!(config.web.tokens[0].secret.expose_secret(), TOKEN);
    assert!(!format!("{config:?} {config:#?}").contains("canary"));
}

#[test]
fn a_secret_that_is_not_there_is_refused_by_its_place() {
    for (reference, title) in [
        ("{ env = \"NOWHERE\" }", "the environment variable `NOWHERE` is not set"),
        ("{ env = \"EMPTY\" }", "the environment variable `EMPTY` is empty"),
        (
            "{ env = \"BLANK\" }",
            "the environment variable `BLANK` holds a blank or a character that no token has",
        ),
        ("{ file = \"/nowhere/at/all\" }", "the file /nowhere/at/all does not exist"),
        ("{ file = \"/\" }", "/ is not a file"),
    ] {
        let text = format!("[stripe.main]\nkey = {reference}\n");
        refused(&text, reference, &format!("`stripe.main.key`: {title}"));
    }
    let unset =
        "`stripe.main.key`: `$CREDENTIALS_DIRECTORY` is not set, so credential \"x\" is not here";
    let by_credential = "{ credential = \"x\" }";
    refused(&format!("[stripe.main]\nkey = {by_credential}"), by_credential, unset);
    let outside = "`stripe.main.key.credential` is not the name of a credential";
    let long = "x".repeat(256);
    for name in ["../x", "a/b", "/etc/shadow", "..", ".x", "", "a b", "a:b", "ä", &long] {
        let named = format!("\"{name}\"");
        refused(&format!("[stripe.main]\nkey = {{ credential = {named} }}"), &named, outside);
    }
    refused("[stripe.main]\n", "main", "`stripe.main.key` is missing");
    let many = "{ env = \"TEST\", file = \"x\" }";
    let text = format!("[stripe.main]\nkey = {many}\n");
    refused(&text, many, "`stripe.main.key` has to name exactly one place");
    refused("[stripe.main]\nkey = {}", "{}", "`stripe.main.key` has to name exactly one place");
}

#[test]
fn a_secret_file_is_judged_and_never_quoted() {
    for (content, why) in [("", "is empty"), ("\n", "is empty"), ("can ary", "holds a blank")] {
        let problems = Place::with(BY_FILE, content, 0o600)
            .load(SecretPolicy::Resolve)
            .expect_err("no secret");
        let text = problems.to_string();
        assert!(text.contains(why) && text.contains("/secret "), "{text}");
        assert!(!text.contains("ary"), "{text}");
    }
    let large = "x".repeat(5_000);
    let problems =
        Place::with(BY_FILE, &large, 0o600).load(SecretPolicy::Resolve).expect_err("too large");
    assert!(problems.to_string().contains("is larger than 4096 bytes"), "{problems}");
}

#[test]
fn a_secret_file_or_credential_that_everybody_can_read_is_warned_of() {
    for text in [BY_FILE.to_owned(), BY_FILE.replace("file", "credential")] {
        for policy in [SecretPolicy::Resolve, SecretPolicy::CheckPresence] {
            let config = Place::with(&text, TEST_KEY, 0o644).load(policy).unwrap();
            let text = config.warnings.to_string();
            assert!(text.contains("can be read by everybody on this host"), "{text}");
            assert!(text.contains("chmod 600") && !text.contains("canary"), "{text}");
        }
    }
}

#[test]
fn a_credential_that_systemd_did_not_give_is_refused_by_its_file() {
    let text = BY_FILE.replace("{ file = \"secret\" }", "{ credential = \"other\" }");
    let problems =
        Place::with(&text, TEST_KEY, 0o600).load(SecretPolicy::Resolve).expect_err("not there");
    let said = problems.to_string();
    assert!(said.contains("`stripe.main.key`: the file "), "{said}");
    assert!(said.contains("/other does not exist"), "{said}");
    // A variable without a value is none.
    let environment = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(String::new);
    let outside = Outside { overrides: Overrides::default(), environment: &environment };
    let read = load_text(&text, Path::new("a.toml"), &outside, SecretPolicy::Resolve);
    let said = read.expect_err("no folder").to_string();
    assert!(said.contains("`$CREDENTIALS_DIRECTORY` is not set"), "{said}");
}

#[test]
fn a_config_says_where_its_secrets_are_said_to_be() {
    let text = "[stripe.main]\nkey = { credential = \"x\" }\nwebhook_secrets = [{ file = \"w\" }]\n\n\
        [[http.token]]\nsecret = { env = \"NOWHERE\" }\nsources = [\"web\"]\n";
    let path = Path::new("/etc/tallyd/tallyd.toml");
    let config = load_text(text, path, &outside(), SecretPolicy::Unneeded).unwrap();
    let said: Vec<(&str, &SecretPlace)> =
        config.secret_places.iter().map(|(key, place)| (key.as_str(), place)).collect();
    assert_eq!(
        said,
        [
            ("http.token.1.secret", &SecretPlace::Variable("NOWHERE".to_owned())),
            ("stripe.main.key", &SecretPlace::Credential("x".to_owned())),
            ("stripe.main.webhook_secrets.1", &SecretPlace::File("/etc/tallyd/w".into())),
        ]
    );
}

#[test]
fn a_check_of_presence_reads_no_secret() {
    let config =
        Place::with(BY_FILE, "what is no key", 0o600).load(SecretPolicy::CheckPresence).unwrap();
    assert_eq!(config.stripe[0].provider.key.expose_secret(), "");
    assert_eq!(config.secrets, SecretPolicy::CheckPresence);

    let text = "[stripe.main]\nkey = { credential = \"x\" }\n";
    let path = Path::new("a.toml");
    let config = load_text(text, path, &outside(), SecretPolicy::CheckPresence).unwrap();
    let warning = &config.warnings.warnings[0];
    assert!(warning.title.contains("$CREDENTIALS_DIRECTORY"), "{warning:?}");
    assert_eq!(config.stripe.len(), 1);
}

#[test]
fn whoever_only_reads_the_ledger_needs_no_secret() {
    let text = "[stripe.main]\nkey = { env = \"NOWHERE\" }\n\n[stripe.eu]\nkey = { credential = \
        \"x\" }\n\n[[http.token]]\nsecret = { file = \"nowhere\" }\nsources = [\"web\"]\n";
    let path = Path::new("a.toml");
    let config = load_text(text, path, &outside(), SecretPolicy::Unneeded).unwrap();
    assert_eq!((config.stripe.len(), config.web.tokens.len()), (2, 1));
    let warned = config.warnings.warnings.len();
    assert_eq!(warned, 1, "only that there is no route: {}", config.warnings);
}

#[test]
fn a_key_that_is_none_of_stripes_is_refused() {
    let text = "[stripe.main]\nkey = { env = \"PUBLISHABLE\" }\n";
    let title = "`stripe.main.key` is no secret or restricted key of Stripe";
    refused(text, "{ env = \"PUBLISHABLE\" }", title);
}

#[test]
fn a_token_that_could_be_guessed_is_refused() {
    let text = "[[http.token]]\nsecret = { env = \"SHORT\" }\nsources = [\"web\"]\n";
    refused(text, "{ env = \"SHORT\" }", "`http.token.1.secret` has fewer than 16 bytes");
}

#[test]
fn two_tokens_with_one_secret_are_refused() {
    let one = "[[http.token]]\nsecret = { env = \"TOKEN\" }\nsources = [\"web\"]\n";
    let text = format!("{one}{}", one.replace("TOKEN", "TALLYD_TOKEN"));
    let title = "`http.token.2.secret` is the same as that of token 1";
    refused(&text, "{ env = \"TALLYD_TOKEN\" }", title);
}

#[test]
fn a_token_needs_sources_and_may_name_any() {
    let token = "[[http.token]]\nsecret = { env = \"TOKEN\" }\n";
    refused(token, "[[http.token]]", "`http.token.1.sources` is missing");
    refused(&format!("{token}sources = []"), "[]", "`http.token.1.sources` is empty");
    let padded = format!("{token}sources = [\"web \"]");
    let title = "a name in `http.token.1.sources` starts or ends with white space";
    refused(&padded, "\"web \"", title);
    let config = sound(&format!("{token}sources = [\"web\", \"undeclared\", \"web\"]"));
    let sources: Vec<&str> = config.web.tokens[0]
        .sources
        .iter()
        .map(tallyd::domain::names::SourceName::as_str)
        .collect();
    assert_eq!(sources, ["web", "undeclared"]);
}

#[test]
fn the_secrets_of_webhooks_are_looked_up_like_keys_and_never_shown() {
    let account =
        |list: &str| SOUND.replacen("\n\n", &format!("\nwebhook_secrets = {list}\n\n"), 1);
    let config = sound(&account("[{ env = \"WEBHOOK\" }, { env = \"ROLLED\" }]"));
    let secrets = &config.stripe[0].provider.webhook_secrets;
    assert_eq!((secrets.len(), secrets[0].expose_secret()), (2, super::WEBHOOK));
    assert!(!format!("{config:?} {config:#?}").contains("canary"));
    assert!(sound(&account("[]")).stripe[0].provider.webhook_secrets.is_empty());

    let said = |rest: &str| format!("`stripe.main.webhook_secrets{rest}");
    for (name, why) in [
        ("EMPTY", ".1`: the environment variable `EMPTY` is empty"),
        (
            "BLANK",
            ".1`: the environment variable `BLANK` holds a blank or a character that no token has",
        ),
        ("NOWHERE", ".1`: the environment variable `NOWHERE` is not set"),
        ("TEST", ".1` is no signing secret of Stripe"),
        ("GUESSED", ".1` is no signing secret of Stripe"),
    ] {
        let at = format!("{{ env = \"{name}\" }}");
        refused(&account(&format!("[{at}]")), &at, &said(why));
    }
    let many = format!("[{}]", ["{ env = \"WEBHOOK\" }"; 5].join(", "));
    refused(&account(&many), &many, &said("` has more than 4 secrets"));
    let literal = format!("[\"{}\"]", super::WEBHOOK);
    let title = said(".1` is a secret written into the config file");
    refused(&account(&literal), &format!("\"{}\"", super::WEBHOOK), &title);
    for line in [literal, format!("\"{}\"", super::WEBHOOK), "[\"canary\", 7]".to_owned()] {
        let problems = read(&account(&line)).expect_err(&line);
        let shown = format!("{problems} {problems:?} {}", problems.render(true));
        assert!(!shown.contains("canary"), "{line}\n{shown}");
    }
}
