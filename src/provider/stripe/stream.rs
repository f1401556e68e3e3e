//! The meter event stream. Here: the session that its requests bear, and one attempt by it. Never
//! here: when another session is opened ([`crate::provider::session`]), what an answer means
//! (`super::classify::stream`), the bytes of an event (`super::encode::json`). Read next:
//! [`super::client`].
//!
//! Few sessions are opened: one lives for a quarter of an hour.

use secrecy::SecretString;

use super::classify::{Received, stream};
use super::client::Client;
use crate::domain::answer::Answer;
use crate::provider::session::{Opened, Sessions, Way};

/// The way of one account to the stream.
pub struct Stream {
    sessions: Sessions,
    livemode: bool,
}

/// Events on their way.
struct Telling<'a> {
    client: &'a Client,
    body: &'a [u8],
    livemode: bool,
}

impl Way for Telling<'_> {
    type Answered = Received;

    async fn open(&self) -> Result<Opened, Box<Answer>> {
        let received = self.client.open_session().await?;
        stream::session(&received, self.livemode)
    }

    async fn request(&self, token: &SecretString) -> Result<Received, Box<Answer>> {
        self.client.tell_stream(self.body, token).await
    }

    fn has_ended(answered: &Received) -> bool {
        stream::is_expired(answered)
    }
}

impl Stream {
    /// A way without a session yet.
    #[must_use]
    pub fn new(livemode: bool, timeout_millis: u32) -> Self {
        Self { sessions: Sessions::new(timeout_millis), livemode }
    }

    /// Makes one attempt with `body`. Where the session turns out to have ended, nothing of it was
    /// looked at, and it goes again with a new session, once.
    ///
    /// # Errors
    /// An answer of our own, when none came, or when there is no session to send it by.
    pub async fn attempt(&self, client: &Client, body: &[u8]) -> Result<Received, Box<Answer>> {
        self.sessions.attempt(&Telling { client, body, livemode: self.livemode }).await
    }
}
