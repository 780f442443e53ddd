//! One suite for all journals, attached whole by one call of [`run`].
//!
//! What it holds is the prose of `stillhouse_streams`' contract; the in-memory journal is the specification where the
//! prose is not exact. Topics and groups get names of their own in every case, so a backend may give all cases one
//! shared broker. Nothing waits for a fixed time: what may take a while is asked for until [`Backend::patience`] ends.
//!
//! Environment: `STILLHOUSE_CASE` runs the cases whose names contain it, `STILLHOUSE_SEED` repeats a seed that was
//! printed, `STILLHOUSE_OPERATIONS` is the number of generated operations.

mod admin;
mod appends;
mod case;
mod cleaning;
mod generated;
mod groups;
mod outcomes;
mod reads;
mod records;
mod sharing;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use stillhouse_streams::Journal;

use case::Case;

/// What is to be tested.
#[async_trait]
pub trait Backend: Send + Sync {
    /// What failures call it.
    fn name(&self) -> &str;

    /// A journal for one case. It may hold other topics and groups; the names of the suite are its own.
    async fn open(&self) -> Arc<dyn Journal>;

    /// A journal with the same data, after a clean end or a restart of the process that held `journal`. No session
    /// is open, and this is the last clone.
    async fn reopen(&self, journal: Arc<dyn Journal>) -> Arc<dyn Journal>;

    /// In what the backend differs.
    fn traits(&self) -> Traits;

    /// How long a rebalance, or an answer that shows a little later, may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// In what backends may differ from each other.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Repeated ids are refused, and [`Journal::find`] answers.
    pub id_index: bool,
    /// Offsets have no gaps.
    pub dense_offsets: bool,
    /// [`Journal::clean`] throws away what it may at once; else the backend does it some time by itself.
    pub cleans: bool,
    /// What was answered is what the next read of any partition sees; else it is seen a little later, and not in all
    /// partitions at one moment.
    pub immediate: bool,
}

type Body = for<'a, 'b> fn(&'a Case<'b>) -> LocalBoxFuture<'a, ()>;

macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), |case| Box::pin($module::$name(case)))),*]
    };
}

/// Every case there is.
static CASES: &[(&str, Body)] = cases![
    appends::order_is_kept_per_partition,
    appends::receipts_tell_where_each_record_stands,
    appends::keys_decide_the_partition,
    appends::concurrent_appends_all_arrive,
    appends::batches_over_topics_are_atomic,
    appends::a_refused_batch_leaves_nothing,
    appends::known_ids_are_duplicates_or_conflicts,
    appends::ids_are_known_per_topic,
    appends::an_empty_batch_is_nothing,
    records::headers_survive,
    records::tombstones_and_empty_values_survive,
    records::the_largest_record_is_taken_and_the_next_is_not,
    records::timestamps_survive,
    reads::bounds_of_a_scan,
    reads::pages_of_a_scan,
    reads::an_open_scan_goes_on,
    reads::gaps_are_stepped_over,
    reads::offsets_for_a_time,
    reads::what_is_missing_is_not_found,
    groups::outputs_and_progress_are_one,
    groups::a_refused_commit_leaves_neither,
    groups::what_was_not_committed_comes_again,
    groups::limits_bind,
    groups::no_partition_starves,
    groups::progress_reaches_the_end,
    groups::new_records_wake_a_waiting_session,
    groups::groups_do_not_disturb_each_other,
    groups::reset_moves_a_group_without_members,
    groups::a_deleted_group_begins_again,
    sharing::partitions_with_one_number_have_one_owner,
    sharing::members_come_and_go,
    sharing::a_lost_partition_is_fenced,
    sharing::a_dropped_member_is_replaced,
    outcomes::unknown_commits_lose_and_double_nothing,
    outcomes::unknown_appends_are_repeated_by_id,
    admin::reopening_gives_everything_back,
    admin::ensure_keeps_what_is_there,
    admin::bad_names_are_refused,
    admin::deleted_topics_are_gone,
    admin::verify_counts_everything,
    cleaning::retention_takes_the_old_from_the_beginning,
    cleaning::compaction_keeps_the_last_of_each_key,
    generated::operations_agree_with_the_reference,
];

/// Runs every case on `backend`. Needs a Tokio runtime with timers.
///
/// # Panics
/// If any case fails: with the backend's name, and the name and first message of every case that failed.
pub async fn run(backend: &dyn Backend) {
    let wanted = std::env::var("STILLHOUSE_CASE").unwrap_or_default();
    let names: Vec<_> = names().filter(|name| name.contains(&wanted)).collect();
    assert!(!names.is_empty(), "no case contains `{wanted}`");
    let failures = failures(backend, &names).await;
    let count = names.len();
    assert!(
        failures.is_empty(),
        "{}: {} of {count} cases fail\n{}",
        backend.name(),
        failures.len(),
        failures.join("\n")
    );
}

/// Runs the cases of these names, and answers what fails: the name of the case and its message. This is how the suite
/// itself is tested, on journals that are broken.
pub async fn failures(backend: &dyn Backend, names: &[&str]) -> Vec<String> {
    let mut failures = Vec::new();
    for (name, body) in CASES.iter().filter(|(name, _)| names.contains(name)) {
        say(&format!("{} {name}", backend.name()));
        let started = std::time::Instant::now();
        let case = Case::new(backend, name).await;
        let body = AssertUnwindSafe(tokio::time::timeout(backend.patience() * 10, body(&case))).catch_unwind();
        let failure = match body.await {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some("did not end".to_owned()),
            Err(panic) => Some(message(panic.as_ref())),
        };
        let verdict = if failure.is_none() { "holds" } else { "FAILS" };
        say(&format!("{} {name} {verdict} ({:.1?})", backend.name(), started.elapsed()));
        failures.extend(failure.map(|message| format!("{name}: {message}")));
    }
    failures
}

/// The names of all cases.
pub fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, _)| *name)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked").to_owned()
}

/// Says it where the test runner captures it.
#[expect(clippy::print_stderr, reason = "a test's output is read by whoever looks for what failed")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
