use crate::support::*;
use stillhouse_processors::lineage::{Forward, causes, downstream};
use stillhouse_streams::Position;

#[test]
fn causes_lead_back_and_forward() {
    let run = run_event(agent("r"));
    let (_, evidence) = apply(&*build("materializer", &[]), &[received(&run, "runs", 3)]).remove(0).unwrap().remove(0);
    let (_, score) =
        apply(&*build("scorer", &[]), &[received(&evidence, "evidence.v1", 5)]).remove(0).unwrap().remove(0);
    let back: Vec<_> = causes(&score).collect();
    assert_eq!(back, [(evidence.envelope.id.as_str(), Some(Position::new("evidence.v1", 0, 5)))]);

    let mut forward = Forward::of(&run.envelope.id);
    let other = run_event(chat("other"));
    let (_, stranger) =
        apply(&*build("materializer", &[]), &[received(&other, "runs", 4)]).remove(0).unwrap().remove(0);
    let found: Vec<bool> = [&run, &stranger, &evidence, &score].map(|event| forward.take(event)).into();
    assert_eq!(found, [false, false, true, true]);
    assert!(!Forward::of(&run.envelope.id).take(&score), "the step between was not seen");
}

#[test]
fn what_is_downstream_comes_causes_first() {
    assert_eq!(downstream("runs"), ["evidence", "quarantine.materializer", "scores", "quarantine.exporter", "exports"]);
    assert_eq!(downstream("evidence"), ["scores", "quarantine.exporter", "exports"]);
    assert_eq!(downstream("exports"), [""; 0]);
}
