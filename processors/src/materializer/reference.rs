//! Whether an answer says what the reference says.
//!
//! What is compared is the *final answer*: what follows the last marker ([`MARKERS`], or LaTeX's `\boxed{…}`) up to the
//! end of its line; without a marker, of a reference all of it, of an answer its last line.
//!
//! - A reference that is a number (with thousands' commas, a currency sign, a unit or percent sign around it, or zeros
//!   at its end) is compared by value with the last number of the final answer, exactly, never by way of floats.
//!   Numbers that are part of an expression (`3/4`, `2^10`, `10+x`) are none.
//! - Any other reference is compared as text: case, blanks, and the quotes, stars, brackets and full stop around it
//!   make no difference.

/// What final answers stand after, in lower case; the last one in the text counts.
pub static MARKERS: &[&str] = &["####", "final answer:", "final answer is", "the answer is", "answer:", "a:"];
/// Of [`MARKERS`], those that count only where a line begins.
const OWN_LINE: &[&str] = &["answer:", "a:"];

/// Whether `answer` ends in what `reference` says.
pub fn matches(answer: &str, reference: &str) -> bool {
    let reference = final_answer(reference).unwrap_or(reference.trim());
    let marked = final_answer(answer);
    let answer = marked.unwrap_or_else(|| answer.trim().lines().next_back().unwrap_or_default());
    match whole_number(reference) {
        Some(number) => last_number(answer) == Some(number),
        None => {
            let reference = bare(reference);
            !reference.is_empty() && bare(answer) == reference
        }
    }
}

/// What follows the last marker, to the end of its line.
fn final_answer(text: &str) -> Option<&str> {
    // ASCII case changes no lengths: places are the same in both.
    let lower = text.to_ascii_lowercase();
    let marked = MARKERS.iter().filter_map(|marker| {
        let counts = |at: &usize| !OWN_LINE.contains(marker) || begins_line(&lower, *at);
        let at = lower.rmatch_indices(marker).map(|(at, _)| at).find(counts)? + marker.len();
        let line = text[at..].trim_start_matches(['\n', '\r', ' ', '\t', '*', ':']);
        Some((at, line.split('\n').next().unwrap_or_default()))
    });
    marked.chain(boxed(text)).max_by_key(|(at, _)| *at).map(|(_, found)| found.trim())
}

fn begins_line(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|b| *b != b'\n').all(|b| b.is_ascii_whitespace() || b == b'*' || b == b'#')
}

/// What the last `\boxed{…}` holds, and where it begins.
fn boxed(text: &str) -> Option<(usize, &str)> {
    let start = text.rfind("\\boxed{")? + "\\boxed{".len();
    let mut open = 1_usize;
    let end = text[start..].bytes().position(|byte| {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        open == 0
    })?;
    Some((start, &text[start..start + end]))
}

/// A decimal number in one spelling.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Number {
    fn new(negative: bool, digits: &str) -> Self {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        Self { negative: negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction }
    }
}

/// The number that a text is, but for its currency, unit, percent sign or full stop.
fn whole_number(text: &str) -> Option<Number> {
    let text = bare(text);
    let found = numbers(&text);
    let [(start, end, Some(_))] = found.as_slice() else { return None };
    let before_ok = text[..*start].chars().all(|c| c.is_whitespace() || "$€£¥+-".contains(c));
    let after = text[*end..].trim_start();
    let unit = after.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || "%€$£¥.°".contains(c));
    let apart = after.len() < text.len() - end || !after.starts_with(char::is_alphabetic);
    (before_ok && unit && apart).then(|| found.into_iter().next().and_then(|(_, _, number)| number)).flatten()
}

fn last_number(text: &str) -> Option<Number> {
    numbers(text).pop().and_then(|(_, _, number)| number)
}

/// Runs of digits with their places; those that are part of an expression are no number.
fn numbers(text: &str) -> Vec<(usize, usize, Option<Number>)> {
    let bytes = text.as_bytes();
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let mut found = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        if !(digit(i) || (bytes[i] == b'.' && digit(i + 1))) {
            i += 1;
            continue;
        }
        let start = i;
        let mut point = false;
        while digit(i)
            || (bytes.get(i) == Some(&b',') && digit(i + 1) && digit(i + 2) && digit(i + 3) && !digit(i + 4) && !point)
            || (bytes.get(i) == Some(&b'.') && digit(i + 1) && !std::mem::replace(&mut point, true))
        {
            i += 1;
        }
        let before = text[..start].trim_end_matches([' ', '$', '€', '£', '¥', '\\']);
        let adjacent = |c: char| text[..start].ends_with(c);
        let sign = adjacent('-') || before.ends_with('-') && before.len() < start && !text[..start].ends_with(' ');
        let negative = sign && !before.trim_end_matches('-').ends_with(|c: char| c.is_ascii_alphanumeric());
        let word = text[..start].ends_with(|c: char| c.is_alphabetic() || c == '_');
        let operand = before.ends_with(['/', '^', '*', '+', '×', '·', '_'])
            || text[i..].trim_start().starts_with(['/', '^', '*', '+', '×', '·']);
        let markdown = text[..start].ends_with("**") || text[i..].starts_with("**");
        found.push((start, i, (!word && (!operand || markdown)).then(|| Number::new(negative, &text[start..i]))));
    }
    found
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
            ("The final answer is $\\boxed{1{,}024}$", "1024", false),
            ("so $\\boxed{-7}$ it is", "-7", true),
            ("so $\\boxed{7}$ it is", "-7", false),
            ("A: -$5", "-5", true),
            ("A: 50%", "50%", true),
            ("A: 50%", "50", true),
            ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}", true),
            ("A: 3/4", "4", false),
            ("A: 3/4", "3/4", true),
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
        for text in ["\\boxed{", "\\boxed{}", "####", "A:", "ä: 1", "Ⅷ", "1,2,3", "1.2.3", "-", "$-", "İ####1", "…1…"]
        {
            for other in ["1", "", "A:", "\\boxed{2}", "İ"] {
                let _ = matches(text, other);
            }
        }
    }
}
