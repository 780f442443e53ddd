//! Which runs a dataset is limited to. A run outside is not left out of the dataset: it was never asked for.

use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::Evidence;

/// Values asked for; of each list one must fit, and every list that is not empty counts. A value that ends in `*` fits all
/// that begin as it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// One of the run's tags.
    pub tags: Vec<String>,
    /// The model.
    pub models: Vec<String>,
    /// The task key.
    pub tasks: Vec<String>,
}

impl Filters {
    /// Whether the run is asked for.
    pub fn take(&self, evidence: &Evidence) -> bool {
        let one = |wanted: &[String], value: Option<&str>| {
            wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|w| fits(w, value)))
        };
        let tagged = self.tags.is_empty() || evidence.tags.iter().any(|tag| self.tags.iter().any(|w| fits(w, tag)));
        tagged && one(&self.models, evidence.model.as_deref()) && one(&self.tasks, evidence.task_key.as_deref())
    }

    /// The lists that are not empty: name to values, sorted, without repetitions.
    pub fn lists(&self) -> BTreeMap<&'static str, Vec<&str>> {
        let lists = [("model", &self.models), ("tag", &self.tags), ("task", &self.tasks)];
        fn sorted(list: &[String]) -> Vec<&str> {
            list.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect()
        }
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| (name, sorted(list))).collect()
    }
}

fn fits(wanted: &str, value: &str) -> bool {
    wanted.strip_suffix('*').map_or(wanted == value, |beginning| value.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_counts_and_one_of_each_is_enough() {
        let evidence = Evidence {
            tags: vec!["blue".into(), "night".into()],
            model: Some("m-2".into()),
            task_key: Some("gsm8k:1".into()),
            ..Evidence::default()
        };
        let filters = |tags: &[&str], models: &[&str], tasks: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
            Filters { tags: own(tags), models: own(models), tasks: own(tasks) }
        };
        for (filters, taken) in [
            (Filters::default(), true),
            (filters(&["red", "blue"], &[], &[]), true),
            (filters(&["red"], &[], &[]), false),
            (filters(&["blue"], &["m-1"], &[]), false),
            (filters(&["blue"], &["m-*"], &["gsm8k:*"]), true),
            (filters(&[], &[], &["gsm8k"]), false),
            (filters(&["*"], &["*"], &["*"]), true),
        ] {
            assert_eq!(filters.take(&evidence), taken, "{filters:?}");
        }
        assert!(!filters(&["*"], &[], &[]).take(&Evidence::default()), "what has none fits none");
    }
}
