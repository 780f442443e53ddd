//! What a rewind would ask of models before it asks: how many calls, how many of them are recorded, what the rest costs.

use crate::context::Context;
use crate::events::{Read, Records};
use crate::failure::{Failure, Outcome, Status};
use crate::models;
use serde::Serialize;
use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use stillhouse_processors::scorer::{self, Scorer};
use stillhouse_processors::{Definition, EventTransform, Settings};
use stillhouse_schemas::model::{CallError, Calls};
use stillhouse_streams::Progress;

/// Characters of a token, roughly.
const CHARS: usize = 4;
/// Tokens of an answer, where none that was recorded says it.
const ANSWER: i64 = 150;

/// What would be asked.
#[derive(Debug, Default, Serialize)]
pub(super) struct Preview {
    /// The model.
    model: String,
    /// Questions that history holds.
    calls: u64,
    /// Of these, answered before: they cost nothing.
    recorded: u64,
    /// Of these, asked more than once: one answer will do.
    repeated: u64,
    /// What is left to be asked.
    to_make: u64,
    /// Tokens of what is left, estimated: four characters each, and answers as long as those recorded.
    input_tokens: i64,
    output_tokens: i64,
    /// What they cost, in US dollars; nothing where the table of prices does not say.
    cost_usd: Option<f64>,
}

/// What a generation with these settings would ask about the records of its inputs from `from` on; nothing if it asks
/// nobody.
pub(super) async fn preview(
    context: &Context,
    definition: &Definition,
    settings: &Settings,
    inputs: &Progress,
    from: &Progress,
) -> Outcome<Option<Preview>> {
    let uris = models::asked(definition.name, settings);
    if definition.name != scorer::NAME || uris.is_empty() {
        return Ok(None);
    }
    let scorer = Scorer::new(settings).map_err(|e| Failure::new(Status::Usage, e.to_string()))?;
    if !scorer.asks_models() {
        return Ok(None);
    }
    let calls = context.calls();
    let model = calls.model(uris[0])?;
    let mut preview = Preview { model: uris[0].to_owned(), ..Preview::default() };
    let (mut seen, mut answered, mut written) = (HashSet::new(), 0_i64, 0_i64);
    let mut records = Records::until(context, inputs);
    while let Some(page) = records.events().await? {
        for (position, read) in page {
            let Read::Event(event) = read else { continue };
            if from.get(&position.topic, position.partition).is_some_and(|from| position.offset < from) {
                continue;
            }
            let Some(ask) = scorer.asks(&event) else { continue };
            let call = ask.about(&event, &position);
            preview.calls += 1;
            match calls.recorded(&call).await.map_err(|e: CallError| Failure::new(Status::Failed, e.to_string()))? {
                Some(answer) => {
                    preview.recorded += 1;
                    if let Some(tokens) = answer.reply.usage.and_then(|usage| usage.output_tokens) {
                        answered += 1;
                        written += tokens;
                    }
                }
                None => {
                    let body = call.request.canonical();
                    // Bounded by what is about to be asked anyway: 16 bytes a question.
                    if seen.insert(stillhouse_processors::exporter::short(&body)) {
                        preview.to_make += 1;
                        preview.input_tokens += i64::try_from(body.chars().count().div_ceil(CHARS)).unwrap_or(i64::MAX);
                    } else {
                        preview.repeated += 1;
                    }
                }
            }
        }
    }
    let each = if answered > 0 { written / answered } else { ANSWER };
    preview.output_tokens = each * i64::try_from(preview.to_make).unwrap_or(i64::MAX);
    let price = context.settings().models.price(model.provider(), model.name());
    preview.cost_usd = match preview.to_make {
        0 => Some(0.0),
        _ => price.map(|price| price.of(preview.input_tokens, preview.output_tokens)),
    };
    Ok(Some(preview))
}

impl Preview {
    /// In words.
    pub(super) fn show(&self, context: &Context) -> Outcome {
        if context.out.is_json() {
            return context.out.json(self);
        }
        context.out.line(self.to_line())
    }

    fn to_line(&self) -> String {
        let cost = match self.cost_usd {
            Some(cost) => format!("about {cost:.4} US dollars"),
            None => "at a price that `models.prices` does not say".to_owned(),
        };
        format!(
            "{} asks {} times: {} recorded, {} repeated, {} to make; about {} tokens in and {} out, {cost}",
            self.model, self.calls, self.recorded, self.repeated, self.to_make, self.input_tokens, self.output_tokens
        )
    }

    /// Goes on if nothing is to be asked, or somebody says yes.
    pub(super) fn confirm(&self, context: &Context, yes: bool) -> Outcome {
        if !context.out.is_json() {
            context.out.note(self.to_line());
        }
        if yes || self.to_make == 0 {
            return Ok(());
        }
        let refused = |message: &str| {
            Failure::new(Status::Usage, format!("{message}: {} calls were not made", self.to_make))
                .hint("--yes makes them, --preview only counts them")
        };
        if context.out.is_json() || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(refused("nobody can be asked here"));
        }
        let mut answer = String::new();
        let _ = write!(std::io::stderr().lock(), "make {} calls? [y/N] ", self.to_make);
        std::io::stdin().read_line(&mut answer).map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(refused("as you said")),
        }
    }
}
