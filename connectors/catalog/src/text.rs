//! Text that people type, as a question to FTS5; and the part of a text that answers it.

/// How FTS5 cuts and folds words: by Unicode, without case and accents.
pub(crate) const TOKENIZER: &str = "unicode61 remove_diacritics 2";

/// Words of a question at most: more would make a query that takes seconds.
const MOST_WORDS: usize = 64;

/// The words of a question, each once, in lower case.
pub(crate) fn words(question: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in question.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        let word = word.to_lowercase();
        if !words.contains(&word) {
            words.push(word);
        }
        if words.len() == MOST_WORDS {
            break;
        }
    }
    words
}

/// Any of the words, none of them an operator.
pub(crate) fn any_of(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" OR ")
}

/// About `most` characters of a text around where it holds most of the words of a question, between words.
pub(crate) fn snippet(text: &str, words: &[String], most: usize) -> String {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    if chars.len() <= most {
        return text.trim().to_owned();
    }
    let mut places: Vec<usize> = Vec::new();
    let mut start = None;
    for (at, (byte, c)) in chars.iter().enumerate() {
        if c.is_alphanumeric() {
            start.get_or_insert((at, *byte));
        } else if let Some((began, from)) = start.take()
            && words.contains(&text[from..*byte].to_lowercase())
        {
            places.push(began);
        }
    }
    // The window that holds most of them; the first of equal ones.
    let (mut best, mut held) = (0, 0);
    for (i, place) in places.iter().enumerate() {
        let inside = places[i..].iter().take_while(|p| **p < place + most).count();
        if inside > held {
            (best, held) = (*place, inside);
        }
    }
    let from = (best.saturating_sub(most / 8)..=best)
        .find(|at| *at == 0 || chars[at - 1].1.is_whitespace())
        .unwrap_or(best)
        .min(chars.len() - most);
    let to = (from + most).min(chars.len());
    let end = |at: usize| chars.get(at).map_or(text.len(), |(byte, _)| *byte);
    let body = text[chars[from].0..end(to)].trim();
    let (before, after) = (if from > 0 { "…" } else { "" }, if to < chars.len() { "…" } else { "" });
    format!("{before}{body}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_typed_is_an_operator() {
        let words = words("NEAR(\"a\" OR b*) AND -c: Ünïcode  a");
        assert_eq!(words, ["near", "a", "or", "b", "and", "c", "ünïcode"]);
        assert_eq!(any_of(&words[..2]), "\"near\" OR \"a\"");
        assert_eq!(super::words("\"\u{0}*'();--"), [] as [&str; 0]);
        assert_eq!(super::words(&"w x".repeat(10_000)).len(), 3);
    }

    #[test]
    fn a_snippet_is_where_the_words_are() {
        let text = format!(
            "{}The night shift calls the dispatcher before six.{}",
            "lorem ipsum ".repeat(30),
            " dolor sit".repeat(30)
        );
        let found = snippet(&text, &words("dispatcher night"), 80);
        assert!(found.contains("night shift calls the dispatcher"), "{found}");
        assert!(found.starts_with('…') && found.ends_with('…') && found.chars().count() <= 82, "{found}");
        assert_eq!(snippet(" short ", &[], 80), "short");
        assert!(snippet(&"ä".repeat(300), &words("x"), 80).starts_with('ä'));
    }
}
