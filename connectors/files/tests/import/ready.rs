//! The shipped mappings on small samples in the true shapes.

use super::{Folder, Imported, import, import_files, ready};
use serde_json::{Value, json};
use stillhouse_files::import::Options;

fn lines(records: &[Value]) -> String {
    records.iter().map(|r| format!("{r}\n")).collect()
}

fn clean(imported: Imported) -> Imported {
    assert_eq!(imported.reasons(), Vec::<String>::new());
    imported
}

fn tau(task: &str, trial: u32, reward: f64) -> Value {
    json!({
        "task_id": 0, "reward": reward, "trial": trial,
        "info": {
            "task": {"user_id": "u1", "instruction": task, "actions": [{"name": "book", "kwargs": {"n": 1}}], "outputs": []},
            "source": "user", "user_cost": 0.0035, "reward_info": {"reward": reward, "info": {"r_actions": reward}, "actions": []},
        },
        "traj": [
            {"role": "system", "content": "policy"},
            {"role": "user", "content": "hello"},
            {"content": null, "role": "assistant", "function_call": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"u\":1}"}}]},
            {"role": "tool", "tool_call_id": "c1", "name": "look", "content": "{}"},
            {"content": "done", "role": "assistant", "tool_calls": null},
        ],
    })
}

#[test]
fn tau_bench() {
    let records = Value::Array(vec![tau("buy", 0, 1.0), tau("buy", 1, 0.0), tau("sell", 0, 0.0)]);
    let imported = clean(import(ready("tau-bench"), records.to_string()));
    let runs = imported.runs();
    assert_eq!(runs.iter().map(|r| r.outcome.reward).collect::<Vec<_>>(), [Some(1.0), Some(0.0), Some(0.0)]);
    assert_eq!(runs[0].task_key, runs[1].task_key);
    assert_ne!(runs[0].task_key, runs[2].task_key, "the task id is 0 in every domain");
    assert_eq!(runs[0].source_class.as_deref(), Some("agent"));
    assert_eq!(runs[1].tags, ["tau-bench", "trial-1"]);
    assert_eq!(runs[0].extra["instruction"], "\"buy\"");
    let roles: Vec<&str> = runs[0].messages.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant"]);
    let call = &runs[0].messages[2].tool_calls[0];
    assert_eq!((call.id.as_deref(), call.name.as_str(), call.arguments.as_str()), (Some("c1"), "look", "{\"u\":1}"));
    assert_eq!(runs[0].messages[3].tool_call_id.as_deref(), Some("c1"));
}

#[test]
fn tau_bench_run_that_failed_to_start() {
    let record =
        json!({"task_id": 4, "reward": 0.0, "trial": 0, "info": {"error": "timeout", "traceback": "…"}, "traj": []});
    let imported = clean(import(ready("tau-bench"), json!([record]).to_string()));
    assert_eq!(imported.run().error.as_deref(), Some("timeout"));
    assert_eq!(imported.run().task_key.as_deref(), Some("tau-bench:task-4"));
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

#[test]
fn openai_chat_takes_fine_tuning_lines() {
    let tool =
        json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}});
    let records = [
        json!({"messages": [user("a"), {"role": "assistant", "content": "b", "weight": 0}], "tools": [tool], "parallel_tool_calls": true}),
    ];
    let imported = clean(import(ready("openai-chat"), lines(&records)));
    let run = imported.run();
    assert_eq!(imported.talk().len(), 2);
    assert_eq!((run.tools[0].name.as_str(), run.provider.as_deref()), ("f", Some("openai")));
    assert_eq!(run.extra["parallel_tool_calls"], "true");
    assert_eq!(run.extra["messages[1].weight"], "0", "what a message says beyond is kept");
}

fn completion(id: &str, choices: &[&str]) -> Value {
    let choices: Vec<Value> = choices
        .iter()
        .enumerate()
        .map(|(i, c)| json!({"index": i, "message": {"role": "assistant", "content": c, "refusal": null, "annotations": []}, "finish_reason": "stop", "logprobs": null}))
        .collect();
    json!({
        "id": id, "object": "chat.completion", "created": 1_700_000_000, "model": "gpt-4o-2024-08-06", "choices": choices,
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 1}},
    })
}

