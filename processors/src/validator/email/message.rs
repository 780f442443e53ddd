//! A message taken apart, and whom it is for.

use super::super::artefact::{Artefact, Subject, list, member, plain, said};
use super::super::digits::Chain;
use super::super::finding::Findings;
use super::super::fold::folded;
use super::super::persons::{Likeness, compare};
use super::super::words::Words;
use serde_json::Value;
use std::collections::BTreeSet;
use stillhouse_schemas::roster::{Roster, Worker};

const TO: &[&str] = &["to", "recipient", "recipients", "email", "to_email", "recipient_email"];
const SUBJECT: &[&str] = &["subject", "title"];
const BODY: &[&str] = &["body", "text", "content", "html", "message"];
const WORKER: &[&str] = &["worker_id", "to_worker_id", "recipient_id", "candidate_id", "employee_id"];

/// What of a message is there.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) to: Vec<String>,
    pub(super) copies: Vec<String>,
    pub(super) from: Vec<String>,
    pub(super) subject: Option<String>,
    pub(super) body: Option<String>,
    worker: Option<String>,
    name: Option<String>,
    /// Every text with its field; `subject` and `body` under these names.
    pub(super) texts: Vec<(String, String)>,
}

impl Message {
    pub(super) fn read(artefact: &Artefact) -> Self {
        match artefact.json() {
            Some(object) if object.is_object() => Self::of_json(object, artefact),
            _ => Self::of_text(artefact.text()),
        }
    }

    fn of_json(object: &Value, artefact: &Artefact) -> Self {
        let name = |names: &[&'static str]| {
            names.iter().find(|name| object.get(**name).is_some_and(|v| !v.is_null())).copied()
        };
        let text = |names: &[&str]| names.iter().find_map(|name| object.get(*name)?.as_str()).map(str::to_owned);
        let (subject, body) = (name(SUBJECT), name(BODY));
        let rename = |path: String| match path {
            path if Some(path.as_str()) == subject => "subject".to_owned(),
            path if Some(path.as_str()) == body => "body".to_owned(),
            path => path,
        };
        let to = TO.iter().find_map(|name| object.get(*name));
        Self {
            to: addressed(to),
            copies: [list(object.get("cc")), list(object.get("bcc"))].concat(),
            from: addressed(member(object, &["from", "sender", "reply_to"])),
            subject: text(SUBJECT),
            body: text(BODY),
            worker: said(object, WORKER)
                .or_else(|| member(object, &["worker", "to", "recipient"]).and_then(|w| said(w, &["worker_id", "id"]))),
            name: said(object, &["to_name", "recipient_name", "worker_name"])
                .or_else(|| member(object, &["worker", "to", "recipient"]).and_then(|w| said(w, &["name"]))),
            texts: artefact.texts().into_iter().map(|(path, text)| (rename(path), text)).collect(),
        }
    }

    /// Header lines, a blank line, the body. Without a header line all of it is the body.
    fn of_text(text: &str) -> Self {
        let mut message = Self::default();
        let mut rest = text.trim();
        while let Some((name, value)) = rest.lines().next().and_then(|line| line.split_once(':')) {
            let name = name.trim().trim_matches(['*', '#', ' ']).to_lowercase();
            let value = value.trim_matches(['*', ' ']).to_owned();
            let all = || list(Some(&Value::String(value.clone())));
            match name.as_str() {
                "subject" => message.subject = Some(value.clone()),
                "to" => message.to = all(),
                "cc" | "bcc" => message.copies.extend(all()),
                "from" | "reply-to" => message.from = all(),
                "date" => {}
                _ => break,
            }
            message.texts.push((name, value));
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start_matches(['\r', '\n']);
        }
        let body = rest.trim().to_owned();
        if !body.is_empty() {
            message.body = Some(body.clone());
        }
        message.texts.push(("body".to_owned(), body));
        message
    }

