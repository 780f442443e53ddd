//! Texts made comparable: what looks alike becomes alike.
//!
//! Small letters; full-width, circled, mathematical and other scripts' digits as `0` to `9`; Cyrillic and Greek letters that
//! look like Latin ones as those; accents gone; dashes `-`, quotes `'` and `"`, blanks ` `; zero-width characters,
//! bidirectional marks and soft hyphens gone. Every folded byte knows where it came from. One pass, linear.
//!
//! What is absent: meaning. A text in Cyrillic comes out as letters of both scripts; it is compared, never shown.

use std::ops::Range;
use unicode_normalization::char::decompose_compatible;

/// A folded text.
#[derive(Debug)]
pub(super) struct Folded<'a> {
    original: &'a str,
    text: String,
    starts: Vec<u32>,
}

impl<'a> Folded<'a> {
    pub(super) fn new(original: &'a str) -> Self {
        let mut folded =
            Self { original, text: String::with_capacity(original.len()), starts: Vec::with_capacity(original.len()) };
        for (at, c) in original.char_indices() {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            if c.is_ascii() {
                folded.put(at, if c == '\r' { ' ' } else { c.to_ascii_lowercase() });
            } else {
                fold(c, &mut |c| folded.put(at, c));
            }
        }
        folded
    }

    fn put(&mut self, at: u32, c: char) {
        self.text.push(c);
        for _ in 0..c.len_utf8() {
            self.starts.push(at);
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the original that these folded ones were made of.
    pub(super) fn span(&self, folded: Range<usize>) -> Range<usize> {
        let at = |i: usize| self.starts.get(i).map_or(self.original.len(), |at| *at as usize);
        let start = at(folded.start);
        let last = at(folded.end.max(folded.start + 1) - 1);
        let end = last + self.original.get(last..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        start..end.max(start)
    }
}

/// The folded text alone.
pub(super) fn folded(text: &str) -> String {
    Folded::new(text).text
}

fn fold(c: char, put: &mut dyn FnMut(char)) {
    match c {
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{feff}' => {}
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => {}
        '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}' => {}
        '\u{85}' | '\u{2028}' | '\u{2029}' => put('\n'),
        '\u{2800}' => put(' '),
        c if c.is_whitespace() => put(' '),
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{2d7}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => {
            put('-')
        }
        '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{2bc}' | '\u{b4}' => put('\''),
        '\u{201c}'..='\u{201f}' | '\u{2033}' => put('"'),
        '\u{b7}' | '\u{2022}' | '\u{2024}' | '\u{3002}' | '\u{2219}' | '\u{22c5}' => put('.'),
        '\u{2776}'..='\u{277e}' => put(char::from(b'1' + (c as u32 - 0x2776) as u8)),
        '\u{df}' | '\u{1e9e}' => "ss".chars().for_each(put),
        '\u{e6}' | '\u{c6}' => "ae".chars().for_each(put),
        '\u{153}' | '\u{152}' => "oe".chars().for_each(put),
        '\u{fe}' | '\u{de}' => "th".chars().for_each(put),
        _ => decompose_compatible(c, |part| simple(part, put)),
    }
}

fn simple(c: char, put: &mut dyn FnMut(char)) {
    let like = match c {
        c if c.is_ascii() => c.to_ascii_lowercase(),
        c if is_mark(c) => return,
        '\u{f8}' | '\u{d8}' | 'о' | 'О' | 'ο' | 'Ο' | 'օ' => 'o',
        'ł' | 'Ł' | 'ӏ' | 'Ӏ' => 'l',
        'đ' | 'Đ' | 'ð' | 'Ð' | 'ԁ' => 'd',
        'ı' | 'і' | 'І' | 'ι' | 'Ι' => 'i',
        'ħ' | 'Ħ' | 'һ' | 'Һ' | 'Н' | 'Η' => 'h',
        'а' | 'А' | 'α' | 'Α' => 'a',
        'В' | 'β' | 'Β' => 'b',
        'с' | 'С' | 'ϲ' => 'c',
        'е' | 'Е' | 'ε' | 'Ε' => 'e',
        'ј' | 'Ј' => 'j',
        'к' | 'К' | 'κ' | 'Κ' => 'k',
        'м' | 'М' | 'Μ' => 'm',
        'Ν' | 'ո' => 'n',
        'р' | 'Р' | 'ρ' | 'Ρ' => 'p',
        'ԛ' => 'q',
        'ѕ' | 'Ѕ' => 's',
        'т' | 'Т' | 'τ' | 'Τ' => 't',
        'υ' | 'ս' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' | 'ѡ' => 'w',
        'х' | 'Х' | 'χ' | 'Χ' => 'x',
        'у' | 'У' | 'γ' | 'Υ' => 'y',
        'Ζ' => 'z',
        c => match digit(c) {
            Some(digit) => digit,
            None => {
                c.to_lowercase().for_each(put);
                return;
            }
        },
    };
    put(like);
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Where the ten decimal digits of other scripts begin (Unicode, general category Nd).
const ZEROS: [u32; 24] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6, 0x0e50,
    0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0xa620, 0xa8d0,
];

fn digit(c: char) -> Option<char> {
    let code = c as u32;
    let zero = ZEROS.iter().rev().find(|zero| **zero <= code)?;
    char::from_digit(code - zero, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_is_alike_and_knows_its_place() {
        for (text, expected) in [
            ("Hello, WORLD", "hello, world"),
            ("１２３–４５", "123-45"),
            ("١٢٣ ۴۵", "123 45"),
            ("①②③", "123"),
            ("𝟏𝟐𝟑", "123"),
            ("1\u{fe0f}\u{20e3}2", "12"),
            ("1\u{200b}2\u{202e}3\u{ad}4", "1234"),
            ("Gаrсíа", "garcia"),
            ("Łukasz Søren Strauß", "lukasz soren strauss"),
            ("“don’t”", "\"don't\""),
            ("a\u{2028}b", "a\nb"),
            ("ﬁ", "fi"),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
        let text = "x Gаrсíа １２3";
        let found = Folded::new(text);
        let at = found.text().find("garcia").unwrap();
        assert_eq!(&text[found.span(at..at + 6)], "Gаrсíа");
        let at = found.text().find("123").unwrap();
        assert_eq!(&text[found.span(at..at + 3)], "１２3");
    }
}
