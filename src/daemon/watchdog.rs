//! The service manager, kept informed while the daemon runs. Here: when it is told how things
//! stand, and when it is pinged: only while every part moves. Never here: the socket (see
//! [`super::notify`]), what a beat is (see [`crate::service::pulse`]). Read next:
//! [`crate::service::pulse`].

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::notify::ServiceHost;
use crate::service::pulse::{Late, Pulses};

/// What pings, and who is late.
#[derive(Debug, Default)]
pub struct Watchdog {
    /// The parts that were late at the last look; each is logged once.
    late: BTreeSet<String>,
}

impl Watchdog {
    /// Pings if every part is alive at `now`; answers whether it did.
    pub fn look(&mut self, host: &ServiceHost, pulses: &Pulses, now: Instant) -> bool {
        let late = pulses.late(now);
        for Late { part, since } in &late {
            if !self.late.contains(part) {
                let seconds = since.as_secs();
                tracing::error!(part, seconds, "a part does not move; the watchdog is not fed");
            }
        }
        let was_late = !self.late.is_empty();
        self.late = late.into_iter().map(|late| late.part).collect();
        let all_alive = self.late.is_empty();
        if all_alive {
            if was_late {
                tracing::info!("all parts move again; the watchdog is fed");
            }
            host.ping();
        }
        all_alive
    }
}

/// Pings the service manager as often as it asks, while every part of `pulses` moves, and tells it
/// whatever `standing` says. Never ends.
pub async fn keep_informed(
    host: &ServiceHost,
    pulses: &Pulses,
    mut standing: watch::Receiver<String>,
) {
    let pinging = async {
        let Some(within) = host.ping_within() else { return std::future::pending().await };
        // Twice in its time, as systemd advises: a ping may be late by as much.
        let mut ticks = interval((within / 2).max(Duration::from_micros(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watchdog = Watchdog::default();
        loop {
            let now = ticks.tick().await;
            watchdog.look(host, pulses, now.max(Instant::now()));
        }
    };
    let telling = async {
        while standing.changed().await.is_ok() {
            let said = standing.borrow_and_update().clone();
            host.status(&said);
        }
        std::future::pending().await
    };
    tokio::select! {
        () = pinging => {}
        () = telling => {}
    }
}
