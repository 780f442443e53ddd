//! The name that was probably meant.

/// The name that takes the fewest edits to get from `given`, if they are few for its length; of equals, the first.
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.trim().to_lowercase().chars().take(64).collect();
    let limit = (given.len() / 3).max(1);
    names
        .into_iter()
        .map(|name| (edits(&given, &name.to_lowercase().chars().collect::<Vec<_>>()), name))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            row[j] = (above[j - 1] + usize::from(a[i - 1] != b[j - 1])).min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_what_is_near() {
        let names = ["materializer", "scorer", "exporter"];
        for (given, meant) in [
            ("scorer", Some("scorer")),
            ("Scoer", Some("scorer")),
            ("socrer", Some("scorer")),
            ("materialiser", Some("materializer")),
            ("export", Some("exporter")),
            ("x", None),
            ("", None),
            ("reconciler", None),
        ] {
            assert_eq!(nearest(given, names), meant, "{given}");
        }
    }
}
