use crate::support::*;
use stillhouse_processors::scorer::{RULES, WORDS, outcome};
use stillhouse_processors::{nearest, processor};
use stillhouse_schemas::{Category, Evidence, Outcome, Run, Score};

fn outcome(reward: Option<f64>, verdict: &str, human_label: &str) -> Outcome {
    let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
    Outcome { reward, verdict: word(verdict), human_label: word(human_label), source: None }
}

/// The evidence of a clean run, with these signals changed.
fn with(signals: &[(&str, f64)]) -> Evidence {
    let mut evidence = evidence(agent("r"));
    evidence.signals.extend(signals.iter().map(|(name, value)| ((*name).to_owned(), *value)));
    evidence
}

fn score(evidence: Evidence, set: &[&str]) -> Score {
    judge(evidence, set).unwrap_or_else(|failed| panic!("{}", failed.error))
}

fn short(score: &Score) -> (&'static str, f64, &str) {
    (score.category.as_str(), score.score, &score.decided_by)
}

#[test]
fn a_definite_outcome_decides() {
    let clean = || with(&[]);
    let broken = || with(&[("tool_errors", 9.0), ("repeated_calls", 9.0), ("empty_answer", 1.0)]);
    for (evidence, given, expected) in [
        (clean(), outcome(Some(1.0), "", ""), ("accepted", 1.0, "reward")),
        (clean(), outcome(Some(1.0 - 1e-10), "", ""), ("accepted", 1.0, "reward")),
        (clean(), outcome(Some(0.0), "", ""), ("rejected", 0.0, "reward")),
        (clean(), outcome(Some(0.5), "", ""), ("rejected", 0.2, "reward")),
        (clean(), outcome(Some(-3.0), "", ""), ("rejected", 0.0, "reward")),
        (clean(), outcome(Some(0.999_999_9), "", ""), ("rejected", 0.3999, "reward")),
        (clean(), outcome(None, "pass", ""), ("accepted", 1.0, "verdict")),
        (clean(), outcome(None, "FAIL ", ""), ("rejected", 0.0, "verdict")),
        (clean(), outcome(None, "", "accepted"), ("accepted", 1.0, "human_label")),
        (clean(), outcome(None, "", "Thumbs-Down"), ("rejected", 0.0, "human_label")),
        // Rules change the score within the band, never the category.
        (broken(), outcome(Some(1.0), "", ""), ("accepted", 0.8, "reward")),
        (with(&[("tool_errors", 1.0)]), outcome(None, "pass", ""), ("accepted", 0.95, "verdict")),
        (broken(), outcome(Some(0.5), "", ""), ("rejected", 0.0, "reward")),
        // The first that is definite decides.
        (clean(), outcome(Some(1.0), "fail", ""), ("rejected", 0.0, "verdict")),
        (clean(), outcome(Some(0.0), "pass", ""), ("accepted", 1.0, "verdict")),
        (clean(), outcome(Some(0.0), "fail", "accepted"), ("accepted", 1.0, "human_label")),
        (clean(), outcome(Some(1.0), "pass", "rejected"), ("rejected", 0.0, "human_label")),
        // Words that say nothing are passed over.
        (clean(), outcome(Some(0.0), "", "blue"), ("rejected", 0.0, "reward")),
        (clean(), outcome(Some(1.0), "  ", "blue"), ("accepted", 1.0, "reward")),
        (clean(), outcome(None, "blue", ""), ("accepted", 1.0, "rules")),
        // Words that hold leave it to the rules, and lesser sources cannot speak over them.
        (clean(), outcome(Some(1.0), "", "needs human review"), ("needs_human_review", 0.5999, "rules")),
        (clean(), outcome(Some(1.0), "partial", ""), ("partially_accepted", 0.7999, "rules")),
        (broken(), outcome(Some(1.0), "partial", ""), ("rejected", 0.0, "rules")),
    ] {
        let score = score(Evidence { outcome: given.clone(), ..evidence }, &[]);
        assert_eq!(short(&score), expected, "{given:?}: {:?}", score.reasons);
    }
}

