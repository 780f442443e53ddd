//! Cutting a text into chunks: at paragraphs where that leaves them large enough, else between sentences, else between
//! words, else where they are full. Nothing but white space is between or left out of them.

use std::ops::Range;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) chars: Range<usize>,
    pub(crate) bytes: Range<usize>,
}

/// How good a place to cut is: before a character.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Anywhere,
    Word,
    Sentence,
    Paragraph,
}

/// Pieces of at most `most` characters; each but the first begins with up to `overlap` characters of the one before.
pub(crate) fn chunks(text: &str, most: usize, overlap: usize) -> Vec<Piece> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let (most, overlap) = (most.max(1), overlap.min(most / 2));
    let byte = |at: usize| chars.get(at).map_or(text.len(), |(byte, _)| *byte);
    let mut pieces = Vec::new();
    let mut start = 0;
    loop {
        while chars.get(start).is_some_and(|(_, c)| c.is_whitespace()) {
            start += 1;
        }
        if start >= chars.len() {
            return pieces;
        }
        let full = start + most;
        let end = if full >= chars.len() { chars.len() } else { best(&chars, start + most.div_ceil(2), full) };
        let mut last = end;
        while last > start && chars[last - 1].1.is_whitespace() {
            last -= 1;
        }
        pieces.push(Piece { chars: start..last, bytes: byte(start)..byte(last) });
        if end >= chars.len() {
            return pieces;
        }
        // Where the next one begins: after the first cut within the overlap that is one between words at least.
        let from = end.saturating_sub(overlap).max(start + 1);
        start = (from..end).find(|at| cut(&chars, *at) >= Cut::Word).unwrap_or(end);
    }
}

/// The best place to cut from `least` to `most`; of equal ones the last.
fn best(chars: &[(usize, char)], least: usize, most: usize) -> usize {
    (least..=most).max_by_key(|at| (cut(chars, *at), *at)).unwrap_or(most)
}

fn cut(chars: &[(usize, char)], at: usize) -> Cut {
    let before = |n: usize| at.checked_sub(n).and_then(|i| chars.get(i)).map(|(_, c)| *c);
    match (before(2), before(1)) {
        (Some('\n'), Some('\n')) => Cut::Paragraph,
        (Some('.' | '!' | '?' | '。' | '！' | '？' | '"' | ')'), Some(c)) if c.is_whitespace() => Cut::Sentence,
        (_, Some('\n' | '。' | '！' | '？')) => Cut::Sentence,
        (_, Some(c)) if c.is_whitespace() => Cut::Word,
        _ => Cut::Anywhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, most: usize, overlap: usize) -> Vec<&str> {
        chunks(text, most, overlap).into_iter().map(|piece| &text[piece.bytes]).collect()
    }

    #[test]
    fn texts_are_cut_where_it_hurts_least() {
        assert_eq!(texts("", 10, 2), [""; 0]);
        assert_eq!(texts(" \n ", 10, 2), [""; 0]);
        assert_eq!(texts(" one two ", 10, 2), ["one two"]);
        assert_eq!(texts("First one. Second one. Third.", 22, 0), ["First one.", "Second one. Third."]);
        assert_eq!(
            texts("para one here\n\npara two. more here now", 24, 0),
            ["para one here", "para two. more here now"]
        );
        assert_eq!(texts("aaaa bbbb cccc dddd", 10, 5), ["aaaa bbbb", "bbbb cccc", "cccc dddd"]);
        assert_eq!(texts("aaaaaaaaaaaa", 5, 2), ["aaaaa", "aaaaa", "aa"]);
        assert_eq!(texts("ééééé üüü", 5, 0), ["ééééé", "üüü"]);
    }

    #[test]
    fn every_word_is_in_a_chunk_and_spans_are_of_characters() {
        let text: String = (0..400).map(|n| format!("wörd{n}{}", [" ", ". ", "\n\n", ", "][n % 4])).collect();
        for (most, overlap) in [(1, 0), (7, 3), (40, 10), (120, 60), (5_000, 100)] {
            let pieces = chunks(&text, most, overlap);
            let mut covered = 0;
            for piece in &pieces {
                assert!(piece.chars.len() <= most);
                assert!(
                    piece.chars.start <= covered
                        || text.chars().skip(covered).take(piece.chars.start - covered).all(char::is_whitespace)
                );
                let by_chars: String = text.chars().skip(piece.chars.start).take(piece.chars.len()).collect();
                assert_eq!(by_chars, text[piece.bytes.clone()]);
                covered = piece.chars.end;
            }
            assert_eq!(covered, text.trim_end().chars().count(), "{most} {overlap}");
            assert!(pieces.windows(2).all(|w| w[0].chars.start < w[1].chars.start), "each begins later");
        }
    }
}
