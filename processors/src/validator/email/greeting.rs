//! Whom a message greets.

use super::super::finding::Findings;
use super::super::fold::folded;
use super::super::persons::{Likeness, compare};
use super::message::Recipient;
use std::ops::Range;

/// Words that greet.
const GREETINGS: &[&str] = &[
    "good morning",
    "good afternoon",
    "good evening",
    "good day",
    "buenos dias",
    "buenas tardes",
    "sehr geehrter",
    "sehr geehrte",
    "hi there",
    "hi",
    "hello",
    "dear",
    "hey",
    "greetings",
    "hola",
    "estimado",
    "estimada",
    "querido",
    "querida",
    "bonjour",
    "cher",
    "chere",
    "hallo",
    "liebe",
    "lieber",
    "ciao",
    "ola",
    "hiya",
    "howdy",
    "morning",
    "attn",
    "attention",
];
/// Who is greeted where nobody is named.
const NOBODY: &[&str] = &[
    "there",
    "team",
    "all",
    "everyone",
    "everybody",
    "candidate",
    "applicant",
    "folks",
    "friend",
    "friends",
    "sir",
    "madam",
    "again",
    "worker",
    "colleague",
    "sir or madam",
    "hiring",
    "recipient",
    "you",
    "and",
    "from",
    "or",
    "to",
    "crew",
    "both",
];
/// Words with a capital that are no name, because a sentence goes on.
const GO_ON: &[&str] = &[
    "i",
    "we",
    "just",
    "thank",
    "thanks",
    "hope",
    "this",
    "your",
    "a",
    "an",
    "the",
    "it",
    "my",
    "our",
    "please",
    "are",
    "you",
    "is",
    "can",
    "could",
    "would",
    "there",
    "quick",
    "great",
    "good",
    "following",
    "as",
    "for",
    "on",
    "in",
    "happy",
    "hoping",
    "do",
    "if",
    "re",
    "with",
    "at",
    "new",
    "when",
    "that",
    "from",
    "here",
    "wanted",
    "am",
    "im",
    "i'm",
    "we're",
    "we've",
    "i've",
    "it's",
    "wishing",
    "let",
    "to",
];

pub(super) fn find(field: &str, text: &str, recipient: &Recipient<'_>, others: &[String], found: &mut Findings) {
    let Some(name) = recipient.name.as_deref() else { return };
    let Some((called, span)) = greeted(text) else { return };
    if others.iter().any(|other| compare(&called, other) == Likeness::Same) {
        return;
    }
    match compare(&called, name) {
        Likeness::Same => {}
        Likeness::Misspelt => {
            let remedy = "Write the recipient's name as the roster has it.";
            found.add("name_misspelt", Some(field), Some(span), "the recipient's name has a letter wrong", remedy);
        }
        Likeness::Other => {
            let remedy = format!("Greet the recipient, {}, or send it to the one who is greeted.", shown(name));
            found.add("wrong_name", Some(field), Some(span), "somebody else than the recipient is greeted", remedy);
        }
    }
}

/// The name in the greeting of the first line that says something, and its bytes.
pub(super) fn greeted(text: &str) -> Option<(String, Range<usize>)> {
    let (line, places) = first_line(text);
    let (name, range) = of_line(&line)?;
    let end = places.get(range.end - 1)?;
    Some((name, *places.get(range.start)?..end + text.get(*end..)?.chars().next()?.len_utf8()))
}

/// What is seen of the first line: without tags, marks that cannot be seen and signs of quoting before it; and for each
/// byte where it stands.
fn first_line(text: &str) -> (String, Vec<usize>) {
    let (mut line, mut places, mut tag) = (String::new(), Vec::new(), false);
    for (at, c) in text.char_indices().take(4_096) {
        match c {
            '<' => tag = true,
            '>' if tag => tag = false,
            _ if tag => {}
            '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => {}
            '\n' if line.trim().is_empty() => line.clear(),
            '\n' => break,
            '>' | '"' | '“' | '*' if line.trim().is_empty() => {}
            c => {
                line.push(c);
                places.resize(line.len(), at);
            }
        }
        if line.is_empty() {
            places.clear();
        }
    }
    (line, places)
}

