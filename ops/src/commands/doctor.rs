//! `stillhouse doctor`: what could be wrong, checked one by one, with what to do about it.
//!
//! All checks run, whatever the others find. Nothing is repaired and nothing written but a file that is removed again;
//! a journal that is not there yet is made, as every command makes it.

use crate::Global;
use crate::context::{Context, data_dir, make_dir};
use crate::failure::{Failure, Outcome, Status};
use crate::settings::Loaded;
use crate::{generations, http, index, journals, keystore, lag, metrics};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use stillhouse_schemas::{EVENTS, TOPICS};

/// Checks what could be wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The journal has this many seconds to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
    Skip,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    took_ms: u64,
}

#[derive(Default)]
struct Findings {
    all: Vec<Finding>,
    since: Option<Instant>,
}

impl Findings {
    fn add(&mut self, check: &'static str, verdict: Verdict, detail: impl Into<String>, hint: Option<&str>) {
        let took = self.since.replace(Instant::now()).map(|since| since.elapsed()).unwrap_or_default();
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.all.push(Finding { check, verdict, detail: detail.into(), hint: hint.map(Into::into), took_ms });
    }

    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, Verdict::Ok, detail, None);
    }

    fn warn(&mut self, check: &'static str, detail: impl Into<String>, hint: &str) {
        self.add(check, Verdict::Warn, detail, Some(hint));
    }

    fn fail(&mut self, check: &'static str, failure: &Failure) {
        self.add(check, Verdict::Fail, &failure.message, failure.hint.as_deref());
    }
}

/// Runs the command.
pub async fn run(global: &Global, args: Args) -> Outcome {
    let out = global.output();
    let mut findings = Findings { since: Some(Instant::now()), ..Findings::default() };
    let loaded = match global.load(&[]) {
        Ok(loaded) => {
            findings.ok("settings", format!("{} set, the rest defaults", loaded.origins.len()));
            Some(loaded)
        }
        Err(failure) => {
            findings.fail("settings", &failure);
            None
        }
    };
    clock(&mut findings);
    files(&mut findings);
    schemas(&mut findings);
    match loaded {
        None => findings.add("data, address and journal", Verdict::Skip, "the settings cannot be used", None),
        Some(loaded) => {
            data(&mut findings, &data_dir(&loaded.settings));
            address(&mut findings, &loaded).await;
            let context = journal(&mut findings, global, loaded, Duration::from_secs(args.timeout)).await;
            match context {
                Some(context) => contents(&mut findings, &context).await,
                None => findings.add("topics, generations and lag", Verdict::Skip, "the journal is not open", None),
            }
        }
    }
    let failed = findings.all.iter().filter(|f| f.verdict == Verdict::Fail).count();
    if out.is_json() {
        out.rows(&findings.all)?;
    } else {
        let width = findings.all.iter().map(|f| f.check.len()).max().unwrap_or(0);
        for finding in &findings.all {
            out.text(&format!("{:<4}  {:<width$}  {}", finding.verdict.word(), finding.check, finding.detail))?;
            if let Some(hint) = &finding.hint {
                out.text(&format!("      {:<width$}  hint: {hint}", ""))?;
            }
        }
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(Failure::new(Status::Failed, format!("{failed} of {} checks failed", findings.all.len())))
    }
}

fn clock(findings: &mut Findings) {
    let now = jiff::Timestamp::now();
    // The year of this release: an earlier clock would date events before the software that made them.
    if now.as_second() < 1_767_225_600 {
        findings.warn("clock", format!("the clock says {now}"), "set the clock: events are ordered by time");
    } else {
        findings.ok("clock", format!("{now:.0}"));
    }
}

fn files(findings: &mut Findings) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    match soft {
        Some(soft) if soft < 1_024 => {
            findings.warn("open files", format!("at most {soft}"), "raise the limit: ulimit -n 4096");
        }
        Some(soft) => findings.ok("open files", format!("at most {soft}")),
        None => findings.add("open files", Verdict::Skip, "this system does not tell", None),
    }
    if let Some(bytes) = metrics::resident_bytes() {
        findings.ok("memory", format!("{} MiB resident", bytes >> 20));
    }
}

fn schemas(findings: &mut Findings) {
    let unreleased: Vec<&str> = EVENTS
        .iter()
        .filter(|e| {
            e.released
                .last()
                .is_none_or(|last| stillhouse_schemas::evolution::can_follow(e.schema_json(), last).is_err())
        })
        .map(|e| e.name)
        .collect();
    if unreleased.is_empty() {
        findings.ok("schemas", format!("{} event types, each reads what its releases wrote", EVENTS.len()));
    } else {
        let failure = Failure::new(Status::Failed, format!("cannot read their releases: {}", unreleased.join(", ")));
        findings.fail("schemas", &failure.hint("this build is broken: use a released one"));
    }
}

