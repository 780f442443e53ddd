//! What a message must not say, by words. A table of phrases; a phrase within a sentence that denies it, or that says that
//! everybody is welcome, is none.

use super::super::finding::Findings;
use super::super::words::{Phrases, Words};
use std::sync::LazyLock;

struct Kind {
    code: &'static str,
    message: &'static str,
    remedy: &'static str,
    /// A sentence that denies it says the opposite.
    can_be_denied: bool,
    phrases: &'static [&'static str],
}

static KINDS: &[Kind] = &[
    Kind {
        code: "discriminatory",
        message: "prefers or rules out people by a protected trait",
        remedy: "Delete it; say what the work asks for, and nothing of who should do it.",
        can_be_denied: false,
        phrases: &[
            "young and energetic|dynamic|ambitious|vibrant",
            "youthful",
            "recent graduates only",
            "recent graduate only",
            "digital native|natives",
            "under 30|35|40|45",
            "no older than",
            "not older than",
            "too old",
            "over 40|50 need not",
            "mature candidates only",
            "males|men|women|females|ladies|girls only",
            "male|female|men|women preferred",
            "male|female candidates|workers|applicants only|preferred",
            "no women|men|females|males",
            "only men|women|males|females",
            "he must be",
            "she must be",
            "strong young|healthy men|man|men",
            "manpower only",
            "christian|muslim|jewish|hindu|catholic candidates|workers|only|preferred|applicants",
            "good christian",
            "church going|goer",
            "native english speaker|speakers",
            "native speaker|speakers only",
            "no accent|accents",
            "without an accent",
            "american born|citizens only",
            "us citizens only",
            "citizens only",
            "no foreigners",
            "no immigrants",
            "white|black|asian|hispanic|latino candidates|workers|only|preferred",
            "able bodied",
            "no disabilities|disability",
            "must not be disabled",
            "healthy individuals only",
            "no pregnant",
            "must not be pregnant",
            "no mothers",
            "without children",
            "no children",
            "no kids",
            "single people|men|women|workers only|preferred",
            "unmarried",
            "no gays",
            "straight only",
            "our kind of people",
            "people like us",
            "clean cut",
            "all american",
            "solo hombres|mujeres",
            "joven y dinamico",
        ],
    },
    Kind {
        code: "asks_protected",
        message: "asks for a protected trait, health or family plans",
        remedy: "Delete the question; ask only whether the recipient can do the tasks of the job.",
        can_be_denied: true,
        phrases: &[
            "are you pregnant",
            "planning to have|start children|kids|a",
            "plan on having|plan to have children|kids",
            "do you have children|kids",
            "how old are you",
            "your age",
            "what year were you born",
            "when were you born",
            "date of birth",
            "are you married",
            "marital status",
            "what is your religion",
            "your religion",
            "which church",
            "what church",
            "your nationality",
            "where were you born",
            "country of birth",
            "are you a citizen",
            "your immigration status",
            "are you disabled",
            "any disabilities",
            "a disability|disabilities that",
            "medical conditions|condition",
            "your health history",
            "your race",
            "your ethnicity",
            "sexual orientation",
            "your gender",
            "are you gay",
            "genetic test|information",
            "have you ever been arrested",
            "union member|membership",
            "who did you vote",
        ],
    },
    Kind {
        code: "promise",
        message: "promises or guarantees what nobody can",
        remedy: "Say what is offered and under which conditions, without a promise or guarantee.",
        can_be_denied: true,
        phrases: &[
            "guarantee|guarantees|guaranteed|guaranteeing",
            "we promise",
            "i promise",
            "you|you'll will|definitely definitely|get get|be|hired",
            "you will definitely",
            "you'll definitely",
            "100 percent certain|guaranteed|sure",
            "risk free",
            "can't lose",
            "cannot lose",
            "no risk",
            "job is yours",
            "position is yours",
            "the job for life",
            "permanent position for sure",
            "hired for sure",
            "for sure get",
            "will certainly be hired",
            "certain to be hired",
            "secure for life",
            "never be laid",
            "always have work",
            "te garantizamos|garantizo",
            "garantizado",
        ],
    },
    Kind {
        code: "pressure",
        message: "presses the recipient",
        remedy: "Say until when an answer is needed, and leave the choice to the recipient.",
        can_be_denied: true,
        phrases: &[
            "or else",
            "last chance",
            "act now",
            "you must accept",
            "final warning",
            "we will blacklist",
            "you'll be blacklisted",
            "never call you again",
            "lose your spot forever",
            "respond immediately",
            "reply immediately or",
            "you have no choice",
            "don't tell anyone",
            "keep this between us",
        ],
    },
    Kind {
        code: "unprofessional",
        message: "words that do not belong in a message",
        remedy: "Say it politely.",
        can_be_denied: false,
        phrases: &[
            "damn",
            "damned",
            "stupid",
            "idiot|idiots",
            "shit",
            "bullshit",
            "fuck|fucking",
            "crap",
            "wtf",
            "bitch",
            "asshole",
            "moron|morons",
            "sweetheart",
            "honey",
            "babe",
            "shut up",
            "lazy",
            "you people",
            "screw up|you",
        ],
    },
    Kind {
        code: "asks_for_bank_details",
        message: "asks for bank details, passwords or card numbers",
        remedy: "Do not ask for it by e-mail; name the secure portal.",
        can_be_denied: true,
        phrases: &[
            "your|the bank account|routing|details|login",
            "account and routing",
            "routing number",
            "your password",
            "your pin",
            "credit|debit card number|details",
            "card number",
            "online banking",
            "driver's license number",
            "passport number",
            "mother's maiden name",
            "your login",
        ],
    },
    Kind {
        code: "asks_for_money",
        message: "asks for money",
        remedy: "Delete it: a worker never pays for a job.",
        can_be_denied: true,
        phrases: &[
            "wire transfer",
            "send money",
            "gift card codes",
            "buy gift cards",
            "purchase gift cards",
            "pay a|the|an application|registration|processing|training|deposit fee|deposit",
            "pay upfront",
            "pay up front",
            "registration fee",
            "processing fee",
            "application fee",
            "training fee",
            "western union",
            "in bitcoin",
            "refundable deposit",
            "cash app",
        ],
    },
    Kind {
        code: "left_over",
        message: "words of the model's that are not meant for the recipient",
        remedy: "Delete everything that is not the message itself.",
        can_be_denied: false,
        phrases: &[
            "as an ai",
            "as a language model",
            "here is the email",
            "here's the email",
            "here is a draft",
            "here's a draft",
            "here is your email",
            "i hope this draft",
            "sure here's",
            "certainly here is|here's",
            "let me know if you'd like me to|changes",
            "feel free to edit|customize",
            "revised version below",
            "draft email",
            "insert name here",
            "end of email",
            "option 1",
            "tone professional",
        ],
    },
];

