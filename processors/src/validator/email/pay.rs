//! Wages: amounts of money that are somebody's pay, pay bands, and what the client is billed.

use super::super::finding::Findings;
use super::super::words::{Phrases, Words};
use std::ops::Range;
use std::sync::LazyLock;

/// Words that make an amount a wage.
const PAY: &[&str] = &[
    "salary",
    "salaries",
    "pay",
    "pays",
    "paying",
    "paid",
    "wage",
    "wages",
    "rate",
    "rates",
    "compensation",
    "earn",
    "earns",
    "earning",
    "earnings",
    "make",
    "makes",
    "making",
    "income",
    "remuneration",
    "base",
    "comp",
    "ote",
    "package",
    "stipend",
    "payroll",
    "payrate",
    "offer",
    "offering",
    "sueldo",
    "salario",
    "pago",
];
const CURRENCY: &[&str] =
    &["usd", "dollars", "dollar", "bucks", "eur", "euros", "gbp", "pounds", "us$", "cad", "dolares"];
const UNITS: &[&str] = &[
    "hour", "hr", "hrs", "hours", "hourly", "h", "annum", "year", "yr", "yearly", "annual", "annually", "week",
    "weekly", "month", "monthly", "shift", "day", "daily", "hora", "ph", "pa",
];
/// Words that make an amount something else.
const OTHERS: &[&str] = &[
    "parking",
    "toll",
    "tolls",
    "gift",
    "bonus",
    "referral",
    "ticket",
    "lunch",
    "meal",
    "meals",
    "fare",
    "fee",
    "reimburse",
    "reimbursed",
    "reimbursement",
    "uniform",
    "boots",
    "mileage",
    "401",
    "raffle",
    "voucher",
    "coupon",
    "discount",
    "deductible",
    "copay",
    "insurance",
    "worth",
    "sponsor",
    "donation",
    "inventory",
    "revenue",
    "sales",
    "freight",
    "load",
    "budget",
];

static BANDS: LazyLock<Phrases> = LazyLock::new(|| {
    let bands = [
        "pay|salary|wage|compensation band|grade|tier|level|scale|bracket|bands",
        "paygrade",
        "payband",
        "grade level",
    ];
    Phrases::new(bands.into_iter().map(|band| (band, 0)))
});

static BILLED: LazyLock<Phrases> = LazyLock::new(|| {
    let billed = [
        "bill|billing|billed rate|rates",
        "markup",
        "mark up",
        "margin",
        "our spread",
        "client pays|pays us",
        "charge|charges the client",
        "bill the client",
    ];
    Phrases::new(billed.into_iter().map(|billed| (billed, 0)))
});

pub(super) fn find(field: &str, words: &Words<'_>, found: &mut Findings) {
    let remedy = "Delete the amount; say that pay is discussed in person or shown in the portal.";
    let amounts = amounts(words);
    // Amounts that were told to be something else already, by their first word.
    let mut told = Vec::new();
    for (_, range) in BILLED.find(words) {
        let sentence = words.sentence(range.start);
        let from = amounts.partition_point(|amount| amount.words.start < sentence.start);
        let to = amounts.partition_point(|amount| amount.words.start < sentence.end);
        if from < to {
            let (message, remedy) =
                ("says what the client is billed", "Delete what is said of bill rates and margins.");
            found.add("bill_rate", Some(field), Some(words.span(range)), message, remedy);
            told.extend(amounts[from..to].iter().map(|amount| amount.words.start));
        }
    }
    told.sort_unstable();
    for (_, range) in BANDS.find(words) {
        let named = (range.end..range.end + 3).any(|word| is_band(words.get(word)))
            || words.any(range.start.saturating_sub(3)..range.start, &["top", "highest", "lowest", "bottom", "upper"]);
        if named {
            let end = (range.end + 1).min(words.all.len());
            found.add(
                "pay_band",
                Some(field),
                Some(words.span(range.start..end)),
                "names a pay band",
                "Delete the pay band.",
            );
        }
    }
    for amount in amounts {
        let at = amount.words.start;
        // Nobody is paid so little, by whatever unit.
        if told.binary_search(&at).is_ok() || amount.kind == Kind::Bare && amount.value < 7.0 {
            continue;
        }
        let around = at.saturating_sub(9)..(amount.words.end + 7).min(words.all.len());
        let sentence = words.sentence(at);
        let near = around.start.max(sentence.start)..around.end.min(sentence.end);
        let about_pay = words.any(near.clone(), PAY);
        let by_unit = is_by_unit(words, &amount.words);
        let other =
            words.any(at.saturating_sub(5).max(sentence.start)..(amount.words.end + 5).min(sentence.end), OTHERS);
        // What somebody gets for an hour is pay, whatever it is called; a large sum of money is, unless something says otherwise.
        let is_pay = match amount.kind {
            Kind::Money => !other && (by_unit || about_pay || amount.value >= 10_000.0),
            Kind::Thousands => (20.0..=900.0).contains(&amount.value) && !other && (about_pay || by_unit),
            Kind::Bare => {
                by_unit && about_pay && !other && amount.value >= 7.0 && !hours(words, &amount.words)
                    || about_pay && !other && (15_000.0..=900_000.0).contains(&amount.value)
            }
        };
        if is_pay {
            found.add(
                "pay_disclosed",
                Some(field),
                Some(words.span(amount.words)),
                "says what somebody is paid",
                remedy,
            );
        }
    }
}

/// `40 hours at a good rate` is no pay.
fn hours(words: &Words<'_>, range: &Range<usize>) -> bool {
    ["hours", "hrs", "days", "weeks", "week", "day", "month", "shift", "months", "shifts"]
        .contains(&words.get(range.end))
}

