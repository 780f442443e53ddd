//! The broker's process: it outlives the caller, and is found again by its pid and its properties file.

use crate::error::{Error, Result, at};
use crate::layout::Instance;
use crate::settings::Settings;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Process {
    pub(crate) pid: u32,
}

/// Starts the broker in a session of its own, so that neither a closed terminal nor Ctrl-C reaches it.
pub(crate) fn start(instance: &Instance, jars: &Path, settings: &Settings) -> Result<Process> {
    let log = instance.log_file();
    let out = File::options().create(true).append(true).open(&log).map_err(at(&log))?;
    let err = out.try_clone().map_err(at(&log))?;
    let mut command = Command::new("setsid");
    command.arg("java").arg(format!("-Xmx{}m", settings.heap_megabytes)).args(["-Xms128m", "-XX:+UseSerialGC"]);
    command.arg(format!("-Dlog4j2.configurationFile={}", instance.logging_file().display()));
    command.arg("-cp").arg(jars.join("*")).arg("kafka.Kafka").arg(instance.properties_file());
    command.stdin(Stdio::null()).stdout(out).stderr(err).current_dir(&instance.folder);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing { program: "setsid", install: "util-linux, and Java 17 or later" });
        }
        Err(e) => return Err(at("setsid")(e)),
    };
    // The child of a process that is no group leader becomes `java` itself, so this is the broker's pid.
    let pid = child.id();
    fs::write(instance.pid_file(), pid.to_string()).map_err(at(instance.pid_file()))?;
    // Nobody else would collect it while this process lives, and a zombie looks alive.
    std::thread::spawn(move || child.wait());
    Ok(Process { pid })
}

impl Process {
    /// The instance's process, if it runs.
    pub(crate) fn of(instance: &Instance) -> Result<Option<Self>> {
        let file = instance.pid_file();
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(at(file)(e)),
        };
        let process = text.trim().parse().ok().map(|pid| Self { pid });
        Ok(process.filter(|p| p.lives(instance)))
    }

    /// Whether the pid is still that of this instance's broker: pids are used again.
    pub(crate) fn lives(&self, instance: &Instance) -> bool {
        let ps = Command::new("ps").args(["-ww", "-o", "stat=,command=", "-p", &self.pid.to_string()]).output();
        let line = ps.map_or_else(|_| String::new(), |o| String::from_utf8_lossy(&o.stdout).into_owned());
        !line.starts_with('Z') && line.contains(&*instance.properties_file().to_string_lossy())
    }

    /// Asks it to stop, and kills it if it does not in time.
    pub(crate) fn stop(&self, patience: Duration) -> Result<()> {
        self.signal("-TERM")?;
        if !self.ended(patience) {
            self.kill()?;
        }
        Ok(())
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal("-KILL")?;
        self.ended(Duration::from_secs(10));
        Ok(())
    }

    fn ended(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let state = Command::new("ps").args(["-o", "stat=", "-p", &self.pid.to_string()]).output();
            let state = state.map_or_else(|_| String::new(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
            if state.is_empty() || state.starts_with('Z') {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.pid.to_string();
        Command::new("kill").args([signal, &pid]).stderr(Stdio::null()).status().map_err(at("kill"))?;
        Ok(())
    }
}

/// Leaves somebody behind who kills the broker when this process has ended.
pub(crate) fn watch(instance: &Instance) -> Result<()> {
    const WATCH: &str = "while kill -0 \"$1\" 2>/dev/null; do sleep 1; done; kill -KILL \"$(cat \"$2\")\" 2>/dev/null";
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", WATCH, "sh", &std::process::id().to_string()]).arg(instance.pid_file());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(at("setsid"))?;
    std::thread::spawn(move || child.wait());
    Ok(())
}
