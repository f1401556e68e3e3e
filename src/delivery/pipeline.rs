//! The courier's loop: leasing, sending and recording, overlapped. Here: what runs beside what, and
//! the two phases of a stop. Never here: a decision about an event. Read next: [`super::courier`].
//!
//! Stop-and-wait would leave the quota unused while the ledger writes. So leases are taken a little
//! ahead of the budget, answers are recorded in batches, and neither waits for the other; all of it
//! in one task, so that nothing is shared but the ledger. Where one request tells several events,
//! what the budget let go is gathered for a moment.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::contact::Readiness;
use super::courier::{Courier, Ended, Judged, LEASE_WAIT_MICROS_MAX};
use super::lease::{Lease, Within, takes};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::service::pulse::Pulse;
use crate::service::{Bell, FAILURE_SECONDS, IDLE_SECONDS_MAX, StepError};

/// Leases taken ahead of the budget, as a part of a second's worth: what the ledger's writer may
/// take for a transaction beside a full intake.
const LEASE_AHEAD_PARTS: u32 = 4;
/// Most leases taken in one transaction.
const LEASES_MAX: u32 = 500;
/// Answers that make a batch worth recording at once.
const ANSWERS_FULL: usize = 128;
/// Longest time that an answer waits for a batch, in milliseconds. Its lane is busy meanwhile.
const ANSWERS_MILLIS_MAX: u64 = 10;

/// A budget that is closed for at least this long, in nanoseconds, is waited for without leases:
/// they would only be given back.
const CLOSED_NANOS_MIN: u64 = 1_000_000_000;

/// Longest time that an event waits for others to be told with it, in milliseconds: with a hundred
/// events a second a request tells twenty-five. What the budget let go at its own pace arrives this
/// much closer together at most, which its spacing has room for within a minute.
const GATHERING_MILLIS_MAX: u64 = 250;

type Bookkeeping<'a> = Pin<Box<dyn Future<Output = Result<Book, LedgerError>> + Send + 'a>>;
type Sending<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Ended> + Send + 'a>>>;

/// What a piece of bookkeeping came to.
enum Book {
    /// Leases, and when there may be more.
    Leased(Vec<Lease>, Option<Timestamp>),
    /// Answers were recorded.
    Recorded,
}

/// The loop's state.
struct Pipeline<'a> {
    courier: &'a Courier,
    started: Instant,
    queue: VecDeque<Lease>,
    /// What the budget let go, and waits for others to be told by the same request.
    gathered: Vec<Lease>,
    gathered_since: Option<Instant>,
    sending: Sending<'a>,
    /// Judged as it came in, and waiting for a batch worth recording.
    judged: Judged,
    judged_since: Option<Instant>,
    /// The batch that is being recorded: kept until the ledger has it.
    unrecorded: Option<Judged>,
    book: Option<Bookkeeping<'a>>,
    /// Most leases taken ahead: halved when leases grew old unsent, doubled when all were sent.
    leases_most: u32,
    /// The bell rang since the last lease began, which may not have seen what it rang for.
    rung: bool,
    /// No lease is taken before this.
    lease_at: Instant,
    /// No lease is taken before this: the budget is closed for so long that leases would grow old.
    closed_until: Instant,
    /// No bookkeeping is tried before this: the ledger just failed.
    book_at: Instant,
    stopping: bool,
    pulse: Pulse,
}

impl Courier {
    /// Delivers until `stop`; then finishes what is in flight, for at most `drain`, and gives back
    /// the rest. It beats on `pulse` whenever no bookkeeping is under way: a ledger that does not
    /// answer is what could halt it, as every request has a time of its own.
    ///
    /// # Errors
    /// When the ledger can no longer be trusted; any other failure is logged here and tried again.
    pub async fn run(
        &self,
        bell: Bell,
        stop: CancellationToken,
        drain: Duration,
        pulse: Pulse,
    ) -> Result<(), StepError> {
        self.run_until(bell, stop, || drain, pulse).await
    }

