//! A server on a port of its own, and ways to talk to it.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stillhouse::http::{Access, Alone, Health, HttpState, Limits, Node, Serving, router, serve};
use stillhouse_schemas::{Codec, TOPICS};
use stillhouse_streams::generation::{FIRST, Names};
use stillhouse_streams::memory::MemoryJournal;
use stillhouse_streams::{Cleanup, Journal, TopicSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Nothing here takes this long unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) client: reqwest::Client,
    pub(super) stop: CancellationToken,
    pub(super) serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// What a server is made of.
pub(super) struct Parts {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) access: Access,
    pub(super) limits: Limits,
    pub(super) node: Arc<dyn Node>,
    pub(super) stall: Duration,
    pub(super) serving: Serving,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            journal: Arc::new(MemoryJournal::new()),
            access: Access::open(),
            limits: Limits::default(),
            node: Arc::new(Alone(Names::default())),
            stall: Duration::from_secs(60),
            serving: Serving::default(),
        }
    }
}

impl Parts {
    pub(super) async fn start(self) -> Server {
        ensure(&*self.journal).await;
        let names = Names::default();
        let health = Arc::new(Health::new(self.journal.clone(), names.clone(), self.node, self.stall));
        let state = HttpState::new(self.journal.clone(), Codec::plain(), names, health, self.access, self.limits);
        let state = state.serving(self.serving);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let token = stop.clone();
        let serving = tokio::spawn(async move { serve(listener, router(state.clone()), &state, token).await });
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Server { addr, journal: self.journal, client, stop, serving }
    }
}

async fn ensure(journal: &dyn Journal) {
    let spec = |t: &stillhouse_schemas::Topic| TopicSpec {
        name: if t.derived { Names::default().derived(t.name, FIRST) } else { t.name.to_owned() },
        partitions: if t.partitions == stillhouse_schemas::Partitions::One { 1 } else { 3 },
        cleanup: Cleanup::Keep,
    };
    journal.ensure(&TOPICS.iter().map(spec).collect::<Vec<_>>()).await.unwrap();
}

impl Server {
    pub(super) async fn start() -> Self {
        Parts::default().start().await
    }

    pub(super) async fn with(limits: impl FnOnce(&mut Limits)) -> Self {
        let mut parts = Parts::default();
        limits(&mut parts.limits);
        parts.start().await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(self.url(path)).json(body)
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(self.url(path)).send().await.unwrap()).await
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends bytes as they are, and gives all that comes back until the server closes.
    pub(super) async fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may have answered and closed before it has all of it.
        let _ = stream.write_all(request).await;
        until_closed(&mut stream).await
    }

    /// Events in a topic.
    pub(super) async fn count(&self, topic: &str) -> u64 {
        let topics = self.journal.topics().await.unwrap();
        let topic = topics.iter().find(|t| t.spec.name == topic).unwrap();
        let mut count = 0;
        for (partition, state) in (0..).zip(&topic.partitions) {
            let mut scan = self.journal.scan(&topic.spec.name, partition, 0, Some(state.end)).await.unwrap();
            loop {
                let page = scan.next(1_000).await.unwrap();
                if page.is_empty() {
                    break;
                }
                count += page.len() as u64;
            }
        }
        count
    }
}

pub(super) async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(n) => answer.extend_from_slice(&buffer[..n]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with its body, and leaves the connection open.
pub(super) async fn one_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
                if body.len() >= length.map_or(0, |l| l.parse().unwrap()) {
                    return text;
                }
            }
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "closed after {text}");
            answer.extend_from_slice(&buffer[..n]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the server answers")
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// An error of this status and code, in the one shape.
    #[track_caller]
    pub(super) fn is(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{self:?}");
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{self:?}");
        assert_eq!(error["request_id"], self.header("x-request-id"), "{self:?}");
        self
    }

    #[track_caller]
    pub(super) fn field(&self, field: &str) -> &Self {
        assert_eq!(self.json()["error"]["field"], field, "{self:?}");
        self
    }
}

pub(super) async fn send(request: reqwest::RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

pub(super) fn status(raw: &str) -> u16 {
    raw.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no answer: {raw:?}"))
}

/// A run as a client would send it.
pub(super) fn run(id: &str) -> Value {
    json!({
        "run_id": id,
        "model": "test-model",
        "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}],
        "outcome": {"reward": 1.0},
    })
}

/// The same in an envelope.
pub(super) fn event(id: &str, run_id: &str) -> Value {
    json!({"id": id, "payload": run(run_id)})
}
