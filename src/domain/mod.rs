//! The nouns. Here: values and the rules that hold for them by themselves. Never here: I/O, async,
//! a clock, a format of the outside. Read next: [`time`].

pub mod time;
