//! `[http]`. Here: the listeners, and who may send usage. Never here: sockets. Read next:
//! `crate::config::secret`.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use toml::Spanned;

use super::Given;
use crate::config::field::{Table, Whole, name, required};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::secret::secret;
use crate::config::{SecretPolicy, raw};
use crate::domain::names::SourceName;
use crate::web::{self, Settings, TOKEN_BYTES_MIN, Token};

/// Longest time for a head, in seconds.
const HEAD_SECONDS_MAX: i64 = 300;
/// Longest time for a request or between two, in seconds: an hour.
const REQUEST_SECONDS_MAX: i64 = 3_600;
/// Most connections: what one host's ports and memory carry.
const CONNECTIONS_MAX: i64 = 65_536;

pub(super) fn web(
    http: &raw::Http,
    ledger: &raw::Ledger,
    ledger_path: &Path,
    given: &Given<'_>,
    found: &mut Findings,
) -> Settings {
    let bound = |key: &str, most, otherwise| Whole::new(format!("http.{key}"), 1, most, otherwise);
    let slow = "no client would be fast enough, or a silent one hold its place";
    let head = bound("head_seconds_max", HEAD_SECONDS_MAX, slow);
    let request = bound("request_seconds_max", REQUEST_SECONDS_MAX, slow);
    let idle = bound("idle_seconds_max", REQUEST_SECONDS_MAX, slow);
    let connections =
        bound("connections_max", CONNECTIONS_MAX, "nobody could connect, or too many at once");
    let head = head.read(&http.head_seconds_max, web::HEAD_SECONDS_MAX, found);
    let request = request.read(&http.request_seconds_max, web::REQUEST_SECONDS_MAX, found);
    let idle = idle.read(&http.idle_seconds_max, web::IDLE_SECONDS_MAX, found);
    let millis = |seconds: u32| seconds.saturating_mul(1_000);
    let settings = Settings {
        listen: listen(http, given, found),
        operator_socket: operator_socket(http, ledger, ledger_path, given, found),
        head_millis_max: millis(head),
        request_millis_max: millis(request),
        idle_millis_max: millis(idle),
        connections_max: connections.read(&http.connections_max, web::CONNECTIONS_MAX, found),
        tokens: tokens(http, given, found),
    };
    let place = http.head_seconds_max.as_ref().or(http.request_seconds_max.as_ref());
    if head > request
        && let Some(place) = place
    {
        let title = format!(
            "`http.head_seconds_max` is {head}, more than `http.request_seconds_max`, {request}"
        );
        let label = "the head is part of the request: its limit would never be reached";
        let help = format!("set `head_seconds_max` to at most {request}");
        found.error(Problem::at(place.span(), title).label(label).help(help));
    }
    settings
}

fn listen(http: &raw::Http, given: &Given<'_>, found: &mut Findings) -> SocketAddr {
    let (text, span) = match (&given.overrides.listen, &http.listen) {
        (Some(text), _) => (text, None),
        (None, Some(field)) => (field.get_ref(), Some(field.span())),
        (None, None) => return web::LISTEN,
    };
    let problem = |title: String| match &span {
        Some(span) => Problem::at(span.clone(), title),
        None => Problem::nowhere(title),
    };
    let Ok(listen) = text.parse::<SocketAddr>() else {
        let title = format!("`http.listen` is {text:?}, and no address with a port");
        let label = "nobody could connect";
        let help = format!("write an address such as \"{}\" or \"[::1]:8484\"", web::LISTEN);
        found.error(problem(title).label(label).help(help));
        return web::LISTEN;
    };
    let unread = found.unread.iter().any(|path| path.starts_with("http.token"));
    if !listen.ip().is_loopback() && http.token.is_empty() && !unread {
        let title = format!("`http.listen` is {listen}, and there is no token");
        let label = "everybody who reaches this host could write on your customers' bills";
        let help = "add a table [[http.token]], or listen on 127.0.0.1";
        found.error(problem(title).label(label).help(help));
    }
    listen
}

