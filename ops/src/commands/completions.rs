//! `stillhouse completions SHELL`: a completion script for standard output.

use crate::failure::Outcome;
use clap::CommandFactory;

/// Prints a completion script.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell
    shell: clap_complete::Shell,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "stillhouse", &mut script);
    use std::io::Write;
    Ok(std::io::stdout().lock().write_all(&script)?)
}
