//! What a development broker is told.

use crate::error::{Result, at};
use crate::jars::run;
use crate::layout::Instance;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of everything; see [`default_home`](crate::default_home).
    pub home: PathBuf,
    /// Which of several brokers.
    pub instance: String,
    /// Client port on 127.0.0.1.
    pub port: u16,
    /// The port that clients are told to come back to, if it is another one: a proxy's.
    pub advertised: Option<u16>,
    /// Begin without data.
    pub fresh: bool,
    /// Flush every record to disk before it is acknowledged.
    pub flush: bool,
    /// Memory of the Java machine.
    pub heap_megabytes: u32,
}

impl Settings {
    /// The instance `default` on port 19092.
    pub fn new(home: PathBuf) -> Self {
        let instance = "default".to_owned();
        Self { home, instance, port: 19_092, advertised: None, fresh: false, flush: false, heap_megabytes: 512 }
    }
}

const CLIENT_LISTENER: &str = "listeners=PLAINTEXT://127.0.0.1:";

/// Writes the properties (the controller's port is chosen once and kept) and formats the data folder if it is new.
pub(crate) fn write(settings: &Settings, instance: &Instance, jars: &Path) -> Result<()> {
    fs::create_dir_all(&instance.folder).map_err(at(&instance.folder))?;
    let file = instance.properties_file();
    let old = fs::read_to_string(&file).unwrap_or_default();
    let kept = old.lines().find_map(|l| l.split_once(",CONTROLLER://127.0.0.1:")).and_then(|(_, p)| p.parse().ok());
    let controller = match kept {
        Some(port) => port,
        None => free_port().map_err(at("127.0.0.1"))?,
    };
    fs::write(&file, properties(settings, instance, controller)).map_err(at(&file))?;
    let logging = instance.logging_file();
    fs::write(&logging, LOGGING).map_err(at(&logging))?;
    if instance.data().join("meta.properties").is_file() {
        return Ok(());
    }
    let mut format = Command::new("java");
    format.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
    format.arg("-cp").arg(jars.join("*")).args(["kafka.tools.StorageTool", "format", "-t", &cluster_id()?, "-c"]);
    run(format.arg(&file), "formatting the broker's data folder", "java", "Java 17 or later")
}

pub(crate) fn port_of(instance: &Instance) -> Result<u16> {
    let file = instance.properties_file();
    let text = fs::read_to_string(&file).map_err(at(&file))?;
    let line = text.lines().find_map(|l| l.strip_prefix(CLIENT_LISTENER));
    let port = line.and_then(|l| l.split(',').next()).and_then(|p| p.parse().ok());
    port.ok_or_else(|| at(file)(std::io::Error::other("holds no client port")))
}

fn properties(settings: &Settings, instance: &Instance, controller: u16) -> String {
    let (port, advertised) = (settings.port, settings.advertised.unwrap_or(settings.port));
    let data = instance.data();
    let flush = if settings.flush { "log.flush.interval.messages=1\n" } else { "" };
    format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
         {CLIENT_LISTENER}{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         num.partitions=1\ndefault.replication.factor=1\nmin.insync.replicas=1\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
         share.coordinator.state.topic.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         # A test may want a silent member to lose its partitions soon.\n\
         group.min.session.timeout.ms=500\n\
         # What a killed process left open must not hold up readers for long.\n\
         transaction.abort.timed.out.transaction.cleanup.interval.ms=500\n\
         # Back within seconds after kill -9, instead of 13.\n\
         broker.session.timeout.ms=6000\nbroker.heartbeat.interval.ms=1000\n\
         num.network.threads=2\nnum.io.threads=4\nlog.cleaner.dedupe.buffer.size=4194304\n\
         log.segment.bytes=134217728\n{flush}",
        data.display()
    )
}

const LOGGING: &str = "rootLogger.level=INFO\nrootLogger.appenderRef.out.ref=out\nappender.out.type=Console\n\
    appender.out.name=out\nappender.out.layout.type=PatternLayout\nappender.out.layout.pattern=[%d] %p %m (%c)%n\n";

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// 16 random bytes in URL-safe base 64, as Kafka's tools make them.
fn cluster_id() -> Result<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0_u8; 16];
    let source = "/dev/urandom";
    File::open(source).and_then(|mut f| f.read_exact(&mut bytes)).map_err(at(source))?;
    let number = u128::from_be_bytes(bytes);
    // 128 bits are 21 digits and the 2 high bits of a 22nd.
    let mut id: String = (0..21).map(|i| char::from(DIGITS[(number >> (122 - 6 * i)) as usize & 63])).collect();
    id.push(char::from(DIGITS[(number << 4) as usize & 63]));
    // A leading dash would be read as an option.
    Ok(if id.starts_with('-') { id.replacen('-', "A", 1) } else { id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_back_from_the_properties() {
        let home = std::env::temp_dir().join(format!("stillhouse-devkafka-{}", std::process::id()));
        let instance = Instance::of(&home, "a").expect("a legal name");
        fs::create_dir_all(&instance.folder).expect("a folder");
        let settings = Settings { port: 4711, advertised: Some(4712), ..Settings::new(home.clone()) };
        fs::write(instance.properties_file(), properties(&settings, &instance, 4713)).expect("a file");
        assert_eq!(port_of(&instance).expect("a port"), 4711);
        fs::remove_dir_all(home).expect("the folder goes");
    }

    #[test]
    fn cluster_ids_have_22_legal_digits_and_differ() {
        let (a, b) = (cluster_id().expect("random bytes"), cluster_id().expect("random bytes"));
        assert_eq!(a.len(), 22);
        assert!(a.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{a}");
        assert_ne!(a, b);
    }
}
