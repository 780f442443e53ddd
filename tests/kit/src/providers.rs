//! A provider of models on a loopback port that answers as it is told and remembers what it was asked.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// One request, as it came in.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path of the URL.
    pub path: String,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Value,
}

impl Asked {
    /// What the last message says.
    pub fn last(&self) -> &str {
        let messages = self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        messages.last().and_then(|message| message["content"].as_str()).unwrap_or_default()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A text, in the words of whichever API was asked.
    Text(String),
    /// This status, header lines and body.
    Raw(u16, Vec<(&'static str, String)>, String),
    /// The connection is closed without a word.
    Hangup,
    /// Nothing, until the other side gives up.
    Silence,
}

impl Answer {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A status with a JSON body.
    pub fn status(status: u16, body: Value) -> Self {
        Self::Raw(status, Vec::new(), body.to_string())
    }
}

type Script = dyn Fn(&Asked, usize) -> Answer + Send + Sync;

/// The provider. Its threads end with the process.
pub struct Provider {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Provider {
    /// Answers request number `n`, from 0 on, with `script(request, n)`.
    pub fn start(script: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, remembered): (Arc<Script>, _) = (Arc::new(script), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, remembered) = (script.clone(), remembered.clone());
                std::thread::spawn(move || serve(stream, script.as_ref(), &remembered));
            }
        });
        Self { address, asked }
    }

    /// `ollama://…/MODEL`
    pub fn ollama(&self, model: &str) -> String {
        format!("ollama://{}/{model}", self.address)
    }

    /// `openai+http://…/v1/MODEL`
    pub fn openai(&self, model: &str) -> String {
        format!("openai+http://{}/v1/{model}", self.address)
    }

    /// Host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(stream: TcpStream, script: &Script, remembered: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut writer = stream;
    while let Some(asked) = request(&mut reader) {
        let number = {
            let mut remembered = remembered.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.push(asked.clone());
            remembered.len() - 1
        };
        let (status, headers, body) = match script(&asked, number) {
            Answer::Raw(status, headers, body) => (status, headers, body),
            Answer::Text(text) => (200, Vec::new(), spoken(&asked, &text).to_string()),
            Answer::Hangup => return,
            Answer::Silence => {
                let _ = reader.read(&mut [0]);
                return;
            }
        };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

/// A text, as the API that was asked would say it.
fn spoken(asked: &Asked, text: &str) -> Value {
    let model = &asked.body["model"];
    if asked.path == "/api/chat" {
        return json!({"model": model, "created_at": "2026-01-01T00:00:00Z", "done": true, "done_reason": "stop",
            "message": {"role": "assistant", "content": text}, "total_duration": 1, "prompt_eval_count": 100,
            "eval_count": 20});
    }
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}})
}

fn request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, v)| v.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { path, headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}