fn is_band(word: &str) -> bool {
    word.len() <= 3
        && (word.bytes().all(|byte| byte.is_ascii_digit())
            || word.len() == 1 && word != "a" && word != "i"
            || ["ii", "iii", "iv", "vi"].contains(&word)
            || word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.ends_with(|c: char| c.is_ascii_digit()))
        && !word.is_empty()
}

fn is_by_unit(words: &Words<'_>, range: &Range<usize>) -> bool {
    let next = |n: usize| words.get(range.end + n);
    let gap = |n: usize| words.gap(range.end + n).trim();
    if gap(0).contains(['.', ',', ';', '\n']) && !gap(0).contains('/') {
        return false;
    }
    match next(0) {
        "per" | "an" | "a" | "each" | "every" | "by" | "la" | "por" => {
            UNITS.contains(&next(1)) || next(1) == "the" && UNITS.contains(&next(2))
        }
        "p" => ["h", "a"].contains(&next(1)),
        word if gap(0) == "/" => UNITS.contains(&word),
        "hourly" | "annually" | "yearly" | "weekly" | "monthly" | "daily" | "ph" | "pa" => true,
        _ => words.any(range.start.saturating_sub(3)..range.start, &["hourly", "annual", "yearly"]),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// With a sign or word of money.
    Money,
    /// `65k`.
    Thousands,
    /// A number alone.
    Bare,
}

#[derive(Clone, Debug)]
struct Amount {
    words: Range<usize>,
    value: f64,
    kind: Kind,
}

/// Numbers that could be amounts, in order. Of `65,000.50 USD` the words are `65`, `000`, `50` and `usd`.
fn amounts(words: &Words<'_>) -> Vec<Amount> {
    let (mut all, mut index) = (Vec::new(), 0);
    while index < words.all.len() {
        let Some(mut amount) = figures(words, index).or_else(|| spelled(words, index)) else {
            index += 1;
            continue;
        };
        let before = words.gap(index).trim_end();
        let sign = before.ends_with(['$', '€', '£'])
            || index == 0 && words.text()[..words.all[0].start].trim_end().ends_with(['$', '€', '£']);
        let gap = words.gap(amount.words.end);
        let behind = gap.starts_with(['$', '€', '£']);
        let named = CURRENCY.contains(&words.get(amount.words.end)) && gap.trim().is_empty();
        let named_before = index > 0 && CURRENCY.contains(&words.get(index - 1)) && before.trim().is_empty();
        if named {
            amount.words.end += 1;
        }
        if sign || behind || named || named_before {
            if amount.kind == Kind::Thousands {
                amount.value *= 1000.0;
            }
            amount.kind = Kind::Money;
        }
        index = amount.words.end;
        all.push(amount);
    }
    all
}

fn figures(words: &Words<'_>, index: usize) -> Option<Amount> {
    let first = words.get(index);
    let (digits, suffix) = first.split_at(first.len() - first.trim_start_matches(|c: char| c.is_ascii_digit()).len());
    let (mut text, mut end) = (digits.to_owned(), index + 1);
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    let mut suffix = suffix.to_owned();
    while suffix.is_empty() && end < words.all.len() && end - index < 5 {
        let (gap, next) = (words.gap(end), words.get(end));
        let number = next.len() - next.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let thousands = matches!(gap, "," | "." | "'" | " ") && number == 3 && text.len() <= 9;
        let cents = matches!(gap, "." | ",") && (1..=2).contains(&number) && !text.contains('.');
        let spoken = ["k", "grand", "thousand", "mil"].contains(&next) && matches!(gap, "" | " " | "-");
        if spoken {
            suffix = "k".to_owned();
        } else if thousands && !text.contains('.') {
            text.push_str(&next[..number]);
            suffix = next[number..].to_owned();
        } else if cents {
            text.push('.');
            text.push_str(&next[..number]);
            suffix = next[number..].to_owned();
        } else {
            break;
        }
        end += 1;
    }
    let kind = match suffix.as_str() {
        "" => Kind::Bare,
        "k" => Kind::Thousands,
        "usd" | "eur" | "dollars" => Kind::Money,
        _ => return None,
    };
    Some(Amount { words: index..end, value: text.parse().ok()?, kind })
}

/// `sixty-five thousand`, `twenty two`.
fn spelled(words: &Words<'_>, index: usize) -> Option<Amount> {
    let (mut value, mut part, mut end) = (0.0_f64, 0.0_f64, index);
    while end < words.all.len() && end - index < 8 && (end == index || matches!(words.gap(end).trim(), "" | "-")) {
        match words.get(end) {
            "hundred" if part > 0.0 => part *= 100.0,
            "thousand" | "grand" if part > 0.0 => {
                value += part * 1000.0;
                part = 0.0;
            }
            "and" if end > index => {}
            word => match small(word) {
                Some(n) => part += n,
                None => break,
            },
        }
        end += 1;
    }
    while end > index && words.get(end - 1) == "and" {
        end -= 1;
    }
    value += part;
    // One word is a number like any other; only tens and more are wages.
    (end > index && value >= 10.0).then_some(Amount { words: index..end, value, kind: Kind::Bare })
}

fn small(word: &str) -> Option<f64> {
    const ONES: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let at = |n: usize| f64::from(u32::try_from(n).unwrap_or_default());
    ONES.iter()
        .position(|name| *name == word)
        .map(at)
        .or_else(|| TENS.iter().position(|name| *name == word).map(|n| at((n + 2) * 10)))
}