    /// Whom it goes to.
    pub(super) fn addresses(&self, recipient: &Recipient<'_>, subject: &Subject<'_>, found: &mut Findings) {
        if self.to.is_empty() && recipient.is_nobody() {
            found.add(
                "no_recipient",
                Some("to"),
                None,
                "nobody is named that it goes to",
                "Add `to` with the recipient's address.",
            );
        }
        if let Some(id) = &recipient.missing {
            let message = format!("the roster has no worker `{}`", shown(id));
            found.add(
                "unknown_recipient",
                Some("worker_id"),
                None,
                message,
                "Write to a worker of the roster, by the id that it has there.",
            );
        }
        let mut others = BTreeSet::new();
        for (number, entry) in self.to.iter().chain(&self.copies).enumerate() {
            let Some(address) = address(entry) else {
                let is_worker = subject.roster.is_some_and(|roster| roster.worker(entry).is_some());
                if entry.contains('@') || !(is_worker || recipient.is_known() || number >= self.to.len()) {
                    found.add(
                        "bad_address",
                        Some("to"),
                        None,
                        "this is no e-mail address",
                        "Write the recipient's address, such as name@example.com.",
                    );
                }
                continue;
            };
            let own = recipient.email.as_deref().is_none_or(|email| folded(email) == folded(&address));
            if number < self.to.len() && !own {
                let remedy = "Send it to the address that the roster has for the recipient.";
                found.add("wrong_recipient", Some("to"), None, "this is not the recipient's address", remedy);
            }
            let called = entry
                .split('<')
                .next()
                .map(str::trim)
                .filter(|name| !name.is_empty() && !name.contains('@') && entry.contains('<'));
            if number < self.to.len()
                && let Some((called, name)) = called.zip(recipient.name.as_deref())
                && compare(called.trim_matches('"'), name) == Likeness::Other
            {
                let remedy = "Put the recipient's own name before the address, or send it to the one who is named.";
                found.add(
                    "wrong_recipient",
                    Some("to"),
                    None,
                    "the name before the address is not the recipient's",
                    remedy,
                );
            }
            let colleague =
                self.from.iter().filter_map(|from| self::address(from)).any(|from| domain(&from) == domain(&address));
            if !colleague {
                others.insert(folded(&address));
            }
        }
        if others.len() > 1 {
            let message = format!("{} recipients see each other's addresses", others.len());
            found.add("several_recipients", Some("to"), None, message, "Send one message to each recipient.");
        }
    }
}

fn addressed(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Object(_)) => {
            value.and_then(|value| said(value, &["email", "address", "worker_id", "id"])).into_iter().collect()
        }
        value => list(value),
    }
}

/// The address in `Name <name@example.com>`, or the text itself.
pub(super) fn address(text: &str) -> Option<String> {
    let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>')).trim();
    let (local, domain) = inner.rsplit_once('@')?;
    let legal = |c: char| {
        !c.is_whitespace() && !matches!(c, '<' | '>' | ',' | ';' | '"' | '(' | ')' | '[' | ']' | '{' | '}' | '@' | ':')
    };
    let whole = !local.is_empty() && local.chars().all(legal) && domain.chars().all(legal) && local.len() <= 64;
    let dotted =
        domain.split('.').count() >= 2 && domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-'));
    (whole && dotted && domain.len() <= 255).then(|| inner.to_owned())
}

/// What stands behind the `@`.
pub(super) fn domain(address: &str) -> Option<String> {
    address.rsplit_once('@').map(|(_, domain)| folded(domain))
}

/// Whom a message is for, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Recipient<'a> {
    worker: Option<Worker<'a>>,
    /// An id that the roster does not have.
    missing: Option<String>,
    pub(super) name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    is_named: bool,
    /// Workers that could be mixed up with them: id, telephone number, address.
    others: Vec<(String, String, String)>,
    /// Names that may be said: the sender's, the client's contacts.
    known: Vec<String>,
}

/// What the context says of the recipient.
fn own(context: &Value) -> Option<&Value> {
    member(context, &["worker", "recipient", "candidate", "to"]).filter(|value| value.is_object())
}

/// The id of the worker whom a message is for, as the message or its context gives it.
pub(super) fn worker_id(message: &Message, subject: &Subject<'_>) -> Option<String> {
    let (context, own) = (subject.context, own(subject.context));
    let to_id = message.to.iter().find(|to| !to.contains('@')).cloned();
    let id = message
        .worker
        .clone()
        .or_else(|| said(context, WORKER))
        .or_else(|| own.and_then(|own| said(own, &["worker_id", "id"])));
    let id = id.or_else(|| member(context, &["worker"]).and_then(plain));
    id.or_else(|| to_id.filter(|to| subject.roster.is_some_and(|roster| roster.worker(to).is_some())))
}

