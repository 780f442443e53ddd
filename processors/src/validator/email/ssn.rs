//! Social security numbers, taxpayer numbers, and asking for them.
//!
//! A chain of nine digits cut after the third and the fifth is one, whatever stands between. Nine digits that are cut otherwise
//! are one beside a word that says so, where a telephone number should be, or spelled out.

use super::super::digits::Chain;
use super::super::finding::Findings;
use super::super::words::{Phrases, Words};
use std::sync::LazyLock;

/// Words for the number, and for asking.
static NAMES: LazyLock<Phrases> = LazyLock::new(|| {
    let names = [
        "ssn",
        "ssns",
        "ss",
        "s s n",
        "social security",
        "social insurance",
        "social",
        "soc sec",
        "soc",
        "tax id",
        "taxpayer",
        "itin",
        "seguro social",
        "numero de seguro",
        "ss number",
        "ss no",
        "socials",
    ];
    Phrases::new(names.into_iter().map(|name| (name, 0)))
});

static ASKS: &[&str] = &[
    "send", "reply", "provide", "share", "give", "tell", "text", "enter", "confirm", "need", "bring", "include",
    "submit", "verify", "fill", "attach", "forward", "what's", "what", "require", "want", "email",
];

/// Words that say that a number is another one.
static OTHERS: &[&str] = &[
    "job",
    "order",
    "ref",
    "reference",
    "invoice",
    "case",
    "ticket",
    "confirmation",
    "po",
    "zip",
    "req",
    "requisition",
    "badge",
    "tracking",
    "account",
    "id",
    "number",
    "no",
    "code",
    "pin",
    "routing",
    "license",
    "policy",
    "employee",
    "shift",
    "extension",
];

pub(in super::super) fn find(field: &str, words: &Words<'_>, chains: &[Chain], found: &mut Findings) {
    let named: Vec<_> = NAMES.find(words).into_iter().map(|(_, range)| range).collect();
    let names: Vec<usize> = named.iter().map(|range| range.start).collect();
    // Chains and names are both in the order of the text. What is said in another sentence is about something else, unless
    // the number follows at once.
    let near = |at: usize, most: usize| {
        let after = names.partition_point(|name| *name <= at);
        let one = |name: usize| words.all[name].sentence == words.all[at].sentence;
        let before = after.checked_sub(1).map(|i| names[i]);
        before.is_some_and(|name| at - name <= 4 || at - name <= most && one(name))
            || names.get(after).is_some_and(|name| name - at <= most.min(8) && one(*name))
    };
    let number_field =
        ["phone", "tel", "mobile", "fax", "cell", "contact"].iter().any(|name| field.to_lowercase().contains(name));
    for chain in chains {
        let remedy = "Delete the number. Never send a social security number by e-mail; ask the recipient to use the secure portal.";
        let mut add =
            |code, range, message: &str| found.add(code, Some(field), Some(words.span(range)), message, remedy);
        let at = chain.words().start;
        if let Some(range) = whole(chain, words) {
            add("ssn", range, "what looks like a social security number");
            continue;
        }
        let length = chain.len();
        if length == 9 {
            let as_phone = number_field
                || words.any(
                    at.saturating_sub(4)..at,
                    &["call", "phone", "cell", "mobile", "tel", "text", "fax", "whatsapp"],
                );
            let in_pieces = chain.groups.len() >= 5 || chain.is_spelled() && chain.groups.len() >= 3;
            let other = words.any(at.saturating_sub(3)..at, OTHERS)
                || words.gap(at).ends_with('#')
                || follows_letters(chain, words);
            // A number that is called something else is that, unless it is called both in one breath.
            let said = near(at, 12)
                && (!other || words.any(words.sentence(at).start..at, &["ssn", "social", "itin", "taxpayer"]));
            if said || in_pieces || as_phone {
                let message = if as_phone && !said {
                    "nine digits where a telephone number stands: what looks like a social security number"
                } else {
                    "what looks like a social security number"
                };
                add("ssn", chain.words(), message);
            } else if !other && chain.groups.len() <= 3 && chain.ends() != [5, 9] {
                add("ssn_possible", chain.words(), "nine digits that could be a social security number");
            }
        } else if length == 4
            && near(at, 7)
            && words.any(
                at.saturating_sub(9)..at,
                &["last", "ending", "ends", "four", "4", "digits", "ssn", "social", "xx", "xxx"],
            )
        {
            add("ssn_partial", chain.words(), "digits of a social security number");
        } else if length > 9 && near(at, 4) && length <= 24 && chain.groups.iter().any(|group| group.digits.len() == 9)
        {
            add("ssn", chain.words(), "what looks like a social security number");
        } else if length == 5 && near(at, 7) && chain.groups.len() == 2 && chain.groups[1].digits.len() == 4 {
            add("ssn_partial", chain.words(), "digits of a social security number");
        }
    }
    for (name, end) in named.iter().map(|range| (&range.start, range.end)) {
        let sentence = words.sentence(*name);
        let asked = sentence.clone().take_while(|word| word < name).find(|word| ASKS.contains(&words.get(*word)));
        // `Social` alone is a word like others.
        let certain = words.get(*name) != "social" && words.get(*name) != "soc"
            || ["security", "number", "sec"].contains(&words.get(name + 1));
        // A card that is shown on the first day is not sent.
        let is_other = ["card", "cards", "office", "administration", "benefits", "media", "worker", "services"]
            .contains(&words.get(end));
        if let Some(asked) = asked
            && certain
            && !is_other
            && !words.any(sentence.start..*name, &["never", "not", "don't", "dont", "won't", "no", "without", "cannot"])
            && !words.is_denied(asked)
        {
            let remedy = "Do not ask for it by e-mail; name the secure portal or the visit at which it is taken.";
            found.add(
                "asks_for_ssn",
                Some(field),
                Some(words.span(asked..end)),
                "asks for a social security number",
                remedy,
            );
        }
    }
}

