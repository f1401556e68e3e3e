//! What tallyd prints for the host that it is to run on: a unit, completions, manual pages.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{CONFIG, Place, Ran};

/// The most that `systemd-analyze security` may find exposed, in tenths: 1.5 of 10.
const EXPOSURE_TENTHS_MAX: &str = "15";

/// A config with a secret in each kind of place, and files where a service's belong.
const SERVICE: &str = r#"
[ledger]
path = "/var/lib/tallyd/tallyd.ledger"
fence = "/var/lib/tallyd-fence/fence"

[http]
operator_socket = "/run/tallyd/operator.sock"
connections_max = 5000

[[http.token]]
secret = { env = "WEB_TOKEN" }
sources = ["web"]

[stripe.main]
key = { credential = "stripe-key" }
webhook_secrets = [{ file = "/etc/tallyd/webhook" }]
concurrency = 7
"#;

/// The unit's text, or why there is none.
fn unit(place: &Place, more: &str) -> Ran {
    place.run(&format!("generate unit --config tallyd.toml {more}"))
}

/// The values of a setting, in their order.
fn values<'a>(unit: &'a str, setting: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.strip_prefix(setting)?.strip_prefix('=');
    unit.lines().filter_map(value).collect()
}

/// Says why a part of a test was not done.
#[expect(clippy::print_stderr, reason = "whoever reads the test's output has to know")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// What systemd says of a unit: nothing where it is not on this host, which is said.
fn analyzed(unit: &str, arguments: &[&str]) -> Option<std::process::Output> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tallyd.service");
    std::fs::write(&path, unit).unwrap();
    let ran = Command::new("systemd-analyze").args(arguments).arg(&path).output();
    if ran.is_err() {
        skipped("there is no systemd-analyze here to judge the unit");
    }
    ran.ok()
}

#[test]
fn a_unit_names_the_secrets_the_folders_and_the_limits_of_its_config() {
    let place = Place::new();
    place.put("tallyd.toml", SERVICE);
    let ran = unit(&place, "--program /usr/local/bin/tallyd");
    assert_eq!(ran.code, 0, "{ran:?}");
    let config = place.path("tallyd.toml").display().to_string();
    for (setting, expected) in [
        ("Type", vec!["notify"]),
        ("ExecStart", vec![format!("/usr/local/bin/tallyd run --config {config}").as_str()]),
        ("ExecReload", vec!["/bin/kill -HUP $MAINPID"]),
        ("LoadCredential", vec!["stripe-key:/etc/credstore/stripe-key"]),
        ("EnvironmentFile", vec![config.replace(".toml", ".env").as_str()]),
        ("DynamicUser", vec!["yes"]),
        ("User", vec!["tallyd"]),
        ("StateDirectory", vec!["tallyd tallyd-fence"]),
        ("RuntimeDirectory", vec!["tallyd"]),
        ("ReadWritePaths", vec![]),
        // The connections, the requests in flight, and a thousand files beside them.
        ("LimitNOFILE", vec!["6031"]),
        ("Restart", vec!["on-failure"]),
        ("RestartPreventExitStatus", vec!["64 78"]),
        ("ProtectSystem", vec!["strict"]),
        ("PrivateUsers", vec!["yes"]),
        ("CapabilityBoundingSet", vec![""]),
        ("MemoryDenyWriteExecute", vec!["yes"]),
        ("RestrictAddressFamilies", vec!["AF_UNIX AF_INET AF_INET6"]),
        ("SystemCallFilter", vec!["@system-service", "~@privileged @resources"]),
        ("LimitCORE", vec!["0"]),
    ] {
        assert_eq!(values(&ran.out, setting), expected, "{setting}\n{}", ran.out);
    }
    let seconds = |setting: &str| values(&ran.out, setting)[0].parse::<u64>().unwrap();
    assert!(seconds("TimeoutStopSec") > tallyd::daemon::supervisor::STOP_SECONDS_MAX);
    assert!((10..=120).contains(&seconds("WatchdogSec")), "{}", ran.out);
    // What a person has to do stands in the unit, and is said where a redirection does not hide it.
    for step in [
        "put the secret for `stripe.main.key` in /etc/credstore/stripe-key",
        "put WEB_TOKEN=…, the secret for `http.token.1.secret`, in ",
        "make /etc/tallyd/webhook, for `stripe.main.webhook_secrets.1`, readable for the user",
    ] {
        assert!(ran.err.contains(&format!("before it starts: {step}")), "{step}\n{}", ran.err);
        assert!(ran.out.contains(&format!("# Before it starts: {step}")), "{step}\n{}", ran.out);
    }
}

