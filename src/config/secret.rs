//! Secrets. Here: where a secret is said to be, and looking it up there. Never here: a secret in
//! the config file itself, in a problem or in a log. Read next: `resolve`.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use toml::Spanned;

use super::SecretPolicy;
use super::field::Table;
use super::finding::Findings;
use super::problem::Problem;
use super::raw::{Key, Secret};
use super::redact::is_variable_name;
use super::resolve::Given;

/// Largest secret, in bytes: far beyond any token, and small enough to read a wrong file by
/// mistake.
const SECRET_BYTES_MAX: u64 = 4096;
/// Longest name of a credential, in bytes: the longest name of a file.
const CREDENTIAL_NAME_BYTES_MAX: usize = 255;
/// Where systemd puts a service's credentials, by its environment.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The right of everybody on the host to read a file.
const MODE_READ_BY_OTHERS: u32 = 0o004;

const REFERENCE: &str = "{ env = \"NAME\" }, { file = \"path\" } or { credential = \"name\" }";

/// Looks up the secret that `field` refers to, unless it is unneeded. What is found is judged by
/// `judge`, and returned only with [`SecretPolicy::Resolve`]; otherwise an empty secret stands for
/// it.
pub(super) fn secret(
    table: &Table,
    key: &str,
    field: &Key<Secret>,
    given: &Given<'_>,
    found: &mut Findings,
) -> Option<(SecretString, Range<usize>)> {
    let otherwise = "nothing could be proven to the other side";
    let example = "{ env = \"NAME\" }";
    let field = super::field::required(table, key, field, otherwise, example, found)?;
    one_secret(&table.key(key), field, given, found)
}

/// Looks up the secret that stands at `path`, as [`secret`] does.
pub(super) fn one_secret(
    path: &str,
    field: &Spanned<Secret>,
    given: &Given<'_>,
    found: &mut Findings,
) -> Option<(SecretString, Range<usize>)> {
    let place = place(path, field, given, found)?;
    found.secret_places.insert(path.to_owned(), place.clone());
    if given.secrets == SecretPolicy::Unneeded {
        return Some((SecretString::from(String::new()), field.span()));
    }
    let looked_up = match &place {
        SecretPlace::Variable(name) => variable(name, given),
        SecretPlace::File(file) => file_content(file, given, found, field.span()),
        SecretPlace::Credential(name) => {
            let file = credential(path, name, field.span(), given, found)?;
            file_content(&file, given, found, field.span())
        }
    };
    match looked_up {
        Ok(text) => Some((SecretString::from(text), field.span())),
        Err(why) => {
            let title = format!("`{path}`: {why}");
            let label = "there is no secret to work with";
            let help = "put the secret there, alone, or refer to another place";
            found.error(Problem::at(field.span(), title).label(label).help(help));
            None
        }
    }
}

/// Where a secret is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In this environment variable.
    Variable(String),
    /// In this file.
    File(PathBuf),
    /// In the credential of this name, which systemd gives to the service.
    Credential(String),
}

fn place(
    path: &str,
    field: &Spanned<Secret>,
    given: &Given<'_>,
    found: &mut Findings,
) -> Option<SecretPlace> {
    let refuse = |found: &mut Findings, title: String, label: &str| {
        let help = format!("refer to it: {REFERENCE}");
        found.error(Problem::at(field.span(), title).label(label).help(help));
    };
    let reference = match field.get_ref() {
        Secret::Reference(reference) => reference,
        Secret::Literal => {
            let title = format!("`{path}` is a secret written into the config file");
            refuse(found, title, "whoever sees the file, or a copy of it, has the secret");
            return None;
        }
    };
    let names = (&reference.env, &reference.file, &reference.credential);
    match names {
        (Some(name), None, None) => {
            let name = name.get_ref();
            if !is_variable_name(name) {
                // The text is not shown: it may be the secret itself.
                let title = format!("`{path}` names no variable in capital letters");
                refuse(found, title, "no environment holds it");
                return None;
            }
            Some(SecretPlace::Variable(name.clone()))
        }
        (None, Some(file), None) => Some(SecretPlace::File(given.folder.join(file.get_ref()))),
        (None, None, Some(name)) => credential_name(path, name, found),
        (None | Some(_), None | Some(_), None | Some(_)) => {
            let read = ["env", "file", "credential"].map(|key| format!("{path}.{key}"));
            if !read.iter().any(|key| found.unread.contains(key)) {
                let title = format!("`{path}` has to name exactly one place");
                refuse(found, title, "it is not clear which secret is meant");
            }
            None
        }
    }
}

