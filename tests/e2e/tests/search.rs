//! Searching from outside: what is found, by whom, how soon, and what is found no more.

use crate::harness::{Broker, Reader, Stack, until};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stillhouse_kit::providers::{Answer, Asked, Provider};
use stillhouse_schemas::Payload;

/// What must be seen in one role only.
const SECRET: &str = "zebrafinch protocol";

fn document(id: &str, collection: &str, role: Option<&str>, title: &str, text: &str) -> Value {
    json!({"payload": {"document_id": id, "collection": collection, "title": title, "text": text, "role": role,
        "metadata": {"city": if id.len().is_multiple_of(2) { "Springfield" } else { "Shelbyville" }}}})
}

struct Api {
    client: Client,
    address: String,
}

impl Api {
    fn of(address: String) -> Self {
        let client = Client::builder().timeout(Duration::from_secs(60)).build().expect("a client");
        Self { client, address }
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.address)).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().expect("a body");
        (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text}")))
    }

    /// Appends documents, and returns where the last one stands.
    fn append(&self, documents: &[Value]) -> String {
        let (status, answer) = self.post("/v1/events/documents", &json!(documents));
        assert_eq!(status, 201, "{answer}");
        let last = answer["events"].as_array().and_then(|events| events.last()).expect("receipts");
        format!("{}/{}/{}", last["topic"].as_str().expect("a topic"), last["partition"], last["offset"])
    }

    fn search(&self, question: &Value) -> Value {
        let (status, answer) = self.post("/v1/search", question);
        assert_eq!(status, 200, "{question}: {answer}");
        answer
    }
}

fn items(answer: &Value) -> Vec<&str> {
    let hits = answer["hits"].as_array().expect("hits");
    hits.iter().map(|hit| hit["item_id"].as_str().expect("an item")).collect()
}

#[test]
fn searches_on_the_embedded_journal() {
    searches(&Stack::embedded(3), "exact");
}

/// On disk the same is found, with the same scores, and a role sees as little.
#[test]
fn searches_in_lance() {
    let stack = Stack::embedded(3).with("search.store", "lance");
    searches(&stack, "lance_exact");
    let ask = |stack: &Stack, generation: &str| -> BTreeMap<String, i64> {
        let own = ["search", "file", "a", "form", "in", "time", "-k", "50", "-o", "json", "--generation", generation];
        let answer: Value = serde_json::from_str(&stack.ok(&own)).expect("JSON");
        let hits = answer["hits"].as_array().expect("hits");
        let score = |hit: &Value| (hit["score"].as_f64().expect("a score") * 1e3).round() as i64;
        hits.iter().map(|hit| (hit["item_id"].as_str().expect("an item").to_owned(), score(hit))).collect()
    };
    let verified: Value = serde_json::from_str(&stack.ok(&["index", "verify", "-o", "json"])).expect("JSON");
    let on_disk = verified["lance"].as_array().expect("corpora");
    assert!(on_disk.len() >= 4 && on_disk.iter().all(|corpus| corpus["same"] == json!(true)), "{verified}");
    let lance = ask(&stack, "v2");
    assert_eq!(lance.len(), 40);
    // A file of it is damaged: it is made again from the catalog, and says the same.
    let index = stack.folder().join("data").join(stack.instance()).join("index").join("v2");
    let mut damaged = 0;
    for shelf in std::fs::read_dir(index.join("lance")).expect("shelves").map(|e| e.expect("an entry").path()) {
        for file in std::fs::read_dir(shelf.join("data")).into_iter().flatten().map(|e| e.expect("an entry").path()) {
            std::fs::write(file, "damaged").expect("a file");
            damaged += 1;
        }
    }
    assert!(damaged >= 2, "{damaged}");
    assert_eq!(ask(&stack, "v2"), lance);
    let stack = stack.with("search.store", "memory");
    assert_eq!(ask(&stack, "v2"), lance);
    assert!(!index.join("lance").join("1").exists(), "what is in memory now leaves nothing on disk");
}

#[test]
fn searches_on_kafka() {
    searches(&Stack::kafka(Broker::shared(), 2), "exact");
}