#[test]
fn systemd_takes_the_unit_and_finds_little_exposed() {
    let place = Place::new();
    for (config, more) in [(SERVICE, ""), (CONFIG, "--user billing --ledger /srv/a/b.ledger")] {
        place.put("tallyd.toml", config);
        let ran = unit(&place, more);
        let Some(verified) = analyzed(&ran.out, &["verify"]) else { return };
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.is_empty(), "{said}\n{}", ran.out);
        let threshold = format!("--threshold={EXPOSURE_TENTHS_MAX}");
        let arguments = ["security", "--offline=true", "--no-pager", &threshold];
        let judged = analyzed(&ran.out, &arguments).unwrap();
        let said = String::from_utf8_lossy(&judged.stdout);
        assert!(judged.status.success(), "{said}\n{}", ran.out);
        // The judge does judge: without one part of the lock it is another unit.
        let open = ran.out.replace("SystemCallFilter=", "# ");
        assert!(!analyzed(&open, &arguments).unwrap().status.success(), "{open}");
    }
}

#[test]
fn a_unit_quotes_what_systemd_would_take_apart() {
    let place = Place::new();
    let folder = place.path("50% of $HOME, \"quoted\"");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("tallyd.toml"), SERVICE).unwrap();
    let mut command = place.command("generate unit --config");
    let ran = Ran::of(command.arg(folder.join("tallyd.toml")).output().unwrap());
    let command = values(&ran.out, "ExecStart")[0];
    assert!(command.contains("50%% of $$HOME, \\\"quoted\\\"/tallyd.toml\""), "{command}");
    let file = values(&ran.out, "EnvironmentFile")[0];
    assert!(file.ends_with("/50%% of $HOME, \"quoted\"/tallyd.env"), "{file}");
    if let Some(verified) = analyzed(&ran.out, &["verify"]) {
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.is_empty(), "{said}\n{}", ran.out);
    }
}

#[test]
fn a_unit_says_what_is_hidden_from_it_and_which_folders_it_needs() {
    let place = Place::new();
    let config = "[ledger]\npath = \"/srv/billing/../ledgers/a.ledger\"\n\
                  fence = \"/home/billing/fence\"\n[http]\nlisten = \"127.0.0.1:443\"\n";
    place.put("tallyd.toml", config);
    let ran = unit(&place, "--program /root/tallyd --user billing");
    assert_eq!(values(&ran.out, "ReadWritePaths"), ["/home/billing /srv/ledgers"], "{}", ran.out);
    assert!(ran.err.contains("useradd --system billing"), "{}", ran.err);
    for hidden in ["/root/tallyd", "/home/billing"] {
        assert!(ran.err.contains(&format!("move {hidden}: this unit hides")), "{}", ran.err);
    }
    // A port of the host's first thousand needs a right, which a user namespace would take.
    assert_eq!(values(&ran.out, "AmbientCapabilities"), ["CAP_NET_BIND_SERVICE"]);
    assert_eq!(values(&ran.out, "CapabilityBoundingSet"), ["CAP_NET_BIND_SERVICE"]);
    assert_eq!(values(&ran.out, "PrivateUsers"), ["no"]);
}

