//! Numbers in texts, as exact values: decimals, fractions, mixed numbers, powers of ten. Never by way of floats.

/// A number, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Numerator and denominator in lowest terms, the denominator positive.
    Ratio(i128, i128),
    /// Digits that are too many for that: sign, whole part, fraction, without zeros that say nothing.
    Digits(bool, String, String),
}

/// A number in a text.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Absent where it is an operand of an expression (`2^10`, `10+x`): then it is no number of its own.
    pub(super) value: Option<Value>,
    /// Whether a percent sign or word follows.
    pub(super) percent: bool,
}

impl Found {
    /// Whether both mean the same. `50%` is 50 to some and 0.5 to others: where one of them has the sign, either will do.
    pub(super) fn means(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (&self.value, &other.value) else { return false };
        a == b
            || (self.percent && !other.percent && a.hundredth().as_ref() == Some(b))
            || (other.percent && !self.percent && b.hundredth().as_ref() == Some(a))
    }
}

/// So many digits fit in a ratio, with room to be multiplied.
const MOST_DIGITS: usize = 28;

impl Value {
    fn ratio(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let (mut a, mut b) = (numerator.unsigned_abs(), denominator.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let divisor = i128::try_from(a.max(1)).ok()?;
        let sign = if denominator < 0 { -1 } else { 1 };
        Some(Self::Ratio(sign * numerator / divisor, sign * denominator / divisor))
    }

    /// Of a decimal as it is written, with commas or without, times a power of ten.
    fn decimal(negative: bool, digits: &str, power: i32) -> Option<Self> {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let places = power - i32::try_from(fraction.len()).ok()?;
        let room = whole.len() + fraction.len() + usize::try_from(places.unsigned_abs()).ok()?;
        if room > MOST_DIGITS {
            let many = || Self::Digits(negative, whole.to_owned(), fraction.to_owned());
            return (power == 0).then(many);
        }
        let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
        let (signed, scale) = (if negative { -digits } else { digits }, 10_i128.pow(places.unsigned_abs()));
        if places < 0 { Self::ratio(signed, scale) } else { Some(Self::Ratio(signed * scale, 1)) }
    }

    /// `whole`, which may be nothing, and a fraction.
    fn mixed(negative: bool, whole: i128, numerator: i128, denominator: i128) -> Option<Self> {
        let numerator = whole.checked_mul(denominator)?.checked_add(numerator)?;
        Self::ratio(if negative { -numerator } else { numerator }, denominator)
    }

    fn hundredth(&self) -> Option<Self> {
        match self {
            Self::Ratio(numerator, denominator) => Self::ratio(*numerator, denominator.checked_mul(100)?),
            Self::Digits(..) => None,
        }
    }
}

/// All numbers of a text, in order.
pub(super) fn numbers(text: &str) -> Vec<Found> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
        if !(digit(i) || (bytes[i] == b'.' && digit(i + 1))) {
            i += 1;
            continue;
        }
        let (start, literal) = (i, literal(bytes, i));
        let negative = is_negative(text, start);
        let (end, value) = match fraction(text, start, literal) {
            Some((end, whole, numerator, denominator)) => (end, Value::mixed(negative, whole, numerator, denominator)),
            None => {
                let (end, power) = power(text, literal);
                (end, Value::decimal(negative, &text[start..literal], power))
            }
        };
        let before = bare_before(text, start);
        let word = text[..start].ends_with(|c: char| c.is_alphabetic() || c == '_');
        let after = text[end..].trim_start();
        let operand = before.ends_with(['/', '^', '*', '+', '×', '·', '_'])
            || after.starts_with(['/', '^', '*', '+', '×', '·'])
            || is_operand_of_letters(&text[end..]);
        let markdown = text[..start].ends_with("**") || text[end..].starts_with("**");
        let percent = after.starts_with('%') || after.starts_with("percent") || after.starts_with("per cent");
        found.push(Found { start, end, value: value.filter(|_| !word && (!operand || markdown)), percent });
        i = end;
    }
    found
}

