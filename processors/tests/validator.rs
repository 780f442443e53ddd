//! The validator as a processor.

use crate::support::{apply, evidence_event, map, received};
use std::sync::Arc;
use stillhouse_processors::{Ports, processor};
use stillhouse_schemas::roster::{Roster, Rosters, Worker};
use stillhouse_schemas::{Codec, Event, Evidence, Micros, Payload, Validation};
use stillhouse_streams::runner::Transform;

#[derive(Debug)]
struct Only(&'static str, &'static str);

impl Roster for Only {
    fn version(&self) -> &str {
        self.0
    }

    fn len(&self) -> usize {
        1
    }

    fn worker(&self, id: &str) -> Option<Worker<'_>> {
        (id == self.1).then(|| Worker { id: self.1, name: "Maria Sample", status: "active", ..Worker::default() })
    }

    fn named(&self, _: &str, _: usize) -> Vec<Worker<'_>> {
        Vec::new()
    }
}

/// One roster before the evidence of these tests, and another after.
#[derive(Debug)]
struct Two;

const CHANGED: Micros = 1_700_000_000_000_001;

impl Rosters for Two {
    fn newest(&self) -> Option<Arc<dyn Roster>> {
        self.at("new")
    }

    fn at(&self, version: &str) -> Option<Arc<dyn Roster>> {
        match version {
            "old" => Some(Arc::new(Only("old", "W-1"))),
            "new" => Some(Arc::new(Only("new", "W-2"))),
            _ => None,
        }
    }

    fn of_time(&self, at: Micros) -> Result<Option<Arc<dyn Roster>>, String> {
        Ok(self.at(if at < CHANGED { "old" } else { "new" }))
    }
}

fn built(set: &[(&str, &str)], rosters: Option<Arc<dyn Rosters>>) -> Arc<dyn Transform> {
    let definition = processor("validator").expect("in the table");
    let settings = definition.settings(&map(set)).expect("legal");
    let ports = Ports { rosters, ..Ports::from(Codec::plain()) };
    definition.build(&settings, ports).expect("goes together").expect("a transform")
}

fn fill(run: &str, worker: &str) -> Event {
    evidence_event(Evidence {
        run_id: run.to_owned(),
        source_class: "fill".to_owned(),
        artefact: Some(format!(r#"{{"worker_id":"{worker}","job_id":"J-1"}}"#)),
        ..Evidence::default()
    })
}

fn validation(transform: &dyn Transform, event: &Event) -> Option<(Event, Validation)> {
    let mut made = apply(transform, &[received(event, "evidence.v1", 7)]).remove(0).expect("no fault");
    assert!(made.len() <= 1, "one validation per evidence");
    let (topic, event) = made.pop()?;
    assert_eq!(topic, "validations");
    let Payload::Validation(validation) = event.payload.clone() else { panic!("no validation") };
    Some((event, validation))
}

#[test]
fn evidence_is_validated_by_the_policy_of_its_class() {
    let on = built(&[("ready", "on")], Some(Arc::new(Two)));
    let (event, said) = validation(&*on, &fill("r", "W-9")).expect("a fill has a policy");
    assert_eq!((said.run_id.as_str(), said.policy.as_str(), said.verdict.as_str()), ("r", "fill", "fail"));
    assert_eq!((said.source_class.as_str(), said.roster_version.as_deref()), ("fill", Some("old")));
    let found = &said.reasons[0];
    assert_eq!((found.code.as_str(), found.severity.as_deref()), ("phantom_worker", Some("blocking")));
    assert_eq!((found.field.as_deref(), found.span_start, found.span_end), (Some("worker_id"), Some(0), Some(3)));
    assert!(found.remedy.as_deref().is_some_and(|remedy| !remedy.is_empty()));
    assert_eq!(found.validator.as_deref(), Some("fill"));
    assert_eq!((event.envelope.key.as_str(), said.evidence_id.as_str()), ("r", event.envelope.causes[0].id.as_str()));
    let chat = evidence_event(Evidence { run_id: "c".into(), source_class: "chat".into(), ..Evidence::default() });
    assert_eq!(validation(&*on, &chat), None);
    // By default nothing is validated.
    assert_eq!(validation(&*built(&[], None), &fill("r", "W-9")), None);
}

#[test]
fn a_rewind_looks_in_the_roster_of_the_time_unless_told_otherwise() {
    for (as_of, worker, verdict, roster) in [
        ("", "W-1", "pass", Some("old")),
        ("", "W-2", "fail", Some("old")),
        ("newest", "W-2", "pass", Some("new")),
        ("new", "W-1", "fail", Some("new")),
        ("2033-01-01T00:00:00Z", "W-2", "pass", Some("new")),
        ("lost", "W-1", "skipped", None),
    ] {
        let transform = built(&[("ready", "required"), ("as_of", as_of)], Some(Arc::new(Two)));
        let (_, said) = validation(&*transform, &fill("r", worker)).expect("validated");
        assert_eq!(
            (said.verdict.as_str(), said.roster_version.as_deref()),
            (verdict, roster),
            "{as_of} {worker}: {said:?}"
        );
    }
    let (_, said) = validation(&*built(&[("ready", "on")], None), &fill("r", "W-1")).expect("validated");
    assert_eq!((said.verdict.as_str(), said.roster_version, said.skipped.len()), ("skipped", None, 1));
}

#[test]
fn a_changed_rule_is_another_generation_and_a_wrong_one_is_refused() {
    let definition = processor("validator").expect("in the table");
    let hash = |set: &[(&str, &str)]| definition.settings(&map(set)).expect("legal").config_hash();
    let policy = r#"{"mine":{"classes":["chat"],"validators":["pii"]}}"#;
    assert_ne!(hash(&[("policies", policy)]), hash(&[]));
    let settings = definition.settings(&map(&[("policies", r#"{"p":{"validators":["nobody"]}}"#)])).expect("JSON");
    let refused = definition.build(&settings, Codec::plain()).err().expect("refused").to_string();
    assert!(refused.contains("no validator is called `nobody`"), "{refused}");
}
