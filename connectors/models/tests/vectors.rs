//! Vectors from a provider on a loopback port that behaves as Ollama and OpenAI do, and as providers do on bad days.

use serde_json::{Value, json};
use std::time::Duration;
use stillhouse_kit::providers::{Answer, Asked, Provider};
use stillhouse_models::{Options, open_embedder};
use stillhouse_schemas::model::{Embeddings, ModelError};

fn options() -> Options {
    Options { batch_texts: 3, batch_bytes: 40, ..super::options() }
}

async fn embed(uri: &str, options: &Options, texts: &[&str]) -> Result<Embeddings, ModelError> {
    open_embedder(uri, options).expect("a model").embed(texts).await
}

fn texts(asked: &Asked) -> Vec<String> {
    serde_json::from_value(asked.body["input"].clone()).unwrap_or_default()
}

/// Of each text: its length, and one half.
fn vector(text: &str) -> Vec<f32> {
    vec![text.len() as f32, 0.5]
}

fn list() -> Answer {
    Answer::status(200, json!({"models": [{"name": "M:latest", "digest": "d1"}, {"name": "m:2", "digest": "d2"}]}))
}

/// A well-behaved one, that counts four tokens a text.
fn well(asked: &Asked) -> Answer {
    let texts = texts(asked);
    match asked.path.as_str() {
        "/api/tags" => list(),
        "/api/embed" => {
            let vectors: Vec<_> = texts.iter().map(|text| vector(text)).collect();
            Answer::status(200, json!({"model": "m", "embeddings": vectors, "prompt_eval_count": 4 * texts.len()}))
        }
        _ => {
            let entry = |(index, text): (usize, &String)| json!({"object": "embedding", "index": index, "embedding": vector(text)});
            // By index, not by place.
            let data: Vec<Value> = texts.iter().enumerate().map(entry).rev().collect();
            Answer::status(200, json!({"object": "list", "data": data, "usage": {"prompt_tokens": 4 * texts.len()}}))
        }
    }
}

#[tokio::test]
async fn texts_go_in_bounded_batches_and_come_back_in_order() {
    for ollama in [true, false] {
        let provider = Provider::start(|asked, _| well(asked));
        let uri = if ollama { provider.ollama("m") } else { provider.openai("v/m") };
        let long = "l".repeat(90);
        let given = ["a", "bb", "ccc", "dddd", &long, "e", "ff"];
        let made = embed(&uri, &options(), &given).await.expect("vectors");
        let wanted: Vec<Vec<f32>> = given.iter().map(|text| vector(text)).collect();
        assert_eq!(made.vectors.iter().map(|v| v.to_vec()).collect::<Vec<_>>(), wanted);
        assert_eq!((made.tokens, made.version.as_str()), (Some(28), if ollama { "d1" } else { "" }));
        let asked = provider.asked();
        let mut batches: Vec<_> = asked.iter().filter(|asked| asked.path != "/api/tags").map(texts).collect();
        batches.sort();
        assert_eq!(batches, [vec!["a", "bb", "ccc"], vec!["dddd"], vec!["e", "ff"], vec![long.as_str()]]);
        let first = asked.iter().find(|asked| asked.path != "/api/tags").expect("asked");
        if ollama {
            assert_eq!((first.path.as_str(), &first.body["truncate"]), ("/api/embed", &json!(true)));
            assert_eq!(asked.iter().filter(|asked| asked.path == "/api/tags").count(), 1);
        } else {
            assert_eq!((first.path.as_str(), &first.body["encoding_format"]), ("/v1/embeddings", &json!("base64")));
            assert_eq!(made.model, "v/m");
        }
        let before = provider.asked().len();
        let none = embed(&uri, &options(), &[]).await.expect("nothing of nothing");
        let empty = embed(&uri, &options(), &["a", " \n"]).await.expect_err("an empty text");
        assert!(none.vectors.is_empty() && empty.to_string().contains("text 1 is empty"), "{empty}");
        assert!(provider.asked()[before..].iter().all(|asked| asked.path == "/api/tags"), "no texts were sent");
    }
}

