//! The files of an export. Here: writing them under other names first, at most as long as their
//! form allows, and what is known of each then. Never here: what a row says
//! (`crate::provider::stripe::bulk`). Read next: [`super::show`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::domain::event::LedgerId;
use crate::domain::export::{Candidate, ExportForm};
use crate::domain::names::ProviderMeter;
use crate::domain::quantity::Quantity;
use crate::ledger::export::Export;
use crate::provider::stripe::bulk::{Limits, Row, extension, limits};

/// What a file is called while it is not whole.
const PART: &str = "part";
/// Bytes of a file that are read at once, to compare it.
const COMPARED_BYTES: usize = 64 * 1024;

/// A file that was written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// As `sha256sum` prints it.
    pub(super) sha256: String,
    /// How many events of each meter are in it, and what they come to.
    pub(super) meters: BTreeMap<ProviderMeter, (i64, Quantity)>,
}

/// Makes the directory, where there is none.
pub(super) fn prepare(out: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(out).with_context(|| format!("--out {} cannot be made", out.display()))
}

/// The files while they are written.
pub(super) struct Files {
    out: PathBuf,
    /// What all their names begin with.
    stem: String,
    form: ExportForm,
    limits: Limits,
    open: Option<Open>,
    all: Sha256,
    written: Vec<Written>,
}

/// The file that rows go to.
struct Open {
    part: PathBuf,
    file: BufWriter<File>,
    heading: String,
    hash: Sha256,
    written: Written,
}

impl Files {
    /// No file yet. Names carry the ledger's, as another ledger has an export of the same number.
    pub(super) fn new(out: &Path, export: &Export, ledger: &LedgerId) -> Self {
        let stem = format!("tallyd-{ledger}-export-{}", export.id);
        let form = export.asked.form;
        let (out, limits, all) = (out.to_owned(), limits(form), Sha256::new());
        Self { out, stem, form, limits, open: None, all, written: Vec::new() }
    }

    /// Adds a row, to a new file where the last has no room for it or another heading.
    pub(super) fn add(&mut self, row: &Row, event: &Candidate) -> anyhow::Result<()> {
        let bytes = u64::try_from(row.line.len()).unwrap_or(u64::MAX);
        let fits = self.open.as_ref().is_some_and(|open| {
            open.heading == row.heading
                && open.written.rows < self.limits.rows_max
                && open.written.bytes.saturating_add(bytes) <= self.limits.bytes_max
        });
        if !fits {
            self.end_file()?;
            self.begin_file(&row.heading)?;
        }
        let Some(open) = &mut self.open else { bail!("no file is open for a row") };
        write(open, &mut self.all, &row.line)?;
        open.written.rows += 1;
        let none = || (0, Quantity::zero());
        let (count, sum) = open.written.meters.entry(event.meter.clone()).or_insert_with(none);
        *count += 1;
        *sum = &*sum + &event.quantity;
        Ok(())
    }

    /// Ends the last file. Answers the files, and the SHA-256 of all their bytes in their order.
    pub(super) fn finish(mut self) -> anyhow::Result<(Vec<Written>, String)> {
        self.end_file()?;
        Ok((self.written, hex::encode(self.all.finalize())))
    }

    fn begin_file(&mut self, heading: &str) -> anyhow::Result<()> {
        let number = self.written.len() + 1;
        let name = format!("{}-{number:03}.{}", self.stem, extension(self.form));
        let path = self.out.join(&name);
        let part = self.out.join(format!("{name}.{PART}"));
        let file = File::create(&part).with_context(|| unwritten(&part))?;
        let (sha256, meters) = (String::new(), BTreeMap::new());
        let mut open = Open {
            part,
            file: BufWriter::new(file),
            heading: heading.to_owned(),
            hash: Sha256::new(),
            written: Written { path, rows: 0, bytes: 0, sha256, meters },
        };
        write(&mut open, &mut self.all, heading)?;
        self.open = Some(open);
        Ok(())
    }

    /// Has the file on disk, and only then gives it its name.
    fn end_file(&mut self) -> anyhow::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { part, file, hash, mut written, .. } = open;
        written.sha256 = hex::encode(hash.finalize());
        let whole = file.into_inner().map_err(io::IntoInnerError::into_error);
        whole.and_then(|file| file.sync_all()).with_context(|| unwritten(&part))?;
        if written.path.exists() {
            let there = sha256_of(&written.path).with_context(|| unwritten(&written.path))?;
            if there != written.sha256 {
                bail!("{} is there already, and holds something else", written.path.display());
            }
        }
        fs::rename(&part, &written.path)
            .and_then(|()| File::open(&self.out)?.sync_all())
            .with_context(|| unwritten(&written.path))?;
        self.written.push(written);
        Ok(())
    }
}

