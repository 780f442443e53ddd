//! Names of physical topics and groups: instance, logical topic, generation.
//!
//! A generation is a processor at one version and configuration, with its own consumer group and its own physical
//! output topics. What a logical name means at a cut is decided by the control topic; this module only spells names.

use serde::{Deserialize, Serialize};

/// The generation that a processor starts with.
pub const FIRST: &str = "v1";

/// Spells the names of one instance. Two instances on one journal never share a topic or a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names of `instance`; the empty one has bare names.
    pub fn new(instance: &str) -> Self {
        Self { prefix: if instance.is_empty() { String::new() } else { format!("{instance}.") } }
    }

    /// What every name of this instance begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A topic that has no generations: `runs`.
    pub fn topic(&self, logical: &str) -> String {
        format!("{}{logical}", self.prefix)
    }

    /// A topic that a generation of a processor writes: `scores.v1`. `logical` may be a dotted name.
    pub fn derived(&self, logical: &str, generation: &str) -> String {
        format!("{}{logical}.{generation}", self.prefix)
    }

    /// The consumer group of a generation: `scorer.v1`.
    pub fn group(&self, processor: &str, generation: &str) -> String {
        format!("{}{processor}.{generation}", self.prefix)
    }

    /// Whether a physical name belongs to this instance.
    pub fn owns(&self, physical: &str) -> bool {
        physical.starts_with(&self.prefix)
    }
}

/// Refuses generation names that would not spell a topic: letters, digits, `_` and `-`, at most 32.
pub fn check_generation(name: &str) -> Result<(), String> {
    let legal =
        (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if legal {
        Ok(())
    } else {
        Err(format!("`{}` is not a generation name: 1 to 32 of a-z A-Z 0-9 _ -", name.escape_debug()))
    }
}
