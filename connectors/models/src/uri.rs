//! URIs of models: `scheme://host[:port][/base]/model`, the model as its provider writes it, slashes and colons too.

use crate::dialect::Task;
use crate::{SCHEMES, Scheme};

/// Why a URI names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The scheme is none of ours.
    #[error("`{uri}` is no model; known are {}", forms())]
    Scheme {
        /// What was given.
        uri: String,
    },
    /// The rest is not of the scheme's form.
    #[error("`{uri}` {why}; write {form}")]
    Form {
        /// What was given, without what may be a secret.
        uri: String,
        /// What is wrong.
        why: &'static str,
        /// What would do.
        form: &'static str,
    },
    /// The HTTP client cannot be made.
    #[error("{0}")]
    Client(String),
}

fn forms() -> String {
    SCHEMES.iter().map(|s| format!("{} ({})", s.form, s.doc)).collect::<Vec<_>>().join("; ")
}

/// What a URI means.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) scheme: &'static Scheme,
    pub(crate) host: String,
    /// What stands before all paths.
    base: String,
    pub(crate) model: String,
}

impl Target {
    /// The provider, as it goes into hashes and events.
    pub(crate) fn provider(&self) -> &str {
        self.scheme.dialect.provider(&self.host)
    }

    /// What a request goes to.
    pub(crate) fn url(&self, task: Task) -> String {
        format!("{}{}", self.base, self.scheme.dialect.path(task))
    }
}

/// The URI without the one parameter that there is, `?dimensions=N`, and its value.
pub(crate) fn dimensions(uri: &str) -> Result<(&str, Option<usize>), OpenError> {
    let Some((rest, given)) = uri.split_once("?dimensions=") else { return Ok((uri, None)) };
    let known = given.parse().ok().filter(|n| (1..=65_536).contains(n));
    let wrong = || OpenError::Form {
        uri: rest.escape_debug().to_string(),
        why: "asks for dimensions that are no number from 1 to 65536",
        form: "URI?dimensions=N",
    };
    Ok((rest, Some(known.ok_or_else(wrong)?)))
}

pub(crate) fn parse(uri: &str) -> Result<Target, OpenError> {
    let shown = |uri: &str| uri.escape_debug().to_string();
    let found = uri.split_once("://").and_then(|(name, rest)| Some((SCHEMES.iter().find(|s| s.name == name)?, rest)));
    // What has no known scheme may be anything, a key too.
    let Some((scheme, rest)) = found else {
        let name = uri.split_once("://").map_or("…", |(name, _)| name);
        return Err(OpenError::Scheme { uri: shown(&name.chars().take(40).collect::<String>()) });
    };
    let wrong = |uri: &str, why| OpenError::Form { uri: shown(uri), why, form: scheme.form };
    let (host, path) = rest.split_once('/').ok_or_else(|| wrong(uri, "names no model"))?;
    if host.contains('@') {
        let hidden = format!("{}://…@{}", scheme.name, rest.rsplit_once('@').map_or("", |(_, host)| host));
        return Err(wrong(&hidden, "holds a secret: name the variable with the key in the settings (`models.keys`)"));
    }
    if host.is_empty() || uri.contains(char::is_whitespace) {
        return Err(wrong(uri, "names no host, or holds blanks"));
    }
    if uri.contains(['?', '#']) {
        let bare = uri.split(['?', '#']).next().unwrap_or_default();
        return Err(wrong(bare, "has parameters, and there are none"));
    }
    let (base, model) = scheme.dialect.split(path).ok_or_else(|| wrong(uri, "does not say what to ask"))?;
    let base = format!("{}://{host}{base}", scheme.transport);
    if reqwest::Url::parse(&base).is_err() {
        return Err(wrong(uri, "names a host that cannot be"));
    }
    Ok(Target { scheme, host: host.to_owned(), base, model: model.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_models() {
        for (uri, url, model, provider) in [
            ("ollama://h:1/qwen2.5:7b", "http://h:1/api/chat", "qwen2.5:7b", "ollama"),
            ("ollama://[::1]:1/hf.co/a/b:Q4", "http://[::1]:1/api/chat", "hf.co/a/b:Q4", "ollama"),
            ("ollama+https://ollama.com/x:1b", "https://ollama.com/api/chat", "x:1b", "ollama"),
            ("openai://h.example/v1/a", "https://h.example/v1/chat/completions", "a", "h.example"),
            (
                "openai://h.example/api/v1/v/a:free",
                "https://h.example/api/v1/chat/completions",
                "v/a:free",
                "h.example",
            ),
            ("openai+http://h:8/v1/v1/a", "http://h:8/v1/chat/completions", "v1/a", "h:8"),
        ] {
            let target = parse(uri).unwrap();
            let provider_of = target.scheme.dialect.provider(&target.host);
            let asked = target.url(Task::Chat);
            assert_eq!((asked.as_str(), target.model.as_str(), provider_of), (url, model, provider), "{uri}");
        }
    }

    #[test]
    fn what_is_no_model_is_told_what_would_be_and_shows_no_secret() {
        for (uri, says) in [
            ("sk-secret", "`…` is no model; known are ollama://HOST:PORT/MODEL"),
            ("gpt://sk-secret", "`gpt` is no model"),
            ("ollama://h:1", "names no model; write ollama://HOST:PORT/MODEL"),
            ("ollama://h:1/", "does not say what to ask"),
            ("ollama:///m", "names no host"),
            ("openai://h/m", "does not say what to ask; write openai://HOST/v1/MODEL"),
            ("openai://user:sk-secret@h/v1/m", "`openai://…@h/v1/m` holds a secret"),
            ("openai://h/v1/m?key=sk-secret", "has parameters"),
            ("openai://h:port/v1/m", "names a host that cannot be"),
        ] {
            let error = parse(uri).unwrap_err().to_string();
            assert!(error.contains(says), "{uri}: {error}");
            assert!(!error.contains("sk-secret"), "{error}");
        }
    }
}
