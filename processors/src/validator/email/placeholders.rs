//! Blanks that were left to be filled in: `{name}`, `{{name}}`, `[NAME]`, `[Your Name]`, `<NAME>`, `%NAME%`, `${name}`,
//! `__NAME__`, `TBD`, `lorem ipsum`, `Dear ,`.

use super::super::finding::Findings;
use std::ops::Range;

/// Bytes of a blank, at most.
const LONGEST: usize = 60;

pub(super) fn find(field: &str, text: &str, found: &mut Findings) {
    let mut free = 0;
    let mut add = |range: Range<usize>, found: &mut Findings| {
        if range.start >= free {
            free = range.end;
            found.add(
                "placeholder",
                Some(field),
                Some(range),
                "a blank is left to be filled in",
                "Fill it in, or delete it.",
            );
        }
    };
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let end = match byte {
            b'{' => closed(text, at, b'}')
                .filter(|inner| is_name(inner.trim_matches(['{', '}', '$', ' '])))
                .map(|inner| brace_end(bytes, at + inner.len() + 2)),
            b'[' => closed(text, at, b']')
                .filter(|inner| is_bracket(inner, bytes.get(at + inner.len() + 2)))
                .map(|inner| at + inner.len() + 2),
            b'<' => closed(text, at, b'>').filter(|inner| is_angle(inner)).map(|inner| at + inner.len() + 2),
            b'%' => closed(text, at, b'%').filter(|inner| is_capitals(inner)).map(|inner| at + inner.len() + 2),
            b'_' => underscored(text, at),
            _ => None,
        };
        if let Some(end) = end {
            add(at..end, found);
        }
    }
    for (word, range) in words(text) {
        let left =
            ["TBD", "TODO", "XXX", "XXXX", "FIXME", "FIRSTNAME", "LASTNAME", "FIRST_NAME", "LAST_NAME"].contains(&word);
        let after = text.get(range.end..).unwrap_or_default().trim_start();
        let lorem =
            word.eq_ignore_ascii_case("lorem") && after.get(..5).is_some_and(|next| next.eq_ignore_ascii_case("ipsum"));
        if left || lorem {
            add(range, found);
        }
    }
    greeting_of_nobody(field, text, found);
}

/// What stands between the sign at `at` and the next `close`, if that is near and on one line.
fn closed(text: &str, at: usize, close: u8) -> Option<&str> {
    let rest = &text.as_bytes()[at + 1..];
    let end = rest.iter().take(LONGEST).position(|byte| *byte == close || *byte == b'\n')?;
    (rest[end] == close).then(|| text.get(at + 1..at + 1 + end)).flatten()
}

fn brace_end(bytes: &[u8], end: usize) -> usize {
    end + usize::from(bytes.get(end) == Some(&b'}'))
}

fn is_name(inner: &str) -> bool {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '.' | '-' | '\'' | '|');
    inner.starts_with(|c: char| c.is_alphabetic() || c == '_') && inner.chars().all(legal)
}

/// Words that are blanks whatever their letters.
const BLANKS: &[&str] = &[
    "name",
    "insert",
    "date",
    "your",
    "company",
    "time",
    "location",
    "address",
    "phone",
    "first",
    "last",
    "recruiter",
    "client",
    "job",
    "role",
    "city",
    "shift",
    "worker",
    "candidate",
    "link",
    "pay",
    "title",
    "here",
    "sign",
    "signature",
    "number",
    "agency",
];

fn is_bracket(inner: &str, after: Option<&u8>) -> bool {
    // A link in Markdown, a mark of a list, a remark such as [1] or [sic].
    if after == Some(&b'(')
        || !is_name(inner)
        || inner.eq_ignore_ascii_case("x")
        || inner.eq_ignore_ascii_case("sic")
        || inner.eq_ignore_ascii_case("external")
    {
        return false;
    }
    let lower = inner.to_lowercase();
    let named = lower.split(|c: char| !c.is_alphanumeric()).any(|word| BLANKS.contains(&word));
    named || is_capitals(inner) || inner.starts_with(char::is_uppercase) && inner.contains(' ')
}

fn is_angle(inner: &str) -> bool {
    is_capitals(inner)
        || is_name(inner) && inner.contains(['_', ' ']) && {
            let lower = inner.to_lowercase();
            lower.split(|c: char| !c.is_alphanumeric()).any(|word| BLANKS.contains(&word)) && !lower.contains("href")
        }
}

/// Capitals only, three at least.
fn is_capitals(inner: &str) -> bool {
    let letters = inner.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 3 && inner.chars().all(|c| c.is_uppercase() || c.is_ascii_digit() || matches!(c, '_' | ' ' | '-' | '\''))
}

/// `__NAME__`; a line to be filled in by hand is one, too.
fn underscored(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    if at > 0 && (bytes[at - 1] == b'_' || bytes[at - 1].is_ascii_alphanumeric()) {
        return None;
    }
    let line = bytes[at..].iter().take(4_096).take_while(|byte| **byte == b'_').count();
    let rest = bytes.get(at + line..)?;
    if (4..=40).contains(&line) && !rest.first().is_some_and(u8::is_ascii_alphanumeric) {
        return Some(at + line);
    }
    let name = rest.iter().take(LONGEST).take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()).count();
    (line == 2 && name >= 3 && rest.get(name..name + 2) == Some(b"__")).then_some(at + line + name + 2)
}

fn words(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(move |c: char| !word(c)).filter(|word| !word.is_empty()).map(move |word| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        (word, start..start + word.len())
    })
}

/// `Hi ,`, `Dear undefined,`, `Hello null`.
fn greeting_of_nobody(field: &str, text: &str, found: &mut Findings) {
    let Some(line) = text.lines().find(|line| !line.trim().is_empty()) else { return };
    let start = line.as_ptr() as usize - text.as_ptr() as usize;
    let Some(greeting) = ["hi", "hello", "dear", "hey"].into_iter().find(|word| {
        line.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
            && !line[word.len()..].starts_with(char::is_alphanumeric)
    }) else {
        return;
    };
    let rest = &line[greeting.len()..];
    let called: String = rest.trim_start().chars().take_while(|c| c.is_alphanumeric()).take(20).collect();
    let blank =
        rest.starts_with(' ') && rest.trim_start().starts_with(',') || greeting == "dear" && rest.starts_with(',');
    if blank || ["undefined", "null", "None", "NaN", "nan"].contains(&called.as_str()) {
        let end = start + greeting.len() + (rest.len() - rest.trim_start().len()) + called.len();
        found.add(
            "placeholder",
            Some(field),
            Some(start..end),
            "the greeting has no name",
            "Greet the recipient by name.",
        );
    }
}