/// The name of a credential, as systemd takes them: it becomes the name of a file.
fn credential_name(
    path: &str,
    name: &Spanned<String>,
    found: &mut Findings,
) -> Option<SecretPlace> {
    let text = name.get_ref();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':');
    let fits = (1..=CREDENTIAL_NAME_BYTES_MAX).contains(&text.len());
    if fits && text.bytes().all(is_plain) && !text.starts_with('.') {
        return Some(SecretPlace::Credential(text.clone()));
    }
    let title = format!("`{path}.credential` is not the name of a credential");
    let label = "systemd keeps credentials by plain names";
    let help = "use the name that stands in the unit: LoadCredential=NAME:/path";
    found.error(Problem::at(name.span(), title).label(label).help(help));
    None
}

/// The file that systemd keeps a credential in; nothing outside a service.
fn credential(
    path: &str,
    name: &str,
    span: Range<usize>,
    given: &Given<'_>,
    found: &mut Findings,
) -> Option<PathBuf> {
    let folder = (given.environment)(CREDENTIALS).filter(|folder| !folder.is_empty());
    if let Some(folder) = folder {
        return Some(Path::new(&folder).join(name));
    }
    let title =
        format!("`{path}`: `${CREDENTIALS}` is not set, so credential {name:?} is not here");
    let help = "run tallyd as a systemd service whose unit has LoadCredential= for it, as \
                `tallyd generate unit` prints one";
    match given.secrets {
        SecretPolicy::Resolve => {
            let label = "there is no secret to work with";
            found.error(Problem::at(span, title).label(label).help(help));
        }
        SecretPolicy::CheckPresence => {
            let label = "only the service itself can see whether it is there";
            found.warning(Problem::at(span, title).label(label).help(help));
        }
        SecretPolicy::Unneeded => {}
    }
    None
}

fn variable(name: &str, given: &Given<'_>) -> Result<String, String> {
    let Some(text) = (given.environment)(name) else {
        return Err(format!("the environment variable `{name}` is not set"));
    };
    let text = judge(text).map_err(|why| format!("the environment variable `{name}` {why}"))?;
    Ok(match given.secrets {
        SecretPolicy::Resolve => text,
        SecretPolicy::CheckPresence | SecretPolicy::Unneeded => String::new(),
    })
}

fn file_content(
    path: &Path,
    given: &Given<'_>,
    found: &mut Findings,
    span: Range<usize>,
) -> Result<String, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| match error.kind() == ErrorKind::NotFound {
        true => format!("the file {shown} does not exist"),
        // The kind alone: an error while reading may quote what was read.
        false => format!("the file {shown} cannot be read: {}", error.kind()),
    };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    // Opening anything but a file could block, as a pipe does.
    if !meta.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    let file = File::open(path).map_err(unreadable)?;
    if meta.permissions().mode() & MODE_READ_BY_OTHERS != 0 {
        let title = format!("the secret in {shown} can be read by everybody on this host");
        let label = "any program here could act in your name";
        let help = format!("chmod 600 {shown}");
        found.warning(Problem::at(span, title).label(label).help(help));
    }
    if meta.len() == 0 {
        return Err(format!("the file {shown} is empty"));
    }
    if meta.len() > SECRET_BYTES_MAX {
        return Err(format!("the file {shown} is larger than {SECRET_BYTES_MAX} bytes"));
    }
    match given.secrets {
        SecretPolicy::CheckPresence | SecretPolicy::Unneeded => Ok(String::new()),
        SecretPolicy::Resolve => {
            let mut text = String::new();
            file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
            judge(text).map_err(|why| format!("the file {shown} {why}"))
        }
    }
}

/// What every secret has to be: something, and fit for an HTTP header.
fn judge(text: String) -> Result<String, &'static str> {
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        Err("is empty")
    } else if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("holds a blank or a character that no token has")
    } else {
        Ok(secret.to_owned())
    }
}
