//! `rewind`, `promote`, `drop`, `generations`: running a processor again beside the live one, and what follows.

use crate::Global;
use crate::commands::preview;
use crate::commands::progress::CatchUpBar;
use crate::context::Context;
use crate::failure::{Failure, Outcome, Status};
use crate::node::{self, selection};
use crate::quarantine;
use crate::{figures, generations};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use stillhouse_processors::control::{ControlError, DROPPED, Generations, PROMOTED, STARTED, State};
use stillhouse_processors::{Definition, PROCESSORS};
use stillhouse_schemas::Control;
use stillhouse_streams::generation::check_generation;
use stillhouse_streams::runner::{ends, passed};
use stillhouse_streams::{ErrorKind, Progress};

/// Runs a processor over history into a new generation, beside the live one.
#[derive(Debug, clap::Args)]
pub struct RewindArgs {
    /// The processor
    processor: String,
    /// Where to begin: `beginning`, a time (RFC 3339), or a cut (a manifest.json, or its JSON)
    #[arg(long, default_value = "beginning", value_name = "WHERE")]
    from: String,
    /// Name of the new generation
    #[arg(long = "as", value_name = "GENERATION")]
    name: String,
    /// A setting of the new generation; the others are those of the settings file. May be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Read this physical topic instead of the live one; may be repeated
    #[arg(long = "input", value_name = "TOPIC=PHYSICAL")]
    input: Vec<String>,
    /// Only say what would be asked of models, and what it would cost
    #[arg(long)]
    preview: bool,
    /// Ask models without asking back
    #[arg(long)]
    yes: bool,
    /// Leave the work to the running node
    #[arg(long)]
    detach: bool,
    /// Why, for those who read the control topic later
    #[arg(long, default_value = "")]
    note: String,
}

/// Names a generation of a processor.
#[derive(Debug, clap::Args)]
pub struct NameArgs {
    /// The processor (`scorer`) and generation, or `scorer.v2` in one word
    #[arg(value_name = "PROCESSOR")]
    processor: String,
    /// The generation
    #[arg(value_name = "GENERATION")]
    generation: Option<String>,
    /// Why, for those who read the control topic later
    #[arg(long, default_value = "")]
    note: String,
}

impl NameArgs {
    fn parts(&self) -> Outcome<(&'static Definition, String)> {
        let (processor, generation) = match (&self.generation, self.processor.rsplit_once('.')) {
            (Some(generation), _) => (self.processor.as_str(), generation.as_str()),
            (None, Some((processor, generation))) => (processor, generation),
            (None, None) => {
                return Err(Failure::new(Status::Usage, format!("which generation of {}?", self.processor))
                    .hint(format!("for example: {0} v2; `stillhouse generations` lists them", self.processor)));
            }
        };
        Ok((definition(processor)?, generation.to_owned()))
    }
}

fn definition(name: &str) -> Outcome<&'static Definition> {
    Ok(selection(&[name.to_owned()])?[0])
}

