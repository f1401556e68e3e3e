//! `[ledger]`. PURE. Here: where the ledger lies, and when it is maintained. Never here: whether
//! the file exists. Read next: `log`.

use std::path::{Path, PathBuf};

use super::Given;
use crate::config::field::{Whole, schedule, zone};
use crate::config::finding::Findings;
use crate::config::problem::Problem;
use crate::config::raw;
use crate::schedule::Schedule;
use crate::{store, telemetry};

/// When the ledger is maintained if the operator did not say: at a quiet hour in most of the
/// world's offices, and not on the hour change of any day-light saving time, as it is UTC.
pub(crate) const MAINTENANCE: &str = "0 3 * * *";
/// Least page cache, in KiB: below it each batch reads its index pages from disk again.
const CACHE_KIB_MIN: i64 = 1024;
/// Most page cache, in KiB: 16 GiB, more than the index of any ledger a host can hold.
const CACHE_KIB_MAX: i64 = 16 * 1024 * 1024;
/// Largest ballast, in bytes: 1 GiB, more than all that can be in flight takes to be recorded.
const BALLAST_BYTES_MAX: i64 = 1024 * 1024 * 1024;
/// All events, in basis points.
const HELD_ALARM_MAX: i64 = 10_000;

pub(super) fn store(
    ledger: &raw::Ledger,
    given: &Given<'_>,
    found: &mut Findings,
) -> store::Settings {
    let cache = Whole::new(
        "ledger.cache_kib",
        CACHE_KIB_MIN,
        CACHE_KIB_MAX,
        "the ledger would crawl, or take the memory that other programs need",
    );
    store::Settings {
        path: path(ledger, given, found),
        cache_kib: cache.read(&ledger.cache_kib, store::CACHE_KIB, found),
    }
}

pub(super) fn ballast_bytes(ledger: &raw::Ledger, found: &mut Findings) -> u64 {
    let otherwise = "room would be kept from the ledger that it never needs";
    Whole::new("ledger.ballast_bytes", 0, BALLAST_BYTES_MAX, otherwise).read(
        &ledger.ballast_bytes,
        store::BALLAST_BYTES,
        found,
    )
}

fn path(ledger: &raw::Ledger, given: &Given<'_>, found: &mut Findings) -> PathBuf {
    if let Some(path) = &given.overrides.ledger {
        return path.clone();
    }
    let Some(path) = &ledger.path else { return given.folder.join(store::PATH) };
    let text = path.get_ref();
    if Path::new(text).file_name().is_none() || text.ends_with('/') {
        let title = format!("`ledger.path` is {text:?}, which names no file");
        let label = "the ledger is one file, with others beside it";
        let help = format!("name a file, such as \"/var/lib/tallyd/{}\"", store::PATH);
        found.error(Problem::at(path.span(), title).label(label).help(help));
    }
    given.folder.join(text)
}

pub(super) fn fencing(
    ledger: &raw::Ledger,
    store: &Path,
    given: &Given<'_>,
    found: &mut Findings,
) -> store::Fencing {
    let default = store::Fencing::beside(store);
    let Some(fence) = &ledger.fence else { return default };
    let text = fence.get_ref();
    if Path::new(text).file_name().is_none() || text.ends_with('/') {
        let title = format!("`ledger.fence` is {text:?}, which names no file");
        let label = "the fence is one file";
        let help = "name a file on a path that no backup of the ledger takes along, such as \
                    \"/var/lib/tallyd-fence/tallyd.fence\"";
        found.error(Problem::at(fence.span(), title).label(label).help(help));
    }
    let path = given.folder.join(text);
    if path == store {
        let title = "`ledger.fence` is the ledger itself".to_owned();
        let label = "the fence would be written over the ledger";
        found.error(Problem::at(fence.span(), title).label(label).help("name another file"));
    }
    store::Fencing { path, ..default }
}

pub(super) fn archive_after_days(ledger: &raw::Ledger, found: &mut Findings) -> u32 {
    let days = Whole::new(
        "ledger.archive_after_days",
        store::ARCHIVE_AGE_DAYS_MIN.into(),
        store::ARCHIVE_AGE_DAYS_MAX.into(),
        "what a provider still takes would be archived, or nothing would for a decade",
    );
    days.read(&ledger.archive_after_days, store::ARCHIVE_AGE_DAYS, found)
}

pub(super) fn held_alarm(ledger: &raw::Ledger, found: &mut Findings) -> u32 {
    let share = Whole::new(
        "ledger.held_alarm_basis_points",
        1,
        HELD_ALARM_MAX,
        "a single held event would raise the alarm for ever, or nothing would",
    );
    share.read(&ledger.held_alarm_basis_points, telemetry::HELD_ALARM_BASIS_POINTS, found)
}

pub(super) fn maintenance(ledger: &raw::Ledger, found: &mut Findings) -> Schedule {
    let default =
        || Schedule::parse(MAINTENANCE).expect("the default is cron text; a test reads it");
    let zone = zone("ledger.zone", &ledger.zone, found);
    let Some(field) = &ledger.maintenance else { return default().in_zone(zone) };
    let meant = "it would be maintained at another time than meant, or never";
    schedule("ledger.maintenance", (field, zone), meant, "0 3 * *", found).unwrap_or_else(default)
}
