//! More than there is room for, and a journal that does not answer.

use super::gate::Gated;
use super::server::{Parts, Server, run, send};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillhouse::http::{Access, Limits};

fn gated(limits: Limits, access: Access) -> (Parts, Arc<Gated>) {
    let parts = Parts { limits, access, ..Parts::default() };
    let gate = Gated::new(parts.journal);
    (Parts { journal: gate.clone(), ..parts }, gate)
}

#[tokio::test]
async fn h22_a_thousand_at_once_are_answered_or_told_to_come_again() {
    let (parts, gate) = gated(Limits { intake_requests: 8, ..Limits::default() }, Access::open());
    let server = Arc::new(parts.start().await);
    let mut all = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let server = server.clone();
        all.spawn(async move {
            let answer = send(server.post("/v1/runs", &run(&format!("r{n}")))).await;
            if answer.status == 429 {
                answer.is(429, "busy");
                assert_eq!(answer.header("retry-after"), "1");
            }
            answer.status
        });
    }
    // Exactly the queue's length comes to the journal; the others are answered while it hangs.
    gate.waiting(8).await;
    let mut statuses = Vec::new();
    while statuses.len() < 992 {
        statuses.push(all.join_next().await.unwrap().unwrap());
    }
    assert!(statuses.iter().all(|s| *s == 429), "{statuses:?}");
    assert_eq!(server.get("/healthz").await.status, 200, "others go on");
    gate.open();
    let rest = all.join_all().await;
    assert!(rest.iter().all(|s| *s == 201), "{rest:?}");
    assert_eq!(server.count("runs").await, 8);
}

#[tokio::test]
async fn h22_one_caller_cannot_take_all_places() {
    let (access, tokens) = super::who::two_writers();
    let (parts, gate) = gated(Limits { intake_requests: 4, ..Limits::default() }, access);
    let server = Arc::new(parts.start().await);
    let mut greedy = tokio::task::JoinSet::new();
    for n in 0..10 {
        let request = server.post("/v1/runs", &run(&format!("r{n}"))).bearer_auth(&tokens[0]);
        greedy.spawn(async move { send(request).await.status });
    }
    gate.waiting(2).await;
    for _ in 0..8 {
        assert_eq!(greedy.join_next().await.unwrap().unwrap(), 429);
    }
    let modest = tokio::spawn(send(server.post("/v1/runs", &run("m")).bearer_auth(&tokens[1])));
    gate.waiting(3).await;
    gate.open();
    assert_eq!(modest.await.unwrap().status, 201);
    assert_eq!(greedy.join_all().await, [201, 201]);
}

#[tokio::test]
async fn bodies_share_a_budget() {
    let limits = Limits { body_bytes: 64 << 10, intake_bytes: 1, ..Limits::default() };
    let (parts, gate) = gated(limits, Access::open());
    let server = Arc::new(parts.start().await);
    // The budget is twice the largest body; three of these fit, four do not.
    let large = |n: usize| {
        let mut run = run(&format!("r{n}"));
        run["messages"][0]["content"] = "x".repeat(36 << 10).into();
        run
    };
    let mut held = tokio::task::JoinSet::new();
    for n in 0..3 {
        held.spawn(send(server.post("/v1/runs", &large(n))));
    }
    gate.waiting(3).await;
    send(server.post("/v1/runs", &large(3))).await.is(429, "busy");
    gate.open();
    assert!(held.join_all().await.iter().all(|a| a.status == 201));
    assert_eq!(send(server.post("/v1/runs", &large(3))).await.status, 201, "the budget was given back");
}

#[tokio::test]
async fn h24_a_journal_that_hangs_is_answered_for() {
    let limits = Limits { append_deadline: Duration::from_millis(200), ..Limits::default() };
    let (parts, gate) = gated(limits, Access::open());
    let server = parts.start().await;
    let started = Instant::now();
    let answer = send(server.post("/v1/runs", &run("r1"))).await;
    answer.is(503, "indeterminate");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(started.elapsed() < Duration::from_secs(10));
    gate.open();
    // What the answer promised: asking again is safe.
    let again = send(server.post("/v1/runs", &run("r1"))).await;
    assert!(again.status < 300, "{again:?}");
    assert_eq!(server.count("runs").await, 1);
}

#[tokio::test]
async fn a_burst_of_single_events_is_taken_whole() {
    let server = Arc::new(Server::with(|l| l.intake_requests = 1_000).await);
    let mut all = tokio::task::JoinSet::new();
    for n in 0..300 {
        let server = server.clone();
        all.spawn(async move { send(server.post("/v1/runs", &run(&format!("r{n}")))).await.status });
    }
    assert!(all.join_all().await.iter().all(|s| *s == 201));
    assert_eq!(server.count("runs").await, 300);
}