/// Runs the rewind.
pub async fn rewind(global: &Global, args: &RewindArgs) -> Outcome {
    let definition = definition(&args.processor)?;
    check_generation(&args.name).map_err(|e| Failure::new(Status::Usage, e))?;
    let set = pairs(&args.set)?;
    definition.settings(&set).map_err(|e| Failure::new(Status::Usage, e.to_string()))?;
    let context = global.open_for_work().await?;
    let mut settings = context.settings().processors.get(definition.name).cloned().unwrap_or_default();
    settings.extend(set);
    let effective = definition.settings(&settings).map_err(|e| Failure::new(Status::Usage, e.to_string()))?;
    let known = node::settle_first_generations(&context).await?;
    if known.of(definition.name).any(|g| g.name == args.name) {
        return Err(Failure::new(
            Status::Usage,
            format!("{} has had a generation {} already", definition.name, args.name),
        )
        .hint("give the new one another name"));
    }
    let mut control = Control {
        action: STARTED.into(),
        processor: definition.name.into(),
        generation: args.name.clone(),
        version: definition.version.into(),
        settings,
        inputs: pairs(&args.input)?,
        note: args.note.clone(),
        ..Control::default()
    };
    known.check(&control).map_err(|e| Failure::new(Status::Usage, e.to_string()))?;
    let mut physical = Vec::new();
    for input in definition.inputs {
        match control.inputs.get(*input) {
            Some(bound) => physical.push(bound.clone()),
            None => physical.extend(known.resolve(input).map_err(|e| Failure::new(Status::NotFound, e.to_string()))?),
        }
    }
    let from = begin(&context, &args.from, &physical).await?;
    node::build(&context, definition, &args.name, &control.settings)?;
    let until = ends(context.journal.as_ref(), &physical).await?;
    let preview = preview::preview(&context, definition, &effective, &until, &from).await?;
    match &preview {
        Some(preview) if args.preview => return preview.show(&context),
        Some(preview) => preview.confirm(&context, args.yes)?,
        None if args.preview => {
            return preview::Preview::default().show(&context);
        }
        None => {}
    }
    node::ensure_outputs(&context, definition, &args.name).await?;
    let group = context.names.group(definition.name, &args.name);
    if !from.is_empty() {
        context.journal.reset(&group, &from).await?;
        control.from = serde_json::to_string(&from).map_err(anyhow::Error::from)?;
    }
    generations::say(&context, control, None).await?;
    let outputs: Vec<String> = definition.outputs.iter().map(|o| context.names.derived(o, &args.name)).collect();
    if args.detach {
        context
            .out
            .note(format_args!("{group} is left to the node; `stillhouse lag --group {group}` shows how far it is"));
        return Ok(());
    }
    let cut = ends(context.journal.as_ref(), &physical).await?;
    let bar = CatchUpBar::new(&context.out);
    node::run_generation(&context, definition, &args.name, &cut, |stage| bar.show(stage)).await?;
    bar.finish();
    let written = ends(context.journal.as_ref(), &outputs).await?;
    let read: u64 = cut.iter().map(|(t, p, end)| end.saturating_sub(from.get(t, p).unwrap_or(0))).sum();
    let judged = match definition.outputs.contains(&"scores") {
        true => Some(figures::judged(&context, &written, &cut, &from).await?),
        false => None,
    };
    if context.out.is_json() {
        return context.out.json(&json!({
            "processor": definition.name, "generation": args.name, "group": group, "outputs": outputs, "ends": written,
            "judged": judged,
        }));
    }
    context.out.line(format_args!("{group} has passed the whole of {}: {read} records", physical.join(", ")))?;
    if let Some(judged) = judged {
        context.out.line(judged)?;
    }
    let live = known.live(definition.name).to_owned();
    for output in definition.outputs.iter().filter(|o| !o.contains('.')) {
        let (old, new) = (context.names.derived(output, &live), context.names.derived(output, &args.name));
        if *output == "scores" {
            context.out.note(format_args!("compare:  stillhouse diff {old} {new}"));
        } else {
            let next = format!("stillhouse rewind scorer --as {0} --input {output}={new}", args.name);
            context.out.note(format_args!("judge it: {next}   then compare the scores"));
        }
    }
    context.out.note(format_args!(
        "then:     stillhouse promote {0} {1}   or   stillhouse drop {0} {1}",
        definition.name, args.name
    ));
    Ok(())
}

async fn begin(context: &Context, from: &str, inputs: &[String]) -> Outcome<Progress> {
    if from == "beginning" {
        return Ok(Progress::default());
    }
    if let Ok(time) = from.parse::<jiff::Timestamp>() {
        let mut progress = Progress::default();
        for (topic, partition, _) in ends(context.journal.as_ref(), inputs).await?.iter() {
            let offset = context.journal.offset_at(topic, partition, time.as_millisecond()).await?;
            progress.set(topic.clone(), partition, offset);
        }
        return Ok(progress);
    }
    let cut = crate::commands::cut::parse(from)?;
    Ok(cut
        .iter()
        .filter(|(topic, ..)| inputs.iter().any(|i| **i == ***topic))
        .map(|(t, p, o)| (t.clone(), p, o))
        .collect())
}

/// Makes a generation the live one.
pub async fn promote(global: &Global, args: &NameArgs) -> Outcome {
    let (definition, generation) = args.parts()?;
    let context = global.open().await?;
    let known = node::settle_first_generations(&context).await?;
    let before = known.live(definition.name).to_owned();
    let id = say(&context, &known, PROMOTED, definition, &generation, &args.note).await?;
    warn_of_gaps(&context, &known, definition, &generation).await?;
    let released = quarantine::released_by_promotion(&context, &known, definition, (&before, &generation)).await?;
    if released > 0 {
        context.out.note(format_args!("released:  {released} run(s) that {before} had left out are evidence now"));
    }
    done(&context, PROMOTED, definition, &generation, &id)?;
    context.out.note(format_args!("undo:  stillhouse promote {} {before}", definition.name));
    Ok(())
}

