//! A Confluent schema registry, asked over HTTP.
//!
//! Two calls of its REST API are used: registering a schema under a subject (the answer is its id, the same one for the
//! same schema) and fetching a schema by id. The codec asks once per schema and remembers.
//!
//! The codec is called from synchronous code on any thread, so the client lives on a thread of its own; every question has
//! a deadline. There is no cache here, no authentication but what the URL's user and password give, and no following of
//! redirects or addresses that come from data.

use reqwest::blocking::{Client, RequestBuilder, Response};
use serde::Deserialize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stillhouse_schemas::{Registry, RegistryError};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const DEADLINE: Duration = Duration::from_secs(10);

/// Answers larger than this are not a schema.
const MOST_BYTES: usize = 4 << 20;

enum Question {
    IdOf { subject: String, schema: String },
    SchemaOf { id: u32 },
}

enum Answer {
    Id(u32),
    Schema(String),
}

type Asked = (Question, Sender<Result<Answer, RegistryError>>);

/// The registry at a URL.
#[derive(Debug)]
pub struct ConfluentRegistry {
    questions: Mutex<Sender<Asked>>,
}

impl ConfluentRegistry {
    /// Asks the registry at `url` (`http://host:8081`, with user and password if it wants them). Nothing is sent yet.
    pub fn new(url: &str) -> Result<Self, String> {
        let base = reqwest::Url::parse(url).map_err(|e| format!("`{url}` is not a URL: {e}"))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(format!("`{url}` is not an http or https URL"));
        }
        let (questions, asked) = channel();
        std::thread::Builder::new()
            .name("schema-registry".into())
            .spawn(move || serve(&base, &asked))
            .map_err(|e| e.to_string())?;
        Ok(Self { questions: Mutex::new(questions) })
    }

    fn ask(&self, question: Question) -> Result<Answer, RegistryError> {
        let gone = || RegistryError::Unavailable("the registry's thread has ended".into());
        let (reply, answer) = channel();
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).send((question, reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

impl Registry for ConfluentRegistry {
    fn id_of(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        match self.ask(Question::IdOf { subject: subject.to_owned(), schema: schema.to_owned() })? {
            Answer::Id(id) => Ok(id),
            Answer::Schema(_) => Err(RegistryError::Unavailable("an answer to another question".into())),
        }
    }

    fn schema_of(&self, id: u32) -> Result<String, RegistryError> {
        match self.ask(Question::SchemaOf { id })? {
            Answer::Schema(schema) => Ok(schema),
            Answer::Id(_) => Err(RegistryError::Unavailable("an answer to another question".into())),
        }
    }
}

fn serve(base: &reqwest::Url, asked: &Receiver<Asked>) {
    let client = Client::builder()
        .timeout(DEADLINE)
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build();
    while let Ok((question, reply)) = asked.recv() {
        let answer = match &client {
            Ok(client) => answer(client, base, question),
            Err(error) => Err(RegistryError::Unavailable(error.to_string())),
        };
        // Whoever asked may have given up.
        let _ = reply.send(answer);
    }
}

fn answer(client: &Client, base: &reqwest::Url, question: Question) -> Result<Answer, RegistryError> {
    #[derive(Deserialize)]
    struct Id {
        id: u32,
    }
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }
    let at = |segments: &[&str]| {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    };
    match question {
        Question::IdOf { subject, schema } => {
            let body = serde_json::json!({ "schema": schema }).to_string();
            let request =
                client.post(at(&["subjects", &subject, "versions"])).header("content-type", CONTENT_TYPE).body(body);
            Ok(Answer::Id(parse::<Id>(send(request, &format!("registering {subject}"))?)?.id))
        }
        Question::SchemaOf { id } => {
            let request = client.get(at(&["schemas", "ids", &id.to_string()])).header("accept", CONTENT_TYPE);
            let response = send(request, &format!("schema {id}")).map_err(|e| match e {
                Refusal::NotFound => RegistryError::UnknownId(id),
                Refusal::Other(error) => error,
            })?;
            Ok(Answer::Schema(parse::<Schema>(response)?.schema))
        }
    }
}

enum Refusal {
    NotFound,
    Other(RegistryError),
}

impl From<Refusal> for RegistryError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::Unavailable("the registry knows nothing of it".into()),
            Refusal::Other(error) => error,
        }
    }
}

fn send(request: RequestBuilder, what: &str) -> Result<Response, Refusal> {
    let unavailable =
        |why: String| Refusal::Other(RegistryError::Unavailable(format!("schema registry, {what}: {why}")));
    // The URL may hold a password: it is left out of what is said.
    let response = request.send().map_err(|e| unavailable(e.without_url().to_string()))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status if status.as_u16() == 404 => Err(Refusal::NotFound),
        status => Err(unavailable(format!("{status} {}", said(response)))),
    }
}

/// The registry's own words: `{"error_code":…,"message":…}`.
fn said(response: Response) -> String {
    let text = response.text().unwrap_or_default();
    let value: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let message = value.as_ref().and_then(|v| v.get("message")?.as_str()).unwrap_or(&text);
    message.chars().take(300).collect()
}

fn parse<T: for<'de> Deserialize<'de>>(response: Response) -> Result<T, RegistryError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    response.take(limit).read_to_end(&mut bytes).map_err(|e| RegistryError::Unavailable(e.to_string()))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| RegistryError::Unavailable(format!("the registry's answer makes no sense: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    /// A registry that knows two answers and keeps what it was asked.
    fn fake(answers: Vec<(u16, &'static str)>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for (status, body) in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                    if head.is_empty() {
                        head = line.trim().to_owned();
                    }
                }
                let mut content = vec![0; length];
                reader.read_exact(&mut content).unwrap();
                asked.push(format!("{head} {}", String::from_utf8(content).unwrap()));
                let mut stream = stream;
                write!(
                    stream,
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
            }
            asked
        });
        (url, thread)
    }

    #[test]
    fn registers_and_fetches() {
        let (url, thread) = fake(vec![(200, r#"{"id":7}"#), (200, r#"{"schema":"\"string\""}"#)]);
        let registry = ConfluentRegistry::new(&url).unwrap();
        assert_eq!(registry.id_of("stillhouse.Run", r#""string""#), Ok(7));
        assert_eq!(registry.schema_of(7), Ok(r#""string""#.to_owned()));
        let asked = thread.join().unwrap();
        assert_eq!(asked[0], r#"POST /subjects/stillhouse.Run/versions HTTP/1.1 {"schema":"\"string\""}"#);
        assert!(asked[1].starts_with("GET /schemas/ids/7 HTTP/1.1"), "{asked:?}");
    }

    #[test]
    fn says_what_the_registry_says() {
        let (url, thread) = fake(vec![
            (409, r#"{"error_code":409,"message":"incompatible with an earlier schema"}"#),
            (404, r#"{"error_code":40403,"message":"Schema not found"}"#),
        ]);
        let registry = ConfluentRegistry::new(&url).unwrap();
        let refused = registry.id_of("s", "x").unwrap_err().to_string();
        assert!(refused.contains("incompatible with an earlier schema"), "{refused}");
        assert_eq!(registry.schema_of(9), Err(RegistryError::UnknownId(9)));
        thread.join().unwrap();
    }

    #[test]
    fn a_registry_that_is_gone_is_an_error_without_the_password() {
        let registry = ConfluentRegistry::new("http://user:hush@127.0.0.1:1").unwrap();
        let error = registry.schema_of(1).unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
        assert!(ConfluentRegistry::new("not a url").is_err());
    }
}
