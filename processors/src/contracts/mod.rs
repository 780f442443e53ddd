//! The JSONL files that others build on, pinned: one shape and one spelling per line.
//!
//! A contract is a [`Shape`] in the table [`CONTRACTS`]; the JSON Schema that is published of it is made of the shape
//! ([`Contract::json_schema`]), and the golden files in `schemas/contracts/` hold lines that every implementation must
//! read and write byte for byte. A second implementation, in Python, stands beside the tests and does.
//!
//! A file is lines that end in `\n`, and nothing else: no byte-order mark, no blank line, no `\r`, no space at an end.
//! A line is an object in the spelling of [`canonical`](crate::exporter::canonical); members are those of the shape, all
//! of them, `null` where there is nothing to say. Numbers of ours have four decimals, ties to even of the exact value,
//! never `-0.0000`; whole numbers have no exponent and no sign for zero; numbers inside what a run recorded keep the
//! digits that they were written with. Text is any Unicode but lone surrogates.
//!
//! Lacks on purpose: repair. What is not in the shape, or nested deeper than 128, or says a member twice, is refused with the
//! place and the reason.

mod baseline;
mod sample;
mod scored;
mod shape;

pub use baseline::{Baseline, Slice, slices};
pub use scored::{ScoredRun, Verdict};
pub use shape::Shape;

use crate::exporter::canonical::{CanonicalError, Json};

/// One contract.
#[derive(Debug)]
pub struct Contract {
    /// Name; also the first part of its files' names in `schemas/contracts/`.
    pub name: &'static str,
    /// What a line says.
    pub doc: &'static str,
    /// What a line is.
    pub shape: Shape,
}

/// Every contract there is.
pub static CONTRACTS: &[Contract] = &[
    Contract {
        name: "audit_baselines",
        doc: "What was scored, failed and skipped at a cut, by source class: what later audits are compared with. The file is only appended to.",
        shape: baseline::SHAPE,
    },
    Contract {
        name: "scored_run",
        doc: "One run and what was judged of it, or why it could not be.",
        shape: scored::SHAPE,
    },
    Contract {
        name: "sft_sample",
        doc: "One conversation to fine-tune on, traced to its run, evidence and score.",
        shape: sample::SHAPE,
    },
];

/// The contract of this name.
pub fn contract(name: &str) -> Option<&'static Contract> {
    CONTRACTS.iter().find(|contract| contract.name == name)
}

/// Why a line is not of a contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// It is no JSON that could be written canonically.
    #[error(transparent)]
    Json(#[from] CanonicalError),
    /// Something in it is not what the shape says.
    #[error("{}: {why}", if path.is_empty() { "the line" } else { path })]
    Shape {
        /// Where: `slices[0].mean_score`.
        path: String,
        /// What is wrong there.
        why: String,
    },
    /// It says what it should in another spelling.
    #[error("byte {at} is not as the canonical spelling has it")]
    Spelling {
        /// The first byte that differs, from 0.
        at: usize,
    },
}

impl Contract {
    /// Reads a line (without its end), in any spelling of JSON.
    pub fn read<'a>(&self, line: &'a str) -> Result<Json<'a>, ContractError> {
        self.shape.take(Json::recorded(line)?, &mut String::new())
    }

    /// The canonical spelling of a line, without its end.
    pub fn canonical(&self, line: &str) -> Result<Vec<u8>, ContractError> {
        Ok(self.read(line)?.to_bytes()?)
    }

    /// Whether a line is of this contract, in its one spelling.
    pub fn check(&self, line: &str) -> Result<(), ContractError> {
        let canonical = self.canonical(line)?;
        if canonical == line.as_bytes() {
            return Ok(());
        }
        let at = canonical.iter().zip(line.as_bytes()).take_while(|(a, b)| a == b).count();
        Err(ContractError::Spelling { at })
    }

    /// The JSON Schema of a line, as published.
    pub fn json_schema(&self) -> serde_json::Value {
        let mut schema = serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.name,
            "description": self.doc,
        });
        if let (Some(head), serde_json::Value::Object(shape)) = (schema.as_object_mut(), self.shape.json_schema()) {
            head.extend(shape);
        }
        schema
    }
}
