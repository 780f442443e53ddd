//! What leads to a person: e-mail addresses, telephone numbers, US social security numbers, payment cards.

use super::Rule;
use super::scan::is_word;

fn here(_: &[u8], at: usize) -> usize {
    at
}

fn local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

pub(super) const EMAIL: Rule = Rule {
    kind: "email",
    group: "personal",
    doc: "an e-mail address",
    finds: |bytes, at| {
        // 64 is the longest local part, 255 the longest domain.
        if at == 0 || !bytes[at - 1].is_ascii_alphanumeric() && !b"_-+".contains(&bytes[at - 1]) {
            return None;
        }
        let domain = bytes[at + 1..].iter().take(255);
        let mut length = domain.take_while(|b| b.is_ascii_alphanumeric() || **b == b'-' || **b == b'.').count();
        while length > 0 && matches!(bytes[at + length], b'.' | b'-') {
            length -= 1;
        }
        let domain = &bytes[at + 1..at + 1 + length];
        let dot = domain.iter().rposition(|byte| *byte == b'.')?;
        let top = &domain[dot + 1..];
        let named = top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic) && dot > 0 && domain[0] != b'.';
        named.then_some(at + 1 + length)
    },
    back: |bytes, at| {
        let length = bytes[..at].iter().rev().take(64).take_while(|byte| local(**byte)).count();
        let mut start = at - length;
        // An address in a sentence: (mail=x@example.com), 'x@example.com'.
        if let Some(after) = bytes[start..at].iter().rposition(|byte| b"='`|{/&?".contains(byte)) {
            start += after + 1;
        }
        while start < at && !bytes[start].is_ascii_alphanumeric() && bytes[start] != b'_' {
            start += 1;
        }
        start
    },
    at: |byte| byte == b'@',
};

/// Digits from `at` on, single separators between them allowed; and where the last one ends.
fn digits(bytes: &[u8], at: usize, separators: &[u8], most: usize) -> (Vec<u8>, usize) {
    let (mut found, mut end) = (Vec::new(), at);
    let mut i = at;
    while i < bytes.len() && found.len() <= most {
        if bytes[i].is_ascii_digit() {
            found.push(bytes[i] - b'0');
            end = i + 1;
        } else if !separators.contains(&bytes[i]) || end != i || found.is_empty() {
            break;
        }
        i += 1;
    }
    (found, end)
}

/// Whether digits or a decimal point go on, so that this is a part of a longer number.
fn goes_on(bytes: &[u8], end: usize) -> bool {
    match (bytes.get(end), bytes.get(end + 1)) {
        (Some(byte), _) if is_word(*byte) => true,
        (Some(b'.' | b'-' | b','), Some(next)) => next.is_ascii_digit(),
        _ => false,
    }
}

fn comes_from(bytes: &[u8], at: usize) -> bool {
    at >= 2 && matches!(bytes[at - 1], b'.' | b'-' | b',' | b'/') && bytes[at - 2].is_ascii_alphanumeric()
}

pub(super) const SSN: Rule = Rule {
    kind: "ssn",
    group: "personal",
    doc: "a social security number",
    finds: |bytes, at| {
        let form = bytes.get(at..at + 11)?;
        let digit = |i: usize| form[i].is_ascii_digit();
        let shaped = (0..11).all(|i| if i == 3 || i == 6 { form[i] == b'-' } else { digit(i) });
        // Never given out: areas 000, 666 and 900 to 999, group 00, serial 0000.
        let given = &form[..3] != b"000" && &form[..3] != b"666" && form[0] != b'9';
        let given = given && &form[4..6] != b"00" && &form[7..] != b"0000";
        (shaped && given && !goes_on(bytes, at + 11) && !comes_from(bytes, at)).then_some(at + 11)
    },
    back: here,
    at: |byte| byte.is_ascii_digit(),
};

pub(super) const CARD: Rule = Rule {
    kind: "card",
    group: "personal",
    doc: "a card number",
    finds: |bytes, at| {
        let (number, end) = digits(bytes, at, b" -", 19);
        let sized = (13..=19).contains(&number.len()) && (2..=6).contains(&number[0]);
        let same = number.iter().all(|digit| *digit == number[0]);
        (sized && !same && luhn(&number) && !goes_on(bytes, end) && !comes_from(bytes, at)).then_some(end)
    },
    back: here,
    at: |byte| byte.is_ascii_digit(),
};

/// Whether the check digit is right (ISO/IEC 7812-1, annex B).
fn luhn(number: &[u8]) -> bool {
    let sum: u32 = number
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| {
            let digit = u32::from(*digit) * if i % 2 == 1 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

pub(super) const PHONE: Rule = Rule {
    kind: "phone",
    group: "personal",
    doc: "a telephone number",
    finds: |bytes, at| {
        if comes_from(bytes, at) {
            return None;
        }
        let (found, end) = match bytes[at] {
            // +49 30 5550 1234: a country and 7 to 14 digits more, single separators between.
            b'+' => {
                let (number, end) = digits(bytes, at + 1, b" -.()", 15);
                ((8..=15).contains(&number.len()) && number[0] != 0, end)
            }
            // (555) 555-0123
            b'(' => {
                let area = bytes.get(at + 1..at + 5)?;
                if area[3] != b')' || !area[..3].iter().all(u8::is_ascii_digit) {
                    return None;
                }
                let from = at + 5 + usize::from(bytes.get(at + 5) == Some(&b' '));
                let (number, end) = digits(bytes, from, b"-. ", 7);
                (number.len() == 7, end)
            }
            // 555-555-0123, 555.555.0123: without separators it is any number.
            _ => {
                let form = bytes.get(at..at + 12)?;
                let separator = form[3];
                let shaped =
                    (0..12).all(|i| if i == 3 || i == 7 { form[i] == separator } else { form[i].is_ascii_digit() });
                (shaped && b"-. ".contains(&separator) && (b'2'..=b'9').contains(&form[0]), at + 12)
            }
        };
        (found && !goes_on(bytes, end)).then_some(end)
    },
    back: here,
    at: |byte| byte.is_ascii_digit() || byte == b'+' || byte == b'(',
};
