//! Times: microseconds since 1970 inside, RFC 3339 with a zone in JSON.

use crate::event::Micros;
use jiff::Timestamp;

/// Latest time taken: 2262-01-01T00:00:00Z, so that nanoseconds fit 64 bits everywhere.
pub const MAX: Micros = 9_214_646_400_000_000;

/// Reads RFC 3339 (`2026-01-31T12:00:00Z`, any offset, up to nine fractional digits, of which six are kept).
///
/// # Errors
/// Says what is wrong and what is wanted. Times before 1970 or after 2261 are refused.
pub fn parse(text: &str) -> Result<Micros, String> {
    let wanted = "write RFC 3339 with a zone, as in 2026-01-31T12:00:00Z";
    match form(text.as_bytes()) {
        Form::Right => {}
        Form::NoZone => return Err(format!("`{text}` has no zone; {wanted} (Z for UTC)")),
        Form::Other => return Err(format!("`{}` is not a time; {wanted}", shortened(text))),
    }
    // jiff reads a space and lower-case letters too; it refuses days that the month does not have.
    let timestamp: Timestamp = text.parse().map_err(|_| format!("`{text}` is no time that exists; {wanted}"))?;
    let micros = timestamp.as_microsecond();
    check(micros).map_err(|_| format!("`{text}` is out of range; times from 1970 to 2261 are taken"))?;
    Ok(micros)
}

/// RFC 3339 in UTC, with as many fractional digits as it needs.
pub fn format(micros: Micros) -> String {
    match Timestamp::from_microsecond(micros) {
        Ok(timestamp) => timestamp.to_string(),
        // Only for values that `check` refuses.
        Err(_) => format!("{micros}us"),
    }
}

/// Whether a time is one that is taken.
pub fn check(micros: Micros) -> Result<(), String> {
    if (0..=MAX).contains(&micros) {
        Ok(())
    } else {
        Err(format!("{micros} microseconds since 1970 is out of range; times from 1970 to 2261 are taken"))
    }
}

enum Form {
    Right,
    NoZone,
    Other,
}

/// `dddd-dd-ddTdd:dd:dd[.d{1,9}](Z|±dd:dd)`.
fn form(text: &[u8]) -> Form {
    let pattern = b"dddd-dd-ddTdd:dd:dd";
    let Some((head, mut rest)) = text.split_at_checked(pattern.len()) else { return Form::Other };
    let fits = head.iter().zip(pattern).all(|(c, p)| match p {
        b'd' => c.is_ascii_digit(),
        b'T' => matches!(c, b'T' | b't' | b' '),
        p => c == p,
    });
    if !fits {
        return Form::Other;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|c| c.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return Form::Other;
        }
        rest = &fraction[digits..];
    }
    match rest {
        [] => Form::NoZone,
        [b'Z' | b'z'] => Form::Right,
        [b'+' | b'-', h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|c| c.is_ascii_digit()) => Form::Right,
        _ => Form::Other,
    }
}

fn shortened(text: &str) -> String {
    let mut out: String = text.chars().take(40).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
