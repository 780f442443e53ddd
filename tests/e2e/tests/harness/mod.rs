//! Driving the real binary: stacks of a journal and a data folder, commands that end, processes that are killed.

mod broker;
mod process;
mod reading;
mod stack;

pub(crate) use broker::Broker;
pub(crate) use process::{Process, patience, pause, until};
pub(crate) use reading::{Dataset, Reader, dataset};
pub(crate) use stack::Stack;
pub(crate) use stillhouse_kit::events::Runs;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("tests/e2e is two levels below the root").to_path_buf()
}

/// The size of a proof: the short form, or the whole with `STILLHOUSE_PROOFS=full`.
pub(crate) fn size(short: usize, whole: usize) -> usize {
    if std::env::var("STILLHOUSE_PROOFS").is_ok_and(|form| form == "full") { whole } else { short }
}

/// A file of real data, where there is one: in the folder that `STILLHOUSE_SHARED_DATA` names, or beside the checkout.
pub(crate) fn real_data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("STILLHOUSE_SHARED_DATA").map(PathBuf::from);
    let folder = folder.or_else(|| Some(root().parent()?.join("shared/data")))?;
    Some(folder.join(name)).filter(|file| file.is_file())
}

/// Says it where the test runner captures it.
#[expect(clippy::print_stderr, reason = "a test's output is read by whoever looks for what failed")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
