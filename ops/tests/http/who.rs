//! Tokens and roles.

use super::server::{Parts, run, send};
use sha2::{Digest, Sha256};
use stillhouse::http::{Access, ROUTES, Role};

fn hash(token: &str) -> String {
    Sha256::digest(token).iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn access(tokens: &[(&str, &str, &[&str])]) -> Access {
    let owned: Vec<(String, String, Vec<String>)> = tokens
        .iter()
        .map(|(name, token, roles)| ((*name).to_owned(), hash(token), roles.iter().map(|r| (*r).to_owned()).collect()))
        .collect();
    Access::new(owned.iter().map(|(n, h, r)| (n.as_str(), h.as_str(), r.as_slice())), &[]).unwrap()
}

pub(super) fn two_writers() -> (Access, [String; 2]) {
    (access(&[("a", "token-a", &["append"]), ("b", "token-b", &["append"])]), ["token-a".into(), "token-b".into()])
}

#[tokio::test]
async fn h16_no_or_wrong_tokens_get_one_answer() {
    let parts = Parts { access: access(&[("ci", "right", &["append", "read"])]), ..Parts::default() };
    let server = parts.start().await;
    let mut texts = Vec::new();
    for auth in
        [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic cmlnaHQ="), Some("right"), Some("Bearer right2")]
    {
        let mut request = server.post("/v1/runs", &run("r1")).header("x-request-id", "same");
        if let Some(auth) = auth {
            request = request.header("authorization", auth);
        }
        let answer = send(request).await;
        answer.is(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"stillhouse\"");
        texts.push(answer.text);
    }
    assert!(texts.iter().all(|t| *t == texts[0]), "{texts:?}");
    assert_eq!(server.count("runs").await, 0);
    assert_eq!(send(server.post("/v1/runs", &run("r1")).header("authorization", "bearer right")).await.status, 201);
}

#[tokio::test]
async fn every_route_asks_for_its_role() {
    let all = Role::ALL.map(Role::as_str);
    let tokens: Vec<(&str, &str, &[&str])> =
        all.iter().map(|role| (*role, *role, std::slice::from_ref(role))).collect();
    let server = Parts { access: access(&tokens), ..Parts::default() }.start().await;
    for route in ROUTES {
        let url = server.url(&route.path.replace("{name}", "runs"));
        let method = reqwest::Method::from_bytes(route.method.as_bytes()).unwrap();
        let without = send(server.client.request(method.clone(), &url)).await;
        let Some(needed) = route.role else {
            assert_ne!(without.status, 401, "{}", route.path);
            continue;
        };
        // Two routes speak as OpenAI does, errors too.
        let openai = ["/v1/embeddings", "/v1/models"].contains(&route.path);
        without.is(401, if openai { "invalid_api_key" } else { "unauthorized" });
        for role in Role::ALL {
            let answer = send(server.client.request(method.clone(), &url).bearer_auth(role.as_str())).await;
            let allowed = role == needed || role == Role::Admin;
            assert_eq!(answer.status == 403, !allowed, "{} {} as {role:?}: {answer:?}", route.method, route.path);
            assert_ne!(answer.status, 401);
        }
    }
}

#[tokio::test]
async fn idempotency_keys_of_two_callers_do_not_meet() {
    let (access, tokens) = two_writers();
    let server = Parts { access, ..Parts::default() }.start().await;
    for (n, token) in tokens.iter().enumerate() {
        let request = server.post("/v1/runs", &run(&format!("r{n}"))).header("idempotency-key", "k").bearer_auth(token);
        let answer = send(request).await;
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (201, ""));
    }
}
