//! Digits however they are written: `123-45-6789`, `123 45 6789`, across lines, `one two three`, `l23`, with words for the
//! dashes. Chains of groups, in one pass.

use super::words::Words;
use std::ops::Range;

/// A group of digits that stand together, or one number that is written in words.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) digits: Vec<u8>,
    /// The word that it is.
    pub(super) word: usize,
    /// Whether it is spelled.
    pub(super) in_words: bool,
}

/// Groups with nothing between them but what people put between digits.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) groups: Vec<Group>,
}

impl Chain {
    /// How many digits there are.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.digits.len()).sum()
    }

    /// All digits.
    pub(super) fn digits(&self) -> Vec<u8> {
        self.groups.iter().flat_map(|group| group.digits.iter().copied()).collect()
    }

    /// Digits before each group's end: of `123-45-6789`, 3, 5 and 9.
    pub(super) fn ends(&self) -> Vec<usize> {
        let add = |sum: &mut usize, group: &Group| {
            *sum += group.digits.len();
            Some(*sum)
        };
        self.groups.iter().scan(0, add).collect()
    }

    /// The words it takes, with separators that are words.
    pub(super) fn words(&self) -> Range<usize> {
        let first = self.groups.first().map_or(0, |group| group.word);
        first..self.groups.last().map_or(first, |group| group.word) + 1
    }

    /// Whether it was written so as not to be recognised.
    pub(super) fn is_spelled(&self) -> bool {
        self.groups.iter().any(|group| group.in_words)
    }
}

/// Words that stand for what is between digits.
const SEPARATORS: &[&str] =
    &["dash", "hyphen", "minus", "dot", "point", "space", "slash", "then", "and", "period", "underscore"];

/// Digits in a chain, at most; longer ones are cut, and are no number of a person's.
const MOST: usize = 64;

/// All chains of a text.
pub(super) fn chains(words: &Words<'_>) -> Vec<Chain> {
    let (mut all, mut chain) = (Vec::new(), Chain::default());
    let mut between = 0;
    for index in 0..words.all.len() {
        let text = words.get(index);
        let linked = chain.groups.is_empty() || is_link(words.gap(index));
        let group = group(text, index);
        if !linked
            || group.is_none() && !(SEPARATORS.contains(&text) && between == 0 && !chain.groups.is_empty())
            || chain.len() > MOST
        {
            if !chain.groups.is_empty() {
                all.push(std::mem::take(&mut chain));
            }
            between = 0;
        }
        match group {
            Some(group) => {
                chain.groups.push(group);
                between = 0;
            }
            None => between += 1,
        }
    }
    if !chain.groups.is_empty() {
        all.push(chain);
    }
    all
}

/// Whether digits go on over this.
fn is_link(gap: &str) -> bool {
    let ends = gap.contains(['!', '?', ';', '"', '=', '@', '$', '%', '<', '>']);
    gap.len() <= 8 && !ends && !gap.contains("\n\n") && !gap.contains(", \n")
}

/// The digits of a word; of a mixture only if look-alikes of digits stand among digits.
fn group(word: &str, index: usize) -> Option<Group> {
    let bytes = word.as_bytes();
    let numbers = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if numbers > 0
        && numbers * 2 >= bytes.len()
        && bytes.iter().all(|byte| byte.is_ascii_digit() || b"oil".contains(byte))
    {
        let like = |byte: &u8| match byte {
            b'o' => 0,
            b'i' | b'l' => 1,
            byte => byte - b'0',
        };
        return Some(Group {
            digits: bytes.iter().take(MOST).map(like).collect(),
            word: index,
            in_words: numbers < bytes.len(),
        });
    }
    if numbers > 0 {
        return None;
    }
    spelled(word).map(|digits| Group { digits, word: index, in_words: true })
}

/// `seven`, `oh`, `twelve`, `forty`; tens are written out where a digit follows, so they count as their first digit here.
fn spelled(word: &str) -> Option<Vec<u8>> {
    const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    const TEENS: [&str; 10] =
        ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"];
    const SPANISH: [&str; 10] = ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"];
    let digit = |n: usize| u8::try_from(n).unwrap_or_default();
    if let Some(n) = DIGITS.iter().chain(&SPANISH).position(|name| *name == word) {
        return Some(vec![digit(n % 10)]);
    }
    match word {
        "oh" | "nought" | "null" | "nil" => return Some(vec![0]),
        "niner" => return Some(vec![9]),
        "fife" => return Some(vec![5]),
        _ => {}
    }
    TEENS.iter().position(|name| *name == word).map(|n| vec![1, digit(n)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_found_however_they_are_written() {
        let found = |text: &str| {
            let words = Words::new(text);
            let all = chains(&words);
            all.iter()
                .map(|chain| chain.digits().iter().map(|d| char::from(b'0' + d)).collect::<String>())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("It is 123-45-6789."), ["123456789"]);
        assert_eq!(found("123 45\n6789"), ["123456789"]);
        assert_eq!(found("one two three dash four five dash six seven eight nine"), ["123456789"]);
        assert_eq!(found("l23.4S.6789"), ["123", "6789"]);
        assert_eq!(found("12З-45"), ["45"]);
        assert_eq!(found("No digits, one or two."), ["1", "2"]);
        assert_eq!(found("a1 b2 id4587"), Vec::<String>::new());
    }
}
