//! Usage as customers' programs ask for it. Here: levers, the counting of views behind intake, and
//! the answers. Never here: a provider; what is billed. Read next: [`lever`], then down the list.
//!
//! A **lever** is a figure that a program wants to know of a customer before it goes on: calls of
//! this billing period, gigabytes by project, distinct seats of the last 30 days. It names a meter,
//! and how the meter's records are counted. Levers change nothing of what is billed.
//!
//! ```text
//!  records, corrections ──► [counter] ──► sums of views ──┐
//!            └──── what is not counted yet ───────────────┴──► [desk] ──► figures
//! ```
//!
//! An answer is read in one snapshot: the sums, and beside them what the counter has not reached.
//! So it holds every record that was acknowledged before it was asked for, however far behind the
//! counter is; and it takes as long for a customer of ten million records as for one of ten.

pub mod lever;
pub mod count;
pub mod counter;
pub mod answer;
pub mod desk;
