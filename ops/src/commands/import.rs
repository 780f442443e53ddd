//! `stillhouse import`: recorded runs out of files, by a mapping.
//!
//! One thread reads, maps and encodes; batches go to the journal, a few at a time, in bounded memory. What was
//! acknowledged in order is noted in a checkpoint, so that a killed import goes on from there; ids make whatever is
//! appended again harmless.

pub(crate) mod appender;
mod feed;
mod report;

use super::up::stop_on_signals;
use crate::Global;
use crate::context::{Context, data_dir, make_dir};
use crate::failure::{Failure, Outcome, Status};
use crate::output::Output;
use appender::{Appender, Settled};
use feed::{Batch, Feed, Message, Target};
use futures::{StreamExt, stream};
use report::{Reporter, Summary};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse_files::import::{
    Checkpoint, CheckpointFile, Counts, Mapping, OpenError, Options, READY, Reading, Rejection, Resume, language, open,
    ready, survey, unknown,
};
use stillhouse_files::lines;
use stillhouse_schemas::{Codec, Event, Producer, TOPICS, Writer, check, topic};
use stillhouse_streams::Position;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Batches under way at a time.
const IN_FLIGHT: usize = 4;
/// How often progress is noted on disk.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Largest mapping file.
const MAX_MAPPING: u64 = 1 << 20;

/// Brings recorded runs in from files. Importing a file again adds nothing; a bad record is reported with file, line and
/// reason, and the others go in (exit status 6 then). A killed import is simply started again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files: JSON Lines, one JSON array, JSON values one after another; also gzipped; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["list", "explain"])]
    files: Vec<String>,
    /// A shipped mapping (`--list`), or a TOML file (`--explain` tells the language)
    #[arg(long, value_name = "NAME|FILE", required_unless_present_any = ["list", "explain"])]
    map: Option<String>,
    /// Topic that they go to [default: runs, or spans for mappings of spans]
    #[arg(long)]
    topic: Option<String>,
    /// Stop after this many records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Read and map everything, append nothing
    #[arg(long)]
    dry_run: bool,
    /// What a bad record does: `report` it and go on, or `stop`
    #[arg(long, value_enum, default_value_t = OnError::Report, value_name = "WHAT")]
    on_error: OnError,
    /// Write every rejection to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Form of the records, where it is not to be found by the first bytes
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Form>,
    /// Read from the beginning even where an earlier import of the file was interrupted
    #[arg(long)]
    no_resume: bool,
    /// List the shipped mappings
    #[arg(long)]
    list: bool,
    /// Print a mapping, or without a name the language that mappings are written in
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
}

/// What a bad record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    /// It is reported, and the others go in.
    Report,
    /// Reading stops.
    Stop,
}

/// Form of the records in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// One JSON value a line.
    Lines,
    /// One JSON array.
    Array,
    /// JSON values one after another.
    Concatenated,
}

/// Runs the command.
pub async fn run(global: &Global, mut args: Args) -> Outcome {
    let out = global.output();
    if args.list {
        return list(&out);
    }
    if let Some(name) = &args.explain {
        return explain(&out, name);
    }
    let mapping = Arc::new(load(args.map.as_deref().unwrap_or_default())?);
    let (event, events) = if mapping.spans() { ("span", "spans") } else { ("run", "runs") };
    let topic = args.topic.take().unwrap_or_else(|| events.to_owned());
    check_topic(&topic, event)?;
    let total = survey(&args.files).map_err(refused)?;
    spare_inputs(&args)?;
    let context = if args.dry_run { None } else { Some(global.open_for_appends().await?) };
    let target = match &context {
        Some(context) => Target {
            topic: context.names.topic(&topic).into(),
            codec: context.codec.clone(),
            max_record: context.journal.max_record_bytes(),
        },
        None => Target { topic: topic.as_str().into(), codec: Codec::plain(), max_record: usize::MAX },
    };
    let options =
        Options { format: args.format.map(Form::format), limits: lines::Limits::default(), spans: Some(spans) };
    let mut reading = Reading::new(mapping.clone(), args.files.clone(), options)?;
    let mut progress = Progress::new(&args, &topic, &mapping, context.as_ref());
    progress.resume(&mut reading, &args, context.as_ref()).await?;
    let reporter = Reporter::new(out, total, reading.consumed(), args.rejects.as_deref(), events)?;
    let stop = stop_on_signals();
    let halt = CancellationToken::new();
    let (sender, receiver) = mpsc::channel(2);
    let feed = Feed::new(reading, target, args.limit, args.on_error == OnError::Stop, [stop.clone(), halt.clone()]);
    let feeding = tokio::task::spawn_blocking(move || feed.run(&sender));
    let import = Import { args: &args, context: context.as_ref(), mapping: &mapping, reporter, progress, stop, halt };
    let outcome = import.run(receiver).await;
    // Dropping the receiver has told the reader to stop; one that waits for standard input is left behind.
    drop(feeding);
    outcome
}