fn operator_socket(
    http: &raw::Http,
    ledger: &raw::Ledger,
    ledger_path: &Path,
    given: &Given<'_>,
    found: &mut Findings,
) -> PathBuf {
    let (path, span) = match &http.operator_socket {
        Some(field) => (given.folder.join(field.get_ref()), Some(field.span())),
        None => {
            let mut beside = ledger_path.as_os_str().to_owned();
            beside.push(".sock");
            let span = match given.overrides.ledger {
                Some(_) => None,
                None => ledger.path.as_ref().map(Spanned::span),
            };
            (PathBuf::from(beside), span)
        }
    };
    let problem = |title: String| match &span {
        Some(span) => Problem::at(span.clone(), title),
        None => Problem::nowhere(title),
    };
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > web::SOCKET_PATH_BYTES_MAX {
        let most = web::SOCKET_PATH_BYTES_MAX;
        let title = format!("the path of the operator socket has {bytes} bytes, more than {most}");
        let label = "no socket can have so long a path: `tallyd status` could not ask the daemon";
        let help =
            "set `http.operator_socket` to a short path, such as \"/run/tallyd/tallyd.sock\"";
        found.error(problem(title).label(label).help(help));
    } else if path == ledger_path || path.file_name().is_none() {
        let title = format!("`http.operator_socket` is {}, no place for a socket", path.display());
        let label = "a socket needs a name of its own";
        let help = "remove the line, and it lies beside the ledger";
        found.error(problem(title).label(label).help(help));
    }
    path
}

fn tokens(http: &raw::Http, given: &Given<'_>, found: &mut Findings) -> Vec<Token> {
    let mut all: Vec<(usize, Token)> = Vec::new();
    for (index, entry) in http.token.iter().enumerate() {
        let number = index + 1;
        let table = Table { path: format!("http.token.{number}"), span: entry.span() };
        let sources = sources(&table, entry.get_ref(), found);
        let looked_up = secret(&table, "secret", &entry.get_ref().secret, given, found);
        let Some((secret, span)) = looked_up else { continue };
        if given.secrets == SecretPolicy::Resolve {
            let bytes = secret.expose_secret().as_bytes();
            let same = |token: &Token| token.secret.expose_secret().as_bytes().ct_eq(bytes).into();
            if bytes.len() < TOKEN_BYTES_MIN {
                let title =
                    format!("`{}.secret` has fewer than {TOKEN_BYTES_MIN} bytes", table.path);
                let label = "it could be guessed";
                let help = "make one with `openssl rand -hex 32`";
                found.error(Problem::at(span, title).label(label).help(help));
            } else if let Some((first, _)) = all.iter().find(|(_, token)| same(token)) {
                let title = format!("`{}.secret` is the same as that of token {first}", table.path);
                let label = "it is not clear which sources it may speak for";
                let help = "give one token all the sources, or make another secret";
                found.error(Problem::at(span, title).label(label).help(help));
            }
        }
        all.push((number, Token { secret, sources }));
    }
    all.into_iter().map(|(_, token)| token).collect()
}

fn sources(table: &Table, token: &raw::Token, found: &mut Findings) -> Vec<SourceName> {
    let otherwise = "the token would be good for nothing";
    let field = required(table, "sources", &token.sources, otherwise, "[\"web\"]", found);
    let Some(field) = field else { return Vec::new() };
    if field.get_ref().is_empty() {
        let title = format!("`{}` is empty", table.key("sources"));
        let help = "name the sources it may speak for: [\"web\"]";
        found.error(Problem::at(field.span(), title).label(otherwise).help(help));
    }
    let mut all = Vec::new();
    for source in field.get_ref() {
        let what = format!("a name in `{}`", table.key("sources"));
        let name = name(&what, source.get_ref(), source.span(), SourceName::new, found);
        all.extend(name.filter(|name| !all.contains(name)));
    }
    all
}
