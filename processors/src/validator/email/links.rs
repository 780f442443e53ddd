//! Links: those that hide where they lead, and those to hosts that nobody named.

use super::super::artefact::{Subject, list, said};
use super::super::finding::Findings;
use super::super::fold::Folded;
use super::message::{Message, address, domain};
use std::collections::BTreeSet;

const SHORTENERS: &[&str] = &[
    "bit.ly",
    "tinyurl.com",
    "t.co",
    "goo.gl",
    "ow.ly",
    "is.gd",
    "buff.ly",
    "cutt.ly",
    "rb.gy",
    "rebrand.ly",
    "shorturl.at",
    "tiny.cc",
    "lnkd.in",
    "s.id",
    "v.gd",
];

/// Links of a text that are looked at.
const MOST: usize = 200;

pub(super) fn find(
    field: &str,
    text: &str,
    hosts: &[String],
    message: &Message,
    subject: &Subject<'_>,
    found: &mut Findings,
) {
    let folded = Folded::new(text);
    let links = links(folded.text());
    if links.is_empty() {
        return;
    }
    let known = known(hosts, message, subject);
    for link in links {
        let host = link.host.as_str();
        let span = folded.span(link.start..link.end);
        let written = text.get(span.clone()).unwrap_or_default();
        let ip = host.starts_with('[') || host.split('.').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        let hides = link.has_user
            || ip
            || host.split('.').any(|label| label.starts_with("xn--"))
            || !written.is_ascii() && written.split('/').nth(2).is_some_and(|host| !host.is_ascii());
        let short = SHORTENERS.contains(&host);
        let is_known = known
            .iter()
            .any(|known| host == known || host.strip_suffix(known.as_str()).is_some_and(|rest| rest.ends_with('.')));
        if link.scripted || hides || short && !is_known {
            let remedy =
                "Write out the link to the host that is meant, without shorteners, numbers or look-alike letters.";
            found.add("suspicious_link", Some(field), Some(span), "a link that hides where it leads", remedy);
        } else if !is_known {
            let remedy = "Use only links that were given for this message, or leave the link out.";
            found.add(
                "unknown_link",
                Some(field),
                Some(span),
                format!("a link to `{}`, which was not given", shown(host)),
                remedy,
            );
        }
    }
}

#[derive(Debug)]
struct Link {
    start: usize,
    end: usize,
    host: String,
    has_user: bool,
    scripted: bool,
}

fn links(text: &str) -> Vec<Link> {
    let bytes = text.as_bytes();
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() && all.len() < MOST {
        let rest = &text[at..];
        let boundary = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        let scheme = ["https://", "http://", "hxxps://", "hxxp://", "ftp://"]
            .into_iter()
            .find(|scheme| boundary && rest.starts_with(scheme));
        let scripted = boundary && (rest.starts_with("javascript:") || rest.starts_with("data:text/html"));
        let www = boundary && rest.starts_with("www.");
        if scripted || scheme.is_some() || www {
            let long = rest
                .bytes()
                .take(2_048)
                .take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'<' | b'>' | b'"'))
                .count();
            let mut end = at + long;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let whole = text[at..end].trim_end_matches(['.', ',', ')', ';', '!', '?', '\'', ']', '*']);
            let authority = whole[scheme.map_or(0, str::len)..].split(['/', '?', '#']).next().unwrap_or_default();
            let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
            let host = host.strip_prefix("www.").unwrap_or(host);
            let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
            all.push(Link {
                start: at,
                end: at + whole.len(),
                host: host.to_owned(),
                has_user: user.is_some(),
                scripted,
            });
            at = end.max(at + 1);
        } else if boundary && let Some((length, host)) = bare(rest) {
            all.push(Link { start: at, end: at + length, host, has_user: false, scripted: false });
            at += length;
        } else {
            at += 1;
        }
        while !text.is_char_boundary(at.min(text.len())) {
            at += 1;
        }
    }
    all
}

/// `example.com/path`: a host of letters with a path behind it.
fn bare(rest: &str) -> Option<(usize, String)> {
    if !rest.as_bytes()[0].is_ascii_alphanumeric() {
        return None;
    }
    let host =
        rest.bytes().take(100).take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')).count();
    if rest.as_bytes().get(host) != Some(&b'/')
        || rest.as_bytes().get(host + 1).is_none_or(|byte| !byte.is_ascii_alphanumeric())
    {
        return None;
    }
    let name = &rest[..host];
    let top = name.rsplit_once('.').map(|(_, top)| top)?;
    let length = rest
        .bytes()
        .take(2_048)
        .take_while(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b',' | b')'))
        .count();
    (top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_lowercase()))
        .then(|| (length, name.trim_start_matches("www.").to_owned()))
}

/// Hosts of the settings, of the context, of the sender's address, and of links in the context and the sources.
fn known(hosts: &[String], message: &Message, subject: &Subject<'_>) -> BTreeSet<String> {
    let mut known: BTreeSet<String> =
        hosts.iter().map(|host| super::super::fold::folded(host.trim_start_matches("www."))).collect();
    known.extend(list(subject.context.get("hosts")));
    let of = |name: &str| subject.context.get(name);
    let sender = of("sender").and_then(|sender| said(sender, &["email", "address"]));
    let senders = message.from.iter().cloned().chain(sender).chain(list(of("sender"))).chain(list(of("from")));
    known.extend(senders.filter_map(|sender| domain(&address(&sender)?)));
    let given = if subject.context.is_null() { String::new() } else { subject.context.to_string() };
    for text in subject.sources.iter().copied().chain([given.as_str()]) {
        let folded = super::super::fold::folded(text);
        known.extend(links(&folded.replace('"', " ")).into_iter().map(|link| link.host));
    }
    known.remove("");
    known
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(64).collect();
    cut.escape_debug().to_string()
}