#[test]
fn rules_decide_where_nobody_did() {
    for (signals, expected) in [
        (&[][..], ("accepted", 1.0)),
        (&[("tool_errors", 1.0)], ("partially_accepted", 0.75)),
        (&[("tool_errors", 2.0)], ("needs_human_review", 0.5)),
        (&[("tool_errors", 3.0)], ("rejected", 0.25)),
        (&[("tool_errors", 1e9)], ("rejected", 0.25)),
        (&[("repeated_calls", 1.0)], ("partially_accepted", 0.75)),
        (&[("repeated_calls", 1.0), ("repeated_answers", 1.0)], ("needs_human_review", 0.5)),
        (&[("invalid_arguments", 1.0)], ("partially_accepted", 0.75)),
        (&[("unknown_tools", 1.0), ("unmatched_replies", 2.0)], ("rejected", 0.25)),
        (&[("tool_errors", 1.0), ("repeated_calls", 1.0)], ("needs_human_review", 0.5)),
        (&[("truncated", 1.0)], ("needs_human_review", 0.5)),
        (&[("unanswered_calls", 1.0)], ("needs_human_review", 0.5)),
        (&[("empty_answer", 1.0)], ("rejected", 0.0)),
        (&[("failed", 1.0)], ("rejected", 0.0)),
        (&[("filtered", 1.0)], ("rejected", 0.0)),
        (&[("reference_match", 1.0)], ("accepted", 1.0)),
        (&[("reference_match", 0.0)], ("rejected", 0.0)),
    ] {
        let score = score(with(signals), &[]);
        assert_eq!(short(&score), (expected.0, expected.1, "rules"), "{signals:?}: {:?}", score.reasons);
    }
}

#[test]
fn reasons_and_sub_scores_tell_why() {
    let evidence = with(&[("tool_errors", 1.0), ("truncated", 1.0)]);
    let score = score(Evidence { outcome: outcome(Some(f64::NAN), "odd", ""), ..evidence }, &[]);
    assert_eq!(
        score.reasons,
        [
            "nobody judged this run: the rules decide",
            "verdict `odd` is no known word and decides nothing",
            "the reward is not a finite number and decides nothing",
            "the answer was cut off by a length limit",
            "errors of tools: 1; from 3 on the sub-score is 0",
        ]
    );
    let subs: Vec<(&str, f64)> = score.sub_scores.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(subs, [("answer", 0.5), ("format", 1.0), ("loops", 1.0), ("tool_errors", 0.6667)]);
    assert_eq!(
        (score.scorer.as_str(), score.scorer_version.as_str(), score.source_class.as_str()),
        ("scorer", "2", "agent")
    );
    let config_hash = processor("scorer").unwrap().settings(&map(&[])).unwrap().config_hash();
    assert_eq!(score.config_hash, config_hash);

    let judged = self::score(Evidence { outcome: outcome(Some(0.25), "", ""), ..with(&[]) }, &[]);
    assert_eq!((judged.sub_scores["outcome"], &*judged.reasons), (0.25, &["reward 0.25 is below 1".to_owned()][..]));
}

#[test]
fn what_cannot_be_judged_is_no_zero() {
    for (signals, says) in [
        (&[("tool_errors", f64::NAN)][..], "signal `tool_errors` is NaN"),
        (&[("turns", f64::INFINITY)], "signal `turns` is inf"),
        (&[("loops", -1.0)], "signal `loops` is -1"),
    ] {
        let failed = judge(with(signals), &[]).unwrap_err();
        assert!(failed.error.contains(says), "{}", failed.error);
        assert_eq!((failed.run_id.as_str(), failed.scorer.as_str()), ("r", "scorer"));
    }
    let mut uncounted = with(&[]);
    uncounted.signals.remove("truncated");
    let failed = judge(uncounted, &[]).unwrap_err();
    assert_eq!(failed.error, "the evidence has no signal `truncated`");
}