/// `few`: how a corpus of few rows is searched.
fn searches(stack: &Stack, few: &str) {
    let (node, address) = stack.node(&[]);
    let api = Api::of(address);
    let mut pages: Vec<Value> = (0..40)
        .map(|n| {
            document(
                &format!("page-{n}"),
                "handbook",
                None,
                &format!("Form {n}"),
                &format!("How to file form {n} in time."),
            )
        })
        .collect();
    pages.push(document("night", "handbook", None, "Night shifts", "The scheduler calls every worker before six."));
    pages.push(document(
        "open",
        "playbook",
        Some("dispatcher"),
        "Escalation",
        &format!("Use the {SECRET} when nobody answers."),
    ));
    pages.push(document("pay", "playbook", Some("payroll"), "Late pay", "Pay the difference within a day."));
    pages.push(document("nobody", "playbook", None, "Untitled", &format!("Nobody may read of the {SECRET} here.")));
    let position = api.append(&pages);

    // Read your own write: what was just appended is found, by words and by nearness, in every mode.
    for (mode, plan) in [("hybrid", few), ("vector", few), ("lexical", "words")] {
        let question = json!({"query": "who calls before a night shift", "corpora": ["documents"], "k": 3, "mode": mode,
            "wait_for": position, "timeout_ms": 60_000});
        let answer = api.search(&question);
        assert_eq!(items(&answer).first(), Some(&"night"), "{mode}: {answer}");
        let hit = &answer["hits"][0];
        assert!(hit["snippet"].as_str().is_some_and(|s| s.contains("before six")), "{hit}");
        assert!(hit["score"].as_f64().is_some_and(|s| s > 0.0 && s <= 1.0), "{hit}");
        assert!(hit["position"][0].as_str().is_some_and(|t| t.ends_with("embeddings.v1")), "{hit}");
        assert_eq!((&answer["corpora"][0]["plan"], &answer["corpora"][0]["rows"]), (&json!(plan), &json!(41)));
        assert!(!answer["as_of"].as_array().expect("ends").is_empty());
    }
    // Filters, and both ways to make one ranking of several corpora.
    let answer = api.search(&json!({"query": "form", "filter": {"city": "Springfield"}, "k": 100}));
    assert!(items(&answer).len() == 10 && items(&answer).iter().all(|id| id.len().is_multiple_of(2)), "{answer}");
    let answer = api.search(&json!({"query": "form", "until": "2001-01-01T00:00:00Z"}));
    assert!(items(&answer).is_empty());
    for fusion in ["calibrated", "rrf"] {
        let question = json!({"query": "late pay", "query_role": "payroll", "fusion": fusion});
        assert_eq!(items(&api.search(&question)).first(), Some(&"pay"), "{fusion}");
    }

    // The gate: whatever is tried, what is of one role is seen in that role, and what is nobody's by nobody.
    let answer = api.search(&json!({"query": SECRET, "query_role": "dispatcher"}));
    assert_eq!((items(&answer).first(), answer["withheld"].as_u64()), (Some(&"open"), Some(2)));
    let roles = [
        Value::Null,
        json!(""),
        json!(" "),
        json!("payroll"),
        json!("Dispatcher"),
        json!("DISPATCHER"),
        json!("dispatcher\u{200b}"),
        json!("d\u{456}spatcher"),
        json!("ｄｉｓｐａｔｃｈｅｒ"),
        json!("dispatcher,payroll"),
        json!("*"),
        json!("%"),
        json!("null"),
        json!("' OR 1=1 --"),
    ];
    let attempts = [
        json!({}),
        json!({"mode": "vector"}),
        json!({"mode": "lexical"}),
        json!({"exact": true}),
        json!({"ef": 1000}),
        json!({"corpora": ["playbook"]}),
        json!({"filter": {"city": ["Springfield", "Shelbyville"]}}),
        json!({"text": true}),
        json!({"fusion": "rrf"}),
        json!({"since": "2001-01-01T00:00:00Z"}),
    ];
    for role in &roles {
        for attempt in &attempts {
            let mut question = json!({"query": SECRET, "k": 1000, "query_role": role});
            question.as_object_mut().expect("an object").extend(attempt.as_object().expect("an object").clone());
            let answer = api.search(&question);
            assert!(!answer.to_string().contains("zebrafinch"), "{question}: {answer}");
            assert!(answer["withheld"].as_u64().is_some_and(|n| n >= 2), "{question}: {answer}");
        }
    }
    let (status, answer) = api.post("/v1/search", &json!({"query": SECRET, "corpora": ["playbok"]}));
    assert!(status == 404 && answer.to_string().contains("did you mean `playbook`?"), "{status} {answer}");
    for (wrong, says) in [
        (json!({"query": " "}), "`query` is empty"),
        (json!({"query": "x", "k": 0}), "`k` is from 1"),
        (json!({"query": "x", "modus": "vector"}), "unknown field `modus`"),
        (json!({"query": "x", "since": "yesterday"}), "`since`"),
        (json!({"query": "x", "wait_for": "documents"}), "`wait_for`"),
        (json!({"vector": [1.0], "mode": "vector", "query": "x", "ef": 0}), "`ef`"),
    ] {
        let (status, answer) = api.post("/v1/search", &wrong);
        assert!(status == 422 && answer.to_string().contains(says), "{wrong}: {status} {answer}");
    }

    // What changes and what is retired.
    let mut retired =
        document("night", "handbook", None, "Night shifts", "The scheduler calls every worker before six.");
    retired["payload"]["retired"] = json!(true);
    let mut changed = document("page-7", "handbook", None, "Form 7", "Ring the xylophone hotline instead.");
    changed["payload"]["metadata"]["city"] = json!("Capital City");
    let position = api.append(&[changed, retired]);
    let answer = api.search(&json!({"query": "xylophone hotline", "wait_for": position, "timeout_ms": 60_000}));
    assert_eq!(items(&answer).first(), Some(&"page-7"));
    let answer = api.search(&json!({"query": "who calls before a night shift", "k": 100}));
    assert!(!items(&answer).contains(&"night"), "{answer}");
    let answer = api.search(&json!({"query": "form", "filter": {"city": "Capital City"}}));
    assert_eq!(items(&answer), ["page-7"]);

    // Every search is on the record, with what was withheld from it.
    assert!(node.stop().success());
    let searches = Reader::of(stack).events("searches");
    let withheld = searches.iter().filter(|(_, event)| {
        matches!(&event.payload, Payload::Searched(s) if s.withheld.get("playbook").is_some_and(|n| *n >= 2))
    });
    assert!(withheld.count() > roles.len() * attempts.len());

    // Another model beside the live one, then instead of it; and a folder that was thrown away is made again.
    let held = |generation: &[&str]| {
        let own = ["search", "xylophone", "hotline", "-k", "1", "-o", "json"];
        let answer = stack.ok(&[&own, generation].concat());
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(items(&answer), ["page-7"]);
        answer["generation"].as_str().expect("a generation").to_owned()
    };
    assert_eq!(held(&[]), "v1");
    stack.ok(&["rewind", "embedder", "--as", "v2", "--set", "model=lexical:256"]);
    assert_eq!(held(&["--generation", "v2"]), "v2");
    assert_eq!(held(&[]), "v1");
    stack.ok(&["promote", "embedder", "v2"]);
    assert_eq!(held(&[]), "v2");
    std::fs::remove_dir_all(stack.folder().join("data").join(stack.instance()).join("index")).expect("the index");
    assert_eq!(held(&[]), "v2");
}

