//! A plain POST of JSON to a URL of the settings: bounded in time and bytes, no redirects, nothing tried again.

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use std::time::Duration;

/// Replies larger than this are refused.
const MOST_BYTES: usize = 1 << 20;

/// Sends requests.
#[derive(Clone, Debug)]
pub struct Poster(Client);

impl Poster {
    /// One with connections of its own.
    pub fn new() -> Result<Self, String> {
        let client =
            Client::builder().connect_timeout(Duration::from_secs(5)).redirect(reqwest::redirect::Policy::none());
        client.build().map(Self).map_err(|error| error.to_string())
    }

    /// The body of a reply of status 200; the error says what happened, without the URL, which may say too much.
    pub async fn post(&self, url: &str, timeout: Duration, body: String) -> Result<String, String> {
        let said = |error: reqwest::Error| match error.is_timeout() {
            true => format!("no answer within {} ms", timeout.as_millis()),
            false if error.is_connect() => "it cannot be reached".to_owned(),
            false => error.without_url().to_string(),
        };
        let request = self.0.post(url).header(CONTENT_TYPE, "application/json").timeout(timeout).body(body);
        let mut response = request.send().await.map_err(said)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("it answered {}", response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MOST_BYTES {
                return Err(format!("its reply is larger than {MOST_BYTES} bytes"));
            }
        }
        String::from_utf8(bytes).map_err(|_| "its reply is no UTF-8".to_owned())
    }
}