#[tokio::test]
async fn base64_is_read_and_dimensions_are_asked_for_and_checked() {
    let provider = Provider::start(|asked, _| {
        assert_eq!(asked.body["dimensions"], 2);
        // 1.0 and -2.5, little-endian.
        Answer::status(200, json!({"data": [{"index": 0, "embedding": "AACAPwAAIMA="}], "model": "m-1"}))
    });
    let made = embed(&format!("{}?dimensions=2", provider.openai("m")), &options(), &["x"]).await.expect("a vector");
    assert_eq!((made.vectors[0].to_vec(), made.model.as_str()), (vec![1.0, -2.5], "m-1"));
    // Ollama ignores a number that is not smaller than its own.
    let provider = Provider::start(|asked, _| well(asked));
    let failed = embed(&format!("{}?dimensions=4", provider.ollama("m")), &options(), &["x"]).await.expect_err("two");
    assert!(
        matches!(&failed, ModelError::Never(what) if what.contains("of 2 numbers") && what.contains("4 were")),
        "{failed}"
    );
    for uri in ["ollama://h/m?dimensions=0", "ollama://h/m?dimensions=x", "ollama://h/m?other=1"] {
        open_embedder(uri, &options()).expect_err(uri);
    }
}

/// Every fault: how often it is asked, what the error says, and that it may be tried again later or never.
#[tokio::test]
async fn faults_are_errors_that_name_host_and_model_and_never_vectors() {
    let error = |text: &str| json!({"error": text});
    let ollama = |embeddings: Value| Answer::status(200, json!({"embeddings": embeddings}));
    let openai = |data: Value| Answer::status(200, json!({ "data": data }));
    let half = || {
        // Less than it says, and then the end.
        Answer::Raw(200, vec![("content-length", "400".into())], r#"{"embeddings":[[1.0,"#.into())
    };
    for (of_ollama, answer, again, times, says) in [
        (true, Answer::status(404, error("model 'm' not found")), false, 1, "`ollama pull m` fetches it"),
        (true, Answer::status(400, error("the input length exceeds the context length")), false, 1, "exceeds"),
        (true, Answer::status(503, error("server busy, please try again.")), true, 3, "(tried 3 times)"),
        (true, Answer::status(500, error("runner died")), true, 3, "runner died"),
        (true, Answer::status(200, error("runner died")), true, 3, "runner died"),
        (true, Answer::Hangup, true, 3, "broke"),
        (true, half(), true, 3, "broke"),
        (true, Answer::Raw(200, vec![], r#"{"embeddings":[[1.0,"#.into()), true, 3, "cannot be read"),
        (true, ollama(json!([])), true, 3, "0 vectors for 2 texts"),
        (true, ollama(json!([[1.0]])), true, 3, "1 vectors for 2 texts"),
        (true, ollama(json!([[1.0], [1.0], [1.0]])), true, 3, "3 vectors for 2 texts"),
        (true, ollama(json!([[1.0, 2.0], [1.0]])), true, 3, "of 2 and of 1 numbers"),
        (true, ollama(json!([[], []])), true, 3, "an empty vector"),
        (true, ollama(json!([[1.0, null], [1.0, 2.0]])), true, 3, "null"),
        (true, Answer::Raw(200, vec![], r#"{"embeddings":[[1.0,1e400],[1.0,2.0]]}"#.into()), true, 3, "cannot be read"),
        (true, Answer::Raw(200, vec![], r#"{"embeddings":[[NaN],[1]]}"#.into()), true, 3, "cannot be read"),
        (true, Answer::status(200, json!({"model": "m"})), true, 3, "holds no `embeddings`"),
        (true, Answer::Raw(200, vec![], "<html>".into()), true, 3, "cannot be read"),
        (false, Answer::status(401, json!({"error": {"message": "bad key"}})), false, 1, "`models.keys`"),
        (
            false,
            Answer::status(429, json!({"error": {"code": "insufficient_quota", "message": "pay"}})),
            false,
            1,
            "pay",
        ),
        (false, Answer::Raw(429, vec![("retry-after", "9000".into())], "{}".into()), true, 1, "tried 1 times"),
        (false, openai(json!([{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}])), true, 3, "twice"),
        (false, openai(json!([{"index": 7, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}])), true, 3, "beyond"),
        (
            false,
            openai(json!([{"index": 0, "embedding": "AAA="}, {"index": 1, "embedding": "AAA="}])),
            true,
            3,
            "bytes",
        ),
        (false, openai(json!([{"embedding": "!"}, {"embedding": "!"}])), true, 3, "base64"),
        // A NaN is as easily said in base64.
        (false, openai(json!([{"embedding": "AADAfw=="}, {"embedding": "AADAfw=="}])), true, 3, "not finite"),
    ] {
        let scripted = answer.clone();
        let provider =
            Provider::start(move |asked, _| if asked.path == "/api/tags" { list() } else { scripted.clone() });
        let uri = if of_ollama { provider.ollama("m") } else { provider.openai("m") };
        let failed = embed(&uri, &options(), &["q", "r"]).await.expect_err("a failure");
        let asked = provider.asked().iter().filter(|asked| asked.path != "/api/tags").count();
        let may_retry = match &failed {
            ModelError::Retry { .. } => true,
            ModelError::Never(_) => false,
            ModelError::Unknown(_) => panic!("asking for a vector again does no harm: {failed}"),
        };
        assert_eq!((may_retry, asked), (again, times), "{answer:?}: {failed}");
        let said = failed.to_string();
        assert!(said.contains(says) && said.contains(&provider.host()), "{answer:?}: {said}");
    }
}

#[tokio::test]
async fn silence_is_tried_again_and_a_late_answer_counts() {
    let provider = Provider::start(|asked, n| match n {
        0 => Answer::Silence,
        1 => Answer::Raw(429, vec![("retry-after", "0.01".into())], "{}".into()),
        _ => well(asked),
    });
    let options = Options { timeout: Duration::from_secs(2), ..options() };
    let made = embed(&provider.openai("m"), &options, &["abc"]).await.expect("a vector");
    assert_eq!((made.vectors[0].to_vec(), provider.asked().len()), (vec![3.0, 0.5], 3));
}

#[tokio::test]
async fn a_date_to_retry_after_is_held_against_the_date_of_the_answer() {
    let later = |date: &str, longest: u64| {
        let headers = vec![("date", "Tue, 24 Nov 2026 10:00:00 GMT".to_owned()), ("retry-after", date.to_owned())];
        let provider = Provider::start(move |asked, n| match n {
            0 => Answer::Raw(429, headers.clone(), "{}".into()),
            _ => well(asked),
        });
        let options = Options { longest_wait: Duration::from_secs(longest), ..options() };
        async move { (embed(&provider.openai("m"), &options, &["abc"]).await.is_ok(), provider.asked().len()) }
    };
    // A moment that has passed is now; one that is further away than anybody waits is a failure at once.
    assert_eq!(later("Tue, 24 Nov 2026 09:59:59 GMT", 60).await, (true, 2));
    assert_eq!(later("Tue, 24 Nov 2026 11:00:00 GMT", 60).await, (false, 1));
}

#[tokio::test]
async fn what_is_too_much_for_one_answer_is_asked_for_in_smaller_pieces() {
    // It never answers more than two texts at a time.
    let provider = Provider::start(|asked, _| if texts(asked).len() > 2 { Answer::Silence } else { well(asked) });
    let patience = Options { timeout: Duration::from_secs(1), batch_texts: 8, ..super::options() };
    let model = open_embedder(&provider.openai("m"), &patience).expect("a model");
    let given: Vec<String> = (1..=9).map(|n| "x".repeat(n)).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let wanted: Vec<Vec<f32>> = given.iter().map(|text| vector(text)).collect();
    for _ in 0..2 {
        let made = model.embed(&given).await.expect("vectors");
        assert_eq!(made.vectors.iter().map(|v| v.to_vec()).collect::<Vec<_>>(), wanted);
        assert_eq!(made.tokens, Some(36));
    }
}

#[tokio::test]
async fn dimensions_of_a_model_never_change_but_with_its_version() {
    // Three numbers from the fourth request on; from the tenth on under another digest.
    let provider = Provider::start(|asked, n| match (asked.path.as_str(), n) {
        ("/api/tags", 0..9) => list(),
        ("/api/tags", _) => Answer::status(200, json!({"models": [{"model": "m:latest", "digest": "d9"}]})),
        (_, 0..3) => well(asked),
        _ => Answer::status(200, json!({"embeddings": [[1.0, 2.0, 3.0]]})),
    });
    let model = open_embedder(&provider.ollama("m"), &options()).expect("a model");
    for _ in 0..2 {
        assert_eq!(model.embed(&["x"]).await.expect("two numbers").vectors[0].len(), 2);
    }
    for _ in 0..6 {
        let failed = model.embed(&["x"]).await.expect_err("three numbers");
        assert!(
            matches!(&failed, ModelError::Never(what) if what.contains("of 3 numbers") && what.contains("of 2 before")),
            "{failed}"
        );
    }
    assert_eq!(provider.asked().len(), 9);
    assert_eq!(model.version().await.expect("a digest"), "d9");
    let made = model.embed(&["x"]).await.expect("it is another model now");
    assert_eq!((made.vectors[0].len(), made.version.as_str()), (3, "d9"));
}