struct Import<'a> {
    args: &'a Args,
    context: Option<&'a Context>,
    mapping: &'a Mapping,
    reporter: Reporter,
    progress: Progress,
    stop: CancellationToken,
    halt: CancellationToken,
}

impl Import<'_> {
    async fn run(mut self, receiver: mpsc::Receiver<Message>) -> Outcome {
        let started = Instant::now();
        let appender = self.context.map(|c| Appender::new(c.journal.clone(), self.reporter.voice(), self.stop.clone()));
        let appender = &appender;
        let stop = self.stop.clone();
        let messages = stream::unfold((receiver, stop), |(mut receiver, stop)| async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => None,
                message = receiver.recv() => message.map(|m| (m, (receiver, stop))),
            }
        });
        let settling = messages.map(|message| async move {
            match (message, appender) {
                (Message::Batch(mut batch), Some(appender)) => {
                    let appends = std::mem::take(&mut batch.appends);
                    let settled = appender.append(appends).await;
                    (Message::Batch(batch), Some(settled))
                }
                (message, _) => (message, None),
            }
        });
        let mut settling = std::pin::pin!(settling.buffered(IN_FLIGHT));
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        let mut failure = None;
        let mut blank_lines = 0;
        let mut ended = false;
        loop {
            let settled = tokio::select! {
                settled = settling.next() => settled,
                _ = ticks.tick() => {
                    self.reporter.tick(&self.progress.counts());
                    continue;
                }
            };
            match settled {
                None => break,
                Some((Message::Batch(batch), settled)) => match settled.transpose() {
                    Ok(settled) => self.take(*batch, settled)?,
                    Err(error) => {
                        failure = Some(Failure::from(error));
                        break;
                    }
                },
                Some((Message::End { blank_lines: blank }, _)) => (blank_lines, ended) = (blank, true),
                Some((Message::Failed(message), _)) => {
                    failure = Some(
                        Failure::new(Status::Failed, message)
                            .hint("import again when it is put right: nothing is appended twice"),
                    );
                    break;
                }
            }
        }
        self.halt.cancel();
        let complete = ended && failure.is_none() && !self.stop.is_cancelled();
        self.progress.finish(complete);
        let counts = self.progress.counts();
        self.reporter.finish(&Summary {
            mapping: self.mapping.name(),
            counts,
            before: self.progress.before(),
            blank_lines,
            seconds: started.elapsed().as_secs_f64(),
            dry_run: self.args.dry_run,
            interrupted: !complete,
        })?;
        if complete && counts.records > 0 && counts.passed_over == counts.records {
            self.reporter.remark("no record was of the kind that the mapping takes (`only`); is it the right mapping?");
        }
        match failure {
            Some(failure) => Err(failure),
            None if self.stop.is_cancelled() => Err(Failure::silent(Status::Interrupted)),
            None if counts.rejected + self.progress.before().rejected > 0 => Err(Failure::silent(Status::Invalid)),
            None => Ok(()),
        }
    }

    /// Counts what became of a batch, and notes how far the file has come.
    fn take(&mut self, batch: Batch, settled: Option<Vec<Settled>>) -> Outcome {
        let mut counts = batch.counts;
        let mut whole = true;
        let mut witness = None;
        for rejection in &batch.rejections {
            self.reporter.reject(rejection)?;
        }
        match settled {
            None => counts.appended += batch.origins.len() as u64,
            Some(settled) => {
                for (settled, origin) in settled.into_iter().zip(&batch.origins) {
                    match settled {
                        Settled::Stands(receipt) => {
                            if receipt.duplicate {
                                counts.already_there += 1
                            } else {
                                counts.appended += 1
                            }
                            witness = Some((origin.id.clone(), receipt.position.to_string()));
                        }
                        Settled::Refused(reason) => {
                            counts.rejected += 1;
                            self.reporter
                                .reject(&Rejection { reason, ..origin.rejection(&self.args.files[batch.file]) })?;
                            if self.args.on_error == OnError::Stop {
                                self.halt.cancel();
                                whole = false;
                            }
                        }
                        Settled::Unsent => whole = false,
                    }
                }
            }
        }
        self.progress.add(batch.file, &counts);
        match (whole, batch.reached) {
            (true, Some(reached)) => self.progress.note(batch.file, reached, witness),
            (false, _) => self.progress.freeze(),
            _ => {}
        }
        Ok(())
    }
}

