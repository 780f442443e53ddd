//! Plainly synthetic runs of a staffing company's agents: the same ones every time, nobody real in them.

use serde_json::{Value, json};
use stillhouse_schemas::{
    Envelope, Event, Message, Outcome, Passage, Payload, Producer, Run, Tool, ToolCall, Usage, ids,
};

/// 2026-01-05T08:00:00Z, in microseconds: when the first run of the sample happened.
const FIRST_AT: i64 = 1_767_600_000_000_000;
const MINUTE: i64 = 60_000_000;

const TRADES: [&str; 6] =
    ["forklift operator", "order picker", "line cook", "warehouse clerk", "event steward", "machine operator"];
const TOWNS: [&str; 4] = ["Exampleton", "Sample Falls", "Mocksburg", "Testville"];
const SHIFTS: [(&str, i64); 3] = [("early", 8), ("late", 8), ("night", 7)];

/// The runs of the sample, `count` of them.
pub fn events(count: usize) -> impl Iterator<Item = Event> {
    (0..count).map(event)
}

fn event(number: usize) -> Event {
    let mut dice = Dice(number as u64 ^ 0x5eed);
    let run = match number % 12 {
        0..=4 => proposal(number, &mut dice),
        5 | 6 => pay(number, &mut dice),
        7 => question(number, &mut dice),
        8 => timesheet(number, &mut dice),
        9 => handbook(number, &mut dice),
        10 if number % 24 < 12 => mail(number, &mut dice),
        10 => review(number, &mut dice),
        _ => fill(number, &mut dice),
    };
    Event {
        envelope: Envelope {
            id: ids::imported("stillhouse/sample", &run.run_id),
            key: run.run_id.clone(),
            occurred_at: FIRST_AT + number as i64 * MINUTE,
            producer: Producer {
                name: "demo".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                ..Producer::default()
            },
            ..Envelope::default()
        },
        payload: Payload::Run(run),
    }
}

/// A small generator of numbers (SplitMix64): the sample must not change with a library.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize]
    }
}

fn base(number: usize, class: Option<&str>, task: String) -> Run {
    Run {
        run_id: format!("sample-{number:05}"),
        source_class: class.map(Into::into),
        task_key: Some(task),
        role: Some("recruiter".into()),
        model: Some(if number.is_multiple_of(3) { "sample-model-large" } else { "sample-model-small" }.into()),
        provider: Some("sample".into()),
        finish_reason: Some("stop".into()),
        started_at: Some(FIRST_AT + number as i64 * MINUTE),
        ended_at: Some(FIRST_AT + number as i64 * MINUTE + MINUTE / 4),
        usage: Some(Usage {
            input_tokens: Some(420 + number as i64 % 97),
            output_tokens: Some(80 + number as i64 % 31),
            ..Usage::default()
        }),
        tags: vec!["sample".into()],
        ..Run::default()
    }
}

fn says(role: &str, content: impl Into<String>) -> Message {
    Message { role: role.into(), content: Some(content.into()), ..Message::default() }
}

fn calls(id: &str, name: &str, arguments: &Value) -> Message {
    let call = ToolCall { id: Some(id.into()), name: name.into(), arguments: arguments.to_string() };
    Message { role: "assistant".into(), tool_calls: vec![call], ..Message::default() }
}

fn answers(id: &str, name: &str, result: impl ToString) -> Message {
    Message {
        role: "tool".into(),
        content: Some(result.to_string()),
        name: Some(name.into()),
        tool_call_id: Some(id.into()),
        ..Message::default()
    }
}

fn tool(name: &str, description: &str, properties: &Value) -> Tool {
    let parameters = json!({"type": "object", "properties": properties});
    Tool { name: name.into(), description: Some(description.into()), parameters: Some(parameters.to_string()) }
}

