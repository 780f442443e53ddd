//! An Apache Kafka for the tests: the one that `STILLHOUSE_KAFKA` names, or one of their own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use stillhouse_devkafka::Status;

use super::process::until;

/// A broker. One that was started here goes with its data when it is dropped.
pub(crate) struct Broker {
    uri: String,
    own: Option<stillhouse_devkafka::Settings>,
}

impl Broker {
    /// The broker that tests share which do it no harm.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("STILLHOUSE_KAFKA") {
            Ok(uri) if uri.starts_with("kafka://") => Self { uri, own: None },
            Ok(servers) => Self { uri: format!("kafka://{servers}"), own: None },
            Err(_) => Self::start("shared"),
        })
    }

    /// A broker that a test may kill.
    pub(crate) fn own(name: &str) -> Self {
        Self::start(name)
    }

    fn start(name: &str) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut settings = stillhouse_devkafka::Settings::new(home());
        settings.instance = instance(name);
        settings.port = port;
        settings.fresh = true;
        forget_dead_ones();
        let broker = stillhouse_devkafka::up(&settings).unwrap_or_else(|e| panic!("no Apache Kafka: {e}"));
        // Nothing drops a static, and nobody drops anything in a process that is killed.
        stillhouse_devkafka::end_with_me(&settings.home, &settings.instance).expect("a watchman");
        settings.fresh = false;
        Self { uri: broker.uri, own: Some(settings) }
    }

    /// Its journal URI.
    pub(crate) fn uri(&self) -> String {
        self.uri.clone()
    }

    /// Host and port.
    pub(crate) fn servers(&self) -> &str {
        self.uri.trim_start_matches("kafka://")
    }

    /// Kills it as `kill -9` does, and starts it again on the same data.
    pub(crate) fn kill_and_restart(&self) {
        let own = self.own.as_ref().expect("a broker of one's own");
        assert!(stillhouse_devkafka::kill(&own.home, &own.instance).expect("kill"), "the broker was dead already");
        // Its port may be held for a moment: by threads of its own that are not gone yet, or by a client that came to
        // be connected with itself.
        until("the broker comes back", || stillhouse_devkafka::up(own).ok());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            remove(&own.instance);
        }
    }
}

fn home() -> PathBuf {
    stillhouse_devkafka::default_home().expect("a home for the broker")
}

fn instance(name: &str) -> String {
    format!("e2e-{}-{name}", std::process::id())
}

/// Removes what earlier test processes left.
fn forget_dead_ones() {
    for name in stillhouse_devkafka::instances(&home()).unwrap_or_default() {
        // One that is down may be about to come back, as long as the process lives that it belongs to.
        let owner = name.strip_prefix("e2e-").and_then(|rest| rest.split('-').next());
        let gone = owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if gone && matches!(stillhouse_devkafka::status(&home(), &name), Ok(Status::Down(_))) {
            remove(&name);
        }
    }
}

fn remove(instance: &str) {
    let _ = stillhouse_devkafka::kill(&home(), instance);
    let _ = stillhouse_devkafka::down(&home(), instance, true);
}
