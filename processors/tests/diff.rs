use stillhouse_processors::diff::{Verdict, diff};
use stillhouse_schemas::{Category, Envelope, Event, Finding, Payload, Score, ScoreFailed, Validation};

fn event(id: &str, at: i64, payload: Payload) -> Event {
    Event { envelope: Envelope { id: id.to_owned(), occurred_at: at, ..Envelope::default() }, payload }
}

fn score(run: &str, evidence: &str, at: i64, category: Category, score: f64) -> Event {
    let payload = Score {
        run_id: run.to_owned(),
        evidence_id: evidence.to_owned(),
        scorer: "scorer".to_owned(),
        scorer_version: "1".to_owned(),
        config_hash: String::new(),
        score,
        sub_scores: Default::default(),
        reasons: vec![format!("because {score}")],
        category,
        decided_by: "rules".to_owned(),
        source_class: "chat".to_owned(),
        call_hash: None,
        cost_usd: None,
    };
    event(&format!("{run}-{evidence}-{at}-{score}"), at, Payload::Score(payload))
}

fn failed(run: &str, evidence: &str) -> Event {
    let failed = ScoreFailed {
        run_id: run.to_owned(),
        evidence_id: evidence.to_owned(),
        error: "no signal".to_owned(),
        ..ScoreFailed::default()
    };
    event(&format!("{run}-{evidence}-failed"), 0, Payload::ScoreFailed(failed))
}

fn validation(run: &str, verdict: &str) -> Event {
    let finding = Finding { code: "ssn".to_owned(), message: "a number".to_owned(), ..Finding::default() };
    let payload = Validation {
        run_id: run.to_owned(),
        evidence_id: format!("e-{run}"),
        verdict: verdict.to_owned(),
        reasons: if verdict == "fail" { vec![finding] } else { vec![] },
        ..Validation::default()
    };
    event(&format!("{run}-{verdict}"), 0, Payload::Validation(payload))
}

#[test]
fn a_changed_rule_of_a_validator_shows_what_it_flips() {
    let found =
        diff([validation("a", "pass"), validation("b", "pass")], [validation("b", "pass"), validation("a", "fail")]);
    assert_eq!((found.equal, found.flips.len()), (1, 1));
    let flip = &found.flips[0];
    assert_eq!((flip.run_id.as_str(), flip.from.as_str(), flip.to.as_str()), ("a", "pass", "fail"));
    assert_eq!(flip.reasons, ["ssn: a number"]);
}

use Category::{Accepted, PartiallyAccepted, Rejected};

#[test]
fn flips_are_told_from_moves() {
    let left = vec![
        score("same", "e1", 0, Accepted, 1.0),
        score("moved", "e2", 0, Accepted, 1.0),
        score("flips", "e3", 0, Accepted, 1.0),
        score("gone", "e4", 0, Rejected, 0.0),
        score("fails", "e5", 0, Accepted, 0.9),
    ];
    let right = vec![
        failed("fails", "e5"),
        score("new", "e6", 0, Rejected, 0.0),
        score("flips", "e3", 0, Rejected, 0.1),
        score("moved", "e2", 0, Accepted, 0.9),
        score("same", "e1", 0, Accepted, 1.0),
    ];
    let found = diff(left.clone(), right.clone());
    assert_eq!((found.left, found.right, found.equal, found.moved), (5, 5, 1, 1));
    assert_eq!(
        (found.only_left.as_slice(), found.only_right.as_slice()),
        (&["gone".to_owned()][..], &["new".to_owned()][..])
    );
    let told: Vec<String> = found
        .flips
        .iter()
        .map(|f| format!("{} {}→{} {:?} {:?}", f.run_id, f.from.as_str(), f.to.as_str(), f.to_score, f.reasons))
        .collect();
    assert_eq!(
        told,
        [r#"fails accepted→failed None ["no signal"]"#, r#"flips accepted→rejected Some(0.1) ["because 0.1"]"#,]
    );
    let accepted = Verdict::Category(Accepted);
    assert_eq!(
        found.matrix.into_iter().collect::<Vec<_>>(),
        [((accepted, accepted), 2), ((accepted, Verdict::Category(Rejected)), 1), ((accepted, Verdict::Failed), 1)]
    );

    // However the events come.
    let reversed = diff(left.into_iter().rev(), right.into_iter().rev());
    assert_eq!(reversed.flips, found.flips);
}

#[test]
fn the_latest_judgement_of_an_evidence_counts() {
    let left =
        [score("r", "e", 2, Accepted, 0.9), score("r", "e", 1, Rejected, 0.0), score("r", "e", 2, Accepted, 0.9)];
    let right = [score("r", "e", 2, Accepted, 0.9)];
    let found = diff(left, right);
    assert_eq!((found.left, found.right, found.equal, found.flips.len()), (1, 1, 1, 0));
    // Of two at one time, the one with the greater id.
    let tie = diff(
        [score("r", "e", 1, Rejected, 0.1), score("r", "e", 1, Accepted, 0.9)],
        [score("r", "e", 1, Accepted, 0.9)],
    );
    assert_eq!(tie.equal, 1);
}

#[test]
fn evidence_made_anew_is_compared_by_run() {
    let left = [
        score("r", "old-1", 1, Accepted, 1.0),
        score("r", "old-2", 2, Rejected, 0.0),
        score("r", "kept", 3, Accepted, 1.0),
    ];
    let right = [
        score("r", "kept", 3, Accepted, 1.0),
        score("r", "new-2", 2, Rejected, 0.0),
        score("r", "new-1", 1, PartiallyAccepted, 0.7),
    ];
    let found = diff(left.clone(), right);
    assert_eq!((found.equal, found.flips.len()), (2, 1));
    let flip = &found.flips[0];
    assert_eq!(
        (flip.left_evidence.as_str(), flip.right_evidence.as_str(), flip.to),
        ("old-1", "new-1", Verdict::Category(PartiallyAccepted))
    );
    assert_eq!(flip.reasons, ["because 0.7"]);

    let fewer = diff(left, [score("r", "new", 1, Accepted, 1.0)]);
    assert_eq!((fewer.equal, fewer.only_left.as_slice()), (1, &["r".to_owned(), "r".to_owned()][..]));
}

#[test]
fn the_cost_of_a_side_is_that_of_the_judgements_that_count() {
    let priced = |run: &str, at: i64, category: Category, cost: Option<f64>| {
        let mut event = score(run, run, at, category, 0.5);
        if let Payload::Score(score) = &mut event.payload {
            score.cost_usd = cost;
        }
        event
    };
    let left = vec![priced("a", 0, Accepted, None), priced("b", 0, Accepted, None)];
    let right = vec![
        priced("a", 0, Accepted, Some(100.0)),
        priced("a", 1, Rejected, Some(0.25)),
        priced("b", 0, Accepted, Some(0.5)),
        priced("c", 0, Accepted, None),
    ];
    let found = diff(left, right);
    assert_eq!((found.left_cost.calls, found.left_cost.usd), (0, 0.0));
    assert_eq!((found.right_cost.calls, found.right_cost.usd), (2, 0.75));
    assert_eq!(found.flips.len(), 1);
    assert_eq!(found.flips[0].cost_usd, Some(0.25));
}
