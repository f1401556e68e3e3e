//! What once went wrong, each as the sentence that holds now. Here: one directed test a fault.
//! Never here: a feature's own tests. Read next: [`crate::support::stand_in`].

mod ledger;
mod delivery;
