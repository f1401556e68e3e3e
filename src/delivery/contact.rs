//! First contact, and again when it is due. Here: whether the provider may be written to: its
//! account, its meters, its clock, a pause. Never here: events. Read next: [`super::courier`].

use super::courier::Courier;
use crate::domain::answer::{Answer, Outcome};
use crate::domain::provider_facts::ClockReading;
use crate::domain::time::{MICROS_PER_HOUR, Timestamp};
use crate::ledger::LedgerError;
use crate::ledger::delivery::PinCheck;
use crate::provider::Contact;

/// Meters are looked at again after this, in microseconds. Providers ration reads (Stripe: 10,000 a
/// month at least); this takes 1,440 of them.
const CONTACT_MICROS_MAX: i64 = MICROS_PER_HOUR;
/// After a failed contact the next one waits this long, in microseconds, and twice as long each
/// time.
const CONTACT_WAIT_FIRST_MICROS: i64 = 1_000_000;
/// The longest such wait.
const CONTACT_WAIT_MICROS_MAX: i64 = 30_000_000;

/// What is remembered of contacts.
#[derive(Clone, Debug, Default)]
pub(super) struct Contacting {
    /// When the last contact succeeded.
    made_at: Option<Timestamp>,
    /// Why nothing is sent.
    paused: Option<String>,
    /// No contact is tried before this.
    not_before: Option<Timestamp>,
    /// The wait after the last failed contact.
    wait_micros: i64,
}

impl Contacting {
    /// Forgets what was measured by a clock that was set since.
    pub(super) const fn forget_times(&mut self) {
        self.made_at = None;
        self.not_before = None;
    }

    /// Whether nothing may be sent until a contact succeeds.
    pub(super) const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }
}

/// Whether attempts may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// So many.
    Open(u32),
    /// None before this instant.
    Wait(Timestamp),
}

impl Courier {
    /// Makes contact when it is due. Open when the provider may be written to.
    pub(super) async fn contact_readiness(&self, now: Timestamp) -> Result<Readiness, LedgerError> {
        let open = Readiness::Open(self.settings.concurrency);
        let (contacting, clock) = {
            let state = self.state();
            (state.contacting.clone(), state.clock)
        };
        let stale = clock.is_none_or(|reading| reading.is_stale(now));
        let due = contacting
            .made_at
            .is_none_or(|at| !(0..CONTACT_MICROS_MAX).contains(&now.micros_since(at)));
        if contacting.paused.is_none() && !stale && !due {
            return Ok(open);
        }
        if let Some(at) = contacting.not_before
            && at > now
        {
            // A contact that is merely due again does not stop what may be judged without it.
            let may_go_on = contacting.paused.is_none() && !stale && contacting.made_at.is_some();
            return Ok(if may_go_on { open } else { Readiness::Wait(at) });
        }
        match self.provider.contact().await {
            Ok(contact) => self.made_contact(contact, now).await,
            Err(answer) => self.missed_contact(&answer, now).await,
        }
    }

    async fn made_contact(
        &self,
        contact: Contact,
        now: Timestamp,
    ) -> Result<Readiness, LedgerError> {
        let provider = &self.settings.provider;
        if let Some(declared) = &contact.declared_other {
            let found = contact.account.account.as_deref().unwrap_or("unknown");
            let why =
                format!("the key belongs to account {found}, not to {declared} as configured");
            return self.pause(&why, now).await;
        }
        match self.ledger.pin_account(provider, &contact.account, now).await? {
            PinCheck::Pinned => {
                let account = contact.account.account.as_deref().unwrap_or("unreadable");
                let livemode = contact.account.livemode;
                tracing::info!(%provider, account, livemode, "pinned the account");
            }
            PinCheck::Same => {}
            PinCheck::Other(pinned) => {
                let text = |account: Option<&str>, livemode: bool| {
                    let mode = if livemode { "live" } else { "test" };
                    format!("{} ({mode})", account.unwrap_or("unreadable"))
                };
                let why = format!(
                    "the key belongs to {}, and this ledger writes to {}",
                    text(contact.account.account.as_deref(), contact.account.livemode),
                    text(pinned.account.as_deref(), pinned.livemode),
                );
                return self.pause(&why, now).await;
            }
        }
        let changes = self.ledger.pin_meters(provider, &contact.meters, now).await?;
        for change in &changes {
            let meter = &change.found.meter;
            tracing::error!(%provider, %meter, "the meter changed since it was pinned: not told");
        }
        for unusable in &contact.unusable {
            let (meter, reason) = (&unusable.meter, &unusable.reason);
            tracing::warn!(%provider, meter, reason, "a meter that cannot be told");
        }
        let mut meters = self.ledger.provider_facts(provider).await?.meters;
        // A pin that the provider contradicts must not be told by.
        for change in &changes {
            for meter in meters.iter_mut().filter(|meter| meter.meter == change.found.meter) {
                meter.active = false;
            }
        }
        self.provider.adopt_meters(meters);
        if let Some(provider_at) = contact.provider_at {
            let reading = ClockReading { provider_at, local_at: now };
            self.ledger.read_clock(provider, reading).await?;
            self.state().clock = Some(reading);
        }
        self.ledger.pause(provider, None, now).await?;
        let mut state = self.state();
        if state.contacting.paused.is_some() {
            tracing::info!(%provider, "resumed");
        }
        if let Some(bell) = &self.contacted {
            bell.ring();
        }
        state.contacting = Contacting { made_at: Some(now), ..Contacting::default() };
        Ok(match state.clock {
            Some(_) => Readiness::Open(self.settings.concurrency),
            // An answer without a date judges no window.
            None => Readiness::Wait(now.plus_micros(CONTACT_WAIT_MICROS_MAX)),
        })
    }

    async fn missed_contact(
        &self,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<Readiness, LedgerError> {
        let said = answer.message.as_deref().unwrap_or_default();
        match answer.outcome {
            Outcome::Unauthorized | Outcome::WrongAccount => {
                return self.pause(&format!("the key is not accepted: {said}"), now).await;
            }
            Outcome::Accepted
            | Outcome::Duplicate
            | Outcome::Refused(_)
            | Outcome::Busy
            | Outcome::RateLimited
            | Outcome::NotSent
            | Outcome::Failed
            | Outcome::Unknown => {}
        }
        let provider = &self.settings.provider;
        let outcome = answer.outcome.kind();
        let mut state = self.state();
        let wait = (state.contacting.wait_micros * 2)
            .clamp(CONTACT_WAIT_FIRST_MICROS, CONTACT_WAIT_MICROS_MAX);
        state.contacting.wait_micros = wait;
        let at = now.plus_micros(wait);
        state.contacting.not_before = Some(at);
        tracing::warn!(%provider, %outcome, said, "no contact; it is tried again");
        Ok(Readiness::Wait(at))
    }

    /// Stops sending, durably and with the reason; the provider is asked again from time to time.
    pub(super) async fn pause(
        &self,
        reason: &str,
        now: Timestamp,
    ) -> Result<Readiness, LedgerError> {
        let provider = &self.settings.provider;
        let at = now.plus_seconds(i64::from(self.settings.pause_probe_seconds));
        let first = {
            let mut state = self.state();
            let first = state.contacting.paused.is_none();
            state.contacting.paused = Some(reason.to_owned());
            state.contacting.not_before = Some(at);
            first
        };
        if first {
            tracing::error!(%provider, reason, "paused: nothing is sent until this is put right");
        }
        self.ledger.pause(provider, Some(reason), now).await?;
        Ok(Readiness::Wait(at))
    }
}
