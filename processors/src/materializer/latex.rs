//! LaTeX in final answers, as the plain text that it means.

use std::borrow::Cow;

/// Commands and what they mean.
static MEANINGS: &[(&str, &str)] = &[
    ("\\left", ""),
    ("\\right", ""),
    ("\\displaystyle", ""),
    ("\\times", "×"),
    ("\\cdot", "·"),
    ("\\pm", "±"),
    ("^{\\circ}", "°"),
    ("^\\circ", "°"),
    ("\\circ", "°"),
    ("{,}", ","),
    ("\\$", "$"),
    ("\\%", "%"),
    ("\\!", ""),
    ("\\,", ""),
    ("\\;", ""),
    ("\\:", ""),
    ("\\ ", " "),
    ("\\(", ""),
    ("\\)", ""),
    ("\\[", ""),
    ("\\]", ""),
];

/// Commands that only dress what stands in their braces.
static DRESS: &[&str] =
    &["\\boxed", "\\text", "\\textbf", "\\textit", "\\mathrm", "\\mathbf", "\\mbox", "\\operatorname"];

static FRACTIONS: &[&str] = &["\\frac", "\\dfrac", "\\tfrac", "\\cfrac"];

/// Nested deeper than this, a text is left as it is.
const DEEPEST: usize = 8;

/// The text with its LaTeX made plain.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '{']) {
        return Cow::Borrowed(text);
    }
    let mut text = text.to_owned();
    for (command, meaning) in MEANINGS {
        text = text.replace(command, meaning);
    }
    Cow::Owned(undress(&text, 0))
}

fn undress(text: &str, depth: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let name = 1 + rest[1..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (command, after) = rest.split_at(name);
        let dressed = DRESS.contains(&command).then(|| braced(after.trim_start())).flatten();
        let fraction = FRACTIONS.contains(&command).then(|| halves(after)).flatten();
        if let Some((inner, tail)) = dressed.filter(|_| depth < DEEPEST) {
            out.push_str(&undress(inner, depth + 1));
            rest = tail;
        } else if let Some((above, below, tail)) = fraction.filter(|_| depth < DEEPEST) {
            // `1\frac12` is a mixed number.
            if out.ends_with(|c: char| c.is_ascii_digit()) {
                out.push(' ');
            }
            let (above, below) = (undress(above, depth + 1), undress(below, depth + 1));
            let bare = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
            let part = |part: String| if bare(&part) { part } else { format!("({part})") };
            out.push_str(&part(above));
            out.push('/');
            out.push_str(&part(below));
            rest = tail;
        } else {
            out.push_str(command);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// What stands in the braces that the text begins with, and what follows them.
pub(super) fn braced(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let mut open = 1_usize;
    let end = inner.bytes().position(|byte| {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        open == 0
    })?;
    Some((&inner[..end], &inner[end + 1..]))
}

/// Numerator, denominator, and what follows: `{1}{2}`, or `12`.
fn halves(text: &str) -> Option<(&str, &str, &str)> {
    fn one(text: &str) -> Option<(&str, &str)> {
        let text = text.trim_start();
        braced(text).or_else(|| text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.split_at(1)))
    }
    let (above, rest) = one(text)?;
    let (below, rest) = one(rest)?;
    Some((above, below, rest))
}