#[test]
fn a_recalled_run_and_an_erased_person_are_found_no_more() {
    forgets(&Stack::embedded(2).with("privacy.seal", true));
}

#[test]
fn nor_in_lance() {
    let stack = Stack::embedded(2).with("privacy.seal", true).with("search.store", "lance");
    forgets(&stack);
}

fn forgets(stack: &Stack) {
    let run = |id: &str, text: &str| {
        let messages = json!([{"role": "user", "content": text}, {"role": "assistant", "content": "done"}]);
        let payload =
            json!({"run_id": id, "source_class": "chat", "messages": messages, "outcome": {"verdict": "pass"}});
        format!("{}\n", json!({"payload": payload, "subject": format!("worker:{id}")}))
    };
    let runs: String = [("r-1", "book the gyrfalcon room"), ("r-2", "book the capercaillie room")]
        .map(|(id, text)| run(id, text))
        .concat();
    stack.feed(&["append", "runs"], runs.as_bytes()).ok();
    stack.settle();
    let found = |word: &str| {
        let answer: Value = serde_json::from_str(&stack.ok(&["search", word, "-o", "json"])).expect("JSON");
        let hits = answer["hits"]
            .as_array()
            .expect("hits")
            .iter()
            .filter(|h| h["snippet"].as_str().is_some_and(|s| s.contains(word)));
        hits.count()
    };
    assert_eq!((found("gyrfalcon"), found("capercaillie")), (1, 1));
    stack.ok(&["recall", "r-1", "--reason", "wrong room"]);
    assert_eq!((found("gyrfalcon"), found("capercaillie")), (0, 1));
    stack.ok(&["reinstate", "r-1", "--reason", "right room"]);
    assert_eq!((found("gyrfalcon"), found("capercaillie")), (1, 1));
    let hit: Value =
        serde_json::from_str(&stack.ok(&["search", "capercaillie", "-k", "1", "-o", "json"])).expect("JSON");
    let event = hit["hits"][0]["event_id"].as_str().expect("an event").to_owned();
    stack.ok(&["erase", "worker:r-2", "--yes", "--reason", "request 7"]);
    assert_eq!((found("gyrfalcon"), found("capercaillie")), (1, 0));
    let holding = |what: &str| {
        let mut left: BTreeSet<String> = BTreeSet::new();
        let mut folders = vec![stack.folder().join("data").join("index")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if String::from_utf8_lossy(&std::fs::read(&entry).expect("a file")).contains(what) {
                    left.insert(entry.display().to_string());
                }
            }
        }
        left
    };
    assert_eq!(holding("capercaillie"), BTreeSet::new());
    // The catalog knows that the event must not come back; the vectors know nothing of it.
    let vectors: Vec<String> = holding(&event).into_iter().filter(|file| !file.contains("catalog")).collect();
    assert!(vectors.is_empty(), "{vectors:?}");
}

