//! Roles of messages, in the words of those who record them, and in ours.

use super::Refusal;
use stillhouse_schemas::Message;

/// A role as written, in lower case, and the role that it is.
pub static ROLES: &[(&str, &str)] = &[
    ("system", "system"),
    ("developer", "system"),
    ("user", "user"),
    ("human", "user"),
    ("assistant", "assistant"),
    ("ai", "assistant"),
    ("gpt", "assistant"),
    ("model", "assistant"),
    ("tool", "tool"),
    ("function", "tool"),
];

/// The role that is meant, if it is a known one.
pub(super) fn known(role: &str) -> Option<&'static str> {
    let find = |written: &str| ROLES.iter().find(|(word, _)| *word == written).map(|(_, role)| *role);
    find(role).or_else(|| find(&role.trim().to_ascii_lowercase()))
}

/// Gives every message its known role.
pub(crate) fn name(messages: &mut [Message]) -> Result<(), Refusal> {
    for (i, message) in messages.iter_mut().enumerate() {
        match known(&message.role) {
            Some(role) if role == message.role => {}
            Some(role) => message.role = role.to_owned(),
            None => {
                let role: String = message.role.chars().take(64).collect();
                let known: Vec<&str> = ROLES.iter().map(|(word, _)| *word).collect();
                let (role, known) = (role.escape_debug(), known.join(", "));
                let detail = format!("message {} has the role `{role}`; known are {known}", i + 1);
                return Err(Refusal::new("unknown_role", detail));
            }
        }
    }
    Ok(())
}