#[test]
fn openai_chat_takes_stored_completions_with_their_messages() {
    let mut record = completion("chatcmpl-1", &["b", "c"]);
    record["messages"] = json!([{"id": "m-0", "role": "user", "content": "a", "name": null, "content_parts": null}]);
    let listed = json!({"object": "list", "data": [record], "first_id": "x", "has_more": false});
    let imported = clean(import(ready("openai-chat"), listed.to_string()));
    let runs = imported.runs();
    assert_eq!(runs.len(), 2, "a choice is a run");
    assert_eq!(runs[1].messages.last().unwrap().content.as_deref(), Some("c"));
    assert_eq!((runs[0].model.as_deref(), runs[0].finish_reason.as_deref()), (Some("gpt-4o-2024-08-06"), Some("stop")));
    let usage = runs[0].usage.clone().unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens),
        (Some(12), Some(3), Some(4), Some(1))
    );
    assert_eq!(imported.events[0].envelope.occurred_at, 1_700_000_000_000_000);
}

#[test]
fn openai_chat_takes_other_ways_to_write_input_and_answer() {
    let records = [
        json!({"messages": [user("a")], "completion": "b"}),
        json!({"messages": [user("a")], "completion": assistant("b"), "n": 1}),
        json!({"prompt": "a", "completion": "b", "n": 2}),
        json!({"request": {"model": "m", "messages": [user("a")]}, "response": completion("chatcmpl-9", &["b"])}),
        json!({"input": {"messages": [user("a")]}, "output": [assistant("b")]}),
    ];
    let imported = clean(import(ready("openai-chat"), lines(&records)));
    assert_eq!(imported.runs().len(), records.len());
    for run in imported.runs() {
        let talk: Vec<_> = run.messages.iter().map(|m| (m.role.as_str(), m.content.as_deref().unwrap())).collect();
        assert_eq!(talk, [("user", "a"), ("assistant", "b")]);
    }
}

#[test]
fn openai_chat_numbers_of_other_sources_are_no_keys() {
    let folder = Folder::new();
    let one = folder.file("one", lines(&[json!({"id": 0, "messages": [user("a"), assistant("b")]})]));
    let two = folder.file("two", lines(&[json!({"id": 0, "messages": [user("x"), assistant("y")]})]));
    let imported = clean(import_files(ready("openai-chat"), &[&one, &two], Options::default()));
    assert_ne!(imported.ids()[0], imported.ids()[1]);
}

fn request(id: &str) -> Value {
    json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o", "messages": [user(id)], "metadata": {"a": "b"}}})
}

fn answer(id: &str) -> Value {
    let body = completion("chatcmpl-7", &[&format!("re {id}")]);
    json!({"id": format!("batch_req_{id}"), "custom_id": id, "response": {"status_code": 200, "request_id": "r", "body": body}, "error": null})
}

