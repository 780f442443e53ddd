//! Who may call, and under which name the server may be called.
//!
//! Without tokens only loopback addresses are listened on, and everybody who reaches them may do everything. Tokens are
//! random, so their SHA-256 is kept and no slow hash is needed; unknown, wrong and malformed ones get one answer in one
//! time. A `Host` that is neither an address nor a known name is refused, so that a web page cannot reach the API by
//! rebinding its own name to a local address; no CORS header is ever sent. TLS is a proxy's business.

use super::answer::Refusal;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Append events.
    Append,
    /// Read events, metrics and states.
    Read,
    /// Rewind, promote, drop.
    Operate,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Append, Self::Read, Self::Operate, Self::Admin];

    /// As written in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

/// Who calls: the name of the token, or nobody in particular.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) Option<Arc<str>>);

struct Token {
    name: Arc<str>,
    sha256: [u8; 32],
    roles: Vec<Role>,
}

/// Tokens and host names.
#[derive(Default)]
pub struct Access {
    tokens: Vec<Token>,
    hosts: Vec<String>,
    search_roles: BTreeMap<Arc<str>, Vec<String>>,
}

impl Access {
    /// Loopback only, without tokens.
    pub fn open() -> Self {
        Self::default()
    }

    /// From settings: tokens as (name, SHA-256 in hex, roles), and host names beside the loopback ones. Two tokens may
    /// have one name, so that one can be replaced while the other works.
    pub fn new<'a>(
        tokens: impl IntoIterator<Item = (&'a str, &'a str, &'a [String])>,
        hosts: &[String],
    ) -> Result<Self, String> {
        let tokens =
            tokens.into_iter().map(|(name, sha256, roles)| token(name, sha256, roles)).collect::<Result<_, _>>()?;
        let search_roles = BTreeMap::new();
        Ok(Self {
            tokens,
            search_roles,
            hosts: hosts.iter().map(|h| h.trim_end_matches('.').to_ascii_lowercase()).collect(),
        })
    }

    /// The same, where the tokens of these names may search in these roles; `*`: in any. Others in none.
    #[must_use]
    pub fn searching_as<'a>(mut self, roles: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Self {
        for (name, roles) in roles {
            self.search_roles.entry(name.into()).or_default().extend_from_slice(roles);
        }
        self
    }

    /// Whether a caller may search in a role. Without tokens, everybody in any.
    pub(crate) fn may_search_as(&self, caller: &Caller, role: &str) -> bool {
        let of_caller = caller.0.as_ref().and_then(|name| self.search_roles.get(name));
        self.tokens.is_empty() || of_caller.is_some_and(|roles| roles.iter().any(|r| r == "*" || r == role))
    }

    /// Refuses addresses that others can reach as long as nobody has to show a token.
    pub fn check_listen(&self, addr: &SocketAddr) -> Result<(), String> {
        if addr.ip().to_canonical().is_loopback() || !self.tokens.is_empty() {
            return Ok(());
        }
        Err(format!("{addr} can be reached from other machines: listen on 127.0.0.1, or configure [[http.tokens]]"))
    }

    /// Who calls, if the caller may do what needs `role`.
    pub(crate) fn authorise(&self, headers: &HeaderMap, role: Role) -> Result<Caller, Refusal> {
        if self.tokens.is_empty() {
            return Ok(Caller(None));
        }
        let shown = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(bearer).unwrap_or_default();
        let hash: [u8; 32] = Sha256::digest(shown).into();
        // Every token is compared in full, whichever fits.
        let known =
            self.tokens.iter().fold(None, |found, token| if equal(&token.sha256, &hash) { Some(token) } else { found });
        let Some(token) = known.filter(|_| !shown.is_empty()) else {
            let challenge = HeaderValue::from_static("Bearer realm=\"stillhouse\"");
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid bearer token is needed")
                .header(WWW_AUTHENTICATE, challenge));
        };
        if token.roles.contains(&role) || token.roles.contains(&Role::Admin) {
            return Ok(Caller(Some(token.name.clone())));
        }
        let message = format!("this token may not do that: it needs the role `{}`", role.as_str());
        Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", message))
    }

    /// Refuses requests for names that are not ours, and those that a page of another site sends.
    pub(crate) fn check_host(
        &self,
        uri: &Uri,
        version: Version,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let refuse = |message: &str| Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", message));
        match uri
            .authority()
            .cloned()
            .or_else(|| headers.get(HOST).and_then(|h| Authority::try_from(h.as_bytes()).ok()))
        {
            Some(authority) if self.knows(authority.host()) => (),
            Some(_) => return refuse("the Host header names neither this machine nor a name in http.hosts"),
            None if version < Version::HTTP_11 && !headers.contains_key(HOST) => (),
            None => return Err(Refusal::bad("host", "the Host header is missing or malformed").close()),
        }
        let origin = headers.get(ORIGIN).filter(|_| !matches!(*method, Method::GET | Method::HEAD));
        let own = |origin: &HeaderValue| {
            let uri = Uri::try_from(origin.as_bytes()).ok();
            uri.as_ref().and_then(Uri::host).is_some_and(|host| self.knows(host))
        };
        match origin {
            Some(origin) if !own(origin) => {
                Err(Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", "pages of other sites may not call this API"))
            }
            _ => Ok(()),
        }
    }

    /// Addresses cannot be rebound, so any of them is fine; names must be known.
    fn knows(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        host.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.hosts.contains(&host)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("tokens", &self.tokens.len()).field("hosts", &self.hosts).finish()
    }
}

