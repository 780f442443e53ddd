//! Messages to workers: what must not stand in them, and whom they go to.
//!
//! A message is JSON with `to`, `subject`, `body` (and `cc`, `from`, `phone`, …), or text with header lines. The recipient is
//! who the message or its context names by id or address, looked up in the roster; without a roster, what the context says of
//! them. Every text of the message is looked through for numbers; wording is looked for in subject and body.

mod greeting;
mod links;
mod message;
mod pay;
mod placeholders;
pub(super) mod ssn;
#[cfg(test)]
mod tests;
mod wording;

use super::digits::chains;
use super::finding::{Checked, Code, Findings, Severity};
use super::words::Words;
use super::{Check, Entry, Subject, settings};
use message::{Message, Recipient};
use serde::Deserialize;

const fn blocking(code: &'static str, doc: &'static str) -> Code {
    Code { code, severity: Severity::Blocking, doc }
}

const fn warning(code: &'static str, doc: &'static str) -> Code {
    Code { code, severity: Severity::Warning, doc }
}

static CODES: &[Code] = &[
    blocking("ssn", "a social security or taxpayer number, however it is written"),
    blocking("ssn_partial", "the last digits of a social security number"),
    warning("ssn_possible", "nine digits that could be a social security number"),
    blocking("asks_for_ssn", "asks for a social security number"),
    blocking("asks_for_bank_details", "asks for bank details, passwords or card numbers"),
    blocking("asks_for_money", "asks for money: fees, gift cards, transfers"),
    blocking("pay_disclosed", "a wage or salary"),
    blocking("pay_band", "a pay band, grade or level"),
    blocking("bill_rate", "what the client pays, or the margin"),
    blocking("wrong_name", "greets somebody else than the recipient"),
    warning("name_misspelt", "greets the recipient with a letter wrong"),
    blocking("unknown_recipient", "the worker that it is for is not in the roster"),
    blocking("wrong_recipient", "goes to another address than the recipient's"),
    blocking("no_recipient", "goes to nobody"),
    blocking("bad_address", "an address that is none"),
    warning("several_recipients", "shows recipients each other's addresses"),
    blocking("other_workers_phone", "another worker's telephone number"),
    blocking("other_workers_email", "another worker's e-mail address"),
    warning("names_other_worker", "names another worker in full"),
    blocking("discriminatory", "wording that prefers or rules out by a protected trait"),
    blocking("asks_protected", "asks for a protected trait, health or family plans"),
    blocking("promise", "promises or guarantees what nobody can"),
    warning("pressure", "presses the recipient"),
    warning("unprofessional", "words that do not belong in a message"),
    blocking("placeholder", "a blank that was left to be filled in"),
    blocking("empty_subject", "no subject"),
    blocking("empty_body", "nothing is said"),
    warning("long_subject", "a subject that is cut off when shown"),
    warning("shouting", "whole sentences in capitals"),
    blocking("suspicious_link", "a link that hides where it leads"),
    warning("unknown_link", "a link to a host that was not given"),
    warning("left_over", "words of the model's that are not meant for the recipient"),
];

/// The id of the worker whom a message is for, as it or its context gives it.
pub(super) fn recipient(subject: &Subject<'_>) -> Option<String> {
    message::worker_id(&Message::read(subject.artefact), subject)
}

pub(super) const VALIDATOR: Entry = Entry {
    name: "email",
    doc: "A message to a worker: nothing that must not be said, to the right person, whole.",
    settings: "hosts: hosts that links may lead to; allow_pay (false): wages may be named; names: names that may be greeted \
               beside the recipient's",
    codes: CODES,
    make: |value| Ok(Box::new(Email { settings: settings(value)? })),
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    hosts: Vec<String>,
    allow_pay: bool,
    names: Vec<String>,
}

#[derive(Debug)]
struct Email {
    settings: Settings,
}

impl Check for Email {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let mut found = Findings::new(CODES);
        let message = Message::read(subject.artefact);
        let recipient = Recipient::find(&message, subject);
        self.parts(&message, &mut found);
        message.addresses(&recipient, subject, &mut found);
        for (field, text) in &message.texts {
            let words = Words::new(text);
            let chains = chains(&words);
            ssn::find(field, &words, &chains, &mut found);
            let greeted = greeting::greeted(text).filter(|_| field != "subject").map(|(_, span)| span);
            message::contacts(field, text, (&words, &chains), greeted, &recipient, subject, &mut found);
            if !["subject", "body", "text"].contains(&field.as_str()) {
                continue;
            }
            if !self.settings.allow_pay {
                pay::find(field, &words, &mut found);
            }
            wording::find(field, text, &words, &mut found);
            placeholders::find(field, text, &mut found);
            links::find(field, text, &self.settings.hosts, &message, subject, &mut found);
            if field != "subject" {
                greeting::find(field, text, &recipient, &self.settings.names, &mut found);
            }
        }
        found.done(None)
    }
}

impl Email {
    fn parts(&self, message: &Message, found: &mut Findings) {
        let subject = message.subject.as_deref().unwrap_or_default();
        let visible = |text: &str| super::fold::folded(text).chars().any(char::is_alphanumeric);
        if !visible(subject) {
            found.add(
                "empty_subject",
                Some("subject"),
                None,
                "there is no subject",
                "Add a subject that says what it is about.",
            );
        } else if subject.chars().count() > 150 {
            found.add(
                "long_subject",
                Some("subject"),
                None,
                "the subject is longer than 150 characters",
                "Shorten the subject.",
            );
        }
        if !message.body.as_deref().is_some_and(visible) {
            found.add("empty_body", Some("body"), None, "nothing is said", "Write the message in `body`.");
        }
    }
}
