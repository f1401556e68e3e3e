//! What goes wrong. Here: the classes of faults, which of them a seed has, and how often each came
//! about. Never here: what a fault does (see [`crate::wire`], [`crate::ports`], [`crate::world`]).
//! Read next: [`crate::server`].

use std::collections::{BTreeMap, BTreeSet};

use crate::chance::Chance;
use crate::server::Keeps;

macro_rules! classes {
    ($($(#[$doc:meta])+ $class:ident = $text:literal,)+) => {
        /// A class of faults. Each has a stream of chance of its own, so that one that is switched
        /// off leaves the draws of the others as they are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Class { $($(#[$doc])+ $class,)+ }

        impl Class {
            /// Every class.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$class,)+];

            /// Its name, as it is counted and as the command line takes it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$class => $text,)+ }
            }

            /// The class of this name.
            pub(crate) fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|class| class.name() == name)
            }
        }
    };
}

classes! {
    /// The process ends before a verb of the ledger.
    CrashBefore = "crash-before-verb",
    /// The process ends after a verb was committed; its answer is lost.
    CrashAfter = "crash-after-verb",
    /// The process ends with a request on its way, or with its answer unread.
    CrashSending = "crash-while-sending",
    /// A verb was committed, or was not, and an error came back.
    CommitUnknown = "commit-unknown",
    /// A verb finds the disk full.
    DiskFull = "disk-full",
    /// The provider's address refuses the connection.
    NotConnected = "not-connected",
    /// The request was processed, and its answer was lost.
    LostAnswer = "lost-answer",
    /// The request was not processed, and nothing came back.
    Swallowed = "swallowed",
    /// Nothing came back, and the request lands minutes to hours later.
    Zombie = "zombie",
    /// A 5xx, kept under the key or not, of a request that was processed or not.
    ServerError = "server-error",
    /// A proxy's own page in front of a request that was processed or not.
    ProxyPage = "proxy-page",
    /// A 409.
    Busy = "busy",
    /// A storm of 429, with or without a time to wait.
    RateStorm = "rate-storm",
    /// The key is not accepted for a while.
    KeyRefused = "key-refused",
    /// The provider refuses a request for good.
    Refused = "refused",
    /// The provider says that it has an identifier it never saw.
    FalseDuplicate = "false-duplicate",
    /// The provider says yes, and rejects later.
    RejectedLater = "rejected-later",
    /// The provider cannot be reached for minutes to hours.
    Outage = "outage",
    /// The provider cannot be reached for longer than it recognises an identifier.
    LongOutage = "outage-past-the-window",
    /// Nothing runs for longer than the provider takes usage back.
    Month = "outage-past-35-days",
    /// Nothing runs for hours.
    Downtime = "downtime",
    /// The process is stopped between a lease and its sends.
    Stalled = "stalled",
    /// This host's clock steps.
    ClockStep = "clock-step",
    /// This host's clock runs fast or slow.
    ClockDrift = "clock-drift",
    /// A record comes again.
    Duplicate = "duplicate-record",
    /// A record comes again and says something else.
    Conflict = "conflicting-record",
    /// A record comes hours to weeks after its time.
    Late = "late-record",
    /// A record is cancelled.
    Cancelled = "cancelled-record",
    /// A record counts with another quantity.
    Adjusted = "adjusted-record",
    /// A correction comes before its record.
    EarlyCorrection = "correction-before-record",
    /// A correction comes again.
    RepeatedCorrection = "correction-again",
    /// A correction comes again and says something else.
    ConflictingCorrection = "conflicting-correction",
    /// A correction replaces what the record does not count with.
    OutdatedCorrection = "outdated-correction",
    /// The provider's totals lag by hours.
    LaggingTotals = "lagging-totals",
    /// A total is one of long ago.
    StaleTotal = "stale-total",
    /// A total cannot be read.
    TotalUnread = "total-unread",
    /// The ledger's file is an older one.
    OlderLedger = "older-ledger",
    /// The configured routes change.
    Routes = "routes-change",
    /// History is booked as the changed routes lead.
    Remap = "history-remapped",
    /// A customer's account is imported late.
    AccountLate = "account-imported-late",
    /// A webhook never comes.
    NoticeLost = "notice-lost",
    /// A webhook comes minutes to a day late.
    NoticeLate = "notice-late",
    /// A webhook comes twice.
    NoticeTwice = "notice-twice",
    /// Webhooks come in the wrong order.
    NoticesDisordered = "notices-disordered",
    /// What is billed cannot be read.
    BillingUnread = "billing-unread",
}

impl Class {
    /// Whether a provider that keeps usage so has it.
    pub(crate) const fn is_of(self, keeps: Keeps) -> bool {
        match keeps {
            Keeps::Events => true,
            // A usage that was entered stays, and what is refused is asked for by its id.
            Keeps::Entries => !matches!(self, Self::RejectedLater | Self::FalseDuplicate),
            // It counts what arrives, and says nothing of it afterwards.
            Keeps::Counts(_) => !matches!(
                self,
                Self::RejectedLater
                    | Self::FalseDuplicate
                    | Self::Busy
                    | Self::TotalUnread
                    | Self::StaleTotal
                    | Self::LaggingTotals
            ),
        }
    }

    /// Whether it is one of runs in which something is billed.
    pub(crate) const fn is_of_billing(self) -> bool {
        matches!(
            self,
            Self::NoticeLost
                | Self::NoticeLate
                | Self::NoticeTwice
                | Self::NoticesDisordered
                | Self::BillingUnread
        )
    }
}

/// The faults of one run.
#[derive(Debug)]
pub(crate) struct Faults {
    on: BTreeSet<Class>,
    streams: BTreeMap<Class, Chance>,
    /// How much of everything: the rates of all classes are divided by this.
    calm: u64,
    /// No fault strikes at all.
    pub(crate) off: bool,
    /// How often each class came about.
    pub(crate) struck: BTreeMap<Class, u64>,
}

impl Faults {
    /// The faults of `seed`: each class is in with an even chance, less those of `without`.
    pub(crate) fn of(seed: u64, without: &BTreeSet<Class>, only: Option<&BTreeSet<Class>>) -> Self {
        let streams: BTreeMap<Class, Chance> =
            Class::ALL.iter().map(|class| (*class, Chance::of(seed, class.name()))).collect();
        let drawn = |class: &Class| match only {
            Some(only) => only.contains(class),
            None => Chance::of(seed, "swarm").clone_for(class.name()).percent(50),
        };
        let on = Class::ALL
            .iter()
            .copied()
            .filter(|class| drawn(class) && !without.contains(class))
            .collect();
        let calm = if Chance::of(seed, "calm").one_in(6) { 2 } else { 1 };
        Self { on, streams, calm, off: false, struck: BTreeMap::new() }
    }

    /// Whether `class` strikes now; once in `bound` times where it is in.
    pub(crate) fn strikes(&mut self, class: Class, bound: u64) -> bool {
        if self.off || !self.on.contains(&class) {
            return false;
        }
        let calm = self.calm;
        let strikes = self.stream(class).one_in(bound * calm);
        if strikes {
            self.count(class);
        }
        strikes
    }

    /// Whether this seed has `class`.
    pub(crate) fn has(&self, class: Class) -> bool {
        self.on.contains(&class)
    }

    /// Counts a fault that came about.
    pub(crate) fn count(&mut self, class: Class) {
        *self.struck.entry(class).or_default() += 1;
    }

    /// The chance that belongs to `class`.
    pub(crate) fn stream(&mut self, class: Class) -> &mut Chance {
        self.streams.get_mut(&class).expect("every class has a stream")
    }
}