impl<'a> Recipient<'a> {
    pub(super) fn find(message: &Message, subject: &Subject<'a>) -> Self {
        let context = subject.context;
        let own = own(context);
        let id = worker_id(message, subject);
        let mut recipient = Self { is_named: id.is_some(), ..Self::default() };
        recipient.worker = id.as_deref().and_then(|id| subject.roster?.worker(id));
        if recipient.worker.is_none() && subject.roster.is_some() {
            recipient.missing = id;
        }
        let said_name = own
            .and_then(|own| said(own, &["name", "full_name", "worker_name"]))
            .or_else(|| said(context, &["worker_name", "recipient_name", "name"]))
            .or_else(|| message.name.clone());
        if recipient.worker.is_none()
            && recipient.missing.is_none()
            && let (Some(roster), Some(name)) = (subject.roster, said_name.as_deref())
        {
            let mut named = roster.named(name, 2);
            recipient.worker = named.pop().filter(|_| named.is_empty());
        }
        let of_worker = |get: fn(&Worker<'a>) -> &'a str| {
            recipient.worker.as_ref().map(get).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        recipient.name = of_worker(|w| w.name).or(said_name);
        recipient.email = of_worker(|w| w.email)
            .or_else(|| own.and_then(|own| said(own, &["email", "address"])).filter(|text| text.contains('@')));
        recipient.phone = of_worker(|w| w.phone).or_else(|| own.and_then(|own| said(own, &["phone", "mobile"])));
        recipient.gather_others(context, subject.roster);
        for name in [
            "sender",
            "recruiter",
            "contact",
            "client",
            "manager",
            "supervisor",
            "from",
            "agent",
            "coordinator",
            "signature",
        ] {
            let value = context.get(name);
            recipient.known.extend(value.and_then(|value| plain(value).or_else(|| said(value, &["name"]))));
        }
        recipient
    }

    fn gather_others(&mut self, context: &Value, roster: Option<&'a dyn Roster>) {
        let lists = ["candidates", "workers", "available_workers", "pool", "team", "others", "roster"];
        for entry in lists.iter().filter_map(|name| context.get(*name)?.as_array()).flatten().take(500) {
            let id = plain(entry).or_else(|| said(entry, &["worker_id", "id", "candidate_id"])).unwrap_or_default();
            let of_roster = roster.and_then(|roster| roster.worker(&id));
            let phone = said(entry, &["phone", "mobile"]).or_else(|| of_roster.as_ref().map(|w| w.phone.to_owned()));
            let email = said(entry, &["email"]).or_else(|| of_roster.as_ref().map(|w| w.email.to_owned()));
            self.add_other(&id, &phone.unwrap_or_default(), &email.unwrap_or_default());
        }
    }

    fn add_other(&mut self, id: &str, phone: &str, email: &str) {
        let own = self.worker.as_ref().is_some_and(|worker| worker.id == id);
        let same = |own: &Option<String>, other: &str| {
            own.as_deref().is_some_and(|own| !own.is_empty() && folded(own) == folded(other))
        };
        let own = own || same(&self.email, email) || email.is_empty() && same(&self.phone, phone);
        if !own {
            self.others.push((id.to_owned(), national(phone), folded(email)));
        }
    }

    fn is_nobody(&self) -> bool {
        self.name.is_none() && self.email.is_none() && !self.is_named
    }

    fn is_known(&self) -> bool {
        self.worker.is_some() || self.email.is_some()
    }
}

/// The last ten digits of a telephone number, or nothing.
fn national(phone: &str) -> String {
    let digits: String = folded(phone).chars().filter(char::is_ascii_digit).collect();
    digits.get(digits.len().saturating_sub(10)..).filter(|ten| ten.len() == 10).unwrap_or_default().to_owned()
}

/// Telephone numbers and addresses of other workers, and their names.
pub(super) fn contacts(
    field: &str,
    text: &str,
    (words, chains): (&Words<'_>, &[Chain]),
    greeted: Option<std::ops::Range<usize>>,
    recipient: &Recipient<'_>,
    subject: &Subject<'_>,
    found: &mut Findings,
) {
    let mut others = recipient.others.clone();
    if ["subject", "body", "text"].contains(&field)
        && let Some(roster) = subject.roster
    {
        for (name, span) in full_names(text) {
            let named = roster.named(&name, 3);
            let own = |worker: &Worker<'_>| recipient.worker.as_ref().is_some_and(|own| own.id == worker.id);
            let known =
                recipient.name.iter().chain(&recipient.known).any(|known| compare(&name, known) != Likeness::Other);
            // Who is greeted is looked at elsewhere.
            let is_greeted = greeted.as_ref().is_some_and(|greeted| span.start < greeted.end);
            if named.is_empty() || named.iter().any(own) || known || is_greeted {
                continue;
            }
            others.extend(named.iter().map(|w| (w.id.to_owned(), national(w.phone), folded(w.email))));
            let remedy = "Leave other workers out of the message.";
            found.add("names_other_worker", Some(field), Some(span), "names another worker of the roster", remedy);
        }
    }
    if others.is_empty() {
        return;
    }
    let own = recipient.phone.as_deref().map(national).unwrap_or_default();
    for chain in chains.iter().filter(|chain| chain.len() >= 10) {
        for first in 0..chain.groups.len() {
            let mut digits = String::new();
            for group in &chain.groups[first..] {
                digits.extend(group.digits.iter().map(|digit| char::from(b'0' + digit)));
                if digits.len() >= 10 {
                    let number = if digits.len() == 11 && digits.starts_with('1') { &digits[1..] } else { &digits };
                    if number.len() == 10 && number != own && others.iter().any(|(_, phone, _)| phone == number) {
                        let span = words.span(chain.groups[first].word..group.word + 1);
                        found.add(
                            "other_workers_phone",
                            Some(field),
                            Some(span),
                            "another worker's telephone number",
                            "Delete the number.",
                        );
                    }
                    if digits.len() >= 11 {
                        break;
                    }
                }
            }
        }
    }
    if field == "to" || field == "cc" || field == "bcc" {
        return;
    }
    let folded_text = words.text();
    for (at, _) in folded_text.match_indices('@').take(1_000) {
        let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        let start = folded_text[..at]
            .char_indices()
            .rev()
            .take(64)
            .take_while(|(_, c)| legal(*c))
            .last()
            .map_or(at, |(i, _)| i);
        let end = at
            + 1
            + folded_text[at + 1..].chars().take(255).take_while(|c| legal(*c)).map(char::len_utf8).sum::<usize>();
        let address = folded_text[start..end].trim_end_matches(['.', '-']);
        if others.iter().any(|(_, _, email)| !email.is_empty() && email == address) {
            let span = words.folded.span(start..start + address.len());
            found.add(
                "other_workers_email",
                Some(field),
                Some(span),
                "another worker's e-mail address",
                "Delete the address.",
            );
        }
    }
}

/// Where a message is signed: at the last line that is one of the usual ends.
fn signature(text: &str) -> usize {
    const ENDS: &[&str] = &[
        "regards",
        "best regards",
        "kind regards",
        "warm regards",
        "best",
        "thanks",
        "thank you",
        "many thanks",
        "sincerely",
        "cheers",
        "yours",
        "saludos",
        "all the best",
        "respectfully",
    ];
    let mut at = 0;
    let mut signed = text.len();
    for line in text.split_inclusive('\n') {
        let short = line.len() <= 40;
        if short && ENDS.contains(&folded(line).trim_matches(|c: char| !c.is_alphanumeric())) {
            signed = at;
        }
        at += line.len();
    }
    signed
}

/// Two words with capitals in a row, which could be a name, each with its bytes; not those behind the signature. At most 40.
fn full_names(text: &str) -> Vec<(String, std::ops::Range<usize>)> {
    let signed = signature(text);
    let mut found = Vec::new();
    let mut before: Option<(usize, usize)> = None;
    let mut at = 0;
    for word in text[..signed].split_inclusive(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’' || c == '-'))
    {
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let capital =
            bare.chars().next().is_some_and(char::is_uppercase) && bare.chars().skip(1).any(char::is_lowercase);
        if capital {
            if let Some((start, end)) = before
                && text.get(end..at).is_some_and(|gap| gap == " ")
                && found.len() < 40
            {
                found.push((text[start..at + bare.len()].to_owned(), start..at + bare.len()));
            }
            before = Some((at, at + bare.len()));
        } else if !bare.is_empty() {
            before = None;
        }
        at += word.len();
    }
    found
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(64).collect();
    cut.escape_debug().to_string()
}
