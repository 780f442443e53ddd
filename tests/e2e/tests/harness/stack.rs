//! A stack: a journal, an instance name and a data folder, and the commands that are run on it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use stillhouse_streams::generation::Names;
use tempfile::TempDir;

use super::broker::Broker;
use super::process::Process;

/// One stack. Its folder goes with it, and its topics on a broker.
pub(crate) struct Stack {
    _topics: Option<Topics>,
    folder: TempDir,
    journal: String,
    instance: String,
    partitions: u32,
    environment: Vec<(String, String)>,
}

/// Topics of an instance on a shared broker, which has to serve the next tests too: a stack has a hundred partitions.
struct Topics {
    journal: String,
    instance: String,
}

impl Drop for Topics {
    fn drop(&mut self) {
        let settings = stillhouse::settings::Settings {
            journal: self.journal.clone(),
            instance: self.instance.clone(),
            ..Default::default()
        };
        let remove = async || {
            let Ok(journal) = stillhouse::journals::open(&settings).await else { return };
            let names = Names::new(&self.instance);
            let all = journal.topics().await.unwrap_or_default();
            for topic in all.iter().filter(|topic| names.owns(&topic.spec.name)) {
                // A broker that a test has taken down needs no cleaning.
                let _ = journal.delete_topic(&topic.spec.name).await;
            }
        };
        if !std::thread::panicking()
            && let Ok(runtime) = tokio::runtime::Runtime::new()
        {
            runtime.block_on(remove());
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Stack {
    /// On an embedded journal of its own.
    pub(crate) fn embedded(partitions: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("stillhouse-e2e-").tempdir().expect("a folder");
        let journal = format!("embedded:{}", folder.path().join("journal").display());
        Self { _topics: None, folder, journal, instance: String::new(), partitions, environment: Vec::new() }
    }

    /// On a broker, under a name of its own.
    pub(crate) fn kafka(broker: &Broker, partitions: u32) -> Self {
        let instance = format!("e2e-{:08x}", uuid::Uuid::new_v4().as_fields().0);
        let topics = Topics { journal: broker.uri(), instance: instance.clone() };
        Self { _topics: Some(topics), journal: broker.uri(), instance, ..Self::embedded(partitions) }
    }

    /// With a setting, for all its commands: `runner.batch_records`.
    pub(crate) fn with(mut self, setting: &str, value: impl ToString) -> Self {
        let name = format!("STILLHOUSE_{}", setting.to_uppercase().replace('.', "__"));
        self.environment.push((name, value.to_string()));
        self
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// URI of its journal.
    pub(crate) fn journal(&self) -> &str {
        &self.journal
    }

    /// Name of its instance; empty for the only one.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Writes a file into its folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// A command on this stack, with nothing of the caller's settings.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = bare(args);
        command.current_dir(self.folder());
        command.arg("--journal").arg(&self.journal).arg("--data").arg(self.folder().join("data"));
        command.env("STILLHOUSE_PARTITIONS", self.partitions.to_string());
        if !self.instance.is_empty() {
            command.arg("--instance").arg(&self.instance);
        }
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        end(self.command(args), b"")
    }

    /// Runs a command in its folder, and with nothing else of the stack.
    pub(crate) fn bare(&self, args: &[&str]) -> Ended {
        let mut command = bare(args);
        command.current_dir(self.folder());
        end(command, b"")
    }

    /// Runs a command to its end, with this on its standard input.
    pub(crate) fn feed(&self, args: &[&str], input: &[u8]) -> Ended {
        end(self.command(args), input)
    }

    /// What a command that must succeed says.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.run(args).ok()
    }

    /// Runs every processor until it is done.
    pub(crate) fn settle(&self) {
        self.ok(&["up", "--until-idle", "--quiet"]);
    }

    /// Exports an SFT dataset, and returns its folder.
    pub(crate) fn export(&self, out: &str) -> PathBuf {
        self.export_as(out, &["sft"])
    }

    /// Exports a dataset of a kind, with these options, and returns its folder.
    pub(crate) fn export_as(&self, out: &str, what: &[&str]) -> PathBuf {
        let out = self.folder().join(out);
        self.ok(&[&["export"], what, &["--out", out.to_str().expect("UTF-8")]].concat());
        let entries = std::fs::read_dir(&out).expect("the export's folder").map(|e| e.expect("an entry").path());
        let mut found: Vec<PathBuf> = entries.filter(|path| path.join("manifest.json").is_file()).collect();
        assert_eq!(found.len(), 1, "one dataset in {}", out.display());
        found.remove(0)
    }

    /// Starts the node, and returns it with its address.
    pub(crate) fn node(&self, args: &[&str]) -> (Process, String) {
        let command = self.command(&[&["up", "--listen", "127.0.0.1:0"], args].concat());
        let (process, line) = Process::start(command, "stillhouse is up: ");
        let address = line.split_whitespace().find(|word| word.starts_with("http://")).expect("an address");
        (process, address.to_owned())
    }

    /// Starts a worker.
    pub(crate) fn worker(&self, names: &[&str]) -> Process {
        Process::start(self.command(&[&["work"], names].concat()), "working: ").0
    }
}

/// The binary under test: this build's, or the one that `STILLHOUSE_BINARY` names (a release build, say).
fn binary() -> PathBuf {
    std::env::var_os("STILLHOUSE_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_stillhouse-under-test").into(), PathBuf::from)
}

/// A command on no stack, with nothing of the caller's settings.
fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STILLHOUSE_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.args(args);
    command
}

fn end(mut command: Command, input: &[u8]) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A command may end without having read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("output");
    writer.join().expect("the writer");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ended {
    /// Its standard output, if it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "it failed: {}\n{}", self.stderr, self.stdout);
        self.stdout
    }

    /// That it ended with this status, and said on standard error (and not with a panic) what is expected.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, says: &[&str]) {
        if let Some(fault) = self.fault(code, says) {
            panic!("{fault}");
        }
    }

    /// What is wrong with how it ended, if anything is.
    pub(crate) fn fault(&self, code: i32, says: &[&str]) -> Option<String> {
        let unsaid: Vec<_> = says.iter().filter(|word| !self.stderr.contains(**word)).collect();
        let right = self.code == Some(code) && unsaid.is_empty() && !self.stderr.contains("panicked");
        (!right).then(|| format!("status {code} was expected, and that {unsaid:?} is said: {self:?}"))
    }
}
