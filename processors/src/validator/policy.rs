//! Policies: named lists of validators, with the severities that findings have there, and the classes of runs they are for.
//!
//! ```toml
//! [policies.email]
//! classes = ["email"]        # evidence of these classes is validated by it
//! required = true            # a run of them that was not validated, or only in part, enters no dataset
//! validators = ["email", "house", { name = "pii", settings = { kinds = ["card"] }, severities = { card = "warning" } }]
//! ```
//!
//! `severities` gives findings another weight: `info`, `warning`, `blocking`, or `off`. The ready ones, [`READY`], are there
//! unless a policy of their name is declared.

use super::finding::{Checked, Finding, Severity, Verdict};
use super::remote::{self, Remotes};
use super::rules::{Declared, Rules};
use super::{Check, MOST_BYTES, Subject, VALIDATORS, validator};
use crate::nearest::nearest;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Policies that are there without being declared: for a staffing desk.
pub const READY: &str = r#"{
    "fill": {"classes": ["fill"], "validators": ["fill", "held_claims", {"name": "pii", "settings": {"kinds": ["secrets", "card", "ssn"]}}]},
    "email": {"classes": ["email"], "validators": ["email", "held_claims", {"name": "pii", "settings": {"kinds": ["secrets", "card"]}}]}
}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    doc: String,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    required: bool,
    validators: Vec<WrittenMember>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WrittenMember {
    Name(String),
    Whole(Whole),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    name: String,
    #[serde(default)]
    settings: Value,
    #[serde(default)]
    severities: BTreeMap<String, String>,
}

/// One validator of a policy.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Severities that its findings have here; none: they are left out.
    severities: BTreeMap<String, Option<Severity>>,
    how: How,
}

#[derive(Debug)]
enum How {
    Here(Box<dyn Check>),
    Remote { url: String, timeout_ms: u64 },
}

/// A named list of validators.
#[derive(Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// Classes of evidence that it is for.
    pub classes: Vec<String>,
    /// Whether a run of these classes must have passed it to enter a dataset.
    pub required: bool,
    /// Its validators.
    pub members: Vec<Member>,
}

/// What one validator of a policy said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfMember {
    /// The validator.
    pub name: String,
    /// What it found, severities as the policy has them.
    pub checked: Checked,
}

/// What a policy came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The policy.
    pub policy: String,
    /// What each validator said, in the order of the policy.
    pub members: Vec<OfMember>,
}

impl Report {
    /// `fail` if anything blocks; else `skipped` if something could not be looked at; else `pass`.
    pub fn verdict(&self) -> Verdict {
        let is = |verdict| self.members.iter().any(|member| member.checked.verdict() == verdict);
        match () {
            () if is(Verdict::Fail) => Verdict::Fail,
            () if is(Verdict::Skipped) => Verdict::Skipped,
            () => Verdict::Pass,
        }
    }

    /// All findings, each with the validator that has it.
    pub fn findings(&self) -> impl Iterator<Item = (&str, &Finding)> {
        self.members
            .iter()
            .flat_map(|member| member.checked.findings.iter().map(|finding| (member.name.as_str(), finding)))
    }
}

impl Member {
    fn new(written: &WrittenMember, declared: &BTreeMap<String, Declared>) -> Result<Self, String> {
        let none = BTreeMap::new();
        let (name, settings, severities) = match written {
            WrittenMember::Name(name) => (name, &Value::Null, &none),
            WrittenMember::Whole(whole) => (&whole.name, &whole.settings, &whole.severities),
        };
        let mut codes = Vec::new();
        let how = match (validator(name), declared.get(name)) {
            (Some(known), _) => {
                codes.extend(known.codes.iter().map(|code| code.code));
                let check = (known.make)(settings).map_err(|why| format!("settings of `{name}`: {why}"))?;
                How::Here(check)
            }
            (None, Some(_)) if !settings.is_null() => {
                return Err(format!("`{name}` is declared, and takes no settings here"));
            }
            (None, Some(Declared { url: Some(url), timeout_ms, .. })) => {
                How::Remote { url: url.clone(), timeout_ms: *timeout_ms }
            }
            (None, Some(declared)) => {
                codes.extend(declared.rules.iter().map(|rule| rule.code.as_str()));
                How::Here(Box::new(Rules::new(&declared.rules)?))
            }
            (None, None) => {
                let names = || VALIDATORS.iter().map(|v| v.name).chain(declared.keys().map(String::as_str));
                let hint = match nearest(name, names()) {
                    Some(like) => format!("did you mean `{like}`?"),
                    None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                };
                return Err(format!("no validator is called `{}`; {hint}", name.escape_debug()));
            }
        };
        let severity = |(code, word): (&String, &String)| {
            if !codes.is_empty() && !codes.contains(&code.as_str()) {
                return Err(format!("`{name}` has no finding `{}`: it has {}", code.escape_debug(), codes.join(", ")));
            }
            match (word.as_str(), Severity::named(word)) {
                ("off", _) => Ok((code.clone(), None)),
                (_, Some(severity)) => Ok((code.clone(), Some(severity))),
                _ => Err(format!("a severity is info, warning, blocking or off, not `{}`", word.escape_debug())),
            }
        };
        let severities = severities.iter().map(severity).collect::<Result<_, _>>()?;
        Ok(Self { name: name.clone(), severities, how })
    }

    /// Whether it is asked over HTTP.
    pub fn is_remote(&self) -> bool {
        matches!(self.how, How::Remote { .. })
    }

