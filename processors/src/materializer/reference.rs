//! Whether an answer says what the reference says.
//!
//! What is compared is the *final answer*: what follows the last marker ([`MARKERS`], or LaTeX's `\boxed{…}`) up to the
//! end of its line; without a marker, of a reference all of it, of an answer its last line.
//!
//! - LaTeX is made plain first: fractions, thin spaces, `\text{…}`, escaped signs.
//! - A reference that is one of several choices (`B`, `(b)`, `B. Paris`) is met by its letter or by its text.
//! - A reference that is a number (with thousands' commas, a currency sign, a unit or percent sign around it, or zeros
//!   at its end; a fraction, a mixed number, a power of ten) is compared by value with the last number of the final
//!   answer, exactly, never by way of floats. Numbers that are part of an expression (`2^10`, `10+x`) are none. A
//!   percent sign on one side only may mean the number or a hundredth of it.
//! - Any other reference is compared as text: case, blanks, and the quotes, stars, brackets and full stop around it
//!   make no difference.

use super::latex::{braced, plain};
use super::number::{Found, numbers};

/// What final answers stand after, in lower case; the last one in the text counts.
pub static MARKERS: &[&str] =
    &["####", "final answer:", "final answer is", "the answer is", "answer:", "a:", "<answer>"];
/// Of [`MARKERS`], those that count only where a line begins.
const OWN_LINE: &[&str] = &["answer:", "a:"];

/// Whether `answer` ends in what `reference` says.
pub fn matches(answer: &str, reference: &str) -> bool {
    let reference = final_answer(reference).unwrap_or(reference.trim());
    let marked = final_answer(answer);
    let answer = marked.unwrap_or_else(|| answer.trim().lines().next_back().unwrap_or_default());
    let (reference, answer) = (plain(reference), plain(answer));
    if let Some((letter, text)) = choice(&reference) {
        return chosen(&answer) == Some(letter) || (!text.is_empty() && same_text(&answer, text));
    }
    match whole_number(&reference) {
        Some(wanted) => numbers(&answer).pop().is_some_and(|found| found.means(&wanted)),
        None => same_text(&answer, &reference),
    }
}

/// Whether two texts say the same, blanks within brackets and behind commas left out where they differ.
fn same_text(answer: &str, reference: &str) -> bool {
    let (answer, reference) = (bare(answer), bare(reference));
    let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    !reference.is_empty()
        && (answer == reference || (reference.contains(',') && squeezed(&answer) == squeezed(&reference)))
}

/// The letter of a reference that is one of several choices, and its text, if it has both: `B`, `(b)`, `B. Paris`.
fn choice(reference: &str) -> Option<(char, &str)> {
    let text = reference.trim().trim_matches(['*', '$', '`']);
    let (letter, rest) = lettered(text)?;
    Some((letter, rest.trim()))
}

/// Letters that choices have.
const LETTERS: std::ops::RangeInclusive<char> = 'A'..='J';

/// The letter that a text begins with as a choice does, and what follows: `(B) Paris`, `b) Paris`, `B. Paris`, `B`.
fn lettered(text: &str) -> Option<(char, &str)> {
    let opened = text.strip_prefix(['(', '[']);
    let inner = opened.unwrap_or(text);
    let first = inner.chars().next()?;
    let letter = first.to_ascii_uppercase();
    let rest = inner.get(1..)?;
    if !LETTERS.contains(&letter) {
        return None;
    }
    if opened.is_some() {
        return rest.strip_prefix([')', ']']).map(|rest| (letter, rest.trim_start_matches(['.', ':'])));
    }
    let closed = rest.strip_prefix([')', '.', ':']).filter(|rest| rest.is_empty() || rest.starts_with(' '));
    // `a` alone may be a word; `B` is none.
    if rest.is_empty() {
        return first.is_ascii_uppercase().then_some((letter, rest));
    }
    closed.map(|rest| (letter, rest))
}