/// `10^x` is caught by its sign; `1e5x` and `3e` by this: a letter `e` with digits that is no power.
fn is_operand_of_letters(after: &str) -> bool {
    let rest = after.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Where the decimal that begins at `i` ends.
fn literal(bytes: &[u8], mut i: usize) -> usize {
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let mut point = false;
    while digit(i)
        || (bytes.get(i) == Some(&b',') && digit(i + 1) && digit(i + 2) && digit(i + 3) && !digit(i + 4) && !point)
        || (bytes.get(i) == Some(&b'.') && digit(i + 1) && !std::mem::replace(&mut point, true))
    {
        i += 1;
    }
    i
}

fn bare_before(text: &str, start: usize) -> &str {
    text[..start].trim_end_matches([' ', '$', '€', '£', '¥', '\\'])
}

fn is_negative(text: &str, start: usize) -> bool {
    let before = bare_before(text, start);
    let adjacent = text[..start].ends_with(['-', '−']);
    let sign = adjacent || before.ends_with(['-', '−']) && before.len() < start && !text[..start].ends_with(' ');
    sign && !before.trim_end_matches(['-', '−']).ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// `a/b`, or `w a/b`: where it ends, and its parts.
fn fraction(text: &str, start: usize, literal: usize) -> Option<(usize, i128, i128, i128)> {
    let integer = |from: usize| {
        let length = text[from..].bytes().take_while(u8::is_ascii_digit).count();
        let value: i128 = text[from..from + length].parse().ok()?;
        (length <= MOST_DIGITS / 2).then_some((from + length, value))
    };
    let blanks = |at: usize| at + text[at..].bytes().take_while(|b| *b == b' ').count();
    let over = |numerator: i128, at: usize| {
        let slash = blanks(at);
        text[slash..].starts_with('/').then_some(())?;
        let (end, denominator) = integer(blanks(slash + 1))?;
        // A second slash makes it a date or a path, a point a decimal.
        let more = text[end..].trim_start().starts_with('/') || text[end..].starts_with(|c: char| c.is_alphanumeric());
        (denominator != 0 && !more).then_some((end, numerator, denominator))
    };
    let (end, first) = integer(start).filter(|(end, _)| *end == literal)?;
    if let Some((end, numerator, denominator)) = over(first, end) {
        return Some((end, 0, numerator, denominator));
    }
    let next = blanks(end);
    if next == end || !text[next..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (after, second) = integer(next)?;
    let (end, numerator, denominator) = over(second, after)?;
    (numerator < denominator).then_some((end, first, numerator, denominator))
}

/// `e5`, `×10^5`, `* 10^{-5}` behind a decimal: where it ends, and the power.
fn power(text: &str, literal: usize) -> (usize, i32) {
    let rest = &text[literal..];
    let number = |text: &str| {
        let sign = usize::from(text.starts_with(['-', '+']));
        let length = sign + text[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let power: i32 = text[..length].trim_start_matches('+').parse().ok()?;
        (length > sign && power.abs() <= 20).then_some((length, power))
    };
    let by_letter = || {
        let (length, power) = number(rest.strip_prefix(['e', 'E'])?)?;
        let ends = !rest[1 + length..].starts_with(|c: char| c.is_alphanumeric());
        ends.then_some((literal + 1 + length, power))
    };
    let by_ten = || {
        let raised = rest.trim_start().strip_prefix(['×', '*', '·'])?.trim_start().strip_prefix("10^")?;
        let braced = raised.strip_prefix('{');
        let (length, power) = number(braced.unwrap_or(raised))?;
        let tail = &braced.unwrap_or(raised)[length..];
        let tail = if braced.is_some() { tail.strip_prefix('}')? } else { tail };
        Some((text.len() - tail.len(), power))
    };
    by_letter().or_else(by_ten).unwrap_or((literal, 0))
}
