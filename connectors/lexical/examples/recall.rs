//! How well the vectors find what belongs together: `cargo run --release -p stillhouse-lexical --example recall -- FILE
//! [DIMENSIONS]`, FILE with a JSON object a line: `question`, and members that are objects with a `solution`. Every text is
//! looked for among all others; what counts is the share of those of the same question among the ten nearest.
//!
//! `answers`: an answer finds the other answers to its question, without the question's words. `questions`: a question finds
//! its answers.

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use stillhouse_lexical::{DIMENSIONS, Lexical};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("name a file")?;
    let dimensions = arguments.next().map_or(Ok(DIMENSIONS), |given| given.parse())?;
    let lexical = Lexical::new(dimensions);
    let (mut questions, mut answers) = (Vec::new(), Vec::new());
    let text = std::fs::read_to_string(file)?;
    let started = std::time::Instant::now();
    for (task, line) in text.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        questions.push((task, lexical.vector(line["question"].as_str().unwrap_or_default())));
        let members = line.as_object().into_iter().flatten().filter_map(|(_, member)| member["solution"].as_str());
        answers.extend(members.map(|solution| (task, lexical.vector(solution))));
    }
    let made = questions.len() + answers.len();
    let each = started.elapsed().as_secs_f64() * 1e6 / made as f64;
    let by_answer = recall(&answers, &answers, true);
    let by_question = recall(&questions, &answers, false);
    println!("{dimensions} dimensions: answers {by_answer:.4}, questions {by_question:.4}; {each:.1} µs a text");
    Ok(())
}

fn recall(asked: &[(usize, Vec<f32>)], among: &[(usize, Vec<f32>)], same: bool) -> f64 {
    let (mut found, mut there) = (0, 0);
    for (place, (task, vector)) in asked.iter().enumerate() {
        let others = among.iter().enumerate().filter(|(other, _)| !same || *other != place);
        let mut near: Vec<(f32, usize)> =
            others.map(|(_, (of, other))| (vector.iter().zip(other).map(|(a, b)| a * b).sum(), *of)).collect();
        there += near.iter().filter(|(_, of)| of == task).count();
        let ten = near.len().min(10) - 1;
        near.select_nth_unstable_by(ten, |a, b| b.0.total_cmp(&a.0));
        found += near[..=ten].iter().filter(|(_, of)| of == task).count();
    }
    f64::from(u32::try_from(found).unwrap_or(0)) / f64::from(u32::try_from(there.max(1)).unwrap_or(1))
}