/// Kills while an index is made: afterwards it holds what the log says, no row more and none less.
#[test]
fn an_index_survives_kills() {
    survives(&Stack::embedded(2));
}

#[test]
fn an_index_in_lance_survives_kills() {
    survives(&Stack::embedded(2).with("search.store", "lance"));
}

fn survives(stack: &Stack) {
    let count = crate::harness::size(400, 100_000);
    let kills = crate::harness::size(6, 100);
    let mut dice = stillhouse_kit::dice::Dice::new(stillhouse_kit::dice::Dice::seed());
    let pages: String = (0..count)
        .map(|n| {
            format!(
                "{}\n",
                document(
                    &format!("page-{n}"),
                    "handbook",
                    None,
                    &format!("Form {n}"),
                    &format!("File form {n} by day {}.", n % 30)
                )
            )
        })
        .collect();
    stack.feed(&["append", "documents"], pages.as_bytes()).ok();
    for _ in 0..kills {
        let (node, address) = stack.node(&[]);
        crate::harness::pause(Duration::from_micros(dice.below(600_000)));
        // An index is open from the first search on.
        let api = Api::of(address);
        let _opened = api.client.get(format!("{}/v1/corpora", api.address)).send();
        crate::harness::pause(Duration::from_micros(dice.below(300_000)));
        node.kill();
    }
    stack.settle();
    let listed: Value = serde_json::from_str(&stack.ok(&["index", "verify", "-o", "json"])).expect("JSON");
    assert_eq!((&listed["rows"], &listed["same"]), (&json!(count), &json!(true)), "{listed}");
    let (node, address) = stack.node(&[]);
    let api = Api::of(address);
    let rows = until("the corpora are open", || {
        let answer = api.client.get(format!("{}/v1/corpora", api.address)).send().ok()?;
        let corpora: Value = serde_json::from_str(&answer.text().ok()?).ok()?;
        corpora["corpora"].as_array()?.iter().find(|c| c["corpus"] == "documents")?["rows"].as_u64()
    });
    assert_eq!(rows, count as u64);
    assert!(node.stop().success());
}

#[test]
fn vectors_are_kept_over_a_restart_and_losing_them_does_no_harm() {
    // Of each text: its length, and a half.
    let provider = Provider::start(|asked: &Asked, _| match asked.path.as_str() {
        "/api/tags" => Answer::status(200, json!({"models": [{"name": "m:latest", "digest": "d1"}]})),
        _ => {
            let texts = asked.body["input"].as_array().expect("texts");
            let vector = |text: &Value| json!([text.as_str().expect("a text").len(), 0.5]);
            Answer::status(200, json!({"embeddings": texts.iter().map(vector).collect::<Vec<_>>()}))
        }
    });
    let stack = Stack::embedded(1).with("models.embed", provider.ollama("m"));
    let made = || -> usize {
        let of = |asked: Asked| asked.body["input"].as_array().map_or(0, Vec::len);
        provider.asked().into_iter().filter(|asked| asked.path == "/api/embed").map(of).sum()
    };
    let embed = |texts: &[&str]| {
        let (node, address) = stack.node(&[]);
        let api = Api::of(address);
        let (status, answer) = api.post("/v1/embed", &json!({"texts": texts}));
        assert_eq!(status, 200, "{answer}");
        let again = api.post("/v1/embed", &json!({"texts": texts, "model": "m"}));
        assert_eq!(again.1["embeddings"], answer["embeddings"]);
        (node, answer["embeddings"].clone())
    };
    let (node, first) = embed(&["a", "bb", "ccc"]);
    assert!(node.stop().success());
    assert_eq!((&first, made()), (&json!([[1.0, 0.5], [2.0, 0.5], [3.0, 0.5]]), 3));

    let (node, second) = embed(&["ccc", "bb", "dddd"]);
    assert_eq!((second, made()), (json!([[3.0, 0.5], [2.0, 0.5], [4.0, 0.5]]), 4));
    // Killed, and the shelf is gone: what it held is asked for again.
    node.kill();
    std::fs::remove_dir_all(stack.folder().join("data/cache")).expect("the shelf");
    let (node, third) = embed(&["a", "bb", "ccc"]);
    assert_eq!((third, made()), (first, 7));
    assert!(node.stop().success());
}