static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
    let of = |(number, kind): (usize, &'static Kind)| kind.phrases.iter().map(move |phrase| (*phrase, number));
    Phrases::new(KINDS.iter().enumerate().flat_map(of))
});

/// Words of a sentence that welcomes everybody.
static WELCOME: LazyLock<Phrases> = LazyLock::new(|| {
    let phrases = [
        "equal opportunity",
        "regardless of",
        "without regard to",
        "do not discriminate",
        "does not discriminate",
        "accommodation|accommodations",
        "on the basis of",
        "discrimination",
    ];
    Phrases::new(phrases.into_iter().map(|phrase| (phrase, 0)))
});

pub(super) fn find(field: &str, text: &str, words: &Words<'_>, found: &mut Findings) {
    let mut welcomes: Vec<usize> =
        WELCOME.find(words).into_iter().map(|(_, range)| words.all[range.start].sentence).collect();
    welcomes.dedup();
    for (number, range) in PHRASES.find(words) {
        let kind = &KINDS[number];
        let protected = matches!(kind.code, "discriminatory" | "asks_protected");
        let welcome = protected && welcomes.binary_search(&words.all[range.start].sentence).is_ok();
        // `No guarantee` denies within what was found, too.
        let denied = kind.can_be_denied && (words.is_denied(range.start) || words.get(range.end) == "not");
        if !welcome && !denied && !is_harmless(kind.code, words, &range) {
            found.add(kind.code, Some(field), Some(words.span(range)), kind.message, kind.remedy);
        }
    }
    shouting(field, text, found);
}

/// Uses of a phrase that say something else.
fn is_harmless(code: &str, words: &Words<'_>, range: &std::ops::Range<usize>) -> bool {
    let (first, before, after) = (words.get(range.start), words.get(range.start.wrapping_sub(1)), words.get(range.end));
    match (code, first) {
        // Hours that are guaranteed by contract are a fact of the job.
        ("promise", "guaranteed") => ["hours", "minimum"].contains(&after) || before == "hours",
        ("asks_for_bank_details", _) => words.any(words.sentence(range.start), &["portal", "never", "onboarding"]),
        ("unprofessional", "honey") => ["baked", "glazed"].contains(&after) || before == "the",
        ("asks_protected", "date") => words.any(words.sentence(range.start), &["portal"]),
        _ => false,
    }
}

/// Three words or more of four letters in a row, and all of a line, in capitals.
fn shouting(field: &str, text: &str, found: &mut Findings) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let letters = line.chars().filter(|c| c.is_alphabetic()).count();
        let capitals = line.chars().filter(|c| c.is_uppercase()).count();
        let long =
            line.split_whitespace().filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() >= 4).count();
        if long >= 4 && letters >= 20 && capitals * 10 >= letters * 9 {
            let end = at + line.trim_end().len();
            found.add(
                "shouting",
                Some(field),
                Some(at..end),
                "a line is all in capitals",
                "Write it in small letters.",
            );
            return;
        }
        at += line.len();
    }
}
