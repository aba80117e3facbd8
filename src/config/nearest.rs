//! The word a person probably meant.

/// The known word nearest to a misspelt one, if one is near enough to be worth a guess.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let near_enough = |k: &&str| distance(word, k) <= 1 + k.chars().count() / 5;
    known.iter().copied().filter(near_enough).min_by_key(|k| distance(word, k))
}

/// Levenshtein's distance: the fewest letters to insert, delete or replace.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in
            [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("url", "ulr", 2)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn a_guess_needs_likeness() {
        let known = ["tables", "owner", "rows", "class"];
        assert_eq!(nearest("table", &known), Some("tables"));
        assert_eq!(nearest("onwer", &known), Some("owner"));
        assert_eq!(nearest("all", &["keys", "full"]), None);
        assert_eq!(nearest("owners", &known), Some("owner"));
        assert_eq!(nearest("zzz", &known), None);
    }
}
