//! What befalls files behind the reader's back: a writer who wakes up between a look and a reading,
//! zeros where nothing was written, a cut that leaves what was read, links that lead elsewhere.
//! Here: nothing is judged too soon, nothing is lost in silence. Never here: what rotation does
//! ([`super`]). Read next: [`crate::import`].

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tallyd::clock::Clock;
use tallyd::domain::names::SpoolName;
use tallyd::domain::time::{MICROS_PER_SECOND, Timestamp};
use tallyd::intake;
use tallyd::intake::spool::{SILENCE_SECONDS, Settings, disk};
use tallyd::ledger::LedgerError;
use tallyd::ledger::intake::{Admission, Admitted, Rejected};
use tallyd::ledger::spool::{FileEnd, SpoolFile, SpoolFileId, SpoolLedger, Stretch};
use tallyd::service::{Service, StepError};
use tallyd::store::sqlite::SqliteLedger;

use super::{NOON, Spool, line, lines, table};

/// A ledger beside which something happens.
struct Beside<F> {
    ledger: Arc<SqliteLedger>,
    /// Done between a look at the directory and the first reading.
    meanwhile: F,
    /// Whether noting a file's end fails as a broken disk does.
    breaks: bool,
}

#[async_trait]
impl<F: Fn() + Send + Sync> SpoolLedger for Beside<F> {
    async fn spooled(&self, spool: &SpoolName) -> Result<Vec<SpoolFile>, LedgerError> {
        (self.meanwhile)();
        self.ledger.spooled(spool).await
    }