#[test]
fn a_unit_is_of_the_file_and_not_of_the_shell_that_asks_for_it() {
    let place = Place::new();
    place.put("tallyd.toml", SERVICE);
    let mut command = place.command("generate unit --config tallyd.toml");
    command.env("TALLYD_LEDGER", "/elsewhere/ledger").env("TALLYD_LISTEN", "127.0.0.1:80");
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran, unit(&place, ""));
    place.put("tallyd.toml", "[http]\nlisten = \"nowhere\"\n");
    assert_eq!(unit(&place, "").code, 78);
    for name in ["", "Root", "1a", "a b", "a/b", "-a", &"a".repeat(32)] {
        let mut command = place.command("generate unit");
        let ran = Ran::of(command.args(["--user", name]).output().unwrap());
        assert_eq!(ran.code, 64, "{name} {ran:?}");
    }
}

/// The commands, by what `--help` of `words` lists.
fn commands(place: &Place, words: &str) -> Vec<String> {
    let help = place.run(&format!("{words} --help")).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let name = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    names.map(name).filter(|name| name != "help").collect()
}

#[test]
fn every_shell_has_completions_and_bash_completes_a_command_by_them() {
    let place = Place::new();
    let all = commands(&place, "");
    assert!(all.len() > 15 && all.contains(&"generate".to_owned()), "{all:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = place.run(&format!("generate completions {shell}"));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        for command in &all {
            assert!(ran.out.contains(command.as_str()), "{shell} {command}");
        }
    }
    assert_eq!(place.run("generate completions cmd").code, 64);

    let script = "eval \"$(\"$0\" generate completions bash)\"\n\
                  COMP_WORDS=(tallyd ledger ca); COMP_CWORD=2\n\
                  _tallyd tallyd ca ledger\nprintf '%s\\n' \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_tallyd")]).output();
    let Ok(bash) = bash else {
        skipped("there is no bash here to complete a command");
        return;
    };
    let said = String::from_utf8_lossy(&bash.stdout).into_owned();
    assert_eq!(said, "caught-up\n", "{bash:?}");
}

#[test]
fn every_command_has_a_manual_page_that_tells_its_flags() {
    let place = Place::new();
    let ran = place.run("generate man --out pages/of/tallyd");
    assert_eq!((ran.code, ran.out.as_str()), (0, "The pages are in pages/of/tallyd.\n"), "{ran:?}");
    let mut expected = BTreeSet::from(["tallyd.1".to_owned()]);
    for command in commands(&place, "") {
        expected.insert(format!("tallyd-{command}.1"));
        for below in commands(&place, &command) {
            expected.insert(format!("tallyd-{command}-{below}.1"));
        }
    }
    let folder = place.path("pages/of/tallyd");
    let names = std::fs::read_dir(&folder).unwrap();
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let found: BTreeSet<String> = names.map(|entry| name(entry.unwrap())).collect();
    assert_eq!(found, expected);
    let page = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert!(page("tallyd-run.1").contains("\\-\\-config"), "{}", page("tallyd-run.1"));
    assert_eq!(place.run("generate man").out, page("tallyd.1"));
    for name in &found {
        let text = page(name);
        assert!(text.contains(".TH ") && text.contains(".SH SYNOPSIS"), "{name}\n{text}");
        quiet(&folder.join(name));
    }

    place.put("taken", "a file");
    let ran = place.run("generate man --out taken/pages");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cannot write pages into taken/pages"), "{ran:?}");
}

/// Where groff is here, it reads the page without a word.
fn quiet(page: &Path) {
    let mut command = Command::new("groff");
    command.args(["-man", "-Tutf8", "-ww"]).arg(page).stdout(Stdio::null());
    match command.output() {
        Ok(read) => assert!(read.stderr.is_empty(), "{page:?} {read:?}"),
        Err(_) => skipped("there is no groff here to read the pages"),
    }
}