fn unwritten(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

fn write(open: &mut Open, all: &mut Sha256, text: &str) -> anyhow::Result<()> {
    open.file.write_all(text.as_bytes()).with_context(|| unwritten(&open.part))?;
    open.hash.update(text);
    all.update(text);
    open.written.bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
    Ok(())
}

fn sha256_of(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; COMPARED_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{EventId, EventKind};
    use crate::domain::export::ExportId;
    use crate::domain::names::{AccountName, ProviderName};
    use crate::domain::period::Billing;
    use crate::domain::provider_facts::AccountPin;
    use crate::domain::time::Timestamp;
    use crate::ledger::export::NewExport;

    const NOON: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn export(form: ExportForm) -> Export {
        let provider = ProviderName::new("stripe.main").unwrap();
        let (meters, before, who) = (Vec::new(), None, "ada".to_owned());
        Export {
            id: ExportId(7),
            asked: NewExport { provider, form, meters, before, who },
            account: AccountPin { account: None, livemode: false },
            made_at: NOON,
            steps: Vec::new(),
            events: 0,
            held: 0,
            present: 0,
            rolled_back: false,
        }
    }

    fn event(quantity: &str) -> Candidate {
        Candidate {
            event: EventId(1),
            kind: EventKind::Usage,
            identifier: "a".to_owned(),
            account: AccountName::new("cus_1").unwrap(),
            meter: ProviderMeter::new("tokens").unwrap(),
            pin: None,
            quantity: Quantity::parse(quantity).unwrap(),
            occurred_at: NOON,
            deadline_at: NOON,
            billing: Billing::default(),
            tried: false,
            body: Vec::new(),
        }
    }

    fn row(heading: &str, line: &str) -> Row {
        Row { heading: format!("{heading}\n"), line: format!("{line}\n") }
    }

    /// The files that come of these rows, and the digest of all.
    fn written(out: &Path, limits: Limits, rows: &[Row]) -> (Vec<(String, String)>, String) {
        let ledger = LedgerId::new("00112233445566aa").unwrap();
        let mut files = Files::new(out, &export(ExportForm::StripeCsv), &ledger);
        files.limits = limits;
        for row in rows {
            files.add(row, &event("0.5")).unwrap();
        }
        let (written, digest) = files.finish().unwrap();
        let texts = written.iter().map(|file| {
            let text = fs::read_to_string(&file.path).unwrap();
            assert_eq!(u64::try_from(text.len()).unwrap(), file.bytes);
            assert_eq!(hex::encode(Sha256::digest(&text)), file.sha256);
            let sums: Vec<&(i64, Quantity)> = file.meters.values().collect();
            let count = i64::try_from(file.rows).unwrap();
            let half = event("0.5").quantity;
            let sum: Quantity = (0..count).map(|_| &half).sum();
            assert_eq!(sums, [&(count, sum)]);
            (file.path.file_name().unwrap().to_str().unwrap().to_owned(), text)
        });
        (texts.collect(), digest)
    }

    #[test]
    fn a_new_file_begins_where_the_last_has_no_room_or_another_heading() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [row("h", "1"), row("h", "2"), row("h", "3"), row("k", "4"), row("k", "5")];
        let by_bytes = Limits { bytes_max: 6, rows_max: 9 };
        let (files, digest) = written(folder.path(), by_bytes, &rows);
        let named = |number: u32| format!("tallyd-00112233445566aa-export-7-{number:03}.csv");
        let texts = ["h\n1\n2\n", "h\n3\n", "k\n4\n5\n"].map(str::to_owned);
        assert_eq!(files, [1, 2, 3].map(named).into_iter().zip(texts).collect::<Vec<_>>());
        // The same again, over themselves; and nothing half is left behind.
        assert_eq!(written(folder.path(), by_bytes, &rows), (files, digest));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let other = tempfile::tempdir().unwrap();
        let by_rows = Limits { bytes_max: 99, rows_max: 1 };
        assert_eq!(written(other.path(), by_rows, &rows).0.len(), 5);
    }

    #[test]
    fn nothing_is_written_over_a_file_that_holds_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = LedgerId::new("00112233445566aa").unwrap();
        let path = folder.path().join("tallyd-00112233445566aa-export-7-001.csv");
        fs::write(&path, "h\n2\n").unwrap();
        let mut files = Files::new(folder.path(), &export(ExportForm::StripeCsv), &ledger);
        files.add(&row("h", "1"), &event("1")).unwrap();
        let why = files.finish().unwrap_err().to_string();
        assert!(why.contains("holds something else"), "{why}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "h\n2\n");
    }
}
