//! What was held, asked over HTTP: by the claims alone, without the reconciler.

use super::server::{Server, send};
use serde_json::{Value, json};

#[tokio::test]
async fn what_was_held_then_and_on_whose_word() {
    let server = Server::start().await;
    let claim = |attribute: &str, value: &str, source: &str, at: &str| {
        let payload = json!({"entity": "worker:1.7/x", "attribute": attribute, "value": value, "source": source});
        json!({"occurred_at": at, "payload": payload})
    };
    let claims = json!([
        claim("pay", "20", "crm", "2026-01-01T00:00:00Z"),
        claim("pay", "22", "crm", "2026-01-03T00:00:00Z"),
        claim("pay", "22.0", "timesheets", "2026-01-04T00:00:00Z"),
        claim("city", "\"Bern\"", "crm", "2026-01-04T00:00:00Z"),
        claim("city", "\"Basel\"", "timesheets", "2026-01-05T00:00:00Z"),
    ]);
    assert_eq!(send(server.post("/v1/events/claims", &claims)).await.status, 201);
    let held = |answer: Value| -> Vec<(String, Value, Value, Value)> {
        let text = |v: &Value, name: &str| v[name].as_str().unwrap_or_default().to_owned();
        let one = |v: &Value| (text(v, "attribute"), v["status"].clone(), v["value"].clone(), v["source"].clone());
        answer["held"].as_array().expect("a list").iter().map(one).collect()
    };
    let path = "/v1/claims/worker:1.7%2Fx";
    let then = held(server.get(&format!("{path}?at=2026-01-02T00:00:00Z")).await.json());
    assert_eq!(then, [("pay".to_owned(), json!("unverified"), json!("20"), json!("crm"))]);
    let now = server.get(path).await.json();
    assert_eq!(now["held"][1]["sides"].as_array().expect("sides").len(), 3, "{now}");
    assert_eq!(
        held(now),
        [
            ("city".to_owned(), json!("contested"), Value::Null, Value::Null),
            ("pay".to_owned(), json!("agreed"), json!("22.0"), json!("timesheets")),
        ]
    );
    assert_eq!(held(server.get(&format!("{path}?attribute=pay")).await.json()).len(), 1);
    let early = server.get(&format!("{path}?at=2025-01-01T00:00:00Z")).await;
    assert!(early.is(404, "not_found").text.contains("2026-01-01T00:00:00Z"), "{early:?}");
    server.get("/v1/claims/nobody").await.is(404, "not_found");
    server.get(&format!("{path}?at=yesterday")).await.is(400, "bad_request");
}
