//! What is configured, and what each of the Kafka clients is told.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use stillhouse_streams::{Error, ErrorKind, Result};

/// How to connect, beyond the URI.
#[derive(Clone)]
pub struct Options {
    /// Properties of librdkafka (`security.protocol`, `sasl.username`, `ssl.ca.location`, …), without prefixes. They
    /// win over those in the URI. A secret may be given by file or variable: `sasl.password.file`,
    /// `sasl.password.env`.
    pub properties: BTreeMap<String, String>,
    /// Topics that [`topics`](stillhouse_streams::Journal::topics) lists and
    /// [`verify`](stillhouse_streams::Journal::verify) reads: those of these names, and those that begin with one and a
    /// dot. Every partition that is listed costs a question to its broker, and a cluster may have thousands that belong
    /// to others. Empty: all.
    pub own: Vec<String>,
    /// Copies of each topic that is made; `None` leaves it to the brokers.
    pub replication: Option<u32>,
    /// How long a call may take before it is [`Unavailable`](ErrorKind::Unavailable).
    pub timeout: Duration,
    /// After this long the brokers abort a transaction whose process has died. Until then it holds up readers.
    pub transaction_timeout: Duration,
    /// What the transactional ids begin with, for access lists on the brokers.
    pub transactional_prefix: String,
    /// Producers that take turns, for each session and for all appends; a test of the rule wants one.
    #[doc(hidden)]
    pub producers: usize,
    /// Turns the producer rule off, to show that the tests would notice.
    #[doc(hidden)]
    pub break_the_producer_rule: bool,
}

impl Options {
    /// Whether a topic is one of [`Options::own`].
    pub(crate) fn owns(&self, topic: &str) -> bool {
        let of = |own: &String| {
            topic.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.own.is_empty() || self.own.iter().any(of)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            properties: BTreeMap::new(),
            own: Vec::new(),
            replication: None,
            timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(15),
            transactional_prefix: "stillhouse".to_owned(),
            producers: 2,
            break_the_producer_rule: false,
        }
    }
}

/// The group that readers without a group name themselves by; it never commits.
const READER_GROUP: &str = "stillhouse-reader";

/// What the guarantees stand on; nobody else may set it.
const OURS: &[&str] = &[
    "bootstrap.servers",
    "metadata.broker.list",
    "transactional.id",
    "enable.idempotence",
    "acks",
    "request.required.acks",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "partition.assignment.strategy",
    "isolation.level",
    "enable.auto.commit",
    "auto.commit.enable",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "transaction.timeout.ms",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "log.connection.close",
    "log_level",
    "delivery.report.only.error",
];

/// Everything that was configured, checked.
pub(crate) struct Settings {
    uri: String,
    hosts: String,
    properties: BTreeMap<String, String>,
    pub(crate) options: Options,
}

