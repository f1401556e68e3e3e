//! The systemd unit. PURE. Here: what it says, and what is left to a person. Never here: I/O. Read
//! next: [`crate::daemon::supervisor`], whose stop it gives time to.
//!
//! The daemon needs its config, one or two folders to write to, the network and the clock.
//! Everything else is taken from it, so that a fault in it, or in what it is built of, reaches
//! nothing else on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};
use std::path::{Component, Path, PathBuf};

use crate::config::{Config, SecretPlace};
use crate::daemon::supervisor::STOP_SECONDS_MAX;

/// How long systemd waits for a stop beyond what the daemon takes for it, in seconds: the ledger is
/// closed after it, which moves its write-ahead log into it.
const STOP_MARGIN_SECONDS: u64 = 30;
/// How long a start may take, in seconds: a ledger left by a crash is recovered and migrated first.
const START_SECONDS_MAX: u64 = 600;
/// How long systemd waits for a ping, in seconds. The daemon pings twice in that time, as long as
/// every part of it moves.
const WATCHDOG_SECONDS: u64 = 60;
/// Time between an end and the next start, in seconds: with it systemd's limit of five starts in
/// ten seconds is never reached, and the daemon comes back whenever its cause is gone.
const RESTART_SECONDS: u64 = 5;
/// Files that are open beside those of connections: the ledger, its readers and write-ahead logs,
/// sockets, logs, and the connections that providers' clients keep.
const FILES_BESIDE: u64 = 1_024;
/// Ports below this belong to whoever may bind them.
const PORTS_FREE_FROM: u16 = 1_024;

/// Where a service's state belongs, by systemd's rules.
const STATE: &str = "/var/lib";
/// Where what a service needs only while it runs belongs.
const RUNTIME: &str = "/run";
/// Folders that the unit hides from the daemon.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
/// Where secrets wait for the services that are given them; root's alone.
const CREDENTIALS: &str = "/etc/credstore";

/// What the unit's settings of the host say, one a line.
const LOCKED_DOWN: &str = "\
# It gets no right that it does not use. `systemd-analyze security tallyd` rates what is left.
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# A core file would hold the keys.
LimitCORE=0
";

/// What the unit is for.
pub(super) struct Host {
    /// The program; all paths are absolute.
    pub(super) program: PathBuf,
    /// The config.
    pub(super) config_file: PathBuf,
    /// The ledger, where a flag names another than the config.
    pub(super) ledger: Option<PathBuf>,
    /// The user that the daemon runs as.
    pub(super) user: String,
}

/// A unit, and what a person has to do before it starts.
#[derive(Debug)]
pub(super) struct Written {
    /// The unit. The steps stand in it too.
    pub(super) text: String,
    /// The steps, a sentence each.
    pub(super) steps: Vec<String>,
}

/// A path that cannot stand in a unit.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} cannot stand in a unit: a path there is UTF-8 text without control characters")]
pub(super) struct UnfitPath(PathBuf);