/// How far each file has come, in memory and on disk.
struct Progress {
    folder: Option<PathBuf>,
    target: [String; 2],
    mapping: Arc<Mapping>,
    files: Vec<Counts>,
    /// What interrupted imports had counted of each file.
    earlier: Vec<Counts>,
    saved: Vec<CheckpointFile>,
    pending: Option<(CheckpointFile, Checkpoint)>,
    last_save: Instant,
}

impl Progress {
    fn new(args: &Args, topic: &str, mapping: &Arc<Mapping>, context: Option<&Context>) -> Self {
        // A part of a file, or records that wait for each other, cannot be gone on with.
        let resumable = args.limit.is_none() && !mapping.joins();
        let folder = context.filter(|_| resumable).map(|c| data_dir(c.settings()).join("imports"));
        let target = context.map(|c| [c.journal.uri(), c.names.topic(topic)]).unwrap_or_default();
        let mapping = mapping.clone();
        let files = vec![Counts::default(); args.files.len()];
        let earlier = files.clone();
        Self { folder, target, mapping, files, earlier, saved: Vec::new(), pending: None, last_save: Instant::now() }
    }

    fn file(&self, path: &std::path::Path) -> Option<CheckpointFile> {
        let target: Vec<&str> = self.target.iter().map(String::as_str).collect();
        Some(CheckpointFile::of(self.folder.as_ref()?, path, &self.mapping, &target))
    }

    /// Looks for what an interrupted import noted, and checks that this journal has what it says.
    async fn resume(&mut self, reading: &mut Reading, args: &Args, context: Option<&Context>) -> Outcome {
        let Some(context) = context else { return Ok(()) };
        for (index, path) in args.files.iter().enumerate().filter(|(_, path)| *path != "-") {
            let identity = open(path, Arc::default()).map_err(refused)?.identity;
            let Some((identity, file)) = identity.and_then(|i| self.file(&i.path).map(|f| (i, f))) else { continue };
            let Some(checkpoint) = file.load(&identity) else { continue };
            if args.no_resume || !witnessed(context, checkpoint.witness.as_ref()).await {
                file.remove();
                continue;
            }
            self.earlier[index] = checkpoint.counts;
            self.saved.push(file);
            let Resume { format, taken } = checkpoint.resume();
            context.out.note(format_args!(
                "{path}: going on after record {} (byte {}), where an earlier import was interrupted; --no-resume begins anew",
                taken.mark.records, taken.mark.offset
            ));
            reading.resume(index, Resume { format, taken });
        }
        Ok(())
    }

    fn add(&mut self, file: usize, counts: &Counts) {
        self.files[file].add(counts);
    }

    fn counts(&self) -> Counts {
        sum(&self.files)
    }

    fn before(&self) -> Counts {
        sum(&self.earlier)
    }

    fn note(&mut self, file: usize, reached: feed::Reached, witness: Option<(String, String)>) {
        let Some(place) = self.file(&reached.identity.path) else { return };
        if self.pending.as_ref().is_some_and(|(_, c)| c.file.path != reached.identity.path) {
            self.save();
            self.pending = None;
        }
        let witness = witness.or_else(|| self.pending.take().and_then(|(_, c)| c.witness));
        let mut counts = self.files[file];
        if reached.resumed {
            counts.add(&self.earlier[file]);
        } else {
            // What an earlier import had noted was of another file under this name.
            self.earlier[file] = Counts::default();
        }
        let checkpoint =
            Checkpoint { file: reached.identity, format: reached.format, taken: reached.taken, witness, counts };
        self.pending = Some((place, checkpoint));
        if self.last_save.elapsed() >= NOTE_EVERY {
            self.save();
        }
    }

    fn save(&mut self) {
        self.last_save = Instant::now();
        let (Some((place, checkpoint)), Some(folder)) = (&self.pending, &self.folder) else { return };
        let made = make_dir(folder).map_err(|e| e.message);
        match made.and_then(|_| place.save(checkpoint).map_err(|e| e.to_string())) {
            Ok(()) if self.saved.contains(place) => {}
            Ok(()) => self.saved.push(place.clone()),
            Err(error) => {
                tracing::warn!(error, "how far the import came could not be noted; an interrupted one begins anew");
            }
        }
    }

    /// Something was not acknowledged: what comes after it must not be noted.
    fn freeze(&mut self) {
        self.save();
        self.folder = None;
        self.pending = None;
    }

    /// A complete import forgets; an interrupted one notes the last of it.
    fn finish(&mut self, complete: bool) {
        if complete {
            self.saved.iter().for_each(CheckpointFile::remove);
        } else {
            self.save();
        }
    }
}