/// An agent proposes a worker for a job: right, nearly right (half a reward), wrong, or lost in a loop.
fn proposal(number: usize, dice: &mut Dice) -> Run {
    let (trade, town) = (dice.pick(&TRADES), dice.pick(&TOWNS));
    let (shift, hours) = dice.pick(&SHIFTS);
    let job = format!("J-{:04}", number / 4);
    let worker = format!("W-{:04}", dice.roll(9_000) + 1_000);
    let luck = dice.roll(100);
    let mut run = base(number, Some("agent"), format!("fill {job}"));
    run.tools = vec![
        tool(
            "search_workers",
            "Workers with a trade in a town.",
            &json!({"trade": {"type": "string"}, "town": {"type": "string"}}),
        ),
        tool(
            "check_availability",
            "Whether a worker is free for a shift.",
            &json!({"worker": {"type": "string"}, "shift": {"type": "string"}}),
        ),
        tool(
            "propose",
            "Proposes a worker for a job.",
            &json!({"job": {"type": "string"}, "worker": {"type": "string"}}),
        ),
    ];
    run.messages = vec![
        says(
            "system",
            "You fill jobs of a staffing company. Propose only workers who have the trade, live near and are free.",
        ),
        says("user", format!("Job {job}: one {trade} in {town}, {shift} shift, {hours} hours. Whom do you propose?")),
        calls("c1", "search_workers", &json!({"trade": trade, "town": town})),
        answers(
            "c1",
            "search_workers",
            json!([{"worker": worker, "name": format!("Sample Worker {}", &worker[2..]), "phone": format!("555-01{:02}", luck)}]),
        ),
    ];
    if luck < 8 {
        for attempt in 2..6 {
            let id = format!("c{attempt}");
            run.messages.push(calls(&id, "check_availability", &json!({"worker": worker, "shift": shift})));
            run.messages.push(answers(&id, "check_availability", "Error: the calendar did not answer"));
        }
        run.messages.push(says("assistant", "I could not find out who is free."));
        run.outcome = Outcome { reward: Some(0.0), ..Outcome::default() };
        return run;
    }
    run.messages.push(calls("c2", "check_availability", &json!({"worker": worker, "shift": shift})));
    run.messages.push(answers("c2", "check_availability", json!({"worker": worker, "free": luck < 80})));
    run.messages.push(calls("c3", "propose", &json!({"job": job, "worker": worker})));
    run.messages.push(answers("c3", "propose", json!({"ok": true})));
    run.messages.push(says(
        "assistant",
        format!("I propose {worker} for {job}: {trade}, lives in {town}, asked for {shift} shifts."),
    ));
    let reward = match luck {
        8..=49 => 1.0,
        50..=79 => 0.5,
        _ => 0.0,
    };
    run.outcome = Outcome { reward: Some(reward), source: Some("placement check".into()), ..Outcome::default() };
    run
}

/// A question of pay with a right answer.
fn pay(number: usize, dice: &mut Dice) -> Run {
    let (rate, hours, workers) = (15 + dice.roll(12), 4 + dice.roll(6), 2 + dice.roll(5));
    let right = rate * hours * workers;
    let said = if dice.roll(4) == 0 { rate * hours + workers } else { right };
    let mut run = base(number, Some("reasoning"), format!("pay {rate}x{hours}x{workers}"));
    run.reference = Some(right.to_string());
    run.messages = vec![
        says(
            "user",
            format!("{workers} workers earn ${rate} an hour and work {hours} hours each. What do we pay in all?"),
        ),
        says("assistant", format!("{workers} workers times {hours} hours times ${rate} makes ${said}.\nA: {said}")),
    ];
    let verdict = if said == right { "pass" } else { "fail" };
    run.outcome = Outcome { verdict: Some(verdict.into()), source: Some("payroll".into()), ..Outcome::default() };
    run
}

/// A question of a worker; nobody judged most of the answers, so rules must.
fn question(number: usize, dice: &mut Dice) -> Run {
    let trade = dice.pick(&TRADES);
    let mut run = base(number, None, format!("question about a {trade}"));
    run.messages = vec![
        says("system", "You answer questions of workers of a staffing company, briefly and kindly."),
        says("user", format!("Do I need a licence to work as a {trade}?")),
    ];
    match dice.roll(6) {
        0 => run.messages.push(says("assistant", "")),
        1 => {
            run.messages.push(says("assistant", format!("For work as a {trade} you would need to show")));
            run.finish_reason = Some("length".into());
        }
        n => {
            run.messages.push(says(
                "assistant",
                format!(
                    "It depends on the site. For a {trade} we check with the client first and tell you what to bring."
                ),
            ));
            if n == 2 {
                run.outcome.human_label = Some("accepted".into());
            }
        }
    }
    run
}

/// Hours read out of a note, as JSON of a given form: now and then a number comes as a word, or with chatter.
fn timesheet(number: usize, dice: &mut Dice) -> Run {
    let (worker, hours) = (dice.roll(9_000) + 1_000, 4 + dice.roll(6));
    let mut run = base(number, None, format!("timesheet {number}"));
    run.response_schema = Some(
        json!({"type": "object", "additionalProperties": false, "required": ["worker", "hours"],
            "properties": {"worker": {"type": "string", "pattern": "^W-[0-9]{4}$"}, "hours": {"type": "integer"}}})
        .to_string(),
    );
    let read = match dice.roll(4) {
        0 => json!({"worker": format!("W-{worker}"), "hours": "a full day"}),
        _ => json!({"worker": format!("W-{worker}"), "hours": hours}),
    };
    run.messages = vec![
        says("user", format!("Read the hours: \"W-{worker} was here from 8, {hours} hours, signed by the lead.\"")),
        says("assistant", read.to_string()),
    ];
    run
}

