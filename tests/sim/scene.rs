//! What all parts of a run share. Here: the provider, the faults, the trace, the clocks and the end
//! of a process. Never here: a rule of the provider, or a check. Read next: [`crate::world`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use tallyd::clock::{Clock as _, ManualClock};
use tallyd::domain::time::Timestamp;
use tokio::sync::Notify;

use crate::faults::{Class, Faults};
use crate::plants::Plant;
use crate::server::Server;

/// Everything that happened, in order: two runs of a seed must give the same digest of it.
#[derive(Default)]
pub(crate) struct Trace {
    digest: Sha256,
    /// Whether the lines are kept beside the digest.
    pub(crate) verbose: bool,
    pub(crate) lines: Vec<String>,
}

impl Trace {
    pub(crate) fn new(verbose: bool) -> Self {
        Self { verbose, ..Self::default() }
    }

    /// Appends a line.
    pub(crate) fn note(&mut self, line: String) {
        self.digest.update(line.as_bytes());
        self.digest.update(b"\n");
        if self.verbose {
            self.lines.push(line);
        }
    }

    /// The digest so far.
    pub(crate) fn digest(&self) -> String {
        let mut text = String::new();
        for byte in &self.digest.clone().finalize()[..8] {
            write!(text, "{byte:02x}").expect("a string takes it");
        }
        text
    }
}

/// What lasts for a while, until an instant of the provider's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Episodes {
    pub(crate) outage: i64,
    pub(crate) key_refused: i64,
    pub(crate) rate_storm: i64,
    /// Everything is processed, and no answer arrives.
    pub(crate) mute: i64,
}

/// What happened to an identifier that may justify a hold of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    /// Faults that struck its requests, by class.
    pub(crate) faults: BTreeMap<Class, u64>,
    /// Attempts that may have landed, as far as the program can tell, each at the provider's time.
    pub(crate) attempts: Vec<i64>,
    /// Whether a request that told others too was refused: what of it was taken is not known.
    pub(crate) was_one_of_many_refused: bool,
}

/// The shared part of a run.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) episodes: Episodes,
    pub(crate) witnesses: BTreeMap<String, Witness>,
    /// What is counted beside the faults: states, moves, outcomes.
    pub(crate) reached: BTreeMap<String, u64>,
    /// The planted bug, if any.
    pub(crate) plant: Option<Plant>,
    /// Whether the process that runs now is at its end.
    pub(crate) crashed: bool,
    /// True time that passed while the process was stopped, and is not counted yet.
    pub(crate) stalled: i64,
    /// Whether an earlier attempt of the event that is sent now may have landed.
    pub(crate) may_be_there: bool,
    /// Lanes of which a stale total was told: the next are not, until one of them was kept.
    pub(crate) stale: BTreeSet<(String, String)>,
    /// The lane of the total that was told last, when it was not a stale one.
    pub(crate) told_fresh: Option<(String, String)>,
    /// Whether an older ledger took the place of the one that told the provider.
    pub(crate) rolled_back: bool,
    /// Whether that ledger lacks something that its sources have not sent again yet.
    pub(crate) lacks: bool,
}

impl Scene {
    /// Counts something that was reached.
    pub(crate) fn reach(&mut self, what: impl Into<String>) {
        *self.reached.entry(what.into()).or_default() += 1;
    }

    /// Whether this bug is planted.
    pub(crate) fn has(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }
}

/// A handle on the scene.
#[derive(Clone)]
pub(crate) struct Stage {
    scene: Arc<Mutex<Scene>>,
    /// Rung when the process is to end at once, wherever it is.
    pub(crate) ends: Arc<Notify>,
    /// This host's clock.
    pub(crate) clock: Arc<ManualClock>,
}

impl Stage {
    pub(crate) fn new(scene: Scene, clock: Arc<ManualClock>) -> Self {
        Self { scene: Arc::new(Mutex::new(scene)), ends: Arc::default(), clock }
    }

    /// The scene. A panic in one run must not hide what it found.
    pub(crate) fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This host's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends the process here: nothing after this is done by it.
    pub(crate) async fn end(&self) {
        self.scene().crashed = true;
        self.ends.notify_one();
        std::future::pending::<()>().await;
    }
}