#[test]
fn settings_flip_verdicts() {
    let half = || Evidence { outcome: outcome(Some(0.5), "", ""), ..with(&[]) };
    let one_error = || with(&[("tool_errors", 1.0)]);
    let short_answer = || with(&[("answer_chars", 7.0)]);
    let checked = || with(&[("reference_match", 1.0)]);
    for (evidence, set, expected) in [
        (half(), &["accept_reward=0.5"][..], ("accepted", 1.0, "reward")),
        (half(), &["accept_reward=0.51"], ("rejected", 0.3922, "reward")),
        (half(), &["accept_reward=-1"], ("accepted", 1.0, "reward")),
        (one_error(), &["accept_at=0.7"], ("accepted", 0.75, "rules")),
        (one_error(), &["partial_at=0.76"], ("needs_human_review", 0.75, "rules")),
        (one_error(), &["partial_at=0.76", "review_at=0.76"], ("rejected", 0.75, "rules")),
        (one_error(), &["max_tool_errors=1"], ("rejected", 0.25, "rules")),
        (one_error(), &["max_tool_errors=30"], ("accepted", 0.975, "rules")),
        (one_error(), &["weight_tool_errors=0"], ("accepted", 1.0, "rules")),
        (short_answer(), &["min_answer_chars=8"], ("rejected", 0.0, "rules")),
        (short_answer(), &["min_answer_chars=7"], ("accepted", 1.0, "rules")),
        (with(&[]), &["unjudged_at_most=needs_human_review"], ("needs_human_review", 0.5999, "rules")),
        (checked(), &["unjudged_at_most=needs_human_review"], ("accepted", 1.0, "rules")),
        (half(), &["accept_reward=0.5", "unjudged_at_most=needs_human_review"], ("accepted", 1.0, "reward")),
    ] {
        let score = score(evidence, set);
        assert_eq!(short(&score), expected, "{set:?}: {:?}", score.reasons);
    }
    let definition = processor("scorer").unwrap();
    let settings = definition.settings(&map(&[("accept_at", "0.5")])).unwrap();
    let refused = definition.build(&settings, stillhouse_schemas::Codec::plain()).err().unwrap().to_string();
    assert!(refused.contains("nor partial_at exceed accept_at"), "{refused}");
}

#[test]
fn a_score_is_in_the_band_of_its_category_whoever_decided() {
    let words = ["", "pass", "fail", "partial", "review", "blue"];
    let rewards = [None, Some(0.0), Some(0.4), Some(0.999_99), Some(1.0), Some(7.0)];
    for errors in [0.0, 1.0, 2.0, 3.0] {
        for (reward, (verdict, label)) in
            rewards.iter().flat_map(|r| words.iter().flat_map(|v| words.map(|l| (v, l))).map(move |w| (r, w)))
        {
            let evidence = Evidence { outcome: outcome(*reward, verdict, label), ..with(&[("tool_errors", errors)]) };
            let score = score(evidence, &[]);
            let band = match score.score {
                s if s >= 0.8 => Category::Accepted,
                s if s >= 0.6 => Category::PartiallyAccepted,
                s if s >= 0.4 => Category::NeedsHumanReview,
                _ => Category::Rejected,
            };
            assert_eq!(score.category, band, "{score:?}");
            assert_eq!(score.score, (score.score * 10_000.0).round() / 10_000.0, "4 decimals");
        }
    }
}

#[test]
fn the_tables_are_sound() {
    let words: Vec<&str> = WORDS.iter().flat_map(|(_, words)| words.iter().copied()).collect();
    for word in &words {
        assert_eq!(words.iter().filter(|other| *other == word).count(), 1, "{word} means two things");
        assert!(outcome::meaning(&word.to_uppercase().replace('_', "-")).is_some(), "{word}");
    }
    for category in Category::ALL {
        assert_eq!(outcome::meaning(category.as_str()), Some(category));
    }
    let settings = processor("scorer").unwrap().settings;
    for rule in RULES {
        assert!(settings.iter().any(|setting| setting.name == rule.weight), "{}", rule.weight);
    }
    assert_eq!(nearest("acept_reward", settings.iter().map(|s| s.name)), Some("accept_reward"));
}

#[test]
fn real_shapes_are_judged_as_an_analyst_would() {
    // A run that hands over to a person after an error that it recovered from, judged by its environment.
    let mut run = agent("r");
    run.messages.insert(2, calls(&[("c0", "find", r#"{"to":"?"}"#)]));
    run.messages.insert(3, reply("c0", "Error: unknown airport"));
    run.messages.push(message("user", "Thanks! ###STOP###"));
    let judged = |reward| Run { outcome: outcome(Some(reward), "", ""), ..run.clone() };
    assert_eq!(short(&score(evidence(judged(1.0)), &[])), ("accepted", 0.95, "reward"));
    assert_eq!(short(&score(evidence(judged(0.0)), &[])), ("rejected", 0.0, "reward"));
    assert_eq!(short(&score(evidence(run.clone()), &[])), ("partially_accepted", 0.75, "rules"));

    let solved = |answer: &str| Run {
        messages: vec![message("user", "How many eggs?"), message("assistant", answer)],
        reference: Some("16 - 7 = <<16-7=9>>9\nA: 9".into()),
        ..chat("r")
    };
    assert_eq!(score(evidence(solved("7 are eaten.\nA: 9")), &[]).category, Category::Accepted);
    assert_eq!(score(evidence(solved("7 are eaten.\nA: 7")), &[]).category, Category::Rejected);
}