/// The unit that runs the daemon with `config` on `host`.
///
/// # Errors
/// When a path cannot stand in a unit.
pub(super) fn unit(host: &Host, config: &Config) -> Result<Written, UnfitPath> {
    let (folders, secrets) = (folders(config)?, secrets(host, config)?);
    let mut steps = secrets.steps;
    for folder in &folders.elsewhere {
        let user = &host.user;
        steps.push(format!(
            "make the user {user} (useradd --system {user}) and give it the folder {folder}, as \
             systemd makes none there"
        ));
    }
    for path in seen(host, config) {
        if !is_seen(&path) {
            let shown = path.display();
            steps.push(format!("move {shown}: this unit hides {} from it", HIDDEN.join(", ")));
        }
    }
    let mut text = format!("# Made by `tallyd generate unit`, {}.\n", env!("CARGO_PKG_VERSION"));
    for step in &steps {
        line(&mut text, format_args!("# Before it starts: {step}."));
    }
    text.push_str(
        "\n[Unit]\nDescription=tallyd books usage and tells billing providers what is used\n\
         Wants=network-online.target\nAfter=network-online.target\n\n[Service]\n",
    );
    running(&mut text, host)?;
    text.push_str(&secrets.lines);
    line(&mut text, format_args!("DynamicUser=yes\nUser={}", host.user));
    text.push_str(&folders.lines);
    let concurrency = config.deliveries().map(|delivery| delivery.concurrency);
    let connections: u64 = concurrency.chain([config.web.connections_max]).map(u64::from).sum();
    line(&mut text, format_args!("# Each connection is an open file."));
    line(&mut text, format_args!("LimitNOFILE={}", connections + FILES_BESIDE));
    text.push_str(LOCKED_DOWN);
    text.push_str(match config.web.listen.port() {
        1..PORTS_FREE_FROM => {
            "# The port it listens at needs this right, which means something only outside a \
             user\n# namespace.\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n\
             CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nPrivateUsers=no\n"
        }
        0 | PORTS_FREE_FROM.. => "AmbientCapabilities=\nCapabilityBoundingSet=\nPrivateUsers=yes\n",
    });
    text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    Ok(Written { text, steps })
}

/// How it is started, watched and stopped.
fn running(text: &mut String, host: &Host) -> Result<(), UnfitPath> {
    let mut command = format!("{} run --config {}", word(&host.program)?, word(&host.config_file)?);
    if let Some(ledger) = &host.ledger {
        command = format!("{command} --ledger {}", word(ledger)?);
    }
    // Of what stands in a unit, only commands have variables, which begin with a dollar.
    let command = twice(&command, '$');
    line(text, format_args!("Type=notify\nNotifyAccess=main\nExecStart={command}"));
    text.push_str("# The config is read again, and followed whole or not at all.\n");
    text.push_str("ExecReload=/bin/kill -HUP $MAINPID\n");
    line(
        text,
        format_args!(
            "TimeoutStartSec={START_SECONDS_MAX}\n# It pings while every part of it moves, and is \
             ended and started again when one does not.\nWatchdogSec={WATCHDOG_SECONDS}\n\
             # Whatever happened, the ledger is the truth, and a start goes on from it. A config \
             or a command\n# line that is wrong (78, 64) stays so.\nRestart=on-failure\n\
             RestartPreventExitStatus=64 78\nRestartSec={RESTART_SECONDS}\n\
             # A stop takes {STOP_SECONDS_MAX} seconds at most, and then closes the ledger.\n\
             TimeoutStopSec={}",
            STOP_SECONDS_MAX + STOP_MARGIN_SECONDS
        ),
    );
    Ok(())
}

/// The settings for the secrets, and what a person has to do for them.
struct Secrets {
    lines: String,
    steps: Vec<String>,
}

fn secrets(host: &Host, config: &Config) -> Result<Secrets, UnfitPath> {
    let mut secrets = Secrets { lines: String::new(), steps: Vec::new() };
    let (mut credentials, mut variables) = (BTreeMap::new(), BTreeMap::new());
    for (key, place) in &config.secret_places {
        match place {
            SecretPlace::Credential(name) => {
                credentials.entry(name).or_insert(key);
            }
            SecretPlace::Variable(name) => {
                variables.entry(name).or_insert(key);
            }
            SecretPlace::File(file) => {
                let (file, user) = (without_dots(file), &host.user);
                let shown = plain(&file)?;
                secrets.steps.push(format!(
                    "make {shown}, for `{key}`, readable for the user {user}; or refer to it as \
                     {{ credential = \"{key}\" }}, and make this unit anew"
                ));
            }
        }
    }
    for (name, key) in credentials {
        let escaped = twice(name, '%');
        let from = format!("{CREDENTIALS}/{escaped}");
        line(&mut secrets.lines, format_args!("LoadCredential={escaped}:{from}"));
        secrets.steps.push(format!(
            "put the secret for `{key}` in {CREDENTIALS}/{name}, with mode 600 and root as its \
             owner"
        ));
    }
    if !variables.is_empty() {
        let file = host.config_file.with_extension("env");
        // Here the rest of the line is the path, whatever blanks it has.
        let escaped = twice(&plain(&file)?, '%');
        line(&mut secrets.lines, format_args!("EnvironmentFile={escaped}"));
        for (name, key) in variables {
            let file = file.display();
            secrets.steps.push(format!(
                "put {name}=…, the secret for `{key}`, in {file}, with mode 600 and root as its \
                 owner"
            ));
        }
    }
    Ok(secrets)
}

