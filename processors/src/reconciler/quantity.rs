//! What claimed values come to, so that `"$21.50/h"` and `"44,720 USD per year"`, `"12 mi"` and `"19.3 km"` can be compared.
//!
//! A text is a quantity if all of it is: a number, with a unit from the tables here. Anything else is a text, compared
//! without regard to case and blanks, or JSON, compared as it is. A year of work has 2,080 hours, a month a twelfth of
//! that, a week 40, a day 8.
//!
//! What is absent: exchange rates. Two currencies are two units.

use serde_json::Value;

/// Longest text that may be a quantity.
const MAX_TEXT: usize = 64;

/// A value, made ready to be compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Nothing: the source takes its word back.
    Nothing,
    /// So much of a unit, in the base unit of its dimension.
    Quantity(String, f64),
    /// A text, folded.
    Text(String),
    /// Other JSON, in one spelling.
    Other(String),
}

/// A unit: its dimension, and how much of the base unit it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// `length`, `mass`, `time`, `share`, `USD`, `USD per time`, …; empty: a number without unit.
    pub dimension: String,
    /// How much of the base unit.
    pub factor: f64,
}

impl Unit {
    /// Of bare numbers.
    pub fn none() -> Self {
        Self { dimension: String::new(), factor: 1.0 }
    }

    /// As it is written: `km`, `USD`, `USD/h`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let lower = text.to_lowercase();
        if let Some((dimension, factor, _)) = PLAIN.iter().find(|(.., names)| names.contains(&lower.as_str())) {
            return Some(Self { dimension: (*dimension).to_owned(), factor: *factor });
        }
        let (currency, rest) = currency(text)?;
        money(currency, rest)
    }
}

/// Dimension, factor, names.
const PLAIN: &[(&str, f64, &[&str])] = &[
    ("length", 1.0, &["m", "metre", "metres", "meter", "meters"]),
    ("length", 1_000.0, &["km", "kilometre", "kilometres", "kilometer", "kilometers"]),
    ("length", 1_609.344, &["mi", "mile", "miles"]),
    ("length", 0.304_8, &["ft", "foot", "feet"]),
    ("mass", 1.0, &["kg", "kilogram", "kilograms"]),
    ("mass", 0.001, &["g", "gram", "grams"]),
    ("mass", 0.453_592_37, &["lb", "lbs", "pound", "pounds"]),
    ("time", 1.0, &["s", "sec", "second", "seconds"]),
    ("time", 60.0, &["min", "minute", "minutes"]),
    ("time", 3_600.0, &["h", "hr", "hrs", "hour", "hours"]),
    ("time", 86_400.0, &["d", "day", "days"]),
    ("share", 0.01, &["%", "percent", "per cent"]),
];

/// How money is written.
const CURRENCIES: &[(&str, &str)] = &[
    ("US$", "USD"),
    ("$", "USD"),
    ("€", "EUR"),
    ("£", "GBP"),
    ("USD", "USD"),
    ("EUR", "EUR"),
    ("GBP", "GBP"),
    ("CHF", "CHF"),
    ("CAD", "CAD"),
    ("AUD", "AUD"),
    ("MXN", "MXN"),
    ("dollars", "USD"),
    ("euros", "EUR"),
];

/// Hours of work, and what a time is called that is paid for.
const PERIODS: &[(f64, &[&str])] = &[
    (1.0, &["h", "hr", "hour", "hourly", "ph", "p.h."]),
    (8.0, &["d", "day", "daily"]),
    (40.0, &["w", "wk", "week", "weekly"]),
    (2_080.0 / 12.0, &["mo", "month", "monthly"]),
    (2_080.0, &["y", "yr", "year", "yearly", "annum", "annually", "p.a."]),
];

fn currency(text: &str) -> Option<(&'static str, &str)> {
    let begins = |written: &str| text.get(..written.len()).is_some_and(|start| start.eq_ignore_ascii_case(written));
    let (written, code) = CURRENCIES.iter().find(|(written, _)| begins(written))?;
    Some((code, &text[written.len()..]))
}

/// Money, by what stands behind the currency.
fn money(currency: &str, rest: &str) -> Option<Unit> {
    let rest = rest.trim().to_lowercase();
    if rest.is_empty() {
        return Some(Unit { dimension: currency.to_owned(), factor: 1.0 });
    }
    let period = ["/", "per ", "an ", "a "].iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(&rest).trim();
    let (hours, _) = PERIODS.iter().find(|(_, names)| names.contains(&period))?;
    Some(Unit { dimension: format!("{currency} per time"), factor: 1.0 / hours })
}

