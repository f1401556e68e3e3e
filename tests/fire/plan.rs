//! What happens in a life of the daemon, as a seed has it. Here: how long it is, what goes wrong in
//! it and how it ends. Never here: doing any of it. Read next: [`super::director`].

use std::time::Duration;

use super::chance::Dice;
use super::provider::Trouble;

/// One life in so many ends before the daemon listens.
const EARLY_ONE_IN: u64 = 10;
/// Such a life is at most this long, in milliseconds.
const EARLY_MILLIS_MAX: u64 = 150;
/// One life in so many is asked to stop instead of being killed; of those, one in so many is killed
/// while it stops.
const ASKED_ONE_IN: u64 = 8;
const ASKED_AND_KILLED_ONE_IN: u64 = 3;
/// How long after it was asked, in milliseconds at most.
const ASKED_MILLIS_MAX: u64 = 300;
/// One life in so many is stopped for a while and continued.
const STOPPED_ONE_IN: u64 = 8;
/// For how long, in milliseconds; one in so many for longer than a lease is good for.
const STOPPED_MILLIS: (u64, u64) = (50, 1_500);
const STOPPED_LONG_ONE_IN: u64 = 6;
const STOPPED_LONG_MILLIS: u64 = 5_500;
/// In one life in so many the disk is full for a while.
const FULL_ONE_IN: u64 = 8;
/// For how long, in milliseconds.
const FULL_MILLIS: (u64, u64) = (200, 2_000);
/// What then is left of it, in KiB: around what intake keeps free, and around what one commit of a
/// large request takes.
const FULL_KIBIBYTES: [u64; 5] = [0, 256, 1_100, 1_500, 3_000];
/// In one life in so many the provider has a storm of 429, and in as many it is away.
const TROUBLE_ONE_IN: u64 = 10;
/// After one life in so many nobody restarts it for a while, in milliseconds.
const PAUSE_ONE_IN: u64 = 8;
const PAUSE_MILLIS: (u64, u64) = (100, 1_200);

/// Something that is done to the daemon or around it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
    /// Only so many KiB are left of the disk.
    Fill(u64),
    /// The disk has room again.
    Clear,
    /// The provider has trouble for a second or two.
    Trouble(Trouble),
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// SIGKILL.
    Killed,
    /// SIGTERM, and it stops by itself.
    Asked,
    /// SIGTERM, and SIGKILL so much later.
    AskedAndKilled(Duration),
}

/// A life.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// Whether its length counts from the start of the process, not from when it listens.
    pub(crate) early: bool,
    pub(crate) length: Duration,
    /// In order.
    pub(crate) acts: Vec<(Duration, Act)>,
    pub(crate) end: End,
    /// How long nobody restarts it.
    pub(crate) pause: Duration,
}

impl Life {
    /// A life of `mean_millis` on average.
    pub(crate) fn draw(dice: &mut Dice, mean_millis: u64) -> Self {
        let early = dice.once_in(EARLY_ONE_IN);
        let millis = match early {
            true => dice.below(EARLY_MILLIS_MAX),
            false => dice.between(mean_millis / 10, mean_millis * 2 - mean_millis / 10),
        };
        let mut acts = Vec::new();
        if dice.once_in(STOPPED_ONE_IN) {
            let from = dice.below(millis);
            let span = match dice.once_in(STOPPED_LONG_ONE_IN) {
                true => STOPPED_LONG_MILLIS,
                false => dice.between(STOPPED_MILLIS.0, STOPPED_MILLIS.1),
            };
            acts.push((from, Act::Stop));
            acts.push((from + span, Act::Continue));
        }
        if dice.once_in(FULL_ONE_IN) {
            let from = dice.below(millis);
            let left = usize::try_from(dice.below(5)).unwrap_or_default();
            let left = FULL_KIBIBYTES.get(left).copied().unwrap_or_default();
            acts.push((from, Act::Fill(left)));
            acts.push((from + dice.between(FULL_MILLIS.0, FULL_MILLIS.1), Act::Clear));
        }
        for trouble in [Trouble::Storm, Trouble::Outage] {
            if dice.once_in(TROUBLE_ONE_IN) {
                acts.push((dice.below(millis), Act::Trouble(trouble)));
            }
        }
        acts.sort_by_key(|(at, _)| *at);
        let end = match (dice.once_in(ASKED_ONE_IN), dice.once_in(ASKED_AND_KILLED_ONE_IN)) {
            (false, _) => End::Killed,
            (true, false) => End::Asked,
            (true, true) => {
                End::AskedAndKilled(Duration::from_millis(dice.below(ASKED_MILLIS_MAX)))
            }
        };
        let pause = match dice.once_in(PAUSE_ONE_IN) {
            true => dice.between(PAUSE_MILLIS.0, PAUSE_MILLIS.1),
            false => 0,
        };
        let after = |(millis, act)| (Duration::from_millis(millis), act);
        Self {
            early,
            length: Duration::from_millis(millis),
            acts: acts.into_iter().map(after).collect(),
            end,
            pause: Duration::from_millis(pause),
        }
    }
}
