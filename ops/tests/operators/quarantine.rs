//! What is left out, let in, and left out for good.

use super::office::{Office, run, runs};
use serde_json::json;
use std::process::Command;
use stillhouse::commands::export::Request;
use stillhouse::failure::Status;
use stillhouse::quarantine::{Filter, State, discard, entries, find, release};

async fn states(office: &Office) -> Vec<(String, String, State)> {
    let (counts, entries) = entries(&office.context, &Filter::default(), 100).await.unwrap();
    assert_eq!(counts.values().sum::<u64>(), entries.len() as u64);
    let mut states: Vec<_> = entries.into_iter().map(|e| (e.run_id, e.reason, e.state)).collect();
    states.sort();
    states
}

fn state(run: &str, reason: &str, state: State) -> (String, String, State) {
    (run.into(), reason.into(), state)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lets_in_what_may_be_and_keeps_out_what_should_not() {
    let office = Office::new(false).await;
    let mut half = run("half", 1, "pass", None);
    half["payload"]["outcome"] = json!({"human_label": "partially_accepted"});
    office.append(&[half, run("bad", 2, "fail", None), run("good", 3, "pass", None)]).await;
    office.export("one").await;
    let before = states(&office).await;
    let (partial, rejected) = ("category_partially_accepted", "category_rejected");
    assert!(before.contains(&state("bad", rejected, State::Open)), "{before:?}");
    assert!(before.contains(&state("half", partial, State::Open)), "{before:?}");

    // The firewall is not an operator's to open, alone or among others; what helps is said.
    for ids in [vec!["bad"], vec!["half", "bad"]] {
        let mut chosen = Vec::new();
        for id in ids {
            chosen.extend(find(&office.context, id).await.unwrap());
        }
        let refused = release(&office.context, chosen, ("", "op")).await.unwrap_err();
        assert_eq!(refused.status, Status::Invalid);
        assert!(refused.hint.unwrap().contains("label run bad accepted"));
    }
    assert_eq!(office.decided().await, Vec::<String>::new());

    let chosen = find(&office.context, "half").await.unwrap();
    let (now, _) = release(&office.context, chosen, ("looked at", "op")).await.unwrap();
    assert_eq!(now.len(), 1);
    assert!(states(&office).await.contains(&state("half", partial, State::Released)), "from the next export on");
    let two = office.export("two").await;
    assert_eq!((runs(&two.path), two.released), (vec!["half".to_owned(), "good".into()], 1));
    let entry = find(&office.context, "half").await.unwrap().remove(0);
    assert_eq!((entry.state, entry.by.as_deref()), (State::Released, Some("op")));
    let (now, before) = release(&office.context, vec![entry], ("", "op")).await.unwrap();
    assert_eq!((now.len(), before.len()), (0, 1), "once");

    let chosen = find(&office.context, "half").await.unwrap();
    discard(&office.context, chosen, ("on second thought", "op")).await.unwrap();
    let three = office.export_with(Request { allow_partial: true, ..Request::now(office.path("three")) }).await;
    assert_eq!((runs(&three.path), three.withheld["discarded"]), (vec!["good".to_owned()], 1));
    assert!(states(&office).await.contains(&state("half", "discarded", State::Discarded)));
    assert_eq!(find(&office.context, "nothing").await.unwrap_err().status, Status::NotFound);
}

/// A corrected rule of the scorer, of the materializer, and a label-like correction: each heals, once, and is listed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_corrected_rule_takes_is_released_once_and_enters() {
    let office = Office::new(false).await;
    let mut odd = run("odd", 1, "pass", None);
    odd["payload"]["messages"]
        .as_array_mut()
        .unwrap()
        .insert(1, json!({"role": "tool", "tool_call_id": "nobody-asked", "content": "{}"}));
    let mut low = run("low", 2, "pass", None);
    low["payload"]["outcome"] = json!({"reward": 0.2});
    office.append(&[odd, low]).await;
    let one = office.export("one").await;
    assert_eq!(one.rows, 0);
    let before = states(&office).await;
    assert_eq!(before[1], state("odd", "unmatched_reply", State::Open), "{before:?}");
    assert_eq!(before[0].2, State::Open);

    let stillhouse = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_stillhouse"))
            .current_dir(office.folder.path())
            .args(["--data", "data", "--config", "/dev/null"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    stillhouse(&["rewind", "materializer", "--as", "v2", "--set", "unmatched_replies=count"]);
    assert!(stillhouse(&["promote", "materializer", "v2"]).contains("released:  1 run(s)"));
    assert!(!stillhouse(&["promote", "materializer", "v2"]).contains("released:"), "said once");
    stillhouse(&["rewind", "scorer", "--as", "v2", "--set", "accept_reward=0.1"]);
    stillhouse(&["promote", "scorer", "v2"]);
    let two = office.export("two").await;
    assert_eq!(two.released, 1, "the row of the exporter's quarantine: {two:?}");
    let after = states(&office).await;
    assert_eq!(after.iter().find(|(run, ..)| run == "low").unwrap().2, State::Released);
    assert!(after.contains(&state("odd", "unmatched_reply", State::Released)), "{after:?}");
    assert!(runs(&two.path).contains(&"low".to_owned()));
    let again = office.export("two").await;
    assert_eq!((again.released, again.newly_quarantined), (0, 0));

    // The verb: open ones only, unless asked for.
    assert!(!stillhouse(&["quarantine"]).contains("low"));
    assert!(stillhouse(&["quarantine", "list", "--state", "released"]).contains("low"));
    let shown: serde_json::Value = serde_json::from_str(&stillhouse(&[
        "quarantine",
        "list",
        "--by",
        "reason",
        "--state",
        "all",
        "-o",
        "json",
        "-q",
    ]))
    .unwrap();
    assert!(shown.as_array().unwrap().iter().any(|g| g["reason"] == "unmatched_reply" && g["count"] == 1), "{shown}");

    // Undone: what the older generation left out is left out again.
    stillhouse(&["promote", "materializer", "v1"]);
    assert!(states(&office).await.contains(&state("odd", "unmatched_reply", State::Open)));
}
