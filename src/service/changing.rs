//! What is replaced while it is in use. Here: a place for the present one, and a service that can
//! be replaced between two steps. Never here: when something changes (`daemon::reload`). Read next:
//! [`super`].
//!
//! Whoever works with such a thing takes it once for each piece of work, and keeps to it: so no
//! piece of work sees half of a change, and none waits for one.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use super::{Service, Step, StepError};
use crate::domain::time::Timestamp;

/// A place for the present one of something.
#[derive(Debug)]
pub struct Changing<T: ?Sized>(RwLock<Arc<T>>);

impl<T> Changing<T> {
    /// A place that holds `first`.
    #[must_use]
    pub fn new(first: T) -> Self {
        Self::of(Arc::new(first))
    }
}

impl<T: ?Sized> Changing<T> {
    /// A place that holds `first`, which others may hold as well.
    #[must_use]
    pub const fn of(first: Arc<T>) -> Self {
        Self(RwLock::new(first))
    }

    /// The present one. A panic elsewhere cannot leave the place half changed.
    #[must_use]
    pub fn present(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts `next` in its place. What began with the one before it ends with that.
    pub fn replace(&self, next: Arc<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// A service that is replaced between two of its steps: the loop around it, its bell and its name
/// stay.
pub struct Replaceable {
    name: String,
    present: Changing<dyn Service>,
}

impl Replaceable {
    /// The service that steps `first` for now.
    #[must_use]
    pub fn new(first: Arc<dyn Service>) -> Self {
        Self { name: first.name().to_owned(), present: Changing::of(first) }
    }

    /// Has every step from the next one on be made by `next`.
    pub fn replace(&self, next: Arc<dyn Service>) {
        self.present.replace(next);
    }
}

#[async_trait]
impl Service for Replaceable {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run_once(&self, now: Timestamp) -> Result<Step, StepError> {
        self.present.present().run_once(now).await
    }
}