/// A question answered from the handbook: from it, beside it, or rightly not at all.
fn handbook(number: usize, dice: &mut Dice) -> Run {
    let town = dice.pick(&TOWNS);
    let mut run = base(number, None, format!("handbook {town} {}", number / 12));
    let passage = |id: &str, text: String| Passage { id: Some(id.into()), text, source: Some("handbook".into()) };
    run.passages = vec![
        passage("h-1", format!("In {town} the night shift begins at 22:00 and ends at 5:00. Boots are handed out.")),
        passage("h-2", "Lunch is free for workers on shifts of eight hours or more.".into()),
    ];
    let (asked, said) = match dice.roll(5) {
        0 => ("Is there a bus?", "The passages do not mention a bus.".to_owned()),
        1 => ("When does the night shift begin?", format!("In {town} the night shift begins at 21:30 [h-1].")),
        _ => ("When does the night shift begin?", format!("In {town} the night shift begins at 22:00 [h-1].")),
    };
    run.messages = vec![says("user", asked), says("assistant", said)];
    run
}

/// A verdict over a draft: most say one, some waver.
fn review(number: usize, dice: &mut Dice) -> Run {
    let mut run = base(number, None, format!("review {number}"));
    let body = format!("Your shift at {} starts at 6:00. Bring your badge.", dice.pick(&TOWNS));
    run.artefact = Some(json!({"to": "worker@example.com", "subject": "Your shift", "body": body}).to_string());
    let said = match dice.roll(4) {
        0 => "It is friendly. The date is missing.",
        1 => "The date is missing.\n\nVerdict: request changes",
        _ => "It says where, when and what to bring.\n\nVerdict: approve",
    };
    run.messages = vec![says("user", "May this go out?"), says("assistant", said)];
    run
}

/// A worker proposed for a job, out of three: one of them, or one who was not among them.
fn fill(number: usize, dice: &mut Dice) -> Run {
    let (trade, first) = (dice.pick(&TRADES), dice.roll(9_000) + 1_000);
    let job = format!("J-{number:04}");
    let mut run = base(number, Some("fill"), format!("propose {job}"));
    let candidates: Vec<String> = (0..3).map(|i| format!("W-{}", first + i)).collect();
    let chosen = if dice.roll(5) == 0 { format!("W-{}", first + 7) } else { candidates[1].clone() };
    run.context = Some(
        json!({"job": {"id": job, "trade": trade, "headcount": 1},
            "candidates": candidates.iter().map(|id| json!({"worker_id": id, "trade": trade})).collect::<Vec<_>>()})
        .to_string(),
    );
    run.messages = vec![
        says("user", format!("Whom do you propose for {job}? Answer with JSON: worker_id, job_id, why.")),
        says(
            "assistant",
            json!({"worker_id": chosen, "job_id": job, "why": format!("a {trade} who is free")}).to_string(),
        ),
    ];
    run
}

/// A message to a worker; in some of them a blank was left.
fn mail(number: usize, dice: &mut Dice) -> Run {
    let worker = dice.roll(9_000) + 1_000;
    let mut run = base(number, Some("email"), format!("mail W-{worker}"));
    let signed = if dice.roll(4) == 0 { "[Your Name]" } else { "The sample office" };
    run.messages = vec![
        says(
            "user",
            format!("Write to Sample Worker {worker} (worker{worker}@example.com) about the shift on Monday."),
        ),
        says(
            "assistant",
            format!(
                "To: worker{worker}@example.com\nSubject: Your shift on Monday\n\nHello Sample Worker {worker},\n\
                 your shift on Monday starts at 6:00. Call 555-0100 with questions.\n\n{signed}"
            ),
        ),
    ];
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillhouse_processors::materializer::{CLASSES, class_of};

    #[test]
    fn the_sample_is_the_same_every_time_and_legal() {
        let first: Vec<Event> = events(200).collect();
        assert_eq!(first, events(200).collect::<Vec<_>>());
        let mut classes = std::collections::BTreeSet::new();
        for event in &first {
            stillhouse_schemas::check(event).unwrap();
            let Payload::Run(run) = &event.payload else { panic!("a sample is a run") };
            classes.insert(run.source_class.clone().unwrap_or_else(|| class_of(run).to_owned()));
        }
        let known: std::collections::BTreeSet<String> = CLASSES.iter().map(|class| class.name.to_owned()).collect();
        assert_eq!(classes, known, "the sample has a run of every class");
    }
}
