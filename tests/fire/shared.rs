//! What all parts of a run share. Here: the memory, where the daemon is, the bell, the phase. Never
//! here: what any part does. Read next: [`super::campaign`].

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::chance::Dice;
use super::memory::Memory;
use super::relay::Relay;

/// The token that the clients show.
pub(crate) const TOKEN: &str = "a-token-of-the-fire-only";

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Clients send.
    Fire,
    /// Everything is acknowledged: nobody sends any more.
    Over,
}

/// What all parts share.
pub(crate) struct Shared {
    seed: u64,
    memory: Mutex<Memory>,
    address: watch::Sender<Option<SocketAddr>>,
    /// By which webhooks find the daemon, wherever it is.
    relay: Relay,
    phase: watch::Sender<Phase>,
    bell: watch::Sender<u64>,
    /// How often an import began or ended: odd while one runs.
    imports: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(seed: u64, memory: Memory, relay: Relay) -> Self {
        Self {
            seed,
            memory: Mutex::new(memory),
            address: watch::Sender::new(None),
            relay,
            phase: watch::Sender::new(Phase::Fire),
            bell: watch::Sender::new(0),
            imports: watch::Sender::new(0),
        }
    }

    /// The numbers of one part of the run.
    pub(crate) const fn dice(&self, stream: u64) -> Dice {
        // Streams from here on upwards are no record's.
        Dice::of(self.seed, u64::MAX - stream)
    }

    /// The memory; a part that panicked ends the run anyway.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the memory out, once nobody sends any more.
    pub(crate) fn take_memory(&self) -> Memory {
        let mut memory = self.memory();
        let nothing = Memory::new(memory.kind(), 0, 0, 0);
        std::mem::replace(&mut *memory, nothing)
    }

    /// Where the daemon listens, while it is believed to.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *self.address.borrow()
    }

    pub(crate) fn set_address(&self, address: Option<SocketAddr>) {
        self.relay.lead_to(address);
        self.address.send_replace(address);
        self.ring();
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) fn end(&self) {
        self.phase.send_replace(Phase::Over);
        self.ring();
    }

    /// Wakes whoever has nothing to do.
    pub(crate) fn ring(&self) {
        self.bell.send_modify(|rung| *rung = rung.wrapping_add(1));
    }

    pub(crate) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Waits for the next ring.
    pub(crate) async fn rung(&self, bell: &mut watch::Receiver<u64>) {
        bell.changed().await.expect("the bell is in `self`");
    }

    /// An import begins or ends.
    pub(crate) fn import_turns(&self) {
        self.imports.send_modify(|turns| *turns += 1);
    }

    /// Waits until no import runs.
    pub(crate) async fn no_import(&self) {
        let mut turns = self.imports.subscribe();
        turns.wait_for(|turn| turn % 2 == 0).await.expect("the turns are in `self`");
    }
}
