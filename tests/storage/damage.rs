//! Ledgers that rotted. Here: single bits flipped and ends cut off in a sound ledger, and what
//! `ledger verify` makes of each. Never here: a call that fails. Read next: [`super::world`].
//!
//! What must hold: nothing crashes, a cut-off end is always noticed, and a damaged head is refused.
//! What is measured: how many flipped bits are noticed. Those that are not lie in bytes that no row
//! uses, or in columns that no other row repeats and no digest covers; of these it is said how many
//! change what the books or a trace show.

use std::fs;
use std::io::Write;

use anyhow::Context;

use super::script::{Life, Stage};
use super::world::Home;

/// The head by which SQLite and this program know a ledger: 16 bytes of magic. What follows them is
/// checked by use.
const MAGIC_BYTES: usize = 16;
/// Bits in a byte.
const BITS: usize = 8;

/// What became of damaged ledgers.
#[derive(Debug, Default)]
struct Tally {
    tried: usize,
    found: usize,
    refused: usize,
    unnoticed: usize,
    /// Of those unnoticed: the books or a trace say something else.
    visible: usize,
}

/// What `ledger verify` made of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Found,
    Refused,
    Unnoticed { visible: bool },
}

/// Tries `count` flipped bits and as many cut-off ends; answers what must not be.
pub(crate) fn measure(
    count: usize,
    seed: u64,
    out: &mut impl Write,
) -> anyhow::Result<Vec<String>> {
    let stage = Stage::prepare(Life::First)?;
    let folder = tempfile::tempdir()?;
    let home = Home { folder: folder.path().to_owned() };
    stage.fill(&home)?;
    let sound = fs::read(home.ledger(""))?;
    let shown = shown(&home)?;
    writeln!(out, "seed {seed}; a ledger of {} bytes, without a log beside it", sound.len())?;
    let mut chance = seed.max(1);
    let mut next = |below: usize| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        usize::try_from(chance % u64::try_from(below.max(1)).unwrap_or(1)).unwrap_or_default()
    };
    let mut wrong = Vec::new();
    let mut magic = Tally::default();
    for bit in 0..MAGIC_BYTES * BITS {
        let made = note(&mut magic, try_one(&home, &flipped(&sound, bit), &shown)?);
        if !matches!(made, Made::Refused) {
            wrong.push(format!("bit {bit} of the head is flipped, and it is {made:?}"));
        }
    }
    row(out, "bits of the magic number", &magic)?;
    // A small ledger is mostly empty pages; a large one is mostly this.
    let filled: Vec<usize> = (0..sound.len()).filter(|at| sound[*at] != 0).collect();
    let mut used = Tally::default();
    for _ in 0..count {
        let bit = filled[next(filled.len())] * BITS + next(BITS);
        note(&mut used, try_one(&home, &flipped(&sound, bit), &shown)?);
    }
    row(out, "bits of bytes not zero", &used)?;
    let mut bits = Tally::default();
    for _ in 0..count {
        let bit = next(sound.len() * BITS);
        note(&mut bits, try_one(&home, &flipped(&sound, bit), &shown)?);
    }
    row(out, "bits anywhere", &bits)?;
    let mut ends = Tally::default();
    for _ in 0..count {
        let length = 1 + next(sound.len() - 1);
        let made = note(&mut ends, try_one(&home, &sound[..length], &shown)?);
        if matches!(made, Made::Unnoticed { .. }) {
            wrong.push(format!("cut off after {length} bytes, and not noticed"));
        }
    }
    row(out, "ends cut off", &ends)?;
    Ok(wrong)
}

fn flipped(sound: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    bytes[bit / BITS] ^= 1 << (bit % BITS);
    bytes
}

fn note(tally: &mut Tally, made: Made) -> Made {
    tally.tried += 1;
    match made {
        Made::Found => tally.found += 1,
        Made::Refused => tally.refused += 1,
        Made::Unnoticed { visible } => {
            tally.unnoticed += 1;
            tally.visible += usize::from(visible);
        }
    }
    made
}

fn row(out: &mut impl Write, what: &str, tally: &Tally) -> anyhow::Result<()> {
    let Tally { tried, found, refused, unnoticed, visible } = tally;
    writeln!(
        out,
        "{what:<26}{tried:>6} tried{found:>6} found{refused:>6} refused{unnoticed:>6} unnoticed, \
         {visible} of them visible in books or traces"
    )?;
    Ok(())
}

/// Puts `bytes` in the ledger's place, and asks.
fn try_one(home: &Home, bytes: &[u8], shown: &[String]) -> anyhow::Result<Made> {
    let folder = tempfile::tempdir()?;
    let damaged = Home { folder: folder.path().to_owned() };
    fs::copy(home.folder.join("tallyd.toml"), damaged.folder.join("tallyd.toml"))?;
    fs::write(damaged.ledger(""), bytes)?;
    let (code, said) = damaged.command(&["ledger", "verify"])?;
    Ok(match code {
        0 => Made::Unnoticed { visible: self::shown(&damaged).ok().as_deref() != Some(shown) },
        2 => Made::Found,
        1 | 74 => Made::Refused,
        other => anyhow::bail!("ledger verify ended with {other}: {said}"),
    })
}

/// What the books and the traces of all records say.
fn shown(home: &Home) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    let books = ["books", "--json", "--by-window"].as_slice();
    let traces: Vec<String> = Stage::names().map(|name| format!("web/{name}")).collect();
    let traces: Vec<[&str; 3]> = traces.iter().map(|name| ["trace", name, "--json"]).collect();
    for arguments in std::iter::once(books).chain(traces.iter().map(<[&str; 3]>::as_slice)) {
        let (code, said) = home.command(arguments)?;
        anyhow::ensure!(code == 0, "{arguments:?} ended with {code}");
        all.push(said);
    }
    (!all.is_empty()).then_some(all).context("nothing is shown")
}