/// The settings for what is written to, and the folders that systemd does not make.
struct Folders {
    lines: String,
    elsewhere: Vec<String>,
}

fn folders(config: &Config) -> Result<Folders, UnfitPath> {
    let mut by_setting: BTreeMap<&str, BTreeSet<PathBuf>> = BTreeMap::new();
    for folder in written_to(config) {
        let beneath = |root: &str| {
            let rest = folder.strip_prefix(root).ok().filter(|_| is_seen(&folder))?;
            (!rest.as_os_str().is_empty()).then(|| rest.to_owned())
        };
        let (setting, value) = match (beneath(STATE), beneath(RUNTIME)) {
            (Some(rest), _) => ("StateDirectory", rest),
            (None, Some(rest)) => ("RuntimeDirectory", rest),
            (None, None) => ("ReadWritePaths", folder),
        };
        by_setting.entry(setting).or_default().insert(value);
    }
    let mut folders = Folders { lines: String::new(), elsewhere: Vec::new() };
    for (setting, values) in by_setting {
        let mut words = Vec::new();
        for value in &values {
            words.push(word(value)?);
        }
        line(&mut folders.lines, format_args!("{setting}={}", words.join(" ")));
        if setting == "ReadWritePaths" {
            folders.elsewhere = words;
        } else {
            line(&mut folders.lines, format_args!("{setting}Mode=0700"));
        }
    }
    Ok(folders)
}

/// The folders that the daemon makes files in.
fn written_to(config: &Config) -> BTreeSet<PathBuf> {
    let files = [&config.store.path, &config.fencing.path, &config.web.operator_socket];
    files.iter().filter_map(|file| Some(without_dots(file).parent()?.to_owned())).collect()
}

/// What the daemon has to see of the host.
fn seen(host: &Host, config: &Config) -> BTreeSet<PathBuf> {
    let mut seen = written_to(config);
    seen.extend([host.program.clone(), host.config_file.clone()]);
    seen.extend(config.secret_places.values().filter_map(|place| match place {
        SecretPlace::File(file) => Some(without_dots(file)),
        SecretPlace::Variable(_) | SecretPlace::Credential(_) => None,
    }));
    seen
}

/// Whether the unit lets the daemon see what lies there.
fn is_seen(path: &Path) -> bool {
    !HIDDEN.iter().any(|hidden| path.starts_with(hidden))
}

/// An absolute path without `.` and `..`, as systemd wants them. A link before a `..` is not
/// followed.
pub(super) fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// A path as text, if a line of a unit can hold it.
fn plain(path: &Path) -> Result<String, UnfitPath> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| UnfitPath(path.to_owned()))
}

/// A path as one word among others of a setting: quoted where it has to be, and with nothing that
/// systemd would replace.
fn word(path: &Path) -> Result<String, UnfitPath> {
    let text = twice(&plain(path)?, '%');
    let is_plain = |each: char| each.is_alphanumeric() || "/._-+@:%$,=~".contains(each);
    if text.chars().all(is_plain) {
        return Ok(text);
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// The text with a character that systemd would act on written twice, which takes it as it is.
fn twice(text: &str, special: char) -> String {
    text.replace(special, &format!("{special}{special}"))
}

fn line(text: &mut String, said: impl Display) {
    writeln!(text, "{said}").expect("a string takes whatever is written to it");
}
