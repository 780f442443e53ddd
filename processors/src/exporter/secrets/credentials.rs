//! Keys that open something: private keys, JSON Web Tokens, and keys of providers by their known forms.

use super::Rule;

fn here(_: &[u8], at: usize) -> usize {
    at
}

/// Bytes from `at` on that are in the class.
fn run(bytes: &[u8], at: usize, class: fn(u8) -> bool) -> usize {
    bytes[at.min(bytes.len())..].iter().take_while(|byte| class(**byte)).count()
}

fn url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn hexadecimal(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

pub(super) const PRIVATE_KEY: Rule = Rule {
    kind: "private_key",
    group: "secrets",
    doc: "a private key",
    finds: |bytes, at| {
        let rest = bytes[at..].strip_prefix(b"-----BEGIN ")?;
        let line = rest.iter().take(64).position(|byte| *byte == b'-')?;
        let name = &rest[..line];
        if !name.ends_with(b"PRIVATE KEY") && !name.ends_with(b"PRIVATE KEY BLOCK") {
            return None;
        }
        // Without its end it is a key all the same, to the end of the text.
        let end = [b"-----END ".as_slice(), name, b"-----"].concat();
        let found = bytes[at..].windows(end.len()).position(|window| window == end);
        Some(found.map_or(bytes.len(), |found| at + found + end.len()))
    },
    back: here,
    at: |byte| byte == b'-',
};

pub(super) const JWT: Rule = Rule {
    kind: "jwt",
    group: "secrets",
    doc: "a JSON Web Token",
    finds: |bytes, at| {
        // `{"` in Base64 begins with `eyJ`.
        let mut end = at;
        for (part, least) in [(0, 10), (1, 10), (2, 16)] {
            if part < 2 && !bytes[end..].starts_with(b"eyJ") {
                return None;
            }
            let length = run(bytes, end, url_safe);
            if length < least {
                return None;
            }
            end += length;
            if part < 2 {
                if bytes.get(end) != Some(&b'.') {
                    return None;
                }
                end += 1;
            }
        }
        Some(end)
    },
    back: here,
    at: |byte| byte == b'e',
};

/// A form: how it begins, what follows, how much of that at least and at most.
type Form = (&'static str, fn(u8) -> bool, usize, usize);

/// Keys of providers. Longer beginnings before shorter ones.
const FORMS: &[Form] = &[
    ("AKIA", upper, 16, 16),
    ("ASIA", upper, 16, 16),
    ("AIza", url_safe, 35, 35),
    ("SG.", |byte| url_safe(byte) || byte == b'.', 40, 80),
    ("dop_v1_", hexadecimal, 64, 64),
    ("gh", |byte| alphanumeric(byte) || byte == b'_', 38, 260),
    ("github_pat_", |byte| alphanumeric(byte) || byte == b'_', 22, 255),
    ("glpat-", url_safe, 20, 64),
    ("hf_", alphanumeric, 30, 64),
    ("npm_", alphanumeric, 36, 36),
    ("pypi-", url_safe, 60, 400),
    ("rk_live_", alphanumeric, 16, 256),
    ("rk_test_", alphanumeric, 16, 256),
    ("shpat_", hexadecimal, 32, 32),
    ("sk_live_", alphanumeric, 16, 256),
    ("sk_test_", alphanumeric, 16, 256),
    ("sk-", url_safe, 20, 256),
    ("xapp-", |byte| alphanumeric(byte) || byte == b'-', 20, 256),
    ("xox", |byte| alphanumeric(byte) || byte == b'-', 20, 256),
    ("ya29.", url_safe, 20, 1_024),
];

pub(super) const API_KEY: Rule = Rule {
    kind: "api_key",
    group: "secrets",
    doc: "an API key",
    finds: |bytes, at| {
        FORMS.iter().find_map(|(beginning, class, least, most)| {
            let rest = bytes[at..].strip_prefix(beginning.as_bytes())?;
            match *beginning {
                // ghp_, gho_, ghu_, ghs_, ghr_
                "gh" if !(rest.len() > 1 && b"pousr".contains(&rest[0]) && rest[1] == b'_') => return None,
                "xox" if !(rest.len() > 1 && b"abeprs".contains(&rest[0]) && rest[1] == b'-') => return None,
                _ => {}
            }
            let from = at + beginning.len();
            let length = run(bytes, from, *class);
            // A key has digits; `sk-` and a long hyphenated word has none.
            let digits = bytes[from..from + length].iter().any(u8::is_ascii_digit);
            (length >= *least && length <= *most && digits).then_some(from + length)
        })
    },
    back: here,
    at: |byte| FORMS.iter().any(|(beginning, ..)| beginning.as_bytes()[0] == byte),
};
