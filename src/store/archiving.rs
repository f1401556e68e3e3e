//! How old what is archived is at least. Here: the bounds of what an operator may say. Never here:
//! what goes into an archive (`sqlite::archive`). Read next: [`super::fence`].

/// Days that lie between a window's end and now before it is archived, where the operator did not
/// say. A month's bill is final some days after the month, and compared then; whoever finds a
/// mistake in it has two more months to have it corrected here.
pub const ARCHIVE_AGE_DAYS: u32 = 92;
/// Least days of that. No provider takes usage of more than 35 days ago, and none forgets an
/// identifier later than that; a day more is past every clock's error.
pub const ARCHIVE_AGE_DAYS_MIN: u32 = 36;
/// Most days of that: ten years, for which books are kept in most countries.
pub const ARCHIVE_AGE_DAYS_MAX: u32 = 3_660;
