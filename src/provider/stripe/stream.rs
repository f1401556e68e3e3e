//! The meter event stream. Here: the session that its requests bear, when another one is opened,
//! and one attempt by it. Never here: what an answer means (`super::classify::stream`), the bytes
//! of an event (`super::encode::json`). Read next: [`super::client`].
//!
//! A session's token is a secret. It is held here, in memory, and nowhere else; another process
//! opens another session. Few do: one lives for a quarter of an hour, and is shared by everything
//! that is sent meanwhile.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::classify::{Received, stream};
use super::client::Client;
use crate::domain::answer::{Answer, Outcome};

/// How long before its end a session is not used any more, in microseconds: a minute. An attempt
/// that begins with it has to arrive before that end, and takes twenty seconds at most by default.
pub const RENEWAL_MARGIN_MICROS: i64 = 60_000_000;

/// A session that is open.
#[derive(Clone)]
struct Session {
    token: SecretString,
    /// Which of all that were opened.
    number: u64,
    /// When another one is to take its place.
    renewed_at: Instant,
}

/// The session of one account.
#[derive(Default)]
struct Kept {
    session: Option<Session>,
    opened: u64,
}

/// The way of one account to the stream.
pub struct Stream {
    kept: Mutex<Kept>,
    livemode: bool,
    /// How long one attempt may take in all, whatever it takes to open a session.
    timeout: Duration,
}

impl Stream {
    /// A way without a session yet.
    #[must_use]
    pub fn new(livemode: bool, timeout_millis: u32) -> Self {
        let timeout = Duration::from_millis(u64::from(timeout_millis));
        Self { kept: Mutex::default(), livemode, timeout }
    }

    /// Makes one attempt with `body`. Where the session turns out to have ended, nothing of it was
    /// looked at, and it goes again with a new session, once.
    ///
    /// # Errors
    /// An answer of our own, when none came, or when there is no session to send it by.
    pub async fn attempt(&self, client: &Client, body: &[u8]) -> Result<Received, Box<Answer>> {
        let deadline = Instant::now() + self.timeout;
        let late = |outcome| Box::new(Answer::bare(outcome, "the attempt took too long"));
        let mut ended = None;
        loop {
            let session = match timeout_at(deadline, self.session(client, ended)).await {
                Ok(session) => session?,
                // Only the events' own request could have told them.
                Err(_) => return Err(late(Outcome::NotSent)),
            };
            let received =
                match timeout_at(deadline, client.tell_stream(body, &session.token)).await {
                    Ok(received) => received?,
                    Err(_) => return Err(late(Outcome::Unknown)),
                };
            if ended.is_some() || !stream::is_expired(&received) {
                return Ok(received);
            }
            ended = Some(session.number);
        }
    }

    /// A session to send by: the one that is open, or another, where that has come to its end or is
    /// the one that `ended`. Whoever else needs one waits for it.
    async fn session(&self, client: &Client, ended: Option<u64>) -> Result<Session, Box<Answer>> {
        let mut kept = self.kept.lock().await;
        let now = Instant::now();
        let is_fresh =
            |session: &&Session| now < session.renewed_at && ended < Some(session.number);
        if let Some(session) = kept.session.as_ref().filter(is_fresh) {
            return Ok(session.clone());
        }
        let received = client.open_session().await?;
        let opened = stream::session(&received, self.livemode)?;
        kept.opened += 1;
        let lives = opened.lives_micros.saturating_sub(RENEWAL_MARGIN_MICROS).max(0);
        let session = Session {
            token: opened.token.into(),
            number: kept.opened,
            // Reckoned from before it was asked for: by then it was not open yet.
            renewed_at: now + Duration::from_micros(lives.unsigned_abs()),
        };
        kept.session = Some(session.clone());
        Ok(session)
    }
}
