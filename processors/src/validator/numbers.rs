//! Numbers that stand in what an artefact was made from: `65,000`, `65k` and `65000.00` are one number, `6 pm` is `18`.

use super::finding::{Checked, Code, Findings, Severity};
use super::words::Words;
use super::{Check, Entry, Subject, settings};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ops::Range;

static CODES: &[Code] = &[Code {
    code: "number_not_in_source",
    severity: Severity::Blocking,
    doc: "a number that the source does not have",
}];

pub(super) const VALIDATOR: Entry = Entry {
    name: "numbers_match_source",
    doc: "Every number stands in what the artefact was made from.",
    settings: "ignore: numbers that need no source; up_to (0): whole numbers up to this need none; field",
    codes: CODES,
    make: |value| Ok(Box::new(Numbers { settings: settings(value)? })),
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    ignore: Vec<f64>,
    up_to: f64,
    field: Option<String>,
}

#[derive(Debug)]
struct Numbers {
    settings: Settings,
}

impl Check for Numbers {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let context = if subject.context.is_null() { String::new() } else { subject.context.to_string() };
        let sources: Vec<&str> =
            subject.sources.iter().copied().chain([context.as_str()]).filter(|text| !text.trim().is_empty()).collect();
        if sources.is_empty() {
            return Checked::skipped("there is no source to compare the numbers with");
        }
        let mut known: BTreeSet<u64> = BTreeSet::new();
        for source in sources {
            let words = Words::new(source);
            for number in numbers(&words) {
                known.extend(spellings(number.value).map(f64::to_bits));
            }
            known.extend(months(&words));
        }
        let mut found = Findings::new(CODES);
        for (field, text) in subject.artefact.texts() {
            if self.settings.field.as_ref().is_some_and(|own| *own != field) {
                continue;
            }
            let words = Words::new(&text);
            for number in numbers(&words) {
                let free = number.value <= self.settings.up_to && number.value.fract() == 0.0
                    || self.settings.ignore.contains(&number.value);
                let hour = (1.0..=12.0).contains(&number.value)
                    && ["pm", "p", "am", "a"].contains(&words.get(number.words.end));
                let has =
                    known.contains(&number.value.to_bits()) || hour && known.contains(&(number.value + 12.0).to_bits());
                if !free && !has && !number.counts_lines {
                    let remedy = "Write the number as the source has it, or leave it out.";
                    found.add(
                        "number_not_in_source",
                        Some(&field),
                        Some(words.span(number.words)),
                        "the source does not have this number",
                        remedy,
                    );
                }
            }
        }
        found.done(None)
    }
}

/// A number, and the same in thousands, in parts of a hundred, and as the hour after noon.
fn spellings(value: f64) -> impl Iterator<Item = f64> {
    let afternoon = (13.0..=23.0).contains(&value).then_some(value - 12.0);
    [Some(value), afternoon].into_iter().flatten()
}

#[derive(Debug)]
struct Number {
    words: Range<usize>,
    value: f64,
    /// `1.` at the beginning of a line.
    counts_lines: bool,
}

fn numbers(words: &Words<'_>) -> Vec<Number> {
    let (mut all, mut index) = (Vec::new(), 0);
    while index < words.all.len() {
        match number(words, index) {
            Some(number) => {
                index = number.words.end;
                all.push(number);
            }
            None => index += 1,
        }
    }
    all
}

fn number(words: &Words<'_>, index: usize) -> Option<Number> {
    let first = words.get(index);
    let length = first.len() - first.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if length == 0 || length > 15 {
        return None;
    }
    let (mut text, mut suffix, mut end) = (first[..length].to_owned(), first[length..].to_owned(), index + 1);
    while suffix.is_empty() && end < words.all.len() && end - index < 5 {
        let next = words.get(end);
        let digits = next.len() - next.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match words.gap(end) {
            "," if digits == 3 && !text.contains('.') && text.len() <= 12 => text.push_str(&next[..digits]),
            "." if digits > 0 && !text.contains('.') && digits < 10 => {
                text.push('.');
                text.push_str(&next[..digits]);
            }
            _ => break,
        }
        next[digits..].clone_into(&mut suffix);
        end += 1;
    }
    let scale = match suffix.as_str() {
        "" | "st" | "nd" | "rd" | "th" | "h" | "hr" | "hrs" | "am" | "pm" | "km" | "mi" | "lb" | "lbs" | "kg" | "x"
        | "usd" => 1.0,
        "k" => 1_000.0,
        "m" | "mm" => 1_000_000.0,
        // A part of a name or an id.
        _ => return None,
    };
    let value = text.parse::<f64>().ok()? * scale;
    let gap = words.gap(index);
    let begins = index == 0 && words.all[0].start == 0 || gap.ends_with('\n');
    let after = words.text()[words.all[end - 1].end..].starts_with([')', '.']);
    Some(Number { words: index..end, value, counts_lines: begins && after && value <= 50.0 })
}

/// Months that are named, as their numbers.
fn months(words: &Words<'_>) -> BTreeSet<u64> {
    const NAMES: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let month = |index: usize| {
        let word = words.get(index);
        let number = NAMES.iter().position(|name| word.len() >= 3 && word.len() <= 9 && word.starts_with(name))?;
        Some(f64::from(u32::try_from(number + 1).unwrap_or_default()).to_bits())
    };
    (0..words.all.len()).filter_map(month).collect()
}