fn sum(counts: &[Counts]) -> Counts {
    let mut sum = Counts::default();
    counts.iter().for_each(|c| sum.add(c));
    sum
}

/// Whether the journal still has the event that a checkpoint speaks of.
async fn witnessed(context: &Context, witness: Option<&(String, String)>) -> bool {
    let Some((id, position)) = witness else { return false };
    let Ok(position) = position.parse::<Position>() else { return false };
    match crate::events::at(context, &position).await {
        Ok(Some(found)) => found.record.id() == Some(id),
        _ => false,
    }
}

impl Form {
    fn format(self) -> lines::Format {
        match self {
            Self::Lines => lines::Format::Lines,
            Self::Array => lines::Format::Array,
            Self::Concatenated => lines::Format::Concatenated,
        }
    }
}

fn list(out: &Output) -> Outcome {
    if out.is_json() {
        let rows: Vec<_> = READY.iter().map(|r| serde_json::json!({"name": r.name, "doc": r.doc})).collect();
        return out.rows(&rows);
    }
    let rows: Vec<Vec<String>> = READY.iter().map(|r| vec![r.name.to_owned(), r.doc.to_owned()]).collect();
    out.table(&["NAME", "FOR"], &rows)
}

fn explain(out: &Output, name: &str) -> Outcome {
    if name.is_empty() {
        return out.line(language().trim_end());
    }
    match ready(name) {
        Some(ready) => out.line(ready.toml.trim_end()),
        None => Err(Failure::new(Status::NotFound, unknown(name))),
    }
}

/// A mapping by its name or out of a file.
pub(crate) fn load(name: &str) -> Outcome<Mapping> {
    let config = |message: String| Failure::new(Status::Config, message);
    if let Some(ready) = ready(name) {
        return ready.mapping().map_err(|e| config(e.to_string()));
    }
    let length = std::fs::metadata(name).ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
    match length {
        None => Err(Failure::new(Status::NotFound, unknown(name))
            .hint("`stillhouse import --list` lists them; `--explain` tells how to write one")),
        Some(length) if length > MAX_MAPPING => {
            Err(config(format!("{name} has {length} bytes; a mapping has {MAX_MAPPING} at most")))
        }
        Some(_) => {
            let text = std::fs::read_to_string(name).map_err(|e| config(format!("cannot read {name}: {e}")))?;
            Mapping::parse(name, &text)
                .map_err(|e| config(e.to_string()).hint("`stillhouse import --explain` tells the language"))
        }
    }
}

/// The file for rejections is written anew: it must be none of those that are read.
fn spare_inputs(args: &Args) -> Outcome {
    let full = |path: &std::path::Path| path.canonicalize().ok();
    let Some(rejects) = args.rejects.as_deref().and_then(full) else { return Ok(()) };
    match args.files.iter().find(|file| full(file.as_ref()).is_some_and(|f| f == rejects)) {
        Some(file) => {
            Err(Failure::new(Status::Usage, format!("--rejects would overwrite {file}, which is to be read")))
        }
        None => Ok(()),
    }
}

/// Events of a record that holds spans.
fn spans(record: &serde_json::Value, producer: &Producer) -> Vec<Result<Event, String>> {
    let batch = match stillhouse_otlp::spans_of(record) {
        Ok(batch) => batch,
        Err(why) => return vec![Err(why)],
    };
    // Importing has no clock: spans are believed, and one without any time cannot be placed.
    let event = |span| {
        let event = stillhouse_otlp::event(span, producer.clone(), i64::MAX).0;
        check(&event).map(|()| event).map_err(|bad| bad.to_string())
    };
    let mut events: Vec<_> = batch.spans.into_iter().map(event).collect();
    events.extend((batch.rejected.count > 0).then(|| Err(batch.rejected.message())));
    events
}

fn check_topic(name: &str, event: &str) -> Outcome {
    let fits = |t: &&stillhouse_schemas::Topic| t.writer == Writer::Outside && t.events.contains(&event);
    if topic(name).as_ref().is_some_and(fits) {
        return Ok(());
    }
    let known: Vec<&str> = TOPICS.iter().filter(fits).map(|t| t.name).collect();
    Err(Failure::new(
        Status::Usage,
        format!("{event}s cannot be imported into `{name}`; they go to {}", known.join(", ")),
    ))
}

fn refused(error: OpenError) -> Failure {
    let status = match &error {
        OpenError::Missing(_) => Status::NotFound,
        OpenError::NotAFile { .. } => Status::Usage,
        OpenError::Io { .. } => Status::Failed,
    };
    Failure::new(status, error.to_string())
}