impl Settings {
    /// Reads the URI, the files and variables that it and the options name, and checks every property.
    pub(crate) fn read(uri: &str, mut options: Options) -> Result<Self> {
        let rest = uri.strip_prefix("kafka://").ok_or_else(|| invalid("a Kafka journal is kafka://HOST:PORT"))?;
        let (hosts, query) = rest.split_once('?').unwrap_or((rest, ""));
        let hosts = hosts.trim_end_matches('/');
        check_hosts(hosts)?;
        let mut properties = BTreeMap::new();
        let mut shown = Vec::new();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| invalid(format!("`{pair}` is not property=value")))?;
            let (key, value) = (decode(key)?, decode(value)?);
            if is_secret(&key) {
                return Err(invalid(format!(
                    "`{key}` is a secret and does not belong in a URI, where others see it: use `{key}.file` or \
                     `{key}.env`"
                )));
            }
            shown.push(pair);
            match key.as_str() {
                "replication.factor" => {
                    let factor = value.parse().ok().filter(|f| (1..=32_767).contains(f));
                    options.replication =
                        Some(factor.ok_or_else(|| invalid(format!("replication.factor = `{value}`")))?);
                }
                _ => put(&mut properties, key, value)?,
            }
        }
        for (key, value) in std::mem::take(&mut options.properties) {
            put(&mut properties, key, value)?;
        }
        let query = if shown.is_empty() { String::new() } else { format!("?{}", shown.join("&")) };
        let settings = Self { uri: format!("kafka://{hosts}{query}"), hosts: hosts.to_owned(), properties, options };
        settings.check()?;
        Ok(settings)
    }

    /// The URI: it never held a secret.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Names the first property that librdkafka does not know, or whose value it does not take.
    fn check(&self) -> Result<()> {
        for (key, value) in &self.properties {
            if OURS.contains(&key.as_str()) {
                return Err(invalid(format!("`{key}` cannot be set: the guarantees of the journal depend on it")));
            }
            let mut one = ClientConfig::new();
            one.set(key, value);
            if one.create_native_config().is_err() {
                let unknown =
                    ClientConfig::new().create_native_config().is_ok_and(|defaults| defaults.get(key).is_err());
                let shown = if is_secret(key) { String::new() } else { format!(" `{value}`") };
                return Err(invalid(if unknown {
                    format!("`{key}` is not a property of librdkafka")
                } else {
                    format!("the value{shown} is not possible for the property `{key}`")
                }));
            }
        }
        Ok(())
    }

    /// Bytes of the largest record that is tried: less than a message, which has framing too.
    pub(crate) fn max_record_bytes(&self) -> usize {
        const FRAMING: usize = 1_024;
        let configured = self.properties.get("message.max.bytes").and_then(|v| v.parse().ok());
        configured.unwrap_or(1_000_000_usize).saturating_sub(FRAMING)
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "stillhouse");
        config.set("socket.connection.setup.timeout.ms", "5000");
        config.set("socket.timeout.ms", "10000");
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "1000");
        config.set("retry.backoff.ms", "50");
        // A topic that is new to a client waits this long for its leaders.
        config.set("topic.metadata.refresh.fast.interval.ms", "10");
        config
    }

    /// Defaults, then what the user says, then what the guarantees need.
    fn finish(&self, mut config: ClientConfig, ours: &[(&str, &str)]) -> ClientConfig {
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.hosts);
        // The producer rule reads the log: a broken connection is told nowhere else.
        config.set("log.connection.close", "true");
        config.set_log_level(RDKafkaLogLevel::Info);
        for (key, value) in ours {
            config.set(*key, *value);
        }
        config
    }

    /// For questions to the brokers.
    pub(crate) fn admin(&self) -> ClientConfig {
        self.finish(self.base(), &[])
    }

    /// For offsets and metadata, as readers of committed records see them.
    pub(crate) fn observer(&self) -> ClientConfig {
        self.finish(self.base(), &[("isolation.level", "read_committed"), ("enable.auto.commit", "false")])
    }

    /// For the offsets of one group, without joining it.
    pub(crate) fn bystander(&self, group: &str) -> ClientConfig {
        let mut config = self.observer();
        config.set("group.id", group);
        config
    }

    /// For scans of one partition.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.base();
        fetching(&mut config);
        config.set("fetch.wait.max.ms", "50");
        self.finish(
            config,
            &[
                ("group.id", READER_GROUP),
                ("isolation.level", "read_committed"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("enable.partition.eof", "true"),
            ],
        )
    }

    /// For a member of a group.
    pub(crate) fn member(&self, group: &str, session_timeout: Duration) -> ClientConfig {
        let mut config = self.base();
        fetching(&mut config);
        let session = session_timeout.as_millis().clamp(100, 3_600_000);
        // A member learns of a rebalance from its heartbeat.
        let heartbeat = (session / 3).clamp(50, 500);
        // The thread polls while the processor works; only a call that hangs keeps it from that.
        let poll = session.max(60_000);
        self.finish(
            config,
            &[
                ("group.id", group),
                ("group.protocol", "classic"),
                // Partition n of topics with equal counts goes to the same member.
                ("partition.assignment.strategy", "range"),
                ("session.timeout.ms", &session.to_string()),
                ("heartbeat.interval.ms", &heartbeat.to_string()),
                ("max.poll.interval.ms", &poll.to_string()),
                ("isolation.level", "read_committed"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                // Never silently elsewhere: a session says itself where it begins.
                ("auto.offset.reset", "error"),
                ("enable.partition.eof", "false"),
            ],
        )
    }

    /// For a transactional producer.
    pub(crate) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.base();
        config.set("compression.type", "lz4");
        config.set("linger.ms", "1");
        config.set("batch.size", "1000000");
        config.set("queue.buffering.max.messages", "200000");
        config.set("queue.buffering.max.kbytes", "131072");
        let transaction = self.options.transaction_timeout.as_millis().clamp(1_000, 900_000);
        let message = self.options.timeout.as_millis().clamp(1_000, transaction);
        // librdkafka insists that a request times out before its transaction.
        config.set("socket.timeout.ms", transaction.min(10_000).to_string());
        self.finish(
            config,
            &[
                ("transactional.id", transactional_id),
                ("transaction.timeout.ms", &transaction.to_string()),
                ("message.timeout.ms", &message.to_string()),
            ],
        )
    }
}

