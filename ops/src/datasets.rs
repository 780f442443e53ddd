//! Every version of every dataset that was written, and how it stands now: the `exports` topic, folded with what operators
//! decided.

use crate::commands::export::written_here;
use crate::context::Context;
use crate::events::{Read, Records};
use crate::failure::Outcome;
use std::collections::BTreeMap;
use std::path::PathBuf;
use stillhouse_processors::Decisions;
use stillhouse_processors::exporter::EXPORTS;
use stillhouse_schemas::{Envelope, Exported, Payload};
use stillhouse_streams::Position;

/// A dataset that was written.
#[derive(Clone, Debug)]
pub struct Version {
    /// The first event about it.
    pub envelope: Envelope,
    /// Where that stands.
    pub position: Position,
    /// What it says.
    pub exported: Exported,
    /// Its directories that can be seen from here.
    pub places: Vec<PathBuf>,
    /// What took its place, in order.
    pub successors: Vec<Successor>,
    /// What it took the place of.
    pub supersedes: Vec<String>,
}

/// A dataset that took the place of another.
#[derive(Clone, Debug)]
pub struct Successor {
    /// Its name.
    pub dataset: String,
    /// Its rows.
    pub rows: i64,
    /// Ids of the events for which it did.
    pub causes: Vec<String>,
}

/// How a version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known against it.
    Good,
    /// It holds these runs, which are recalled.
    Recalled(Vec<String>),
    /// It held what was erased; its files were removed.
    Erased,
}

impl Standing {
    /// In a word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Recalled(_) => "recalled",
            Self::Erased => "erased",
        }
    }
}

impl Version {
    /// How it stands after these decisions.
    pub fn standing(&self, decisions: &Decisions) -> Standing {
        let mut causes = self.successors.iter().flat_map(|successor| &successor.causes);
        if causes.any(|cause| decisions.erasures().any(|(_, ruling)| ruling.id() == cause)) {
            return Standing::Erased;
        }
        let for_it = |id: &str| self.successors.iter().any(|s| s.causes.iter().any(|cause| cause == id));
        let runs = decisions.recalls().filter(|(_, ruling)| for_it(ruling.id()));
        let runs: Vec<String> = runs.map(|(run, _)| run.to_owned()).collect();
        if runs.is_empty() { Standing::Good } else { Standing::Recalled(runs) }
    }

    /// The last dataset that took its place, while what that was for stands.
    pub fn superseded_by(&self, decisions: &Decisions) -> Option<&str> {
        let last = || self.successors.last().map(|successor| successor.dataset.as_str());
        (self.standing(decisions) != Standing::Good).then(last).flatten()
    }
}

/// Every version, in the order in which they were first said.
pub async fn load(context: &Context) -> Outcome<Vec<Version>> {
    let mut versions: Vec<Version> = Vec::new();
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    let here = written_here(context);
    let mut successors: Vec<(String, Successor)> = Vec::new();
    let mut records = Records::of(context, &[context.names.topic(EXPORTS)]).await?;
    while let Some(page) = records.events().await? {
        for (position, read) in page {
            let Read::Event(event) = read else { continue };
            let Payload::Exported(exported) = event.payload else { continue };
            let at = *by_name.entry(exported.dataset.clone()).or_insert_with(|| {
                versions.push(Version {
                    envelope: event.envelope.clone(),
                    position,
                    exported: exported.clone(),
                    places: here.iter().filter(|dir| dir.ends_with(&exported.dataset)).cloned().collect(),
                    successors: Vec::new(),
                    supersedes: Vec::new(),
                });
                versions.len() - 1
            });
            let said = exported.location.as_deref().and_then(|uri| uri.strip_prefix("file://")).map(PathBuf::from);
            let places = &mut versions[at].places;
            places.extend(said.filter(|dir| !places.contains(dir) && dir.join("manifest.json").is_file()));
            if let Some(superseded) = exported.supersedes {
                versions[at].supersedes.push(superseded.clone());
                let causes = event.envelope.causes.into_iter().map(|cause| cause.id).collect();
                let successor = Successor { dataset: exported.dataset, rows: exported.rows, causes };
                successors.push((superseded, successor));
            }
        }
    }
    for (superseded, successor) in successors {
        if let Some(at) = by_name.get(&superseded) {
            versions[*at].successors.push(successor);
        }
    }
    Ok(versions)
}
