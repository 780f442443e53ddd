//! Which language a text is in: by its script, and for Latin letters by the small words of a few languages.
//!
//! What is absent: certainty. A text with fewer than eight words, or without small words of any language, is not judged.

use super::finding::{Checked, Code, Findings, Severity};
use super::{Check, Entry, Subject, settings};
use serde::Deserialize;
use std::collections::BTreeMap;

static CODES: &[Code] =
    &[Code { code: "wrong_language", severity: Severity::Blocking, doc: "a text in another language" }];

pub(super) const VALIDATOR: Entry = Entry {
    name: "language",
    doc: "Texts in one of these languages.",
    settings: "allowed ([\"en\"]): of en, es, fr, de, pt, it, nl, pl, ru, zh, ja, ko, ar, he, el, th, hi; field",
    codes: CODES,
    make: |value| {
        let settings: Settings = settings(value)?;
        let known =
            |code: &str| SMALL.iter().any(|(name, _)| *name == code) || SCRIPTS.iter().any(|(name, ..)| *name == code);
        if let Some(unknown) = settings.allowed.iter().find(|code| !known(code)) {
            return Err(format!("no language is called `{}`", unknown.escape_debug()));
        }
        Ok(Box::new(Language { settings }))
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    allowed: Vec<String>,
    field: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allowed: vec!["en".to_owned()], field: None }
    }
}

#[derive(Debug)]
struct Language {
    settings: Settings,
}

impl Check for Language {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let mut found = Findings::new(CODES);
        let mut judged = false;
        for (field, text) in subject.artefact.texts() {
            if self.settings.field.as_ref().is_some_and(|own| *own != field) {
                continue;
            }
            let Some(language) = language(&text) else { continue };
            judged = true;
            if !self.settings.allowed.iter().any(|allowed| allowed == language) {
                let allowed = self.settings.allowed.join(", ");
                let message = format!("this is `{language}`, and {allowed} is wanted");
                found.add(
                    "wrong_language",
                    Some(&field),
                    Some(0..text.len()),
                    message,
                    format!("Write it in {allowed}."),
                );
            }
        }
        found.done((!judged).then(|| "there is too little text to tell its language".to_owned()))
    }
}

/// Words that a language cannot do without and few others have.
const SMALL: &[(&str, &[&str])] = &[
    (
        "en",
        &[
            "the", "and", "you", "to", "of", "is", "for", "we", "your", "are", "with", "this", "have", "it", "that",
            "will", "be", "at", "please", "not", "our", "from",
        ],
    ),
    (
        "es",
        &[
            "el", "la", "los", "las", "que", "de", "y", "en", "para", "con", "por", "una", "su", "es", "del", "usted",
            "se", "nuestro", "gracias", "al",
        ],
    ),
    (
        "fr",
        &[
            "le", "la", "les", "des", "et", "vous", "nous", "est", "pour", "une", "dans", "avec", "votre", "que", "du",
            "sur", "au", "ce", "merci", "pas",
        ],
    ),
    (
        "de",
        &[
            "der", "die", "das", "und", "sie", "ist", "für", "mit", "wir", "ein", "eine", "nicht", "zu", "den", "auf",
            "ihre", "von", "im", "bitte", "am",
        ],
    ),
    (
        "pt",
        &[
            "o", "os", "as", "que", "e", "para", "com", "uma", "você", "não", "seu", "sua", "do", "da", "em", "por",
            "nós", "obrigado", "ao", "é",
        ],
    ),
    (
        "it",
        &[
            "il", "lo", "gli", "che", "e", "per", "con", "una", "di", "è", "non", "del", "della", "sono", "grazie",
            "lei", "nel", "alla", "suo", "un",
        ],
    ),
    (
        "nl",
        &[
            "de", "het", "een", "en", "van", "u", "voor", "met", "wij", "niet", "is", "op", "uw", "dat", "zijn", "te",
            "bedankt", "naar", "ons", "je",
        ],
    ),
    (
        "pl",
        &[
            "i",
            "w",
            "na",
            "się",
            "z",
            "do",
            "nie",
            "jest",
            "dla",
            "że",
            "od",
            "pan",
            "pani",
            "są",
            "oraz",
            "proszę",
            "nasz",
            "o",
            "po",
            "dziękuję",
        ],
    ),
];

/// Scripts that stand for one language here, with ranges of their letters.
const SCRIPTS: &[(&str, u32, u32)] = &[
    ("ja", 0x3040, 0x30ff),
    ("zh", 0x4e00, 0x9fff),
    ("ko", 0xac00, 0xd7af),
    ("ru", 0x0400, 0x04ff),
    ("ar", 0x0600, 0x06ff),
    ("he", 0x0590, 0x05ff),
    ("el", 0x0370, 0x03ff),
    ("th", 0x0e00, 0x0e7f),
    ("hi", 0x0900, 0x097f),
];

/// The language of a text, if it can be told.
fn language(text: &str) -> Option<&'static str> {
    let mut scripts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut letters = 0_usize;
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        letters += 1;
        let code = c as u32;
        if let Some((name, ..)) = SCRIPTS.iter().find(|(_, from, to)| (*from..=*to).contains(&code)) {
            *scripts.entry(name).or_default() += 1;
        }
    }
    let foreign: usize = scripts.values().sum();
    if foreign * 2 > letters && letters >= 8 {
        // Han letters stand in Japanese, too.
        if scripts.get("ja").is_some_and(|kana| kana * 10 > foreign) {
            return Some("ja");
        }
        return scripts
            .into_iter()
            .max_by_key(|(name, count)| (*count, std::cmp::Reverse(*name)))
            .map(|(name, _)| name);
    }
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
    if words.len() < 8 {
        return None;
    }
    let count = |small: &[&str]| words.iter().filter(|word| small.contains(word)).count();
    let mut counts: Vec<(usize, &str)> = SMALL.iter().map(|(name, small)| (count(small), *name)).collect();
    counts.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let (first, second) = (counts[0], counts[1]);
    (first.0 * 12 >= words.len() && first.0 >= 2 && first.0 > second.0).then_some(first.1)
}

#[cfg(test)]
mod tests {
    use super::language;

    #[test]
    fn languages_are_told_where_they_can_be() {
        for (text, expected) in [
            ("Thank you for your interest in the shift at our warehouse on Monday.", Some("en")),
            ("Gracias por su interés en el turno de la bodega para el lunes.", Some("es")),
            ("Merci pour votre intérêt, nous vous attendons dans les locaux pour le poste.", Some("fr")),
            ("Wir freuen uns, dass Sie am Montag für die Schicht im Lager verfügbar sind.", Some("de")),
            ("Спасибо, ждём вас на смене в понедельник.", Some("ru")),
            ("月曜日のシフトにご参加いただけますか。", Some("ja")),
            ("您好，请问您星期一可以上班吗？谢谢。", Some("zh")),
            ("OK, see you.", None),
            ("", None),
        ] {
            assert_eq!(language(text), expected, "{text}");
        }
    }
}
