//! Apache Kafka for development and tests, without containers: Java 17 and Maven are enough.
//!
//! Promises: [`up`] downloads the broker once, formats a data folder once, starts one node (KRaft, broker and
//! controller in one process) that outlives the caller, and returns when it answers. A broker that was killed starts
//! again on the same data. Several instances live side by side, each with its own folder and ports.
//!
//! Deliberately lacks: security, replication, and any claim about power loss (a single broker acknowledges before it
//! has flushed, unless [`Settings::flush`] is set).
//!
//! ```text
//!   <home>/jars-<version>/lib/*.jar      what Maven fetched
//!   <home>/instances/<name>/{server.properties, log4j2.properties, pid, server.log, data/}
//! ```

mod error;
mod jars;
mod layout;
mod probe;
mod process;
mod settings;

pub use error::{Error, Result};
pub use layout::default_home;
pub use settings::Settings;

use layout::Instance;
use process::Process;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Version of Apache Kafka that is run.
pub const KAFKA_VERSION: &str = "4.1.1";

/// How long a broker may take to answer after its process has started.
const START: Duration = Duration::from_secs(90);

/// How long a broker may take to stop by itself before it is killed.
const STOP: Duration = Duration::from_secs(20);

/// A broker that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerInfo {
    /// Name of the instance.
    pub instance: String,
    /// What to connect to, as a journal URI.
    pub uri: String,
    /// Its client port on 127.0.0.1.
    pub port: u16,
    /// Its process.
    pub pid: u32,
    /// Its folder.
    pub folder: PathBuf,
}

/// How an instance stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its process runs and answers.
    Up(BrokerInfo),
    /// Its process runs, and does not answer (yet).
    Silent(BrokerInfo),
    /// It has a folder, and no process.
    Down(PathBuf),
    /// There is no such instance.
    Absent,
}

/// Starts the instance if it does not run, and returns when it answers. An instance that runs is left as it is, unless
/// it listens on another port than the one asked for, which is an error.
pub fn up(settings: &Settings) -> Result<BrokerInfo> {
    let instance = Instance::of(&settings.home, &settings.instance)?;
    let _lock = instance.lock()?;
    if let Some(process) = Process::of(&instance)? {
        let info = info(&instance, &process)?;
        if info.port != settings.port {
            return Err(Error::OtherPort { instance: instance.name, running: info.port, asked: settings.port });
        }
        wait(&instance, &process, info.port, 0)?;
        return Ok(info);
    }
    if probe::listens(settings.port) {
        return Err(Error::PortTaken(settings.port));
    }
    if settings.fresh {
        instance.purge()?;
    }
    let jars = jars::fetch(&settings.home)?;
    settings::write(settings, &instance, &jars)?;
    let seen = instance.log_length();
    let process = process::start(&instance, &jars, settings)?;
    wait(&instance, &process, settings.port, seen)?;
    info(&instance, &process)
}

/// Stops an instance; with `purge` its data go too. Whether it ran is the answer.
pub fn down(home: &Path, name: &str, purge: bool) -> Result<bool> {
    let instance = Instance::of(home, name)?;
    if !instance.folder.is_dir() {
        return Ok(false);
    }
    let _lock = instance.lock()?;
    let running = Process::of(&instance)?;
    if let Some(process) = &running {
        process.stop(STOP)?;
    }
    instance.forget_pid()?;
    if purge {
        instance.purge()?;
    }
    Ok(running.is_some())
}

/// Kills an instance as `kill -9` does, for tests of what survives that. Whether it ran is the answer.
pub fn kill(home: &Path, name: &str) -> Result<bool> {
    let instance = Instance::of(home, name)?;
    let running = Process::of(&instance)?;
    if let Some(process) = &running {
        process.kill()?;
    }
    Ok(running.is_some())
}

/// Ties a broker to this process: when this one is gone, however it ended, the broker is killed. For tests, which have
/// no last moment of their own.
pub fn end_with_me(home: &Path, name: &str) -> Result<()> {
    process::watch(&Instance::of(home, name)?)
}

/// How an instance stands.
pub fn status(home: &Path, name: &str) -> Result<Status> {
    let instance = Instance::of(home, name)?;
    match Process::of(&instance)? {
        Some(process) => {
            let info = info(&instance, &process)?;
            Ok(if probe::answers(info.port) { Status::Up(info) } else { Status::Silent(info) })
        }
        None if instance.folder.is_dir() => Ok(Status::Down(instance.folder)),
        None => Ok(Status::Absent),
    }
}

/// The names of the instances that have a folder.
pub fn instances(home: &Path) -> Result<Vec<String>> {
    layout::instances(home)
}

fn info(instance: &Instance, process: &Process) -> Result<BrokerInfo> {
    let port = settings::port_of(instance)?;
    Ok(BrokerInfo {
        instance: instance.name.clone(),
        uri: format!("kafka://127.0.0.1:{port}"),
        port,
        pid: process.pid,
        folder: instance.folder.clone(),
    })
}

/// Waits until the broker says in its log that it has started, and answers on its port.
fn wait(instance: &Instance, process: &Process, port: u16, seen: u64) -> Result<()> {
    let deadline = Instant::now() + START;
    while !(instance.log_since(seen).contains("Kafka Server started") && probe::answers(port)) {
        if !process.lives(instance) {
            return Err(Error::Died { log: instance.log_file(), tail: instance.log_tail(seen) });
        }
        if Instant::now() > deadline {
            return Err(Error::Silent { port, log: instance.log_file(), tail: instance.log_tail(seen) });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