fn data(findings: &mut Findings, dir: &Path) {
    let probe = dir.join(".doctor");
    let written = make_dir(dir).and_then(|_| {
        let write = std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe));
        write.map_err(|e| {
            Failure::new(Status::Config, format!("cannot write in {}: {e}", dir.display()))
                .hint("make it writable, free some space, or choose another place with --data DIR")
        })
    });
    match written {
        Err(failure) => findings.fail("data directory", &failure),
        Ok(()) => {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(dir).map_or(0o700, |m| m.permissions().mode() & 0o777);
            if mode & 0o077 == 0 {
                findings.ok("data directory", format!("{} is writable", dir.display()));
            } else {
                let detail = format!("{} can be read by others (mode {mode:o})", dir.display());
                findings.warn("data directory", detail, "take the rights of others away: chmod 700");
            }
        }
    }
    match free_bytes(dir) {
        Some(free) if free < 1 << 30 => {
            findings.warn("free space", format!("{} MiB", free >> 20), "appends are refused when it is used up");
        }
        Some(free) => findings.ok("free space", format!("{} GiB", free >> 30)),
        None => findings.add("free space", Verdict::Skip, "this system does not tell", None),
    }
}

#[expect(unsafe_code, reason = "std has no statvfs")]
fn free_bytes(dir: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` is a C string and `stat` has room for the structure, both for as long as the call takes.
    let stat = unsafe {
        if libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return None;
        }
        stat.assume_init()
    };
    Some((stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
}

async fn address(findings: &mut Findings, loaded: &Loaded) {
    let listen = &loaded.settings.http.listen;
    match http::listen(&loaded.settings).await {
        Ok(_) => findings.ok("address", format!("{listen} is free")),
        Err(failure) if failure.status == Status::Config => findings.fail("address", &failure),
        Err(failure) => findings.warn(
            "address",
            failure.message,
            "a node may be running there already; if not, choose another with --listen",
        ),
    }
}

async fn journal(findings: &mut Findings, global: &Global, loaded: Loaded, patience: Duration) -> Option<Context> {
    let uri = journals::uri(&loaded.settings);
    let opening = tokio::time::timeout(patience, Context::open(loaded, global.output()));
    match opening.await {
        Ok(Ok(context)) => {
            findings.ok("journal", context.journal.uri());
            Some(context)
        }
        Ok(Err(failure)) => {
            findings.fail("journal", &failure);
            None
        }
        Err(_) => {
            let scheme = uri.split(':').next().unwrap_or_default();
            let message = format!("the {scheme} journal did not answer in {} seconds", patience.as_secs());
            findings.fail(
                "journal",
                &Failure::new(Status::Unreachable, message).hint("is it running, and is its address right?"),
            );
            None
        }
    }
}

async fn contents(findings: &mut Findings, context: &Context) {
    match keystore::look(context).await {
        Err(failure) => findings.fail("keys", &failure),
        Ok(found) if found.lost > 0 => findings.fail("keys", &keystore::failure(&found.why)),
        Ok(found) => findings.ok("keys", format!("none missing for {} of the newest records", found.sealed)),
    }
    match context.journal.topics().await {
        Err(error) => findings.fail("topics", &error.into()),
        Ok(found) => {
            let mut wrong = Vec::new();
            for topic in TOPICS.iter().filter(|t| !t.derived) {
                let wanted = context.topic_spec(topic, context.names.topic(topic.name));
                match found.iter().find(|t| t.spec.name == wanted.name) {
                    None => wrong.push(format!("{} is missing", wanted.name)),
                    Some(t) if t.spec.partitions != wanted.partitions => {
                        wrong.push(format!(
                            "{} has {} partitions, the settings say {}",
                            wanted.name, t.spec.partitions, wanted.partitions
                        ));
                    }
                    Some(_) => (),
                }
            }
            if wrong.is_empty() {
                findings.ok(
                    "topics",
                    format!("{} there", found.iter().filter(|t| context.names.owns(&t.spec.name)).count()),
                );
            } else {
                let hint = "partitions are never changed later: set `partitions` to what the journal has";
                findings.warn("topics", wrong.join("; "), hint);
            }
            let dead = found.iter().find(|t| t.spec.name == context.names.topic("deadletters"));
            let dead: u64 = dead.map_or(0, |t| t.partitions.iter().map(|p| p.end - p.start).sum());
            if dead == 0 {
                findings.ok("dead letters", "none");
            } else {
                findings.warn(
                    "dead letters",
                    format!("{dead} records"),
                    "`stillhouse deadletters list` shows what could not be taken",
                );
            }
        }
    }
    match generations::load(context, None).await {
        Err(failure) => findings.fail("generations", &failure),
        Ok(generations) if generations.ignored().is_empty() => {
            findings.ok("generations", "the control topic makes sense")
        }
        Ok(generations) => {
            let detail = format!("{} control events changed nothing", generations.ignored().len());
            findings.warn("generations", detail, "`stillhouse tail control --from beginning` shows them");
        }
    }
    let now_ms = jiff::Timestamp::now().as_millisecond();
    match lag::look(context.journal.as_ref(), &context.names, &BTreeMap::new(), index::views(context), now_ms).await {
        Err(error) => findings.fail("lag", &error.into()),
        Ok(look) => {
            let behind: Vec<String> = look
                .groups
                .iter()
                .filter(|g| g.lag > 0 && g.members == 0)
                .map(|g| format!("{} is {} events behind and nobody works on it", g.group, g.lag))
                .collect();
            if behind.is_empty() {
                findings.ok("lag", format!("{} groups, none left alone", look.groups.len()));
            } else {
                findings.warn("lag", behind.join("; "), "start the node: stillhouse up");
            }
        }
    }
}