fn of_line(line: &str) -> Option<(String, Range<usize>)> {
    // A line is long in a hostile text only.
    let head: String = line.chars().take(120).collect();
    let words: Vec<(usize, &str)> =
        head.split_whitespace().take(12).map(|word| (word.as_ptr() as usize - head.as_ptr() as usize, word)).collect();
    let plain = |word: &str| folded(word).trim_matches(|c: char| !c.is_alphanumeric() && c != '\'').to_owned();
    let first = words.first().map(|(_, word)| plain(word))?;
    let two = words.get(1).map(|(_, word)| format!("{first} {}", plain(word)));
    let skip = if two.is_some_and(|two| GREETINGS.contains(&two.as_str())) {
        2
    } else if GREETINGS.contains(&first.as_str()) {
        1
    } else {
        0
    };
    let ends = |word: &str| word.ends_with([',', '!', '.', ':', ';', '?', '-', '–', '—', '…']);
    if skip == 0 {
        // `Maria,` alone on its line.
        let end = words.iter().position(|(_, word)| ends(word))? + 1;
        let alone = end == words.len() && end <= 3 && words[end - 1].1.ends_with([',', ':', '!']);
        return (alone && words.iter().all(|(_, word)| capital(word))).then(|| taken(&head, &words[..end])).flatten();
    }
    // `Hi, Maria`: the greeting may be cut off itself.
    let mut end = skip;
    while let Some((_, word)) = words.get(end) {
        let plain = plain(word);
        let title = ["mr", "mrs", "ms", "miss", "mx", "dr"].contains(&plain.as_str());
        if end > skip
            && (GO_ON.contains(&plain.as_str()) || ["and", "or", "from", "y", "et", "und"].contains(&plain.as_str()))
            || plain.is_empty()
            || end - skip >= 5
        {
            break;
        }
        end += 1;
        if ends(word) && !title && !is_initial(word) {
            break;
        }
    }
    let named = &words[skip..end];
    let (_, last) = named.last()?;
    let first_plain = plain(named[0].1);
    if NOBODY.contains(&first_plain.as_str()) || GO_ON.contains(&first_plain.as_str()) {
        return None;
    }
    // Without a sign behind it, only words with capitals are the name.
    let capitals = named.iter().take_while(|(_, word)| capital(word)).count();
    let named = match (ends(last) || end == words.len(), capitals) {
        (true, _) if named.len() <= 4 => named,
        (_, 0) => return None,
        (_, capitals) => &named[..capitals],
    };
    taken(&head, named)
}

fn is_initial(word: &str) -> bool {
    word.ends_with('.') && word.chars().filter(|c| c.is_alphabetic()).count() == 1
}

fn capital(word: &str) -> bool {
    word.chars()
        .find(|c| c.is_alphanumeric())
        .is_some_and(|c| c.is_uppercase() || !c.is_lowercase() && c.is_alphabetic())
}

fn taken(head: &str, words: &[(usize, &str)]) -> Option<(String, Range<usize>)> {
    let ((start, _), (last, word)) = (words.first()?, words.last()?);
    let text = head.get(*start..last + word.len())?;
    let bare = text.trim_end_matches(|c: char| !c.is_alphanumeric());
    let bare = bare.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '[' && c != '{');
    // Blanks to be filled in are another fault.
    let is_name = bare.chars().any(char::is_alphabetic) && !text.contains(['{', '[', '<', '%', '$', '@', '_']);
    let empty = ["undefined", "null", "none", "nan", "xxx"].contains(&folded(bare).as_str());
    (is_name && !empty).then(|| (bare.to_owned(), *start..start + bare.len()))
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(64).collect();
    cut.escape_debug().to_string()
}