/// The words of a whole number within a chain: 3-2-4.
fn whole(chain: &Chain, words: &Words<'_>) -> Option<std::ops::Range<usize>> {
    let ends = chain.ends();
    let all = chain.len();
    if all == 9 && ends.contains(&3) && ends.contains(&5) && is_given(&chain.digits()) {
        return Some(chain.words());
    }
    // Among other digits: with one sign between its parts, that is not the one before and behind it.
    let sign = |group: usize| words.gap(chain.groups[group].word);
    let fits = |at: usize| {
        let lengths = [0, 1, 2].map(|n| chain.groups[at + n].digits.len());
        let (first, second) = (sign(at + 1), sign(at + 2));
        let before = at == 0 || sign(at) != first;
        let behind = at + 3 == chain.groups.len() || sign(at + 3) != first;
        let digits: Vec<u8> = chain.groups[at..at + 3].iter().flat_map(|group| group.digits.iter().copied()).collect();
        lengths == [3, 2, 4] && first.trim() == second.trim() && before && behind && is_given(&digits)
    };
    let at = (0..chain.groups.len().saturating_sub(2)).find(|at| fits(*at))?;
    Some(chain.groups[at].word..chain.groups[at + 2].word + 1)
}

/// Whether such a number can have been given to anybody: social security numbers do not begin with 000 or 666, taxpayer
/// numbers begin with 9 and have a group of 50 on.
fn is_given(digits: &[u8]) -> bool {
    let area = digits[..3].iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit));
    let group = digits[3] * 10 + digits[4];
    let serial = digits[5..9].iter().any(|digit| *digit != 0);
    serial
        && match area {
            0 | 666 => false,
            900.. => group >= 50,
            _ => group > 0,
        }
}

/// `W-123456789` is an id.
fn follows_letters(chain: &Chain, words: &Words<'_>) -> bool {
    let at = chain.words().start;
    words.gap(at) == "-" && words.get(at.wrapping_sub(1)).bytes().all(|byte| byte.is_ascii_lowercase())
}
