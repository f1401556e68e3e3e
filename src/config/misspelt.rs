//! Did you mean. PURE. Here: the nearest of the known words. Never here: what is known. Read next:
//! `finding`.

/// Longest word that is looked at, in characters: no known word is half as long, and the work grows
/// with the square.
const WORD_CHARS_MAX: usize = 64;

/// The one of `known` that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > WORD_CHARS_MAX {
        return None;
    }
    // A third of a word may be wrong; more, and any word resembles any other.
    let most = (length / 3).max(1);
    let word = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|each| (distance(&word, &each.to_ascii_lowercase()), each))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, each)| each)
}

/// How many letters have to be put in, taken out, replaced, or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(from != to);
            let mut least = replaced.min(above[column + 1] + 1).min(line[column] + 1);
            let swapped =
                row > 0 && column > 0 && *from == right[column - 1] && left[row - 1] == *to;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_the_one_that_was_meant() {
        let known = ["window", "aggregate", "meter", "match", "to"];
        for (word, meant) in [
            ("windwo", Some("window")),
            ("metr", Some("meter")),
            ("Match", Some("match")),
            ("agregate", Some("aggregate")),
            ("ot", Some("to")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
