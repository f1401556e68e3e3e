//! The second room: usage becomes what a provider should hold. Here: routes, the mapping of a
//! record to its destinations, and the step that books it. Never here: what a provider was told.
//! Read next: [`route`], [`map`], [`widen`], [`follow`], [`remap`], [`hear`], [`accruer`],
//! [`remapper`].

pub mod route;
pub mod map;
pub mod widen;
pub mod follow;
pub mod remap;
mod hear;
pub mod accruer;
pub mod remapper;
