//! Sessions: what a provider gives for a while, and requests bear instead of a key. Here: the
//! session that is open, when another one takes its place, and one attempt by it. Never here: how a
//! provider opens one, or what its answers mean. Read next: [`super::stripe::stream`],
//! [`super::wire`].
//!
//! A session's token is a secret. It is held here, in memory, and nowhere else; another process
//! opens another session. One is shared by everything that is sent while it lives, and only one is
//! opened at a time.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::domain::answer::{Answer, Outcome, cut};

/// A session as it was opened.
pub struct Opened {
    /// What requests bear.
    pub token: SecretString,
    /// For how long, in microseconds, requests begin with it: its life less a margin.
    pub used_for_micros: i64,
}

/// A way to a provider that goes by sessions.
pub trait Way: Sync {
    /// What a request by a session is answered.
    type Answered: Send;

    /// Opens a session.
    ///
    /// # Errors
    /// The answer for whatever waits for the session.
    fn open(&self) -> impl Future<Output = Result<Opened, Box<Answer>>> + Send;

    /// Makes the request of the attempt, once, bearing `token`.
    ///
    /// # Errors
    /// An answer of our own, when none came.
    fn request(
        &self,
        token: &SecretString,
    ) -> impl Future<Output = Result<Self::Answered, Box<Answer>>> + Send;

    /// Whether this says that the session had ended: then nothing of the request was looked at.
    fn has_ended(answered: &Self::Answered) -> bool;
}

/// A session that is open.
#[derive(Clone)]
struct Session {
    token: SecretString,
    /// Which of all that were opened.
    number: u64,
    /// When another one is to take its place.
    renewed_at: Instant,
}

#[derive(Default)]
struct Kept {
    session: Option<Session>,
    opened: u64,
}

impl Kept {
    /// Keeps a session that was asked for at `now`, when it was not open yet.
    fn keep(&mut self, opened: Opened, now: Instant) -> Session {
        self.opened += 1;
        let session = Session {
            token: opened.token,
            number: self.opened,
            renewed_at: now + Duration::from_micros(opened.used_for_micros.max(0).unsigned_abs()),
        };
        self.session = Some(session.clone());
        session
    }
}

/// The sessions of one account.
pub struct Sessions {
    kept: Mutex<Kept>,
    /// How long one attempt may take in all, whatever it takes to open a session.
    timeout: Duration,
}

impl Sessions {
    /// Without a session yet.
    #[must_use]
    pub fn new(timeout_millis: u32) -> Self {
        Self { kept: Mutex::default(), timeout: Duration::from_millis(u64::from(timeout_millis)) }
    }

    /// Makes one attempt. Where the session turns out to have ended, nothing of it was looked at,
    /// and it goes again with a new session, once.
    ///
    /// # Errors
    /// An answer of our own, when none came, or when there is no session to send it by.
    pub async fn attempt<W: Way>(&self, way: &W) -> Result<W::Answered, Box<Answer>> {
        let deadline = Instant::now() + self.timeout;
        let late = |outcome| Box::new(Answer::bare(outcome, "the attempt took too long"));
        let mut ended = None;
        loop {
            let session = match timeout_at(deadline, self.session(way, ended)).await {
                Ok(session) => session?,
                // Only the attempt's own request could have told anything.
                Err(_) => return Err(late(Outcome::NotSent)),
            };
            let answered = match timeout_at(deadline, way.request(&session.token)).await {
                Ok(answered) => answered?,
                Err(_) => return Err(late(Outcome::Unknown)),
            };
            if ended.is_some() || !W::has_ended(&answered) {
                return Ok(answered);
            }
            ended = Some(session.number);
        }
    }

    /// A session to send by: the one that is open, or another, where that has come to its end or is
    /// the one that `ended`. Whoever else needs one waits for it.
    async fn session<W: Way>(&self, way: &W, ended: Option<u64>) -> Result<Session, Box<Answer>> {
        let mut kept = self.kept.lock().await;
        let now = Instant::now();
        let is_fresh =
            |session: &&Session| now < session.renewed_at && ended < Some(session.number);
        if let Some(session) = kept.session.as_ref().filter(is_fresh) {
            return Ok(session.clone());
        }
        let opened = way.open().await?;
        Ok(kept.keep(opened, now))
    }

    /// Opens another session, whether one is open or not, and has everything go by it from now on;
    /// answers what came beside it. Where a provider lets only the newest one be, nothing more is
    /// sent by the one before.
    ///
    /// # Errors
    /// What `opening` says.
    pub async fn open_another<T, E>(
        &self,
        opening: impl Future<Output = Result<(Opened, T), E>>,
    ) -> Result<T, E> {
        let mut kept = self.kept.lock().await;
        let now = Instant::now();
        let (opened, beside) = opening.await?;
        kept.keep(opened, now);
        Ok(beside)
    }
}

/// What the answer of a session's opening comes to for whatever waits for the session: it was not
/// sent. What concerns the key, or the limit, stays that.
#[must_use]
pub fn not_opened(what: &str, answer: Answer) -> Box<Answer> {
    let outcome = match answer.outcome {
        known @ (Outcome::Unauthorized | Outcome::RateLimited) => known,
        // Whatever became of the session, nothing left with it.
        Outcome::Accepted
        | Outcome::Duplicate
        | Outcome::Refused(_)
        | Outcome::Busy
        | Outcome::NotSent
        | Outcome::Failed
        | Outcome::Unknown
        | Outcome::WrongAccount => Outcome::NotSent,
    };
    let said = answer.message.unwrap_or_default();
    let message = Some(cut(format!("{what}: {said}")));
    Box::new(Answer { outcome, message, ..answer })
}

/// Whether this can stand in a header as a token, and fits one.
#[must_use]
pub fn is_token(text: &str) -> bool {
    /// Longest token that is taken, in bytes: longer ones do not fit the header of a request.
    const TOKEN_BYTES_MAX: usize = 4_096;
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
