//! The `stillhouse` command: command line, HTTP API, node.
//!
//! Every backend is named once, in [`journals`] and [`models`]; every processor once, in the table of `stillhouse-processors`; every
//! topic and event once, in the tables of `stillhouse-schemas`. Commands, pages and metrics iterate those tables.

pub mod bench;
pub mod calls;
pub mod checks;
pub mod claims;
pub mod commands;
pub mod container;
pub mod context;
pub mod datasets;
pub mod decisions;
pub mod demo;
pub mod dev;
pub mod embedders;
pub mod erasure;
pub mod events;
pub mod failure;
pub mod figures;
pub mod generations;
pub mod http;
pub mod index;
pub mod journals;
pub mod keystore;
pub mod known;
pub mod lag;
pub mod metrics;
pub mod models;
pub mod node;
pub mod output;
pub mod quarantine;
pub mod recall;
pub mod records;
pub mod rosters;
pub mod settings;

use clap::{CommandFactory, FromArgMatches, Parser};
use commands::Verb;
use failure::{Failure, Outcome, Status};
use output::{Format, Output};
use std::path::PathBuf;
use std::process::ExitCode;

/// The journal of your agents: append runs, score them, export datasets, rewind any part.
#[derive(Debug, Parser)]
#[command(name = "stillhouse", version = VERSION, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Version, and what this build has.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("STILLHOUSE_FEATURES"), ")");

const EXIT_CODES: &str = "Exit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 configuration, 5 unreachable, \
                          6 a check failed or records were rejected, 130 interrupted.";

/// Options of every command. Each has a name in the settings file too; flags win over the environment, which wins over
/// the file.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Settings file [default: stillhouse.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where data is kept [default: stillhouse-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// Journal: embedded:DIR or kafka://HOST:PORT [default: embedded:<data>/journal]
    #[arg(long, global = true, value_name = "URI")]
    journal: Option<String>,
    /// Prefix of topics and groups, and folder of data: stacks with different names never meet
    #[arg(long, global = true, value_name = "NAME")]
    instance: Option<String>,
    /// Partitions of the topics about runs, when they are made [default: 4]
    #[arg(long, global = true, value_name = "N")]
    partitions: Option<String>,
    /// Form of the data on standard output
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Say only what was asked for
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Log more (-v: info, -vv: debug); RUST_LOG says it finer
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Logs as JSON lines
    #[arg(long, global = true)]
    log_json: bool,
}

impl Global {
    /// Loads the settings with these flags on top, and those of the command itself.
    pub fn load(&self, more: &[(&str, String)]) -> Outcome<settings::Loaded> {
        let own = [
            ("data", &self.data),
            ("journal", &self.journal),
            ("instance", &self.instance),
            ("partitions", &self.partitions),
        ];
        let mut flags: Vec<(&str, String)> =
            own.iter().filter_map(|(name, value)| Some((*name, (*value).clone()?))).collect();
        flags.extend(more.iter().cloned());
        settings::load(self.config.as_deref(), std::env::vars(), &flags)
    }

    /// Where words go.
    pub fn output(&self) -> Output {
        Output { format: self.output, quiet: self.quiet }
    }

    /// Loads the settings and opens the journal.
    pub async fn open(&self) -> Outcome<context::Context> {
        context::Context::open(self.load(&[])?, self.output()).await
    }

    /// The same, for commands that only read.
    pub async fn open_to_read(&self) -> Outcome<context::Context> {
        context::Context::open_to_read(self.load(&[])?, self.output()).await
    }

    /// The same, for commands that make something of what is there.
    pub async fn open_for_work(&self) -> Outcome<context::Context> {
        context::Context::open_for_work(self.load(&[])?, self.output()).await
    }

    /// The same, for commands that append from outside.
    pub async fn open_for_appends(&self) -> Outcome<context::Context> {
        context::Context::open_for_appends(self.load(&[])?, self.output()).await
    }
}

/// Runs the command line and returns its exit status.
pub fn main() -> ExitCode {
    ignore_file_size_signal();
    let parsed = Cli::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && wants_json() => {
            let out = Output { format: Format::Json, quiet: false };
            let message = error.to_string();
            return report(&out, &Failure::new(Status::Usage, message.trim().trim_start_matches("error: ")));
        }
        Err(error) => error.exit(),
    };
    start_logging(&cli.global, cli.verb.is_service());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&cli.global.output(), &Failure::new(Status::Failed, error.to_string())),
    };
    let out = cli.global.output();
    let outcome = runtime.block_on(commands::run(cli.global, cli.verb));
    // What still hangs (a broker that is gone, a blocking read) must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&out, &failure),
    }
}

/// Whether the command line asks for JSON, as far as one can tell without having understood it.
fn wants_json() -> bool {
    let args: Vec<String> = std::env::args().collect();
    let json = |value: &str| value == "json" || value == "jsonl";
    args.windows(2).any(|pair| matches!(pair[0].as_str(), "-o" | "--output") && json(&pair[1]))
        || args.iter().any(|arg| arg.strip_prefix("--output=").or(arg.strip_prefix("-o")).is_some_and(json))
}

fn report(out: &Output, failure: &Failure) -> ExitCode {
    use std::io::Write;
    if !failure.silent {
        let mut stderr = std::io::stderr().lock();
        let _ = if out.is_json() {
            writeln!(stderr, "{}", failure.to_json())
        } else {
            let hint = failure.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            writeln!(stderr, "error: {}{hint}", output::safe(&failure.message))
        };
    }
    failure.exit_code()
}

/// Without this, hitting a file-size limit kills the process instead of giving an error that can be answered.
#[expect(unsafe_code, reason = "signal disposition has no safe interface in std")]
fn ignore_file_size_signal() {
    // SAFETY: called first thing in main, before any thread exists; SIG_IGN is a valid disposition for SIGXFSZ.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

fn start_logging(global: &Global, service: bool) {
    let level = match (global.quiet, global.verbose, service) {
        (true, ..) => "error",
        (_, 0, false) => "warn",
        (_, 0, true) | (_, 1, _) => "info",
        (_, 2, _) => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("warn,stillhouse={level}")));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let started = if global.log_json { builder.json().try_init() } else { builder.with_target(false).try_init() };
    debug_assert!(started.is_ok(), "logging starts once");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