    async fn check(&self, subject: &Subject<'_>, remotes: Option<&dyn Remotes>) -> Checked {
        let mut checked = match (&self.how, remotes) {
            _ if subject.artefact.text().len() > MOST_BYTES => {
                Checked::skipped(format!("more than {MOST_BYTES} bytes"))
            }
            (How::Here(check), _) => check.check(subject),
            (How::Remote { url, timeout_ms }, Some(remotes)) => {
                remote::read(remotes.post(url, *timeout_ms, remote::question(&self.name, subject)).await)
            }
            (How::Remote { .. }, None) => Checked::skipped("there is nothing here that asks over HTTP"),
        };
        if !self.severities.is_empty() {
            checked.findings.retain_mut(|finding| match self.severities.get(finding.code.as_ref()) {
                None => true,
                Some(None) => false,
                Some(Some(severity)) => {
                    finding.severity = *severity;
                    true
                }
            });
        }
        checked
    }
}

impl Policy {
    /// A policy of these validators with their usual settings.
    pub fn of(names: &[String], declared: &BTreeMap<String, Declared>) -> Result<Self, String> {
        let member = |name: &String| Member::new(&WrittenMember::Name(name.clone()), declared);
        let members = names.iter().map(member).collect::<Result<_, _>>()?;
        Ok(Self { name: String::new(), doc: String::new(), classes: Vec::new(), required: false, members })
    }

    /// Looks at an artefact.
    pub async fn check(&self, subject: &Subject<'_>, remotes: Option<&dyn Remotes>) -> Report {
        let mut members = Vec::with_capacity(self.members.len());
        for member in &self.members {
            members.push(OfMember { name: member.name.clone(), checked: member.check(subject, remotes).await });
        }
        Report { policy: self.name.clone(), members }
    }
}

/// All policies and declared validators of some settings.
#[derive(Debug)]
pub struct Policies {
    /// By name; the ready ones too.
    pub policies: BTreeMap<String, Policy>,
    /// Declared validators by name.
    pub declared: BTreeMap<String, Declared>,
}

impl Policies {
    /// Reads the JSON of `[policies.…]` and `[validators.…]`. The error names the place. The ready policies are for no class
    /// if `ready` is `off`; `on`: for theirs; `required`: these have to pass.
    pub fn parse(policies: &str, validators: &str, ready: &str) -> Result<Self, String> {
        let declared: BTreeMap<String, Declared> = parse(validators, "validators")?;
        for (name, one) in &declared {
            is_name(name)?;
            let error = |why: String| format!("[validators.{name}]: {why}");
            match &one.url {
                _ if validator(name).is_some() => {
                    return Err(error("that name is taken by one that is built in".to_owned()));
                }
                Some(_) if !one.rules.is_empty() => return Err(error("write `rules` or `url`, not both".to_owned())),
                Some(url)
                    if !(url.starts_with("http://") || url.starts_with("https://"))
                        || url.contains('@')
                        || url.len() > 512 =>
                {
                    return Err(error("`url` is http:// or https:// without user and password".to_owned()));
                }
                Some(_) if !(1..=60_000).contains(&one.timeout_ms) => {
                    return Err(error("`timeout_ms` is from 1 to 60000".to_owned()));
                }
                Some(_) => {}
                None => drop(Rules::new(&one.rules).map_err(error)?),
            }
        }
        let mut written: BTreeMap<String, Written> = parse(READY, "ready policies")?;
        for policy in written.values_mut() {
            policy.required = ready == "required";
            if ready == "off" {
                policy.classes.clear();
            }
        }
        written.extend(parse::<Written>(policies, "policies")?);
        let mut by_class: BTreeMap<String, String> = BTreeMap::new();
        let mut made = BTreeMap::new();
        for (name, policy) in written {
            is_name(&name)?;
            let error = |why: String| format!("[policies.{name}]: {why}");
            if policy.validators.is_empty() {
                return Err(error("it has no validators".to_owned()));
            }
            let members =
                policy.validators.iter().map(|member| Member::new(member, &declared)).collect::<Result<_, _>>();
            for class in &policy.classes {
                if let Some(other) = by_class.insert(class.clone(), name.clone()) {
                    return Err(error(format!(
                        "class `{class}` has another policy, `{other}`: put their validators in one"
                    )));
                }
            }
            let members = members.map_err(error)?;
            let (doc, classes, required) = (policy.doc, policy.classes, policy.required);
            made.insert(name.clone(), Policy { name, doc, classes, required, members });
        }
        Ok(Self { policies: made, declared })
    }

    /// The policy for a class of evidence.
    pub fn of_class(&self, class: &str) -> Option<&Policy> {
        self.policies.values().find(|policy| policy.classes.iter().any(|own| own == class))
    }

    /// Classes whose runs must have passed.
    pub fn required(&self) -> Vec<String> {
        self.policies
            .values()
            .filter(|policy| policy.required)
            .flat_map(|policy| policy.classes.iter().cloned())
            .collect()
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<BTreeMap<String, T>, String> {
    let values: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|error| format!("[{what}]: {error}"))?;
    let one = |(name, value): (String, Value)| match serde_json::from_value(value) {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(format!("[{what}.{name}]: {error}")),
    };
    values.into_iter().map(one).collect()
}

fn is_name(name: &str) -> Result<(), String> {
    let legal = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if legal { Ok(()) } else { Err(format!("`{}`: names have letters, digits, `_` and `-`", name.escape_debug())) }
}