/// Enough in advance to keep a reader busy, little enough to keep memory flat.
fn fetching(config: &mut ClientConfig) {
    config.set("check.crcs", "true");
    config.set("queued.min.messages", "20000");
    config.set("queued.max.messages.kbytes", "16384");
    config.set("fetch.queue.backoff.ms", "5");
    config.set("fetch.message.max.bytes", "2097152");
    config.set("fetch.max.bytes", "8388608");
    config.set("fetch.error.backoff.ms", "50");
}

fn check_hosts(hosts: &str) -> Result<()> {
    if hosts.contains('@') {
        return Err(invalid("credentials do not belong in a URI: use sasl.username and sasl.password.file"));
    }
    for host in hosts.split(',') {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "9092"));
        if name.is_empty() || name.contains('/') || !port.parse::<u16>().is_ok_and(|p| p > 0) {
            return Err(invalid(format!("`{host}` is not HOST:PORT")));
        }
    }
    Ok(())
}

/// Takes over a property; secrets may come from a file or a variable, and everything from a file of properties.
fn put(properties: &mut BTreeMap<String, String>, key: String, value: String) -> Result<()> {
    if key == "properties.file" {
        for (key, value) in read_properties(Path::new(&value))? {
            put(properties, key, value)?;
        }
        return Ok(());
    }
    if let Some(secret) = key.strip_suffix(".file").filter(|k| is_secret(k)) {
        properties.insert(secret.to_owned(), read_secret(Path::new(&value))?);
    } else if let Some(secret) = key.strip_suffix(".env").filter(|k| is_secret(k)) {
        let found = std::env::var(&value).ok().filter(|v| !v.is_empty());
        let found = found.ok_or_else(|| invalid(format!("`{key}`: the variable `{value}` is not set")))?;
        properties.insert(secret.to_owned(), found);
    } else {
        properties.insert(key, value);
    }
    Ok(())
}

fn is_secret(key: &str) -> bool {
    let word = key.contains("password") || key.contains("secret") || key.ends_with("key.pem");
    (word || key == "sasl.oauthbearer.config") && !key.ends_with(".file") && !key.ends_with(".env")
}

fn read_properties(path: &Path) -> Result<Vec<(String, String)>> {
    let text = read(path)?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let pairs = lines.enumerate().map(|(number, line)| {
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| invalid(format!("{}: setting {} is not property=value", path.display(), number + 1)))?;
        let key = key.trim().to_owned();
        if is_secret(&key) {
            check_private(path)?;
        }
        Ok((key, value.trim().to_owned()))
    });
    pairs.collect()
}

fn read_secret(path: &Path) -> Result<String> {
    check_private(path)?;
    let text = read(path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(invalid(format!("the secret in {} is empty", path.display())));
    }
    Ok(secret.to_owned())
}