/// Says it when a promoted generation does not cover all of history: readers will miss what it has not judged.
async fn warn_of_gaps(
    context: &Context,
    known: &Generations,
    definition: &'static Definition,
    generation: &str,
) -> Outcome {
    let Ok(found) = known.active(definition, generation) else { return Ok(()) };
    if !found.from.is_empty() {
        context
            .out
            .note(format_args!("note:  {generation} began at {}: it holds nothing of what was before", found.from));
    }
    let journal = context.journal.as_ref();
    let cut = ends(journal, &node::reads(known, definition, generation)?).await?;
    let group = context.names.group(definition.name, generation);
    let progress =
        journal.groups().await?.into_iter().find(|g| g.group == group).map(|g| g.progress).unwrap_or_default();
    if !passed(journal, &progress, &cut).await? {
        context.out.note(format_args!(
            "note:  {generation} has not passed all of its input yet: `stillhouse lag --group {group}`"
        ));
    }
    Ok(())
}

/// Drops a generation that is not live: its group, its topics.
pub async fn drop(global: &Global, args: &NameArgs) -> Outcome {
    let (definition, generation) = args.parts()?;
    let context = global.open().await?;
    let known = node::settle_first_generations(&context).await?;
    let id = say(&context, &known, DROPPED, definition, &generation, &args.note).await?;
    // Workers read the control topic and leave; then the group is free.
    let group = context.names.group(definition.name, &generation);
    let patience = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match context.journal.delete_group(&group).await {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::Fenced && tokio::time::Instant::now() < patience => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    for output in definition.outputs {
        context.journal.delete_topic(&context.names.derived(output, &generation)).await?;
    }
    done(&context, DROPPED, definition, &generation, &id)
}

async fn say(
    context: &Context,
    known: &Generations,
    action: &str,
    definition: &Definition,
    generation: &str,
    note: &str,
) -> Outcome<String> {
    let control = Control {
        action: action.into(),
        processor: definition.name.into(),
        generation: generation.into(),
        version: definition.version.into(),
        note: note.into(),
        ..Control::default()
    };
    known.check(&control).map_err(|e| Failure::new(refusal(&e), e.to_string()))?;
    generations::say(context, control, None).await
}

fn refusal(error: &ControlError) -> Status {
    match error {
        ControlError::Unknown { .. } | ControlError::Dropped { .. } => Status::NotFound,
        _ => Status::Usage,
    }
}

fn done(context: &Context, action: &str, definition: &Definition, generation: &str, id: &str) -> Outcome {
    if context.out.is_json() {
        return context.out.json(&json!({
            "action": action, "processor": definition.name, "generation": generation, "event": id,
        }));
    }
    context.out.line(format_args!("{action}: {} {generation}  (event {id})", definition.name))
}

/// Lists the generations of every processor.
pub async fn list(global: &Global) -> Outcome {
    let context = global.open_to_read().await?;
    let known = node::settle_first_generations(&context).await?;
    let mut rows = Vec::new();
    for definition in PROCESSORS.iter().filter(|d| d.is_transform()) {
        for generation in known.of(definition.name).filter(|g| g.state == State::Active) {
            rows.push((
                definition.name,
                generation.name.clone(),
                if known.live(definition.name) == generation.name { "live" } else { "shadow" },
                generation.settings.clone(),
                node::reads(&known, definition, &generation.name)?,
            ));
        }
    }
    if context.out.is_json() {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(p, g, s, set, inputs)| json!({"processor": p, "generation": g, "state": s, "settings": set, "inputs": inputs}))
            .collect();
        return context.out.rows(&rows);
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(p, g, s, set, inputs)| {
            let set: Vec<String> = set.iter().map(|(k, v)| format!("{k}={v}")).collect();
            vec![p.into(), g, s.into(), inputs.join(", "), set.join(" ")]
        })
        .collect();
    context.out.table(&["PROCESSOR", "GENERATION", "STATE", "READS", "SETTINGS"], &rows)
}

fn pairs(texts: &[String]) -> Outcome<BTreeMap<String, String>> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
            _ => Err(Failure::new(Status::Usage, format!("`{text}` is not NAME=VALUE"))),
        })
        .collect()
}