/// The letter that an answer chooses.
fn chosen(answer: &str) -> Option<char> {
    let text = answer.trim().trim_matches(['*', '$', '`', '.', ' ', '"']);
    let mut letters = text.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        return Some(letter.to_ascii_uppercase()).filter(|letter| LETTERS.contains(letter));
    }
    if let Some((letter, _)) = lettered(text).or_else(|| text.rfind('(').and_then(|at| whole_choice(&text[at..]))) {
        return Some(letter);
    }
    let lower = text.to_ascii_lowercase();
    let named = ["option ", "choice ", "answer "].iter().filter_map(|word| lower.rfind(word).map(|at| at + word.len()));
    let mut letters = text[named.max()?..].trim_start_matches(['*', '(']).chars();
    let letter = letters.next().map(|letter| letter.to_ascii_uppercase()).filter(|letter| LETTERS.contains(letter))?;
    (!letters.next().is_some_and(char::is_alphanumeric)).then_some(letter)
}

/// A choice in brackets that ends the text.
fn whole_choice(text: &str) -> Option<(char, &str)> {
    lettered(text).filter(|(_, rest)| rest.is_empty())
}

/// What follows the last marker, to the end of its line.
fn final_answer(text: &str) -> Option<&str> {
    // ASCII case changes no lengths: places are the same in both.
    let lower = text.to_ascii_lowercase();
    let marked = MARKERS.iter().filter_map(|marker| {
        let counts = |at: &usize| !OWN_LINE.contains(marker) || begins_line(&lower, *at);
        let at = lower.rmatch_indices(marker).map(|(at, _)| at).find(counts)? + marker.len();
        let line = text[at..].trim_start_matches(['\n', '\r', ' ', '\t', '*', ':']);
        let line = line.split('\n').next().unwrap_or_default();
        Some((at, line.split("</answer>").next().unwrap_or(line)))
    });
    marked.chain(boxed(text)).max_by_key(|(at, _)| *at).map(|(_, found)| found.trim())
}

fn begins_line(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|b| *b != b'\n').all(|b| b.is_ascii_whitespace() || b == b'*' || b == b'#')
}

/// What the last `\boxed{…}` holds, and where it begins.
fn boxed(text: &str) -> Option<(usize, &str)> {
    let start = text.rfind("\\boxed{")? + "\\boxed".len();
    Some((start + 1, braced(&text[start..])?.0))
}

/// The number that a text is, but for its currency, unit, percent sign or full stop, and a name that it is given:
/// `x = 5`.
fn whole_number(text: &str) -> Option<Found> {
    let text = bare(text);
    let text = match text.split_once('=') {
        Some((name, value)) if name.trim().len() == 1 && name.trim().bytes().all(|b| b.is_ascii_alphabetic()) => {
            value.trim()
        }
        _ => text.as_str(),
    };
    let mut found = numbers(text);
    let (number, alone) = (found.pop()?, found.is_empty());
    let before_ok = text[..number.start].chars().all(|c| c.is_whitespace() || "$€£¥+-−".contains(c));
    let after = text[number.end..].trim_start();
    let unit = after.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || "%€$£¥.°/²³".contains(c));
    let apart = after.len() < text.len() - number.end || !after.starts_with(char::is_alphabetic);
    (alone && number.value.is_some() && before_ok && unit && apart).then_some(number)
}

