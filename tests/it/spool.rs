//! Files that are read as they grow, over a real ledger and real files: what is appended, renamed,
//! cut, cut short and lost. Here: every record once, and every loss said. Never here: how a line is
//! judged ([`crate::import`]). Read next: [`crate::journey`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};
use tallyd::clock::{Clock, ManualClock};
use tallyd::domain::names::{MeterName, SourceName, SpoolName};
use tallyd::domain::time::{MICROS_PER_SECOND, Timestamp};
use tallyd::intake;
use tallyd::intake::gate::Gate;
use tallyd::intake::import::{Format, Mapping, QuantityRule, RecordRule, WhenEmpty};
use tallyd::intake::spool::spooler::Spooler;
use tallyd::intake::spool::{LOOK_SECONDS, SILENCE_SECONDS, Settings};
use tallyd::ledger::spool::SpoolLedger;
use tallyd::service::{Bell, FatalBell, Service};
use tallyd::store::sqlite::SqliteLedger;

use crate::support::stripe::NOON;

mod hazards;

/// A directory, a ledger, and one run of whoever reads the one into the other.
struct Spool {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    mapping: Option<Mapping>,
    intake: intake::Settings,
    running: Option<(Arc<SqliteLedger>, Spooler)>,
}

impl Spool {
    async fn new() -> Self {
        Self::with(None, intake::Settings::default()).await
    }

