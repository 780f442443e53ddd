//! Every format that datasets can be written in, by name.

use crate::failure::{Failure, Outcome, Status};
use stillhouse_files::dataset::{Format, JSONL, PARQUET};

/// A format, or what to do to have it.
pub struct Known {
    /// Name on the command line.
    pub name: &'static str,
    format: fn() -> Outcome<&'static dyn Format>,
}

/// The formats.
pub static FORMATS: &[Known] = &[
    Known { name: "jsonl", format: || Ok(JSONL) },
    Known { name: "parquet", format: || Ok(PARQUET) },
    Known { name: "lance", format: lance },
];

#[cfg(feature = "lance")]
fn lance() -> Outcome<&'static dyn Format> {
    Ok(stillhouse_lance::LANCE)
}

#[cfg(not(feature = "lance"))]
fn lance() -> Outcome<&'static dyn Format> {
    Err(Failure::new(Status::Config, "this binary was built without Lance").hint(
        "build it with: cargo build --release -p stillhouse (needs protoc; `make build` installs it), or take --format parquet",
    ))
}

/// The format of this name.
pub fn format(name: &str) -> Outcome<&'static dyn Format> {
    let known = FORMATS.iter().find(|known| known.name == name);
    let unknown = || {
        let names: Vec<_> = FORMATS.iter().map(|known| known.name).collect();
        Failure::new(
            Status::Usage,
            format!("there is no format `{}`: there are {}", name.escape_debug(), names.join(", ")),
        )
    };
    (known.ok_or_else(unknown)?.format)()
}
