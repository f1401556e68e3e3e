//! Chance, as a seed has it. Here: numbers in a row, and how they are asked for. Never here: what
//! is decided by them. Read next: [`super::record`].

/// Sebastiano Vigna's SplitMix64: its increment, and the two multipliers that mix.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIERS: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// Numbers that a seed decides.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The numbers of a stream: each stream of a seed has its own.
    pub(crate) const fn of(seed: u64, stream: u64) -> Self {
        Self(mixed(seed) ^ mixed(stream.wrapping_mul(INCREMENT)))
    }

    /// A number below `bound`, and zero below zero.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        if bound == 0 { 0 } else { (mixed(self.0) >> 11) % bound }
    }

    /// A number from `least` on, and below `bound`.
    pub(crate) const fn between(&mut self, least: u64, bound: u64) -> u64 {
        least + self.below(bound.saturating_sub(least))
    }

    /// Whether what happens once in so many times happens now.
    pub(crate) const fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(MULTIPLIERS[0]);
    let number = (number ^ (number >> 27)).wrapping_mul(MULTIPLIERS[1]);
    number ^ (number >> 31)
}
