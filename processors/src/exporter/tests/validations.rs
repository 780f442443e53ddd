//! What validators said, at the exporter.

use super::*;
use stillhouse_schemas::Validation;

impl World {
    fn validate(&self, evidence: &Event, position: &Position, verdict: &str) {
        let Payload::Evidence(e) = &evidence.payload else { panic!("no evidence") };
        let validation = Validation {
            run_id: e.run_id.clone(),
            evidence_id: evidence.envelope.id.clone(),
            verdict: verdict.into(),
            ..Validation::default()
        };
        let envelope = &evidence.envelope;
        let event = Event {
            envelope: Envelope {
                id: ids::derived(&[&envelope.id], "validator", "1", verdict, "validations", 0),
                key: envelope.key.clone(),
                occurred_at: envelope.occurred_at,
                causes: vec![wire::cause(&envelope.id, position)],
                ..Envelope::default()
            },
            payload: Payload::Validation(validation),
        };
        self.append("validations.v1", &event);
    }
}

#[test]
fn what_fails_is_no_row_and_what_has_to_be_validated_is_none_without() {
    let world = World::new(MemoryJournal::new(), 3);
    for (run, verdict) in
        [("passes", Some("pass")), ("fails", Some("fail")), ("skips", Some("skipped")), ("nobody", None)]
    {
        let (evidence, position) = world.record(run, 1);
        // A person's word does not override a validator's.
        world.judge(&evidence, &position, Judged::As(Category::Accepted));
        world.label(run, 2, Category::Accepted);
        if let Some(verdict) = verdict {
            world.validate(&evidence, &position, verdict);
        }
    }
    let rows = |plan: &Plan| {
        let (tally, _) = world.export(plan);
        (tally.rows, tally.withheld)
    };
    let without = world.plan();
    assert_eq!(rows(&without), (4, BTreeMap::new()));
    let asked = Plan { validations: Some("validations.v1".into()), ..world.plan() };
    assert_eq!(rows(&asked), (3, BTreeMap::from([("validation_failed", 1)])));
    let required = Plan { validated: ["chat".to_owned()].into(), ..asked };
    assert_eq!(rows(&required), (1, BTreeMap::from([("not_validated", 2), ("validation_failed", 1)])));
    let of_another_class = Plan { validated: ["fill".to_owned()].into(), ..required };
    assert_eq!(rows(&of_another_class).0, 3);
}
