//! Words of a folded text, and phrases found among them in one pass.

use super::fold::Folded;
use std::collections::BTreeMap;
use std::ops::Range;

/// A word: letters and digits, with apostrophes inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Number of the sentence it stands in.
    pub(super) sentence: usize,
}

/// A folded text cut in words.
#[derive(Debug)]
pub(super) struct Words<'a> {
    pub(super) folded: Folded<'a>,
    pub(super) all: Vec<Word>,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let folded = Folded::new(text);
        let all = cut(folded.text());
        Self { folded, all }
    }

    pub(super) fn text(&self) -> &str {
        self.folded.text()
    }

    pub(super) fn get(&self, index: usize) -> &str {
        self.all.get(index).map_or("", |word| &self.folded.text()[word.start..word.end])
    }

    /// The bytes of the original that these words take.
    pub(super) fn span(&self, words: Range<usize>) -> Range<usize> {
        let (first, last) = (self.all[words.start], self.all[words.end.max(words.start + 1) - 1]);
        self.folded.span(first.start..last.end)
    }

    /// What stands between a word and the one before it.
    pub(super) fn gap(&self, index: usize) -> &str {
        match (index.checked_sub(1).and_then(|before| self.all.get(before)), self.all.get(index)) {
            (Some(before), Some(word)) => &self.folded.text()[before.end..word.start],
            _ => "",
        }
    }

    /// Whether what begins at this word is denied by one of the words before it in its sentence.
    pub(super) fn is_denied(&self, index: usize) -> bool {
        let Some(word) = self.all.get(index) else { return false };
        let before = self.all[..index].iter().rev().take(6).take_while(|before| before.sentence == word.sentence);
        before.into_iter().any(|before| DENIALS.contains(&&self.folded.text()[before.start..before.end]))
    }

    /// Words of the sentence that this word stands in.
    pub(super) fn sentence(&self, index: usize) -> Range<usize> {
        let Some(word) = self.all.get(index) else { return 0..0 };
        // Sentences are in order. Far enough for what people write; bounded, because every find may ask.
        let start = self.all.partition_point(|other| other.sentence < word.sentence).max(index.saturating_sub(60));
        let end = self.all.partition_point(|other| other.sentence <= word.sentence).min(index + 60);
        start..end
    }

    /// Whether one of these words stands in the words of this range.
    pub(super) fn any(&self, range: Range<usize>, of: &[&str]) -> bool {
        range.into_iter().any(|index| of.contains(&self.get(index)))
    }
}

const DENIALS: &[&str] = &[
    "not",
    "no",
    "never",
    "cannot",
    "can't",
    "cant",
    "don't",
    "dont",
    "doesn't",
    "didn't",
    "won't",
    "isn't",
    "aren't",
    "without",
    "neither",
    "nor",
    "unable",
    "avoid",
    "wouldn't",
    "shouldn't",
    "mustn't",
];

fn cut(text: &str) -> Vec<Word> {
    let mut words = Vec::with_capacity(text.len() / 6);
    let (mut start, mut sentence) = (None, 0);
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let next = rest.peek().map_or(' ', |(_, next)| *next);
        // An apostrophe between letters belongs to the word.
        if c.is_alphanumeric() || c == '\'' && start.is_some() && next.is_alphanumeric() {
            start = start.or(Some(at));
            continue;
        }
        if let Some(start) = start.take() {
            words.push(Word { start, end: at, sentence });
        }
        sentence += usize::from(match c {
            '!' | '?' | ';' => true,
            '.' => next.is_whitespace() || next == '"',
            '\n' => next == '\n',
            _ => false,
        });
    }
    words.extend(start.map(|start| Word { start, end: text.len(), sentence }));
    words
}

/// Phrases by their first word. `may|will give you` is two phrases; words are folded ones.
#[derive(Debug)]
pub(super) struct Phrases {
    by_first: BTreeMap<String, Vec<(Vec<String>, usize)>>,
}

impl Phrases {
    /// Of texts with what they stand for, a number of the caller's.
    pub(super) fn new<'a>(phrases: impl IntoIterator<Item = (&'a str, usize)>) -> Self {
        let mut by_first: BTreeMap<String, Vec<(Vec<String>, usize)>> = BTreeMap::new();
        for (phrase, number) in phrases {
            let mut words = phrase.split_whitespace();
            let Some(first) = words.next() else { continue };
            let rest: Vec<String> = words.map(str::to_owned).collect();
            for first in first.split('|') {
                by_first.entry(first.to_owned()).or_default().push((rest.clone(), number));
            }
        }
        // The longest first.
        by_first.values_mut().for_each(|phrases| phrases.sort_by_key(|(rest, _)| std::cmp::Reverse(rest.len())));
        Self { by_first }
    }

    /// Of any texts, as somebody writes them.
    pub(super) fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let cut = |text: &str| {
            let words = Words::new(text);
            (0..words.all.len()).map(|i| words.get(i)).collect::<Vec<_>>().join(" ")
        };
        let cut: Vec<String> = texts.into_iter().map(cut).collect();
        Self::new(cut.iter().enumerate().map(|(number, text)| (text.as_str(), number)))
    }

    /// The phrase that begins at this word: what it stands for, and the words it takes.
    pub(super) fn at(&self, words: &Words<'_>, index: usize) -> Option<(usize, Range<usize>)> {
        let phrases = self.by_first.get(words.get(index))?;
        let fits = |rest: &[String]| {
            rest.iter().enumerate().all(|(n, wanted)| {
                let at = index + 1 + n;
                let word = words.get(at);
                !word.is_empty() && joined(words.gap(at)) && wanted.split('|').any(|wanted| wanted == word)
            })
        };
        let (rest, number) = phrases.iter().find(|(rest, _)| fits(rest))?;
        Some((*number, index..index + 1 + rest.len()))
    }

    /// All finds, apart and in order.
    pub(super) fn find(&self, words: &Words<'_>) -> Vec<(usize, Range<usize>)> {
        let (mut found, mut index) = (Vec::new(), 0);
        while index < words.all.len() {
            match self.at(words, index) {
                Some((number, range)) => {
                    index = range.end;
                    found.push((number, range));
                }
                None => index += 1,
            }
        }
        found
    }
}

/// Whether two words with this between them belong to one phrase.
fn joined(gap: &str) -> bool {
    gap.len() <= 4
        && gap.bytes().all(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'-' | b'*' | b'_' | b'\'' | b'"' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_whole_and_in_their_sentence() {
        let phrases = Phrases::new([("we guarantee|promise", 0), ("young|youthful and energetic", 1)]);
        let find = |text: &str| phrases.find(&Words::new(text)).into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(find("We  guarantee it."), [0]);
        assert_eq!(find("We\npromise, youthful-and-energetic"), [0, 1]);
        assert_eq!(find("And so do we. Guarantee?"), [0_usize; 0]);
        let words = Words::new("We do not in any way guarantee it. We guarantee that.");
        let at: Vec<usize> = (0..words.all.len()).filter(|i| words.get(*i) == "guarantee").collect();
        assert!(words.is_denied(at[0]) && !words.is_denied(at[1]));
    }
}
