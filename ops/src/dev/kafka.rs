//! `stillhouse dev kafka up|down|kill|status`.

use crate::failure::{Failure, Outcome, Status as Exit};
use crate::output::Output;
use std::path::PathBuf;
use stillhouse_devkafka::{BrokerInfo, Error, Settings, Status, default_home};

/// What to do with a broker.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KafkaCommand {
    /// Start it (downloading it the first time), and wait until it answers
    Up {
        #[command(flatten)]
        which: Which,
        /// Client port on 127.0.0.1
        #[arg(long, default_value_t = 19_092)]
        port: u16,
        /// Port that clients are sent to, if it is another: that of a proxy in front
        #[arg(long, value_name = "PORT")]
        advertise: Option<u16>,
        /// Begin without data
        #[arg(long)]
        fresh: bool,
        /// Flush every record to disk before it is acknowledged
        #[arg(long)]
        flush: bool,
        /// Memory for it, in megabytes
        #[arg(long, default_value_t = 512, value_name = "MB")]
        heap: u32,
    },
    /// Stop it
    Down {
        #[command(flatten)]
        which: Which,
        /// Delete its data too
        #[arg(long)]
        purge: bool,
    },
    /// End it as `kill -9` does; `up` starts it again on the same data
    Kill {
        #[command(flatten)]
        which: Which,
    },
    /// Say whether it runs, and where
    Status {
        #[command(flatten)]
        which: Which,
    },
}

/// Name of the broker where none is given.
const DEFAULT: &str = "default";

impl KafkaCommand {
    /// Another name for where none is given.
    pub(crate) fn default_name(&mut self, name: &str) {
        let (Self::Up { which, .. } | Self::Down { which, .. } | Self::Kill { which } | Self::Status { which }) = self;
        if which.name == DEFAULT {
            which.name = name.to_owned();
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// One of several brokers, each with its own data and port
    #[arg(long, default_value = DEFAULT, value_name = "NAME")]
    name: String,
    /// Where it is kept [default: ~/.cache/stillhouse/kafka]
    #[arg(long, env = "STILLHOUSE_DEV_DIR", value_name = "DIR")]
    dev_dir: Option<PathBuf>,
}

impl Which {
    fn home(&self) -> Outcome<PathBuf> {
        match &self.dev_dir {
            Some(dir) => Ok(std::path::absolute(dir)?),
            None => default_home().map_err(failure),
        }
    }
}

pub(crate) async fn run(out: &Output, command: KafkaCommand) -> Outcome {
    let out = out.clone();
    let work = tokio::task::spawn_blocking(move || act(&out, command));
    work.await.map_err(|e| Failure::new(Exit::Failed, e.to_string()))?
}

fn act(out: &Output, command: KafkaCommand) -> Outcome {
    match command {
        KafkaCommand::Up { which, port, advertise, fresh, flush, heap } => {
            let settings = Settings {
                home: which.home()?,
                instance: which.name,
                port,
                advertised: advertise,
                fresh,
                flush,
                heap_megabytes: heap,
            };
            let info = stillhouse_devkafka::up(&settings).map_err(failure)?;
            if out.is_json() { out.json(&json(&info, "up")) } else { out.line(&info.uri) }
        }
        KafkaCommand::Down { which, purge } => {
            let ran = stillhouse_devkafka::down(&which.home()?, &which.name, purge).map_err(failure)?;
            said(out, &which.name, if ran { "stopped" } else { "was not running" })
        }
        KafkaCommand::Kill { which } => {
            let ran = stillhouse_devkafka::kill(&which.home()?, &which.name).map_err(failure)?;
            said(out, &which.name, if ran { "killed" } else { "was not running" })
        }
        KafkaCommand::Status { which } => match stillhouse_devkafka::status(&which.home()?, &which.name) {
            Ok(Status::Up(info)) => show(out, &info, "up"),
            Ok(Status::Silent(info)) => show(out, &info, "silent"),
            Ok(Status::Down(_)) => said(out, &which.name, "down"),
            Ok(Status::Absent) => said(out, &which.name, "absent"),
            Err(error) => Err(failure(error)),
        },
    }
}

fn show(out: &Output, info: &BrokerInfo, state: &str) -> Outcome {
    if out.is_json() {
        return out.json(&json(info, state));
    }
    out.text(&format!("{} {state} {} pid {} {}", info.instance, info.uri, info.pid, info.folder.display()))
}

fn said(out: &Output, name: &str, state: &str) -> Outcome {
    if out.is_json() {
        return out.json(&serde_json::json!({"name": name, "state": state}));
    }
    out.text(&format!("{name} {state}"))
}

fn json(info: &BrokerInfo, state: &str) -> serde_json::Value {
    serde_json::json!({
        "name": info.instance, "state": state, "uri": info.uri, "port": info.port, "pid": info.pid,
        "folder": info.folder.to_string_lossy(),
    })
}

fn failure(error: Error) -> Failure {
    let status = match error {
        Error::Missing { .. } | Error::NoHome => Exit::Config,
        Error::Name(_) | Error::PortTaken(_) | Error::OtherPort { .. } => Exit::Usage,
        Error::Died { .. } | Error::Silent { .. } => Exit::Unreachable,
        _ => Exit::Failed,
    };
    Failure::new(status, error.to_string())
}
