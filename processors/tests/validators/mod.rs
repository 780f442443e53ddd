//! The validators over thousands of proposals and messages whose faults are known, because the generator put them in. It
//! shares no code with the validators; what it knows of a fault is how people commit it.

mod desk;
mod fills;
mod messages;

use desk::Desk;
use futures::executor::block_on;
use serde_json::Value;
use std::collections::BTreeMap;
use stillhouse_processors::validator::{Artefact, Policies, Severity, Subject, Verdict};

/// Something to be validated, and what is wrong with it.
struct Made {
    artefact: Value,
    context: Value,
    /// Codes that have to be found; none: it is plain.
    faults: Vec<&'static str>,
}

#[derive(Default)]
struct Count {
    /// With the fault, and found.
    hit: u32,
    /// With the fault, and not found.
    missed: u32,
    /// Without the fault, and found.
    false_alarm: u32,
}

/// Every fault is found, and nothing else: precision and recall of each, and no finding at all in what is plain.
fn judge(policy: &str, faults: &[&str], desk: &Desk, all: impl Iterator<Item = Made>, at_least: usize) {
    let policies = Policies::parse("{}", "{}", "on").expect("the ready ones");
    let policy = &policies.policies[policy];
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let (mut number, mut plain, mut wrong) = (0, 0, Vec::new());
    for made in all {
        number += 1;
        let artefact = Artefact::of_json(made.artefact.clone());
        let subject = Subject {
            artefact: &artefact,
            context: &made.context,
            sources: &[],
            schema: None,
            roster: Some(desk),
            claims: None,
        };
        let report = block_on(policy.check(&subject, None));
        let found: Vec<(&str, Severity)> =
            report.findings().map(|(_, finding)| (finding.code.as_ref(), finding.severity)).collect();
        for fault in &made.faults {
            let count = counts.entry((*fault).to_owned()).or_default();
            match found.iter().any(|(code, _)| code == fault) {
                true => count.hit += 1,
                false => count.missed += 1,
            }
        }
        for (code, _) in &found {
            if !made.faults.contains(code) {
                counts.entry((*code).to_owned()).or_default().false_alarm += 1;
            }
        }
        let as_known = found.len() >= made.faults.len() && found.iter().all(|(code, _)| made.faults.contains(code));
        if !as_known && wrong.len() < 20 {
            wrong.push(format!("{:?} is found as {found:?}: {} in {}", made.faults, made.artefact, made.context));
        }
        if made.faults.is_empty() {
            plain += 1;
            assert_eq!((report.verdict(), found.len()), (Verdict::Pass, 0), "a false alarm: {wrong:#?}");
        }
    }
    assert!(number >= at_least && plain * 5 >= number, "{number}, {plain} of them plain");
    let table: Vec<String> = counts
        .iter()
        .map(|(code, c)| {
            let (hit, all) = (f64::from(c.hit), f64::from(c.hit + c.missed));
            let precision = hit / (hit + f64::from(c.false_alarm)).max(1.0);
            format!("{code}: {all} made, recall {:.4}, precision {precision:.4}", hit / all.max(1.0))
        })
        .collect();
    let exact = counts.values().all(|c| c.missed == 0 && c.false_alarm == 0);
    for fault in faults {
        assert!(counts.get(*fault).is_some_and(|c| c.hit + c.missed >= 100), "{fault} is hardly made");
    }
    assert!(exact, "{}\n{}", table.join("\n"), wrong.join("\n"));
}

#[test]
fn faults_of_proposals_are_found_and_no_others() {
    let desk = Desk::new();
    judge("fill", fills::FAULTS, &desk, fills::all(&desk, 7, 12_000), 10_000);
}

#[test]
fn faults_of_messages_are_found_and_no_others() {
    let desk = Desk::new();
    judge("email", messages::FAULTS, &desk, messages::all(&desk, 11, 12_000), 10_000);
}