    async fn accept_stretch(
        &self,
        stretch: Stretch,
        records: Vec<Admitted>,
        rejected: Vec<Rejected>,
        now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError> {
        self.ledger.accept_stretch(stretch, records, rejected, now).await
    }

    async fn end_file(
        &self,
        file: SpoolFileId,
        why: FileEnd,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        if self.breaks {
            return Err(LedgerError::Broken("the disk is gone".into()));
        }
        self.ledger.end_file(file, why, now).await
    }
}

/// What is logged.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    /// Hears what is said by whoever runs on this thread, until the guard is dropped.
    fn hear(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let heard = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
        tracing::subscriber::set_default(heard.finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Cuts a file as `copytruncate` does.
fn cut(spool: &Spool, name: &str, length: u64) {
    OpenOptions::new().write(true).open(spool.path(name)).unwrap().set_len(length).unwrap();
}

/// A silence goes by.
fn silence(spool: &Spool) {
    spool.clock.advance_micros(SILENCE_SECONDS * MICROS_PER_SECOND);
}

#[tokio::test]
async fn a_line_whose_writing_begins_between_the_look_and_the_reading_is_not_judged() {
    let spool = Spool::new().await;
    let whole = line(1);
    let (half, rest) = whole.split_at(20);
    spool.append("usage", &line(0));
    let (ledger, _) = spool.running.as_ref().unwrap();
    let (path, written) = (spool.path("usage"), half.to_owned());
    let armed = Arc::new(AtomicBool::new(false));
    let fires = armed.clone();
    let meanwhile = move || {
        if fires.swap(false, Ordering::SeqCst) {
            let file = OpenOptions::new().append(true).open(&path);
            file.unwrap().write_all(written.as_bytes()).unwrap();
        }
    };
    let port = Beside { ledger: ledger.clone(), meanwhile, breaks: false };
    let spooler = spool.spooler(ledger, Arc::new(port));
    spooler.run_once(spool.clock.now()).await.unwrap();
    silence(&spool);
    armed.store(true, Ordering::SeqCst);
    spooler.run_once(spool.clock.now()).await.unwrap();
    spool.append("usage", rest);
    spooler.run_once(spool.clock.now()).await.unwrap();
    assert_eq!(spool.rejected().await, Vec::<String>::new());
    assert_eq!(spool.booked().await, "0 1");
}

#[tokio::test]
async fn long_lines_that_begin_and_end_alike_are_told_apart_after_a_cut() {
    let spool = Spool::new().await;
    let blank = " ".repeat(700);
    let long = |id: u32| line(id).replacen('{', &format!("{{{blank}"), 1).replace("}\n", &blank);
    spool.append("usage", &format!("{}}}\n", long(1)));
    spool.look().await;
    cut(&spool, "usage", 0);
    spool.append("usage", &format!("{}}}\n", long(2)));
    spool.look().await;
    assert_eq!(spool.booked().await, "1 2");
    assert_eq!(spool.ended().await, ["usage replaced"]);
}

#[tokio::test]
async fn a_file_that_is_cut_back_to_what_was_read_of_it_is_noted_as_cut() {
    let spool = Spool::new().await;
    spool.append("usage", &line(0));
    let read = spool.size("usage");
    spool.append("usage", "{\"id\":\"1\",");
    spool.look().await;
    cut(&spool, "usage", read);
    spool.append("usage", &line(2)[..5]);
    spool.look().await;
    assert_eq!(spool.ended().await, ["usage replaced"], "what was seen behind it is gone");
    assert_eq!(spool.booked().await, "0");
}

#[tokio::test]
async fn what_a_file_that_is_gone_had_left_is_not_taken_for_read() {
    let mut spool = Spool::with(table(), intake::Settings::default()).await;
    spool.append("usage.csv", &format!("id,customer,time,used\na,c,{NOON},7\n"));
    spool.look().await;
    // Another run, whose mapping the table does not fit.
    "amount".clone_into(&mut spool.mapping.as_mut().unwrap().customer);
    spool.start().await;
    spool.append("usage.csv", &format!("b,c,{NOON},7\n"));
    spool.look().await;
    fs::remove_file(spool.path("usage.csv")).unwrap();
    spool.look_for_long().await;
    assert_eq!(spool.booked().await, "a");
    assert_eq!(spool.ended().await, ["usage.csv lost"]);
}

#[tokio::test]
async fn zeros_where_nothing_was_written_yet_are_waited_for_and_a_hole_before_a_line_is_skipped() {
    let spool = Spool::new().await;
    // A file that was made long before it is filled.
    let file = File::create(spool.path("usage")).unwrap();
    file.set_len(4_096).unwrap();
    let (first, second) = (line(0), line(1));
    file.write_all_at(first.as_bytes(), 0).unwrap();
    spool.look_for_long().await;
    let end = u64::try_from(first.len()).unwrap();
    file.write_all_at(&second.as_bytes()[..30], end).unwrap();
    spool.look_for_long().await;
    file.write_all_at(second.as_bytes(), end).unwrap();
    spool.look().await;
    assert_eq!(spool.booked().await, "0 1");
    // A cut under a writer that goes on where it stood leaves a hole at the beginning.
    let beyond = 1 << 20;
    cut(&spool, "usage", 0);
    file.write_all_at(lines(2..4).as_bytes(), beyond).unwrap();
    spool.look().await;
    assert_eq!(spool.booked().await, "0 1 2 3");
    assert_eq!(spool.rejected().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_tallyd_notes_is_not_read_when_it_is_rotated() {
    let spool = Spool::new().await;
    spool.append("usage", "nonsense\n");
    spool.look().await;
    for rotated in ["usage.rejected.1", "usage.rejected-20261122"] {
        fs::copy(spool.path("usage.rejected"), spool.path(rotated)).unwrap();
    }
    spool.look().await;
    assert_eq!(spool.rejected().await.len(), 1);
}

#[tokio::test]
async fn what_is_rejected_is_noted_in_no_file_that_a_link_leads_to() {
    let spool = Spool::new().await;
    let elsewhere = spool.folder.path().join("elsewhere");
    fs::write(&elsewhere, "what is there").unwrap();
    symlink(&elsewhere, spool.path("a.rejected")).unwrap();
    fs::hard_link(&elsewhere, spool.path("b.rejected")).unwrap();
    let made = Command::new("mkfifo").arg(spool.path("c.rejected")).status().unwrap();
    assert!(made.success());
    for name in ["a", "b", "c"] {
        spool.append(name, &format!("nonsense in {name}\n"));
    }
    spool.look().await;
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "what is there");
    assert_eq!(spool.rejected().await.len(), 3, "the ledger has them");
}

#[tokio::test]
async fn a_disk_that_fails_while_a_file_s_end_is_noted_ends_the_process() {
    let spool = Spool::new().await;
    spool.append("usage", &line(0));
    spool.look().await;
    let (ledger, _) = spool.running.as_ref().unwrap();
    fs::remove_file(spool.path("usage")).unwrap();
    let port = Beside { ledger: ledger.clone(), meanwhile: || (), breaks: true };
    let spooler = spool.spooler(ledger, Arc::new(port));
    let step = spooler.run_once(spool.clock.now()).await;
    assert!(matches!(step, Err(StepError::Fatal(LedgerError::Broken(_)))), "{step:?}");
}

#[tokio::test]
async fn a_directory_is_the_same_one_however_it_is_reached() {
    let spool = Spool::new().await;
    let link = spool.folder.path().join("link");
    symlink(spool.path(""), &link).unwrap();
    let settings = |name: &str, directory: PathBuf| Settings {
        name: SpoolName::new(name).unwrap(),
        directory,
        ..spool.settings()
    };
    let missing = spool.path("missing");
    let all = [settings("a", spool.path("")), settings("b", missing), settings("c", link)];
    let one = disk::shared(&all).map(|(first, second)| (first.as_str(), second.as_str()));
    assert_eq!(one, Some(("a", "c")));
    assert_eq!(disk::shared(&all[..2]), None);
}

#[tokio::test]
async fn what_is_left_out_and_what_is_gone_unread_is_said() {
    let spool = Spool::new().await;
    symlink("/dev/null", spool.path("link")).unwrap();
    let nameless = spool.path("").join(OsStr::from_bytes(b"\xff"));
    fs::write(nameless, line(0)).unwrap();
    // More files than a step reads, of which one is gone before it was its turn.
    for number in 0..40 {
        spool.append(&format!("usage.{number:02}"), &line(number));
    }
    let said = Said::default();
    let guard = said.hear();
    let (_, spooler) = spool.running.as_ref().unwrap();
    spooler.run_once(spool.clock.now()).await.unwrap();
    fs::remove_file(spool.path("usage.39")).unwrap();
    spool.look().await;
    drop(guard);
    let said = said.text();
    for expected in ["link", "\u{fffd}", "usage.39"] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

#[tokio::test]
async fn a_file_that_grows_without_a_row_that_ends_is_named() {
    let spool = Spool::with(table(), intake::Settings::default()).await;
    spool.append("usage.csv", "id,customer,time,used\n\"a,c,");
    spool.append("headless.csv", "b,c,1,7\n");
    let said = Said::default();
    let guard = said.hear();
    for _ in 0..=3 * SILENCE_SECONDS {
        spool.append("usage.csv", "7\nb,c,");
        spool.append("headless.csv", "b,c,1,7\n");
        spool.look().await;
        spool.clock.advance_micros(MICROS_PER_SECOND);
    }
    drop(guard);
    let said = said.text();
    for name in ["usage.csv", "headless.csv"] {
        let told = said.lines().filter(|line| line.contains(name)).count();
        assert_eq!(told, 1, "once of {name}: {said}");
    }
}

#[tokio::test]
async fn a_file_that_leaves_while_nobody_reads_is_not_said_to_be_whole() {
    let mut spool = Spool::new().await;
    spool.append("usage", &line(0));
    spool.look().await;
    spool.start().await;
    spool.append("usage", &line(1));
    fs::remove_file(spool.path("usage")).unwrap();
    let said = Said::default();
    let guard = said.hear();
    spool.look().await;
    drop(guard);
    let said = said.text();
    assert!(said.contains("WARN") && said.contains("what was written to it since"), "{said}");
}