fn token(name: &str, sha256: &str, roles: &[String]) -> Result<Token, String> {
    let hash = unhex(sha256).ok_or_else(|| format!("http.tokens `{name}`: sha256 is not 64 hex digits"))?;
    if hash == <[u8; 32]>::from(Sha256::digest("")) {
        return Err(format!("http.tokens `{name}`: sha256 is the hash of an empty token"));
    }
    let roles = roles
        .iter()
        .map(|role| {
            let known = || Role::ALL.map(Role::as_str).join(", ");
            let found = Role::ALL.into_iter().find(|r| r.as_str() == role);
            found.ok_or_else(|| format!("http.tokens `{name}`: `{role}` is not a role; there are {}", known()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if roles.is_empty() {
        return Err(format!("http.tokens `{name}`: no roles, so it could do nothing"));
    }
    Ok(Token { name: name.into(), sha256: hash, roles })
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differing = a.iter().zip(b).fold(0_u8, |acc, (a, b)| acc | (a ^ b));
    std::hint::black_box(differing) == 0
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(roles: &[&str]) -> Result<Access, String> {
        let roles: Vec<String> = roles.iter().map(|r| (*r).to_owned()).collect();
        let hash: String = Sha256::digest("secret").iter().map(|b| format!("{b:02x}")).collect();
        Access::new([("ci", hash.as_str(), roles.as_slice())], &["Journal.example".into()])
    }

    #[test]
    fn other_addresses_need_tokens() {
        for addr in ["0.0.0.0:1", "192.0.2.1:1", "[::]:1"] {
            let addr = addr.parse().unwrap();
            assert!(Access::open().check_listen(&addr).unwrap_err().contains("http.tokens"));
            assert!(access(&["read"]).unwrap().check_listen(&addr).is_ok());
        }
        for addr in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(Access::open().check_listen(&addr.parse().unwrap()).is_ok(), "{addr}");
        }
    }

    #[test]
    fn bad_settings_say_what_is_wrong() {
        assert!(access(&["write"]).unwrap_err().contains("append, read, operate, admin"));
        assert!(access(&[]).unwrap_err().contains("no roles"));
        assert!(Access::new([("a", "12", &["read".to_owned()][..])], &[]).unwrap_err().contains("64 hex"));
    }

    #[test]
    fn hosts_are_addresses_or_known_names() {
        let access = access(&["read"]).unwrap();
        for known in ["127.0.0.1", "[::1]", "localhost", "LOCALHOST.", "journal.example", "192.0.2.7"] {
            assert!(access.knows(known), "{known}");
        }
        for unknown in ["evil.example", "127.0.0.1.nip.example", "localhost.evil.example", ""] {
            assert!(!access.knows(unknown), "{unknown}");
        }
    }
}