    async fn with(mapping: Option<Mapping>, intake: intake::Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("spool")).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOON)));
        let mut spool = Self { folder, clock, mapping, intake, running: None };
        spool.start().await;
        spool
    }

    /// Whatever ran ends as by a kill, and another run begins.
    async fn start(&mut self) {
        self.running = None;
        let path = self.folder.path().join("ledger");
        let store = tallyd::store::Settings { path, cache_kib: 2_048 };
        let ledger = SqliteLedger::open(&store, "a test", self.clock.now()).await.unwrap();
        let ledger = Arc::new(ledger);
        let spooler = self.spooler(&ledger, ledger.clone());
        self.running = Some((ledger, spooler));
    }

    /// Who reads the directory into `ledger`, and asks `port` how far.
    fn spooler(&self, ledger: &Arc<SqliteLedger>, port: Arc<dyn SpoolLedger>) -> Spooler {
        let (fatal, _) = FatalBell::new();
        let intake = Arc::new(self.intake.clone());
        let clock = self.clock.clone();
        let gate = Gate::new(ledger.clone(), intake, clock, Bell::default(), fatal);
        let settings = self.settings();
        let observer = Arc::new(|_: &_| ());
        Spooler::new(settings, Arc::new(gate), port, observer)
    }

    fn settings(&self) -> Settings {
        Settings {
            name: SpoolName::new("gateway").unwrap(),
            directory: self.path(""),
            source: SourceName::new("web").unwrap(),
            mapping: self.mapping.clone(),
            look_micros: LOOK_SECONDS * MICROS_PER_SECOND,
            silence_micros: SILENCE_SECONDS * MICROS_PER_SECOND,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("spool").join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let file = OpenOptions::new().append(true).create(true).open(self.path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn size(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().len()
    }

    /// Steps until there is nothing more to do.
    async fn look(&self) {
        let (_, spooler) = self.running.as_ref().unwrap();
        while spooler.run_once(self.clock.now()).await.unwrap().more {}
    }

    /// Looks, and looks again once nobody has written for long enough to judge what is there.
    async fn look_for_long(&self) {
        self.look().await;
        self.look().await;
        self.clock.advance_micros(SILENCE_SECONDS * MICROS_PER_SECOND);
        self.look().await;
        self.look().await;
    }

    async fn rows(&self, query: &'static str) -> Vec<String> {
        let path = self.folder.path().join("ledger");
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = options.connect().await.unwrap();
        let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The ids of the booked records, in the order of the journal.
    async fn booked(&self) -> String {
        self.rows("SELECT id FROM usage_record ORDER BY position").await.join(" ")
    }

    /// What was rejected: where, and of which field.
    async fn rejected(&self) -> Vec<String> {
        self.rows("SELECT place || ': ' || field || ' ' || reason FROM rejected_record ORDER BY id")
            .await
    }

    /// The files that ended, and how.
    async fn ended(&self) -> Vec<String> {
        self.rows("SELECT name || ' ' || ended FROM spool_file WHERE ended IS NOT NULL ORDER BY id")
            .await
    }
}

/// Lets others have so many turns.
async fn turns(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// A record as a line.
fn line(id: impl std::fmt::Display) -> String {
    let said = format!("\"id\":\"{id}\",\"customer\":\"c\",\"meter\":\"calls\"");
    format!("{{{said},\"quantity\":1,\"time\":{NOON}}}\n")
}

fn lines(ids: std::ops::Range<u32>) -> String {
    ids.map(line).collect()
}

/// A table of `id,used` whose rows are calls of one customer.
fn table() -> Option<Mapping> {
    Some(Mapping {
        name: "gateway".to_owned(),
        format: Format::Csv { delimiter: b',' },
        id: "id".to_owned(),
        time: "time".to_owned(),
        customer: "customer".to_owned(),
        properties: Vec::new(),
        records: vec![RecordRule {
            meter: MeterName::new("calls").unwrap(),
            quantity: QuantityRule::Column("used".to_owned()),
            id_suffix: String::new(),
            when_empty: WhenEmpty::Reject,
        }],
    })
}

#[tokio::test]
async fn a_line_is_booked_once_however_it_is_written_and_whenever_the_reader_ends() {
    let mut spool = Spool::new().await;
    let text = lines(0..4);
    for piece in text.as_bytes().chunks(17) {
        spool.append("usage", std::str::from_utf8(piece).unwrap());
        spool.look().await;
        spool.start().await;
        spool.look().await;
    }
    assert_eq!(spool.booked().await, "0 1 2 3");
    spool.append("usage", "\n\n");
    spool.append("usage", &line(4));
    spool.look().await;
    assert_eq!(spool.booked().await, "0 1 2 3 4");
    assert_eq!(spool.rejected().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_is_renamed_is_read_to_its_end_and_then_the_new_one() {
    let mut spool = Spool::new().await;
    let mut writer = File::create(spool.path("usage")).unwrap();
    writer.write_all(lines(0..2).as_bytes()).unwrap();
    spool.look().await;
    spool.rename("usage", "usage.1");
    spool.append("usage", &lines(4..6));
    // Whoever has the file open writes on, into what is called otherwise now.
    writer.write_all(lines(2..3).as_bytes()).unwrap();
    spool.look().await;
    spool.start().await;
    writer.write_all(lines(3..4).as_bytes()).unwrap();
    spool.rename("usage.1", "usage.2");
    spool.rename("usage", "usage.1");
    spool.append("usage", &line(6));
    spool.look().await;
    let mut booked: Vec<String> = spool.booked().await.split(' ').map(str::to_owned).collect();
    booked.sort();
    assert_eq!(booked.join(" "), "0 1 2 3 4 5 6");
    assert_eq!(spool.ended().await, Vec::<String>::new());
    assert_eq!(spool.rows("SELECT reason FROM rejected_record").await, Vec::<String>::new());
    let read = spool.rows("SELECT CAST(count(*) AS TEXT) FROM conflicting_record").await;
    assert_eq!(read, ["0"], "no line was read as part of another");
}

#[tokio::test]
async fn a_file_that_is_cut_and_written_anew_is_read_anew_and_that_some_may_be_lost_is_noted() {
    let spool = Spool::new().await;
    spool.append("usage", &lines(0..3));
    spool.look().await;
    // As logrotate does with copytruncate, between two looks.
    spool.append("usage", &lines(3..5));
    let whole = fs::read(spool.path("usage")).unwrap();
    let file = OpenOptions::new().write(true).open(spool.path("usage")).unwrap();
    file.set_len(0).unwrap();
    spool.append("usage", &line(9));
    spool.look().await;
    assert_eq!(spool.booked().await, "0 1 2 9");
    assert_eq!(spool.ended().await, ["usage replaced"]);
    // Where the copy comes into the spool, what was lost is found in it.
    fs::write(spool.path("usage.1"), whole).unwrap();
    spool.look().await;
    assert_eq!(spool.booked().await, "0 1 2 9 3 4");
}

#[tokio::test]
async fn other_content_is_found_out_though_the_file_has_grown_past_the_place_that_was_read() {
    for head in ["", "x".repeat(300).as_str()] {
        let spool = Spool::new().await;
        spool.append("usage", &format!("{head}\n{}", lines(10..20)));
        spool.look().await;
        let file = OpenOptions::new().write(true).open(spool.path("usage")).unwrap();
        file.set_len(0).unwrap();
        spool.append("usage", &format!("{head}\n{}", lines(20..40)));
        spool.look().await;
        let expected: Vec<String> = (10..40).map(|id: u32| id.to_string()).collect();
        assert_eq!(spool.booked().await, expected.join(" "));
        assert_eq!(spool.ended().await, ["usage replaced"]);
    }
}

#[tokio::test]
async fn a_file_that_leaves_the_directory_is_read_to_its_end_by_whoever_has_it_open() {
    let mut spool = Spool::new().await;
    let mut writer = File::create(spool.path("usage")).unwrap();
    writer.write_all(line(0).as_bytes()).unwrap();
    spool.look().await;
    fs::remove_file(spool.path("usage")).unwrap();
    writer.write_all(line(1).as_bytes()).unwrap();
    spool.look_for_long().await;
    assert_eq!(spool.booked().await, "0 1");
    assert_eq!(spool.ended().await, ["usage read"]);
    // Nobody has it open after a restart: that its end was not read is known by its length.
    spool.append("usage", &line(2));
    spool.append("usage", "{\"id\":\"3\",");
    spool.look().await;
    spool.start().await;
    fs::remove_file(spool.path("usage")).unwrap();
    spool.look().await;
    assert_eq!(spool.booked().await, "0 1 2");
    assert_eq!(spool.ended().await, ["usage read", "usage lost"]);
}

#[tokio::test]
async fn a_last_line_without_an_end_waits_for_it_unless_it_is_whole_beyond_doubt() {
    let spool = Spool::new().await;
    let whole = line(0);
    spool.append("whole", whole.trim_end());
    spool.append("cut", &whole[..whole.len() - 10]);
    spool.look().await;
    assert_eq!(spool.booked().await, "");
    spool.look_for_long().await;
    assert_eq!(spool.booked().await, "0");
    assert_eq!(spool.rejected().await, Vec::<String>::new(), "its writer may be slow");
    // What is written behind it later is a line of its own, and none that is mistaken for another.
    spool.append("whole", &format!("\n{}", line(1)));
    spool.append("cut", &line(2)[..20]);
    spool.look_for_long().await;
    assert_eq!(spool.booked().await, "0 1");
    // Nobody goes on in a file that has left.
    fs::remove_file(spool.path("cut")).unwrap();
    spool.look_for_long().await;
    let rejected = spool.rejected().await;
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert!(rejected[0].starts_with("cut, line 1: record is not JSON"), "{rejected:?}");
}

#[tokio::test]
async fn a_last_row_of_a_table_without_an_end_is_never_believed() {
    let spool = Spool::with(table(), intake::Settings::default()).await;
    spool.append("usage.csv", "id,cust");
    spool.look_for_long().await;
    spool.append("usage.csv", &format!("omer,time,used\na,c,{NOON},7\nb,c,{NOON},50"));
    spool.look().await;
    assert_eq!(spool.booked().await, "a");
    spool.look_for_long().await;
    assert_eq!(spool.booked().await, "a");
    assert_eq!(spool.rejected().await, Vec::<String>::new(), "its writer may be slow");
    fs::remove_file(spool.path("usage.csv")).unwrap();
    spool.look_for_long().await;
    assert_eq!(spool.booked().await, "a");
    let rejected = spool.rejected().await;
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert!(rejected[0].starts_with("usage.csv, line 3: record is the last one"), "{rejected:?}");
}

#[tokio::test]
async fn a_table_is_read_on_by_its_header_after_a_restart() {
    let mut spool = Spool::with(table(), intake::Settings::default()).await;
    spool
        .append("usage.csv", &format!("used,id,customer,time,note\r\n7,a,c,{NOON},\"x\r\ny\"\r\n"));
    spool.look().await;
    spool.start().await;
    spool.append("usage.csv", &format!("8,b,c,{NOON},\r\n-1,x,c,{NOON},\r\n"));
    spool.look().await;
    assert_eq!(spool.rows("SELECT id || ' ' || quantity FROM usage_record").await, ["a 7", "b 8"]);
    let rejected = spool.rejected().await;
    assert!(rejected[0].starts_with("usage.csv, line 5: quantity"), "{rejected:?}");
}

#[tokio::test]
async fn what_is_rejected_is_kept_with_its_line_and_noted_beside_its_file() {
    let settings = intake::Settings { record_bytes_max: 300, ..intake::Settings::default() };
    let spool = Spool::with(None, settings).await;
    let long = "x".repeat(5_000);
    spool.append("usage", &format!("{}nonsense\n{long}\n\u{feff}\n{}", line(0), line(1)));
    fs::write(spool.path("other"), b"\xff\xfe\n\0\n\0").unwrap();
    spool.look().await;
    assert_eq!(spool.booked().await, "0 1");
    let places = spool.rows("SELECT place FROM rejected_record ORDER BY place").await;
    let expected = ["other, line 1", "usage, line 2", "usage, line 3", "usage, line 4"];
    assert_eq!(places, expected);
    let noted = fs::read_to_string(spool.path("usage.rejected")).unwrap();
    let noted: Vec<serde_json::Value> =
        noted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(noted[0]["place"], "usage, line 2");
    assert_eq!(noted[0]["raw"], "nonsense");
    spool.look().await;
    assert_eq!(
        spool.size("usage.rejected"),
        fs::metadata(spool.path("usage.rejected")).unwrap().len()
    );
    assert_eq!(spool.rejected().await.len(), 4, "what tallyd writes is not read");
}

#[tokio::test]
async fn a_row_that_is_still_being_written_is_not_held_and_a_line_without_bounds_is_skipped() {
    let settings = intake::Settings { record_bytes_max: 300, ..intake::Settings::default() };
    let spool = Spool::with(None, settings).await;
    let mut file = File::create(spool.path("usage")).unwrap();
    file.write_all(b"x").unwrap();
    // A hole: zeros that take no room.
    file.set_len(1 << 25).unwrap();
    spool.look().await;
    assert_eq!(spool.rejected().await, Vec::<String>::new());
    spool.append("usage", &format!("\n{}", line(0)));
    spool.look().await;
    assert_eq!(spool.booked().await, "0");
    let rejected = spool.rejected().await;
    assert!(rejected[0].contains("is 33554432 bytes long"), "{rejected:?}");
}

#[tokio::test]
async fn one_file_that_cannot_be_read_holds_up_no_other() {
    let spool = Spool::with(table(), intake::Settings::default()).await;
    spool.append("a.csv", "nothing,that,is,known\n1,2,3,4\n");
    spool.append("b.csv", &format!("id,customer,time,used\na,c,{NOON},7\n"));
    std::os::unix::fs::symlink(spool.path("b.csv"), spool.path("link.csv")).unwrap();
    fs::create_dir(spool.path("folder.csv")).unwrap();
    spool.look_for_long().await;
    assert_eq!(spool.booked().await, "a");
    fs::remove_dir_all(spool.path("")).unwrap();
    spool.look().await;
    fs::create_dir(spool.path("")).unwrap();
    spool.append("c.csv", &format!("id,customer,time,used\nb,c,{NOON},7\n"));
    spool.look().await;
    assert_eq!(spool.booked().await, "a b");
}

#[tokio::test]
async fn files_are_rotated_a_hundred_times_under_a_writer_and_kills_and_nothing_is_lost() {
    const ROTATIONS: u64 = 100;
    let seed: u64 = 20_261_122;
    println!("seed {seed}");
    let mut state = seed;
    let mut below = |bound: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let settings = intake::Settings { batch_records_max: 7, ..intake::Settings::default() };
    let mut spool = Spool::with(None, settings).await;
    let mut writer = File::create(spool.path("usage")).unwrap();
    let (mut written, mut pending) = (0_u32, String::new());
    let mut rotated = 0;
    while rotated < ROTATIONS {
        match below(10) {
            0..=4 => {
                pending.push_str(&lines(written..written + 3));
                written += 3;
                let most = u64::try_from(pending.len()).unwrap();
                let piece = usize::try_from(below(most) + 1).unwrap();
                let rest = pending.split_off(piece);
                writer.write_all(std::mem::replace(&mut pending, rest).as_bytes()).unwrap();
            }
            5 | 6 => spool.look().await,
            7 => {
                // The writer has the old file open until it ends its line.
                for number in (1..4).rev() {
                    let (from, to) = (format!("usage.{number}"), format!("usage.{}", number + 1));
                    if spool.path(&from).exists() {
                        spool.rename(&from, &to);
                    }
                }
                spool.rename("usage", "usage.1");
                if below(2) == 0 {
                    spool.look().await;
                }
                writer.write_all(std::mem::take(&mut pending).as_bytes()).unwrap();
                writer = File::create(spool.path("usage")).unwrap();
                rotated += 1;
            }
            _ => {
                let (_, spooler) = spool.running.as_ref().unwrap();
                // Ended in the middle of a step.
                tokio::select! {
                    biased;
                    () = turns(below(40)) => {}
                    step = spooler.run_once(spool.clock.now()) => drop(step.unwrap()),
                }
                spool.start().await;
            }
        }
        spool.clock.advance_micros(MICROS_PER_SECOND);
        // A file leaves only once it was read: four are kept.
        if rotated % 3 == 0 {
            spool.look().await;
        }
    }
    writer.write_all(pending.as_bytes()).unwrap();
    spool.look().await;
    let mut times: BTreeMap<u32, u32> = BTreeMap::new();
    for id in spool.booked().await.split(' ') {
        *times.entry(id.parse().unwrap()).or_default() += 1;
    }
    assert_eq!(times.len(), usize::try_from(written).unwrap(), "each line is booked");
    assert!(times.values().all(|times| *times == 1));
    assert_eq!(spool.rejected().await, Vec::<String>::new());
}
