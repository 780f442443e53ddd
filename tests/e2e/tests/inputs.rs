//! Recorded runs as files: the real ones where they are at hand, else made ones of the same shape and the same counts.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use stillhouse_kit::dice::Dice;

use crate::harness::{real_data, root};

/// A file of recorded runs, and what must come of it.
pub(crate) struct Recorded {
    pub(crate) file: PathBuf,
    /// What `import --map` gets.
    pub(crate) map: String,
    /// Runs in the file, in its order: whether each is a good one.
    pub(crate) good: Vec<bool>,
    /// Good ones that say something of their own.
    pub(crate) distinct: usize,
    /// Prompts with a good and a bad answer.
    pub(crate) contested: usize,
    /// Pairs of a good and a bad answer to the same prompt, each once.
    pub(crate) pairs: usize,
}

impl Recorded {
    /// How many runs are good.
    pub(crate) fn accepted(&self) -> usize {
        self.good.iter().filter(|good| **good).count()
    }
}

/// 100 trajectories of an airline's agent, 31 of them with a reward.
pub(crate) fn tau(folder: &Path) -> Recorded {
    let file = real_data("tau_airline.json").unwrap_or_else(|| {
        let file = folder.join("tau_airline.json");
        std::fs::write(&file, made_tau().to_string()).expect("a file");
        file
    });
    let text = std::fs::read_to_string(&file).expect("the file");
    let all: Vec<Value> = serde_json::from_str(&text).expect("an array");
    let good: Vec<bool> = all.iter().map(|run| run["reward"] == json!(1.0)).collect();
    // 11 tasks have both outcomes, none of them after the same words.
    let recorded = Recorded { file, map: "tau-bench".to_owned(), good, distinct: 31, contested: 0, pairs: 0 };
    assert_eq!((recorded.good.len(), recorded.accepted()), (100, 31));
    recorded
}

/// The first `records` of 1,000 sums with four solutions each; of all 4,000, 1,541 are correct.
pub(crate) fn gsm8k(folder: &Path, records: usize) -> Recorded {
    let text = match real_data("gsm8k_solutions.jsonl") {
        Some(file) => std::fs::read_to_string(file).expect("the file"),
        None => made_gsm8k(),
    };
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let models = ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"];
    let solutions = all.iter().flat_map(|record| models.map(|model| record[model]["is_correct"] == json!(true)));
    let good: Vec<bool> = solutions.collect();
    assert_eq!((good.len(), good.iter().filter(|good| **good).count()), (4_000, 1_541));
    let file = folder.join("gsm8k_solutions.jsonl");
    let lines: String = text.lines().take(records).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, lines).expect("a file");
    let map = root().join("tests/e2e/fixtures/gsm8k.toml");
    let good = good.into_iter().take(records * 4).collect();
    let (mut distinct, mut contested, mut pairs) = (0, 0, 0);
    for record in all.iter().take(records) {
        let said = |right: bool| {
            let of = models.iter().map(|model| &record[model]).filter(|s| s["is_correct"] == json!(right));
            of.map(|s| s["solution"].as_str().expect("a solution")).collect::<BTreeSet<_>>()
        };
        let (right, wrong) = (said(true), said(false));
        distinct += right.len();
        contested += usize::from(!right.is_empty() && !wrong.is_empty());
        pairs += right.len() * wrong.len();
    }
    if records == 1_000 && real_data("gsm8k_solutions.jsonl").is_some() {
        assert_eq!((distinct, contested, pairs), (1_535, 561, 1_860), "counts that follow from the real file");
    }
    Recorded { file, map: map.to_str().expect("UTF-8").to_owned(), good, distinct, contested, pairs }
}

fn made_tau() -> Value {
    let run = |n: usize| {
        let call = format!("call_{n}");
        let arguments = json!({"reservation_id": format!("R{n:04}")}).to_string();
        let function = json!({"name": "get_reservation_details", "arguments": arguments});
        json!({
            "task_id": n / 2, "trial": n % 2, "reward": if n.is_multiple_of(3) && n < 93 { 1.0 } else { 0.0 },
            "info": {"task": {"user_id": format!("user_{n}"), "instruction": format!("Change booking {}.", n / 2),
                "actions": [], "outputs": []}, "source": "user", "user_cost": 0.001,
                "reward_info": {"reward": 0.0, "info": {}, "actions": []}},
            "traj": [
                {"role": "system", "content": "You are an airline agent."},
                {"role": "user", "content": format!("Please change booking {n}.")},
                {"role": "assistant", "content": null, "function_call": null, "audio": null,
                    "tool_calls": [{"id": call, "type": "function", "function": function}]},
                {"role": "tool", "tool_call_id": call, "name": "get_reservation_details", "content": "{\"flights\": []}"},
                {"role": "assistant", "content": format!("Booking {n} is changed."), "tool_calls": null},
                {"role": "user", "content": "###STOP###"},
            ],
        })
    };
    (0..100).map(run).collect()
}

fn made_gsm8k() -> String {
    let mut dice = Dice::new(8);
    let mut correct = vec![false; 4_000];
    while correct.iter().filter(|c| **c).count() < 1_541 {
        let index = dice.below(4_000) as usize;
        correct[index] = true;
    }
    let solution = |n: usize, correct: bool| {
        let sum = n % 97 + n % 89;
        let answer = if correct { sum } else { sum + 1 };
        json!({"is_correct": correct, "solution": format!("{} + {} = {answer}\nA: {answer}", n % 97, n % 89)})
    };
    let record = |(n, c): (usize, &[bool])| {
        let sum = n % 97 + n % 89;
        let record = json!({
            "question": format!("Sum {n}: what is {} and {} together?", n % 97, n % 89),
            "ground_truth": format!("{} + {} = <<{sum}>>{sum}\nA: {sum}", n % 97, n % 89),
            "6b_finetuning": solution(n, c[0]), "6b_verification": solution(n, c[1]),
            "175b_finetuning": solution(n, c[2]), "175b_verification": solution(n, c[3]),
        });
        format!("{record}\n")
    };
    correct.chunks(4).enumerate().map(record).collect()
}

#[test]
fn made_files_have_the_counts_of_the_real_ones() {
    let good = made_tau().as_array().expect("an array").iter().filter(|run| run["reward"] == json!(1.0)).count();
    assert_eq!(good, 31);
    assert_eq!(made_gsm8k().lines().count(), 1_000);
    assert_eq!(made_gsm8k().matches("\"is_correct\":true").count(), 1_541);
}