#[test]
fn openai_batch_joins_requests_and_answers_in_any_order() {
    let failed = json!({"id": "batch_req_z", "custom_id": "z", "response": null, "error": {"code": "batch_expired", "message": "expired"}});
    let input = lines(&[request("a"), request("b"), request("z")]);
    let output = lines(&[answer("b"), failed, answer("a")]);
    let folder = Folder::new();
    let (input, output) = (folder.file("in", input), folder.file("out", output));
    let imported = clean(import_files(ready("openai-batch"), &[&input, &output], Options::default()));
    let reversed = clean(import_files(ready("openai-batch"), &[&output, &input], Options::default()));
    let sorted = |i: &Imported| {
        let mut ids: Vec<String> = i.ids().into_iter().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(sorted(&imported), sorted(&reversed));
    let runs = imported.runs();
    assert_eq!(runs.len(), 3);
    let by = |id: &str| *runs.iter().find(|r| r.extra["custom_id"] == format!("\"{id}\"")).unwrap();
    let talk: Vec<_> = by("a").messages.iter().map(|m| m.content.clone().unwrap()).collect();
    assert_eq!(talk, ["a", "re a"]);
    assert_eq!(by("a").model.as_deref(), Some("gpt-4o-2024-08-06"));
    assert_eq!((by("z").error.as_deref(), by("z").messages.len()), (Some("expired"), 1));
}

#[test]
fn openai_batch_reports_halves_that_are_alone() {
    let folder = Folder::new();
    let (input, output) = (
        folder.file("in", lines(&[request("a"), request("a")])),
        folder.file("out", lines(&[answer("b"), json!({"x": 1})])),
    );
    let imported = import_files(ready("openai-batch"), &[&input, &output], Options::default());
    assert_eq!(imported.events.len(), 0);
    let reasons = imported.reasons();
    assert!(reasons[0].contains("in:2: record 2") && reasons[0].contains("came before"), "{reasons:?}");
    assert!(reasons[1].contains("neither answer"), "{reasons:?}");
    assert!(reasons[2].contains("in:1: record 1") && reasons[2].contains("a request whose answer"), "{reasons:?}");
    assert!(reasons[3].contains("out:1: record 1") && reasons[3].contains("an answer whose request"), "{reasons:?}");
}

#[test]
fn openai_batch_passes_over_other_endpoints() {
    let request = json!({"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": {"input": "x"}});
    let imported = clean(import(ready("openai-batch"), lines(&[request, answer("e")])));
    assert_eq!((imported.events.len(), imported.passed_over), (0, 1));
}

#[test]
fn langfuse_generations_of_the_api() {
    let generation = json!({
        "id": "obs-1", "traceId": "trace-1", "type": "GENERATION", "name": "answer", "startTime": "2026-01-02T03:04:05.678Z", "endTime": "2026-01-02T03:04:07Z",
        "model": "gpt-4o", "modelParameters": {"temperature": 0}, "userId": "person-1",
        "input": json!([{"role": "user", "content": "a"}]).to_string(),
        "output": json!({"role": "assistant", "content": "b"}).to_string(),
        "usageDetails": {"input": 5, "output": 7, "total": 12}, "costDetails": {"total": 0.002}, "level": "DEFAULT", "statusMessage": null, "metadata": {"k": "v"},
    });
    let span = json!({"id": "obs-2", "traceId": "trace-1", "type": "SPAN", "name": "tool", "startTime": "2026-01-02T03:04:05Z"});
    let page = json!({"data": [generation, span], "meta": {"cursor": null}});
    let imported = clean(import(ready("langfuse"), page.to_string()));
    assert_eq!(imported.passed_over, 1);
    let run = imported.run();
    assert_eq!(imported.talk(), [("user".to_owned(), "a".to_owned()), ("assistant".to_owned(), "b".to_owned())]);
    assert_eq!(
        (run.model.as_deref(), run.session_id.as_deref(), run.cost_usd),
        (Some("gpt-4o"), Some("trace-1"), Some(0.002))
    );
    assert_eq!(run.usage.clone().unwrap().output_tokens, Some(7));
    assert_eq!(imported.events[0].envelope.occurred_at, 1_767_323_045_678_000);
    assert_eq!(imported.events[0].envelope.subject.as_deref(), Some("person-1"));
    assert_eq!(run.extra["metadata"], "{\"k\":\"v\"}");
}

#[test]
fn langfuse_generations_of_the_blob_storage() {
    let row = json!({
        "id": "o", "trace_id": "t", "type": "GENERATION", "name": "x", "start_time": "2026-01-02 03:04:05.678901", "end_time": "2026-01-02 03:04:06.000000",
        "provided_model_name": "claude", "input": "plain question", "output": "plain answer", "usage_details": {"input": 1, "output": 2}, "cost_details": {"total": 0.1},
        "level": "ERROR", "status_message": "overloaded", "environment": "production",
    });
    let imported = clean(import(ready("langfuse"), lines(&[row])));
    let run = imported.run();
    assert_eq!(
        imported.talk(),
        [("user".to_owned(), "plain question".to_owned()), ("assistant".to_owned(), "plain answer".to_owned())]
    );
    assert_eq!((run.error.as_deref(), run.model.as_deref()), (Some("overloaded"), Some("claude")));
    assert_eq!(imported.events[0].envelope.occurred_at, 1_767_323_045_678_901);
    assert_eq!(run.tags, ["x", "production"]);
}

#[test]
fn langfuse_traces_with_observations_and_scores() {
    let trace = |id: &str, scores: Value| {
        json!({
            "id": id, "timestamp": "2026-01-02T03:04:05Z", "name": "support", "sessionId": "s1", "input": null, "output": null, "tags": ["a"],
            "observations": [
                {"type": "GENERATION", "startTime": "2026-01-02T03:04:05Z", "model": "m1", "input": [user("first")], "output": assistant("x")},
                {"type": "TOOL", "startTime": "2026-01-02T03:04:06Z", "input": {}, "output": {}},
                {"type": "GENERATION", "startTime": "2026-01-02T03:04:07Z", "endTime": "2026-01-02T03:04:08Z", "model": "m2",
                 "input": {"messages": [user("first"), assistant("x"), user("second")]}, "output": {"choices": [{"message": assistant("y")}]}, "usageDetails": {"input": 3, "output": 4}},
            ],
            "scores": scores,
        })
    };
    let records = json!([
        trace("t1", json!([{"name": "verdict", "value": 1, "dataType": "BOOLEAN"}, {"name": "tone", "value": 0.3}])),
        trace(
            "t2",
            json!([{"name": "human_label", "stringValue": "rejected", "value": 0, "dataType": "CATEGORICAL"}, {"name": "reward", "value": 0.5}])
        ),
    ]);
    let imported = clean(import(ready("langfuse"), records.to_string()));
    let runs = imported.runs();
    assert_eq!(
        runs[0].messages.iter().map(|m| m.content.clone().unwrap()).collect::<Vec<_>>(),
        ["first", "x", "second", "y"]
    );
    assert_eq!((runs[0].model.as_deref(), runs[0].outcome.verdict.as_deref()), (Some("m2"), Some("pass")));
    assert_eq!((runs[1].outcome.human_label.as_deref(), runs[1].outcome.reward), (Some("rejected"), Some(0.5)));
    assert!(runs[0].extra["scores"].contains("tone"), "scores that decide nothing are kept");
    assert_eq!(runs[0].usage.clone().unwrap().output_tokens, Some(4));
}

#[test]
fn sharegpt_with_tools() {
    let record = json!({
        "conversations": [
            {"from": "human", "value": "weather?"},
            {"from": "function_call", "value": "{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}"},
            {"from": "observation", "value": "{\"t\": 20}"},
            {"from": "gpt", "value": "20 degrees"},
        ],
        "system": "be brief",
        "tools": "[{\"name\": \"weather\", \"description\": \"d\", \"parameters\": {\"type\": \"object\"}}]",
    });
    let imported = clean(import(ready("sharegpt"), json!([record]).to_string()));
    let run = imported.run();
    let roles: Vec<&str> = run.messages.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant"]);
    let call = &run.messages[2].tool_calls[0];
    assert_eq!((call.name.as_str(), call.arguments.as_str()), ("weather", "{\"city\":\"Rome\"}"));
    assert_eq!(run.tools[0].name, "weather");
}

#[test]
fn sharegpt_without_tools_and_with_strange_roles() {
    let good = json!({"conversations": [{"from": "Human", "value": "a"}, {"from": "chatgpt", "value": "b"}], "system": "", "tools": "", "id": "x1"});
    let bad = json!({"conversations": [{"from": "wizard", "value": "a"}]});
    let cut = json!({"conversations": [{"from": "function_call", "value": "{\"name\": "}]});
    let imported = import(ready("sharegpt"), lines(&[good, bad, cut]));
    assert_eq!(imported.talk(), [("user".to_owned(), "a".to_owned()), ("assistant".to_owned(), "b".to_owned())]);
    assert_eq!(imported.run().extra["id"], "\"x1\"");
    let reasons = imported.reasons();
    assert!(reasons[0].contains("`wizard` is no role"), "{reasons:?}");
    assert!(reasons[1].contains("a tool call must be JSON"), "{reasons:?}");
}

#[test]
fn openai_chat_refuses_what_is_no_conversation() {
    let records =
        [json!({"messages": 17}), json!({"messages": []}), json!({"messages": true}), json!({"messages": [17]})];
    let imported = import(ready("openai-chat"), lines(&records));
    assert_eq!(imported.events.len(), 0);
    let reasons = imported.reasons();
    assert!(reasons[0].contains(":1: record 1") && reasons[0].contains("found a number"), "{reasons:?}");
    assert_eq!(reasons.len(), records.len());
    let odd =
        import(ready("openai-chat"), lines(&[json!({"messages": [{"role": "a \"quoted\" name", "content": "x"}]})]));
    assert!(odd.reasons()[0].contains("`a \"quoted\" name` is no role"), "{:?}", odd.reasons());
}

#[test]
fn tau_bench_rewards_in_other_words() {
    let reward = |reward: Value| {
        let mut record = tau("buy", 0, 1.0);
        record["reward"] = reward;
        import(ready("tau-bench"), json!([record]).to_string())
    };
    for (said, meant) in
        [(json!(true), 1.0), (json!(false), 0.0), (json!("1.0"), 1.0), (json!("0"), 0.0), (json!(1), 1.0)]
    {
        assert_eq!(clean(reward(said.clone())).run().outcome.reward, Some(meant), "{said}");
    }
    assert!(reward(json!("good")).reasons()[0].contains("`good` is not a number"));
}

#[test]
fn sharegpt_with_roles_and_content() {
    let record = json!({"conversations": [{"role": "human", "content": "a"}, {"role": "assistant", "content": "b"}]});
    let imported = clean(import(ready("sharegpt"), json!([record]).to_string()));
    assert_eq!(imported.talk(), [("user".to_owned(), "a".to_owned()), ("assistant".to_owned(), "b".to_owned())]);
}

#[test]
fn langfuse_batches_of_the_older_api() {
    let part =
        |kind: &str, body: Value| json!({"id": "e", "timestamp": "2026-01-02T03:04:05Z", "type": kind, "body": body});
    let batch = json!({"batch": [
        part("trace-create", json!({"id": "t1", "name": "support"})),
        part("generation-create", json!({"id": "g1", "traceId": "t1", "startTime": "2026-01-02T03:04:05Z", "model": "m", "input": [user("a")]})),
        part("generation-update", json!({"id": "g1", "endTime": "2026-01-02T03:04:07Z", "output": assistant("b"), "usage": {"promptTokens": 3, "completionTokens": 4}})),
        part("generation-create", json!({"id": "g2", "input": "x", "output": "y"})),
        part("score-create", json!({"id": "s1", "traceId": "t1", "name": "tone", "value": 1})),
    ], "metadata": {"sdk": "x"}});
    let imported = clean(import(ready("langfuse-batch"), batch.to_string()));
    assert_eq!((imported.runs().len(), imported.passed_over), (2, 2));
    let run = imported.runs()[0];
    let talk: Vec<_> = run.messages.iter().map(|m| m.content.as_deref().unwrap()).collect();
    assert_eq!((talk, run.model.as_deref(), run.session_id.as_deref()), (vec!["a", "b"], Some("m"), Some("t1")));
    assert_eq!(run.usage.clone().unwrap().output_tokens, Some(4));

    let alone = json!({"batch": [part("generation-update", json!({"id": "g3", "output": "late"}))]});
    let reasons = import(ready("langfuse-batch"), alone.to_string()).reasons();
    assert!(reasons[0].contains("body.input"), "{reasons:?}");
}