    /// The same, where how long what is in flight has to finish is asked only once it is to stop.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_until(
        &self,
        bell: Bell,
        stop: CancellationToken,
        drain: impl FnOnce() -> Duration,
        pulse: Pulse,
    ) -> Result<(), StepError> {
        let started = Instant::now();
        let mut pipeline = Pipeline {
            courier: self,
            started,
            queue: VecDeque::new(),
            gathered: Vec::new(),
            gathered_since: None,
            sending: FuturesUnordered::new(),
            judged: Judged::default(),
            judged_since: None,
            unrecorded: None,
            book: None,
            leases_most: LEASES_MAX,
            rung: false,
            lease_at: started,
            closed_until: started,
            book_at: started,
            stopping: false,
            pulse: pulse.clone(),
        };
        while !stop.is_cancelled() {
            let wake = pipeline.advance();
            tokio::select! {
                () = stop.cancelled() => {}
                () = bell.rung() => {
                    pipeline.rung = true;
                    pipeline.lease_at = Instant::now();
                }
                result = pipeline.progress() => result?,
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        pulse.during(pipeline.stop(Instant::now() + drain())).await
    }
}

impl<'a> Pipeline<'a> {
    /// Starts whatever can be started now; answers when something else can.
    fn advance(&mut self) -> Instant {
        let now = Instant::now();
        let mut wake = now + Duration::from_secs(IDLE_SECONDS_MAX.unsigned_abs());
        if let Some(at) = self.send(now) {
            wake = wake.min(at);
        }
        if self.book.is_none() {
            self.pulse.beat(now);
            if self.book_at > now {
                return wake.min(self.book_at);
            }
            self.keep_books(now);
        }
        // While there is bookkeeping under way, its end is what is waited for.
        if self.book.is_none() {
            if let Some(since) = self.judged_since {
                wake = wake.min(since + Duration::from_millis(ANSWERS_MILLIS_MAX));
            }
            if !self.stopping && self.wants_leases() {
                wake = wake.min(self.lease_at.max(self.closed_until));
            }
        }
        wake
    }

    /// Sends what is leased, as the budget allows; answers when it allows more, or when what was
    /// gathered has waited long enough.
    fn send(&mut self, now: Instant) -> Option<Instant> {
        self.give_back();
        let allowed_at = self.gather(now);
        let Some(since) = self.gathered_since else { return allowed_at };
        if self.book_at > now {
            return allowed_at;
        }
        if self.closed_until > now {
            // The provider asked for a pause meanwhile: what was let go before it keeps it too.
            for lease in std::mem::take(&mut self.gathered).into_iter().rev() {
                self.queue.push_front(lease);
            }
            self.gathered_since = None;
            return allowed_at;
        }
        let at = since + Duration::from_millis(GATHERING_MILLIS_MAX);
        if self.queue.is_empty() || at <= now {
            self.send_gathered();
            return allowed_at;
        }
        Some(allowed_at.map_or(at, |allowed| allowed.min(at)))
    }

    /// Takes what is leased into requests, as its budget allows, and sends each that is full;
    /// answers when it allows more. Order is kept: what counts in one limit may wait behind what
    /// counts in another, which costs nothing in the long run, as they are leased in the order in
    /// which they came.
    fn gather(&mut self, now: Instant) -> Option<Instant> {
        let concurrency = usize::try_from(self.courier.settings.concurrency).unwrap_or(usize::MAX);
        let most = self.courier.batch_max();
        while !self.queue.is_empty() && self.sending.len() < concurrency {
            if self.book_at > now {
                // The ledger just failed: no answer could be recorded.
                return Some(self.book_at);
            }
            if self.queue.front().is_some_and(|lease| !takes(&self.gathered, lease)) {
                self.send_gathered();
                if self.sending.len() >= concurrency {
                    return None;
                }
            }
            let within = self.queue.front().map_or(Within::Common, Lease::within);
            let taken = self.courier.state().budget_of(within).try_take(self.nanos(now));
            match taken {
                Ok(()) => {}
                Err(wait) => {
                    let at = now + Duration::from_nanos(wait);
                    if wait >= CLOSED_NANOS_MIN {
                        self.closed_until = at;
                    }
                    return Some(at);
                }
            }
            let mut is_alone = false;
            if let Some(lease) = self.queue.pop_front() {
                is_alone = !lease.goes_with_others();
                self.gathered_since.get_or_insert(now);
                self.gathered.push(lease);
            }
            if is_alone || self.gathered.len() >= most {
                self.send_gathered();
            }
            if self.queue.is_empty() {
                self.leases_most = (self.leases_most * 2).min(LEASES_MAX);
            }
        }
        None
    }

    /// Sends what was gathered, by one request.
    fn send_gathered(&mut self) {
        self.gathered_since = None;
        let batch = std::mem::take(&mut self.gathered);
        if !batch.is_empty() {
            self.sending.push(Box::pin(self.courier.attempt(batch)));
        }
    }

    /// Gives back what is leased and should not be sent: all of it once the provider is paused or
    /// away, and what has waited for too long.
    fn give_back(&mut self) {
        let now = self.courier.clock.now();
        let old = |lease: &Lease| {
            !(0..=LEASE_WAIT_MICROS_MAX).contains(&now.micros_since(lease.leased_at))
        };
        let pausing =
            self.judged.pause.is_some() || self.unrecorded.as_ref().is_some_and(Judged::pauses);
        let unsent: Vec<Lease> = if pausing || !self.courier.may_send(self.sending.len(), now) {
            self.unsent()
        } else {
            let count = self.queue.iter().take_while(|lease| old(lease)).count();
            if count > 0 {
                self.leases_most = (self.leases_most / 2).max(1);
            }
            self.queue.drain(..count).collect()
        };
        if !unsent.is_empty() {
            let judged = self.courier.judge_unsent(unsent, "not sent in time", now);
            self.keep(judged);
        }
    }

    /// Takes all that is leased and was not sent.
    fn unsent(&mut self) -> Vec<Lease> {
        self.gathered_since = None;
        self.gathered.drain(..).chain(self.queue.drain(..)).collect()
    }

    /// Keeps what was judged for the next batch.
    fn keep(&mut self, judged: Judged) {
        self.judged.add(judged);
        self.judged_since.get_or_insert_with(Instant::now);
    }

    /// Nanoseconds since the loop began: the budget's clock, which no step of a wall clock moves.
    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }

    /// How many leases are wanted in the queue.
    fn lease_ahead(&self) -> u32 {
        let rate = self.courier.current_rate();
        (rate / LEASE_AHEAD_PARTS).min(self.leases_most).max(1)
    }

    fn wants_leases(&self) -> bool {
        let waiting = !self.queue.is_empty() || !self.gathered.is_empty();
        let busy = waiting || !self.sending.is_empty();
        if self.judged.pauses() {
            return false;
        }
        if busy && self.courier.is_on_trial(self.courier.clock.now()) {
            return false;
        }
        let half = usize::try_from(self.lease_ahead().div_ceil(2)).unwrap_or(usize::MAX);
        self.queue.len() < half
    }

    /// Begins the next piece of bookkeeping: answers first, since they free lanes.
    fn keep_books(&mut self, now: Instant) {
        let courier = self.courier;
        let full = self.judged.settlements.len() >= ANSWERS_FULL;
        let waited = self
            .judged_since
            .is_some_and(|since| now >= since + Duration::from_millis(ANSWERS_MILLIS_MAX));
        if self.unrecorded.is_none() && (full || waited) {
            self.judged_since = None;
            self.unrecorded = Some(std::mem::take(&mut self.judged));
        }
        if let Some(judged) = &self.unrecorded {
            let judged = judged.clone();
            self.book = Some(Box::pin(async move {
                courier.record(&judged, courier.clock.now()).await?;
                Ok(Book::Recorded)
            }));
        } else if !self.stopping
            && now >= self.lease_at.max(self.closed_until)
            && self.wants_leases()
        {
            self.rung = false;
            let limit = self.lease_ahead();
            self.book = Some(Box::pin(lease(courier, limit)));
        }
    }

    /// Waits for an answer or for the bookkeeping.
    async fn progress(&mut self) -> Result<(), StepError> {
        let book = async {
            match &mut self.book {
                Some(book) => book.await,
                None => std::future::pending().await,
            }
        };
        let next = async {
            match self.sending.next().await {
                Some(ended) => ended,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = next => {
                // At once: what it says of the provider concerns what is sent next.
                let judged = self.courier.judge(vec![ended], self.nanos(Instant::now()));
                self.keep(judged);
                Ok(())
            }
            result = book => {
                self.book = None;
                self.booked(result)
            }
        }
    }

    fn booked(&mut self, result: Result<Book, LedgerError>) -> Result<(), StepError> {
        match result {
            Ok(Book::Recorded) => {
                self.unrecorded = None;
                // Lanes are free again, and what waits in them may go.
                self.lease_at = Instant::now();
            }
            Ok(Book::Leased(leases, wait_until)) => {
                let got_none = leases.is_empty();
                self.queue.extend(leases);
                let now = self.courier.clock.now();
                let most = IDLE_SECONDS_MAX * 1_000_000;
                let micros = match wait_until {
                    Some(_) | None if self.rung => 0,
                    Some(at) => at.micros_since(now).clamp(0, most),
                    None if got_none => most,
                    None => 0,
                };
                self.lease_at = Instant::now() + Duration::from_micros(micros.unsigned_abs());
            }
            Err(error) if error.is_fatal() => return Err(StepError::Fatal(error)),
            Err(error) => {
                let provider = &self.courier.settings.provider;
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(%provider, error, "delivery's bookkeeping failed; tried again");
                let wait = Duration::from_secs(FAILURE_SECONDS.unsigned_abs());
                self.book_at = Instant::now() + wait;
            }
        }
        Ok(())
    }

    /// The stop: what was not sent goes back, what is in flight may finish until `deadline`, and
    /// what does not is unknown. Everything is recorded.
    async fn stop(mut self, deadline: Instant) -> Result<(), StepError> {
        self.stopping = true;
        let courier = self.courier;
        let now = courier.clock.now();
        // A lease under way may still hand out leases: they are given back below.
        while let Some(book) = self.book.take() {
            let result = book.await;
            self.booked(result)?;
        }
        let unsent = self.unsent();
        if !unsent.is_empty() {
            let judged = courier.judge_unsent(unsent, "not sent before the stop", now);
            courier.record(&judged, now).await?;
        }
        let drained = async {
            while !self.sending.is_empty() {
                if let Some(ended) = self.sending.next().await {
                    let judged = courier.judge(vec![ended], self.nanos(Instant::now()));
                    self.keep(judged);
                }
            }
        };
        let cut = tokio::time::timeout_at(deadline, drained).await.is_err();
        if let Some(judged) = self.unrecorded.take() {
            courier.record(&judged, courier.clock.now()).await?;
        }
        if !self.judged.settlements.is_empty() {
            courier.record(&self.judged, courier.clock.now()).await?;
        }
        if cut {
            // The requests are dropped with the loop; the next start finds their leases and takes
            // them for unknown, which is what they are.
            let count = self.sending.len();
            tracing::warn!(count, "requests were cut short by the stop; they are unknown");
        }
        Ok(())
    }
}

/// Leases at most `limit` events, if the provider may be written to.
async fn lease(courier: &Courier, limit: u32) -> Result<Book, LedgerError> {
    let now = courier.clock.now();
    let allowed = match courier.readiness(now).await? {
        Readiness::Open(_) if courier.is_on_trial(now) => 1,
        Readiness::Open(_) => limit,
        Readiness::Wait(at) => return Ok(Book::Leased(Vec::new(), Some(at))),
    };
    let (leases, expired) = courier.lease(allowed, now).await?;
    let more_at = if leases.is_empty() && expired == 0 {
        courier.ledger.next_attempt_at(&courier.settings.provider).await?
    } else {
        Some(now)
    };
    Ok(Book::Leased(leases, more_at))
}
