//! Processes to be killed, stopped and starved: this test binary, started again with a role.

use crate::model;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use stillhouse_embedded::{EmbeddedJournal, Faults, Options};

const ROLE: &str = "STILLHOUSE_CHILD_ROLE";
const DIR: &str = "STILLHOUSE_CHILD_DIR";
const FAULT: &str = "STILLHOUSE_CHILD_FAULT";

/// Role, directory and fault: for who starts a child in a way of his own.
pub(crate) const ROLE_ENVIRONMENT: [&str; 3] = [ROLE, DIR, FAULT];

/// A running child and what it says.
pub(crate) struct Actor {
    child: Child,
    lines: BufReader<ChildStdout>,
    input: ChildStdin,
}

impl Actor {
    /// Starts a role on a journal; `fault` breaks a promise of it.
    pub(crate) fn start(role: &str, dir: &Path, fault: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("its own path"))
            .args(["child::plays_its_role", "--exact", "--nocapture", "--test-threads=1"])
            .envs([(ROLE, role), (FAULT, fault)])
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let input = child.stdin.take().expect("piped");
        Self { child, lines, input }
    }

    pub(crate) fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// The next thing it says; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).unwrap_or(0) == 0 || !line.ends_with('\n') {
                return None;
            }
            // The first may stand behind what the test harness prints.
            if let Some((_, said)) = line.trim_end().split_once('@') {
                return Some(said.to_owned());
            }
        }
    }

    /// Hears this, or fails.
    pub(crate) fn expect(&mut self, what: &str) {
        assert_eq!(self.hear().as_deref(), Some(what));
    }

    pub(crate) fn tell(&mut self, what: &str) {
        writeln!(self.input, "{what}").expect("it listens");
    }

    /// Kills it, and answers with what it had said by then.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("killed");
        self.rest()
    }

    /// Everything it still says until it ends.
    pub(crate) fn rest(mut self) -> Vec<String> {
        let said = std::iter::from_fn(|| self.hear()).collect();
        self.child.wait().expect("waited for");
        said
    }
}

/// Says a line to the parent, in one write.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).and_then(|()| out.flush()).expect("the parent listens");
}

/// Waits for a line from the parent.
pub(crate) fn listen() -> String {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("the parent speaks");
    line.trim_end().to_owned()
}

/// Sends a signal to a process.
pub(crate) fn signal(process: i32, signal: i32) {
    #[expect(unsafe_code, reason = "kill takes two numbers")]
    let answer = unsafe { libc::kill(process, signal) };
    assert_eq!(answer, 0, "the process is there");
}

fn faults(name: &str) -> Faults {
    let mut faults = Faults::default();
    match name {
        "" => {}
        "skip_crc" => faults.skip_crc = true,
        "ack_before_commit" => faults.ack_before_commit = true,
        "skip_head_check" => faults.skip_head_check = true,
        "skip_fence_check" => faults.skip_fence_check = true,
        other => panic!("no fault is called {other}"),
    }
    faults
}

/// The way into a child. Without a role it starts one and hears from it.
#[test]
fn plays_its_role() {
    let Ok(role) = std::env::var(ROLE) else {
        let dir = tempfile::tempdir().expect("a directory");
        let said = Actor::start("greet", dir.path(), "").rest();
        assert_eq!(said, ["hello"]);
        return;
    };
    let dir = std::path::PathBuf::from(std::env::var_os(DIR).expect("a directory"));
    let options = Options { faults: faults(&std::env::var(FAULT).unwrap_or_default()), ..Options::default() };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        if role == "greet" {
            return say("hello");
        }
        if role == "short_life" {
            return crate::syscalls::short_life(&dir).await;
        }
        if role == "starved" {
            crate::full_disk::starved(&dir).await;
            return;
        }
        let journal = EmbeddedJournal::open(&dir, options).expect("opens");
        match role.as_str() {
            "append" => model::append_forever(&journal, &listen()).await,
            "die_at_ack" => crate::kills::die_at_ack(&journal).await,
            "hold" => crate::processes::hold(&journal).await,
            other => panic!("no role is called {other}"),
        }
    });
}
