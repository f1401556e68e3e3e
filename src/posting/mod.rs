//! The third room: what is outstanding becomes meter events. Here: the plan, and the step that
//! stores it with its bytes. Never here: a network. Read next: [`plan`], then [`poster`].

pub mod plan;
pub mod poster;