/// A text without what makes no difference.
fn bare(text: &str) -> String {
    let around = |c: char| c.is_whitespace() || "\"'`*.$()[]“”‘’".contains(c);
    let text = match text.trim_end_matches(around).strip_prefix('.') {
        // The point of `.5`, not a full stop.
        Some(_) if text.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => text.trim_end_matches(around),
        _ => text.trim_matches(around),
    };
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn answers_are_compared_with_references() {
        for (answer, reference, expected) in [
            // As recorded by GSM8K's authors.
            ("She sells 9 * 2 = $<<9*2=18>>18\nA: 18", "Janet sells 9.\nA: 18", true),
            ("A: 26", "A: 18", false),
            ("A: -1.8 billion", "2", false),
            ("so Peter is 10+John's age\nA: 10+John's age", "50", false),
            ("A: 10+John's age", "10", false),
            // Spellings of numbers.
            ("The total is 5.\n#### 1,234.50", "1234.5", true),
            ("#### $1,234", "1234.0", true),
            ("#### 18 eggs", "18", true),
            ("#### 018", "18", true),
            ("#### .5", "0.50", true),
            ("Answer: **42**", "42", true),
            ("**Answer:** 42.", "42", true),
            ("The final answer is $\\boxed{1{,}024}$", "1024", true),
            ("so $\\boxed{-7}$ it is", "-7", true),
            ("so $\\boxed{7}$ it is", "-7", false),
            ("A: -$5", "-5", true),
            ("A: 50%", "50%", true),
            ("A: 50%", "50", true),
            ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}", true),
            ("A: 3/4", "4", false),
            ("A: 3/4", "3/4", true),
            ("A: 6/8", "3/4", true),
            ("A: 0.75", "3/4", true),
            ("A: 1 1/2", "1.5", true),
            ("A: 3/4/2020", "2020", false),
            ("A: 4/0", "4", false),
            ("\\boxed{\\dfrac{3}{4}}", "0.75", true),
            ("\\boxed{1\\frac12}", "3/2", true),
            ("\\boxed{-\\frac{1}{2}}", "-0.5", true),
            ("\\boxed{\\frac{x}{2}}", "\\frac{x}{2}", true),
            ("\\boxed{\\frac{x}{2}}", "2", false),
            ("\\boxed{12\\,000\\text{ km}}", "12000 km", true),
            ("\\boxed{30^\\circ}", "30", true),
            ("\\boxed{\\text{Paris}}", "Paris", true),
            ("\\boxed{(1, 2)}", "(1,2)", true),
            ("\\boxed{(1, 2)}", "(1,3)", false),
            ("\\boxed{x = 5}", "5", true),
            ("A: 5", "x=5", true),
            ("A: 1.5e3", "1500", true),
            ("A: 1.5 × 10^3", "1500", true),
            ("A: $2\\times10^{-3}$", "0.002", true),
            ("A: 60 km/h", "60 km/h", true),
            ("A: 50%", "0.5", true),
            ("A: 0.5", "50%", true),
            ("A: 0.5%", "50%", false),
            ("A: 5", "50%", false),
            ("<think>A: 3</think>\n<answer>4</answer>", "4", true),
            ("A: 123456789012345678901234567890.5", "123456789012345678901234567890.50", true),
            ("A: 123456789012345678901234567890.5", "123456789012345678901234567890.6", false),
            ("A: 2^10", "10", false),
            ("A: 9007199254740993", "9007199254740992", false),
            ("#### -0", "0", true),
            ("#### 10 - 3 = 7", "7", true),
            // The last marker counts; without one, the last line.
            ("A: 3\nNo, wait.\nA: 4", "4", true),
            ("A: 3\nNo, wait.\nA: 4", "3", false),
            ("First 3, then 4.\nThat makes 7.", "7", true),
            ("It is 7\nbecause of 3", "7", false),
            ("Answer:\n12", "12", true),
            ("", "12", false),
            ("no number", "12", false),
            // Texts.
            ("The answer is (B).", "B", true),
            ("Answer: b", "B", true),
            ("Answer: C", "B", false),
            ("B", "(b)", true),
            ("(B) Paris", "B", true),
            ("B. Paris", "B", true),
            ("Paris", "B. Paris", true),
            ("London", "B. Paris", false),
            ("I would go with option B", "B", true),
            ("Answer: a dog", "A", false),
            ("**Answer: D**", "D", true),
            ("The answer is Berlin", "B", false),
            ("\\boxed{\\text{C}}", "C", true),
            ("A dog", "a dog", true),
            ("Paris", "paris", true),
            ("I think it is\nParis.", "Paris", true),
            ("Paris, I think", "Paris", false),
            ("A: x2", "x2", true),
            ("anything", "", false),
            ("", "", false),
        ] {
            assert_eq!(matches(answer, reference), expected, "{answer:?} against {reference:?}");
        }
    }

    #[test]
    fn any_text_gets_an_answer() {
        for text in [
            "\\boxed{",
            "\\boxed{}",
            "####",
            "A:",
            "ä: 1",
            "Ⅷ",
            "1,2,3",
            "1.2.3",
            "-",
            "$-",
            "İ####1",
            "…1…",
            "1/",
            "1 /é",
            "é1/2",
            "1e",
            "1e9999",
            "(",
            "B",
            "(é",
            "\\frac",
            "\\frac{1}{",
            "1×10^{",
            "option é",
            "1 2/3/",
        ] {
            for other in ["1", "", "A:", "\\boxed{2}", "İ", "B", "(c) é", "1/3", "50%"] {
                let _ = matches(text, other);
            }
        }
    }
}
