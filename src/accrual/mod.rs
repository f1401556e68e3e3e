//! The second room: usage becomes what a provider should hold. Here: routes, the mapping of a
//! record to its destinations, and the step that books it. Never here: what a provider was told.
//! Read next: [`route`], [`map`], [`follow`], [`accruer`].

pub mod route;
pub mod map;
pub mod follow;
pub mod accruer;