/// A number at the beginning of a text, and the rest: `65k`, `65,000`, `-1.5`.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | '+' | '-')).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let groups: Vec<&str> = whole.trim_start_matches(['+', '-']).split(',').collect();
    if groups.len() > 1 && (groups[0].is_empty() || groups[0].len() > 3 || groups[1..].iter().any(|g| g.len() != 3)) {
        return None;
    }
    if groups[0].is_empty() || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: f64 = digits.replace(',', "").parse().ok().filter(|n: &f64| n.is_finite())?;
    match rest.strip_prefix(['k', 'K']) {
        Some(behind) if !behind.starts_with(char::is_alphabetic) => Some((amount * 1_000.0, behind)),
        _ => Some((amount, rest)),
    }
}

/// The quantity that all of a text is; without unit: of `bare`, if bare numbers count here.
fn quantity(text: &str, bare: Option<&Unit>) -> Option<Meaning> {
    let text = text.trim();
    if text.len() > MAX_TEXT {
        return None;
    }
    let of = |unit: &Unit, amount: f64| Meaning::Quantity(unit.dimension.clone(), amount * unit.factor);
    if let Some((code, rest)) = currency(text) {
        let (amount, rest) = number(rest.trim_start())?;
        // `$20 USD/h` names it twice.
        let rest = currency(rest.trim()).filter(|(again, _)| *again == code).map_or(rest, |(_, rest)| rest);
        return money(code, rest).map(|unit| of(&unit, amount));
    }
    let (amount, rest) = number(text)?;
    if rest.trim().is_empty() {
        return bare.map(|unit| of(unit, amount));
    }
    Unit::parse(rest).map(|unit| of(&unit, amount))
}

/// What a value means; `unit` is that of bare numbers, also where they are written as text.
pub fn meaning(json: &str, unit: Option<&Unit>) -> Meaning {
    match serde_json::from_str(json) {
        Ok(Value::Null) => Meaning::Nothing,
        Ok(Value::Number(number)) => match number.as_f64().filter(|n| n.is_finite()) {
            Some(amount) => {
                let unit = unit.cloned().unwrap_or_else(Unit::none);
                Meaning::Quantity(unit.dimension, amount * unit.factor)
            }
            None => Meaning::Other(number.to_string()),
        },
        Ok(Value::String(text)) => quantity(&text, unit).unwrap_or_else(|| Meaning::Text(folded(&text))),
        Ok(mut other) => {
            other.sort_all_objects();
            Meaning::Other(other.to_string())
        }
        Err(_) => Meaning::Other(json.to_owned()),
    }
}

fn folded(text: &str) -> String {
    text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_in_many_spellings() {
        let hourly = Unit::parse("USD/h").unwrap();
        for (json, dimension, amount) in [
            (r#""$21.50/h""#, "USD per time", 21.5),
            (r#""21.50 USD per hour""#, "USD per time", 21.5),
            (r#""US$ 21.50 hourly""#, "USD per time", 21.5),
            (r#""$21.50 USD an hour""#, "USD per time", 21.5),
            (r#""$44,720/yr""#, "USD per time", 21.5),
            ("21.5", "USD per time", 21.5),
            (r#""21.5""#, "USD per time", 21.5),
            (r#""65k USD""#, "USD", 65_000.0),
            (r#""€1,234.50""#, "EUR", 1_234.5),
            (r#""12 mi""#, "length", 19_312.128),
            (r#""19.312128km""#, "length", 19_312.128),
            (r#""-3 %""#, "share", -0.03),
        ] {
            match meaning(json, Some(&hourly)) {
                Meaning::Quantity(d, a) => assert!(d == dimension && (a - amount).abs() < 1e-9, "{json}: {a} {d}"),
                other => panic!("{json}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_quantity_stays_what_it_is() {
        for (json, folded) in [
            (r#""02134""#, "02134"),
            (r#"" Forklift   Operator""#, "forklift operator"),
            (r#""555-0142""#, "555-0142"),
            (r#""1,23 mi""#, "1,23 mi"),
            (r#""1.2.3 mi""#, "1.2.3 mi"),
            (r#""$""#, "$"),
            (r#""12 parsecs""#, "12 parsecs"),
        ] {
            assert_eq!(meaning(json, None), Meaning::Text(folded.to_owned()), "{json}");
        }
        assert_eq!(meaning("null", None), Meaning::Nothing);
        assert_eq!(meaning(r#"{"b":1,"a":2}"#, None), meaning(r#"{"a":2,"b":1}"#, None));
        assert_ne!(meaning(r#""$5""#, None), meaning(r#""€5""#, None));
    }
}
