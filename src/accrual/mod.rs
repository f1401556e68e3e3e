//! The second room: usage becomes what a provider should hold. Here: routes, the mapping of a
//! record to its destinations, and the step that books it. Never here: what a provider was told.
//! Read next: [`route`], [`map`], [`widen`], [`follow`], [`hear`], [`accruer`].

pub mod route;
pub mod map;
pub mod widen;
pub mod follow;
mod hear;
pub mod accruer;
