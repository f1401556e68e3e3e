//! Room for what was already sent. Here: when the ballast is laid, and when it is given up. Never
//! here: the file itself (see [`crate::store`]). Read next: [`super::delivery`].

use std::sync::Arc;

use super::SqliteLedger;
use crate::ledger::LedgerError;
use crate::store::ballast::Laid;

impl SqliteLedger {
    /// Lays the ballast when it is missing and there is room. It says what came of it only when
    /// that changes something: this is asked every few seconds.
    pub(super) async fn lay_ballast(&self, bytes: u64) {
        let missing_before = self.ballast.missing_bytes();
        let ballast = Arc::clone(&self.ballast);
        let laid = tokio::task::spawn_blocking(move || ballast.lay(bytes)).await;
        let path = self.ballast.path().display();
        // Missing all along was said when it began.
        let is_news = missing_before != self.ballast.missing_bytes();
        match laid {
            Ok(Ok(Laid::Before)) => {}
            Ok(Ok(Laid::Now)) => tracing::info!(%path, bytes, "laid the ballast"),
            Ok(Ok(Laid::NoRoom)) if is_news => {
                tracing::warn!(%path, bytes, "the disk has no room for the ballast");
            }
            Ok(Err(error)) if is_news => {
                tracing::warn!(%path, bytes, %error, "the ballast cannot be laid");
            }
            Ok(Ok(Laid::NoRoom) | Err(_)) => {}
            Err(error) => tracing::warn!(%path, %error, "laying the ballast was cut short"),
        }
    }

    /// Whether the same verb may be tried again at once: it found no room, and the ballast was
    /// given up for it.
    pub(super) fn makes_room_for<T>(&self, done: &Result<T, LedgerError>) -> bool {
        match done {
            Err(LedgerError::Full(_)) => {}
            Ok(_)
            | Err(
                LedgerError::Busy(_)
                | LedgerError::Broken(_)
                | LedgerError::Contradiction(_)
                | LedgerError::Refused(..),
            ) => return false,
        }
        let path = self.ballast.path().display();
        match self.ballast.release() {
            Ok(given_up) => {
                if given_up {
                    let said = "the disk is full; gave up the ballast to record what was sent";
                    tracing::warn!(%path, "{said}");
                }
                given_up
            }
            Err(error) => {
                tracing::error!(%path, %error, "the disk is full, and the ballast stays there");
                false
            }
        }
    }
}