fn check_private(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.permissions().mode();
        if mode & 0o007 != 0 {
            let path = path.display();
            return Err(invalid(format!("{path} holds a secret and others may read it: chmod o= {path}")));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    invalid(format!("{}: {error}", path.display()))
}

/// Percent-decoding of a query.
fn decode(text: &str) -> Result<String> {
    let bad = || invalid(format!("`{text}` has a bad percent escape"));
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().ok_or_else(bad)?, bytes.next().ok_or_else(bad)?];
            let digits = std::str::from_utf8(&digits).map_err(|_| bad())?;
            out.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).map_err(|_| bad())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(uri: &str, properties: &[(&str, &str)]) -> String {
        let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        match Settings::read(uri, Options { properties, ..Options::default() }) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn properties_come_from_the_uri_and_the_options() {
        let properties = BTreeMap::from([("client.id".to_owned(), "other".to_owned())]);
        let uri = "kafka://a:1,b:2?linger.ms=7&client.id=me%2Dtoo&replication.factor=3";
        let settings = Settings::read(uri, Options { properties, ..Options::default() }).expect("legal");
        assert_eq!(settings.uri(), uri);
        assert_eq!(settings.options.replication, Some(3));
        let config = settings.producer("t");
        assert_eq!(config.get("linger.ms"), Some("7"));
        assert_eq!(config.get("client.id"), Some("other"));
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        assert!(refusal("kafka://a:1?lingre.ms=7", &[]).contains("`lingre.ms` is not a property"));
        assert!(refusal("kafka://a:1?linger.ms=soon", &[]).contains("`soon` is not possible"));
        assert!(refusal("kafka://a:1", &[("isolation.level", "read_uncommitted")]).contains("guarantees"));
        assert!(refusal("kafka://a:0", &[]).contains("HOST:PORT"));
        assert!(refusal("kafka://me:pw@a:1", &[]).contains("credentials"));
        assert!(refusal("http://a:1", &[]).contains("kafka://"));
        assert!(refusal("kafka://a:1?linger.ms", &[]).contains("property=value"));
        assert!(refusal("kafka://a:1?linger.ms=%f", &[]).contains("percent"));
    }

    #[test]
    fn secrets_come_from_files_and_are_never_shown() {
        use std::os::unix::fs::PermissionsExt;
        assert!(refusal("kafka://a:1?sasl.password=canary", &[]).contains("sasl.password.file"));
        assert!(!refusal("kafka://a:1?sasl.password=canary", &[]).contains("canary"));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        std::fs::write(&file, "canary\n").expect("a file");
        let allow = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("own file");
        allow(0o644);
        let uri = format!("kafka://a:1?sasl.password.file={}", file.display());
        assert!(refusal(&uri, &[]).contains("others may read it"));
        allow(0o600);
        let settings = Settings::read(&uri, Options::default()).expect("legal");
        assert_eq!(settings.admin().get("sasl.password"), Some("canary"));
        assert!(!settings.uri().contains("canary"));
        std::fs::write(&file, "\n").expect("a file");
        assert!(refusal(&uri, &[]).contains("is empty"));
        assert!(refusal("kafka://a:1?sasl.password.env=STILLHOUSE_NOT_SET", &[]).contains("is not set"));
        let list = folder.path().join("client.properties");
        std::fs::write(&list, "# comment\nsecurity.protocol = sasl_ssl\n\nsasl.username=me\n").expect("a file");
        let uri = format!("kafka://a:1?properties.file={}", list.display());
        let settings = Settings::read(&uri, Options::default()).expect("legal");
        assert_eq!(settings.admin().get("security.protocol"), Some("sasl_ssl"));
    }

    #[test]
    fn record_limit_follows_the_message_limit() {
        let settings = |uri| Settings::read(uri, Options::default()).expect("legal");
        assert_eq!(settings("kafka://a:1").max_record_bytes(), 998_976);
        assert_eq!(settings("kafka://a:1?message.max.bytes=5000000").max_record_bytes(), 4_998_976);
    }
}
