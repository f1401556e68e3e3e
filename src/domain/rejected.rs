//! What came in as a record and is none. Here: what it came as, and how it can end. Never here:
//! why it is none (`intake`). Read next: [`crate::domain::correction`].

use super::closed::closed;

closed! {
    /// What an item came as: by it its kept text is read again.
    Form {
        /// A record, as JSON.
        Record = "record",
        /// A CloudEvent, as JSON.
        Event = "event",
        /// A row of a file that a mapping makes records of.
        Row = "row",
        /// A correction of a record.
        Correction = "correction",
    }
}

closed! {
    /// How a rejected item ended.
    Ending {
        /// A record in its place is booked.
        Resubmitted = "resubmitted",
        /// A person said that there is none.
        Dismissed = "dismissed",
    }
}
