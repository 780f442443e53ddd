//! Processes that run until they are stopped, or killed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take that should happen.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(120)
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {:?}: {what}", patience());
        pause(Duration::from_millis(20));
    }
}

/// Lets time pass: between two questions, and up to the random moment of a fault. Never to wait for something.
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A process of ours. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it, and returns when it has said a line that contains `ready`, together with that line.
    pub(crate) fn start(mut command: Command, ready: &str) -> (Self, String) {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (log.clone(), child.stderr.take().expect("a pipe"));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut process = Self { child, log };
        let line = until(&format!("`{ready}` from {command:?}"), || {
            if let Some(line) = process.log().into_iter().find(|line| line.contains(ready)) {
                return Some(line);
            }
            if let Some(status) = process.child.try_wait().expect("wait") {
                panic!("{command:?} ended with {status} before it was ready:\n{}", process.log().join("\n"));
            }
            None
        });
        (process, line)
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        let status = self.child.wait().expect("wait");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "it was dead already:\n{}", self.log().join("\n"));
    }

    /// Asks it to stop, and returns how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        until("the process stops when it is asked to", || self.child.try_wait().expect("wait"))
    }

    /// Sends it a signal.
    #[expect(unsafe_code, reason = "std sends no signal but SIGKILL")]
    pub(crate) fn signal(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: the child has not been waited for, so its id is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "kill");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            super::say(&log[log.len().saturating_sub(60)..].join("\n"));
        }
    }
}
