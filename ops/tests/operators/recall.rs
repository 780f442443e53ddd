//! A run that turns out to be bad: every dataset that holds it, and the same without.

use super::office::{Office, run, runs};
use std::collections::BTreeSet;
use stillhouse::datasets::{self, Standing};
use stillhouse::decisions;
use stillhouse::failure::Status;
use stillhouse::recall::{Done, Request, recall, reinstate};
use stillhouse_files::dataset;
use tokio_util::sync::CancellationToken;

fn request(runs: &[&str]) -> Request {
    Request {
        runs: runs.iter().map(|run| (*run).to_owned()).collect(),
        reason: "answered for another customer".into(),
        by: "op".into(),
        ..Request::default()
    }
}

async fn recalled(office: &Office, request: &Request) -> Done {
    Box::pin(recall(&office.context, request, &CancellationToken::new())).await.unwrap()
}

async fn reinstated(office: &Office, request: &Request) -> Done {
    Box::pin(reinstate(&office.context, request, &CancellationToken::new())).await.unwrap()
}

async fn standing(office: &Office, name: &str) -> (Standing, Option<String>) {
    let decisions = decisions::load(&office.context, None).await.unwrap();
    let versions = datasets::load(&office.context).await.unwrap();
    let version = versions.iter().find(|version| version.exported.dataset == name).unwrap();
    (version.standing(&decisions), version.superseded_by(&decisions).map(str::to_owned))
}

/// Three runs, exported; a fourth and fifth, exported elsewhere; the first dataset in two places.
async fn filled() -> (Office, stillhouse::commands::export::Report, stillhouse::commands::export::Report) {
    let office = Office::new(false).await;
    office.append(&[run("a", 1, "pass", None), run("bad", 2, "pass", None), run("c", 3, "fail", None)]).await;
    let first = office.export("first").await;
    office.append(&[run("d", 4, "pass", None), run("e", 5, "pass", None)]).await;
    let second = office.export("second").await;
    assert_eq!((runs(&first.path), runs(&second.path)), (words("a bad"), words("a bad d e")));
    (office, first, second)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_bad_run_is_recalled_from_every_dataset_and_comes_back() {
    let (office, first, second) = filled().await;
    office.export_at("copy", &first.path.join("manifest.json")).await;

    let looked = recalled(&office, &Request { dry_run: true, ..request(&["bad"]) }).await;
    assert_eq!(looked.datasets.len(), 2);
    assert!(looked.datasets.iter().all(|found| found.written.is_empty()));
    assert_eq!(office.decided().await, words(""), "a look changes nothing");

    let done = recalled(&office, &request(&["bad"])).await;
    assert_eq!(done.decided, words("bad"));
    let [one, two] = done.datasets.as_slice() else { panic!("{done:?}") };
    assert_eq!((one.dataset.as_str(), two.dataset.as_str()), (first.dataset.as_str(), second.dataset.as_str()));
    assert_eq!((one.holds[0].row, one.holds[0].line, one.holds[0].role.as_str()), (2, 2, "row"));
    assert_eq!(one.written.len(), 2, "beside both places of the old one");
    for (found, left) in [(one, "a"), (two, "a d e")] {
        assert_eq!((found.error.as_deref(), found.rows_left), (None, Some(words(left).len() as i64)));
        for place in &found.written {
            assert_eq!(runs(place), words(left));
        }
        for place in &found.places {
            let mark = dataset::marked(place).unwrap().unwrap();
            assert_eq!((&mark.superseded_by, mark.rows.len()), (&found.superseded_by, 1));
            assert_eq!(mark.runs[0].reason, "answered for another customer");
            assert!(runs(place).contains(&"bad".to_owned()), "the old version stays as it was");
        }
        let (state, after) = standing(&office, &found.dataset).await;
        assert_eq!((state, &after), (Standing::Recalled(words("bad")), &found.superseded_by));
    }

    // Later exports lack it, an earlier cut has its bytes for ever and is marked.
    let now = office.export("now").await;
    assert_eq!((runs(&now.path), now.withheld["recalled"]), (words("a d e"), 1));
    let again = office.export_at("again", &first.path.join("manifest.json")).await;
    assert_eq!((again.manifest_sha256, runs(&again.path)), (first.manifest_sha256.clone(), words("a bad")));
    assert!(dataset::marked(&again.path).unwrap().is_some());

    // Once more: nothing is decided or derived twice.
    let exports = office.events("exports").await.len();
    let repeated = recalled(&office, &request(&["bad"])).await;
    assert_eq!((repeated.decided.len(), repeated.decided_before.len()), (0, 1));
    assert!(repeated.datasets.iter().all(|found| found.written.is_empty() && found.error.is_none()));
    assert_eq!((office.decided().await, office.events("exports").await.len()), (words("recalled"), exports));

    reinstated(&office, &request(&["bad"])).await;
    for place in [&first.path, &second.path, &again.path] {
        assert_eq!(dataset::marked(place).unwrap(), None);
    }
    assert_eq!(standing(&office, &first.dataset).await, (Standing::Good, None));
    let back = office.export("back").await;
    assert_eq!((runs(&back.path), back.released), (words("a bad d e"), 1));
    assert_eq!(office.export("back").await.released, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_recall_reaches_what_took_the_place_of_the_first() {
    let (office, first, second) = filled().await;
    recalled(&office, &request(&["bad"])).await;
    let done = recalled(&office, &request(&["a"])).await;
    let names: BTreeSet<&str> = done.datasets.iter().map(|found| found.dataset.as_str()).collect();
    assert_eq!(names.len(), 4, "both, and both that took their places: {done:?}");
    for found in &done.datasets {
        for place in &found.written {
            assert!(!runs(place).iter().any(|run| run == "a" || run == "bad"), "{place:?}");
        }
    }
    let mark = dataset::marked(&first.path).unwrap().unwrap();
    assert_eq!(mark.runs.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["a", "bad"]);

    // One of two is taken back: the dataset is still recalled for the other, and what takes its place has the one again.
    let back = reinstated(&office, &request(&["a"])).await;
    let found = back.datasets.iter().find(|found| found.dataset == second.dataset).unwrap();
    assert_eq!(runs(&found.written[0]), words("a d e"));
    assert_eq!(standing(&office, &second.dataset).await.0, Standing::Recalled(words("bad")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_found_where_the_files_are_gone_and_where_there_is_no_dataset_it_is_said() {
    let (office, first, _) = filled().await;
    std::fs::remove_dir_all(office.path("first")).unwrap();
    let out = office.path("elsewhere");
    std::fs::create_dir_all(office.path("data/derived-again/left-by-a-kill")).unwrap();
    let done = recalled(&office, &Request { out: Some(out.clone()), ..request(&["bad"]) }).await;
    let found = done.datasets.iter().find(|found| found.dataset == first.dataset).unwrap();
    assert_eq!((found.places.len(), found.holds[0].row, found.error.as_deref()), (0, 2, None));
    assert_eq!(runs(&found.written[0]), words("a"));
    assert!(found.written[0].starts_with(out.canonicalize().unwrap()) || found.written[0].starts_with(&out));
    let left: Vec<_> = std::fs::read_dir(office.path("data")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("derived-again")), "{left:?}");

    let done = recalled(&office, &request(&["c"])).await;
    assert_eq!((done.decided, done.datasets.len()), (words("c"), 0));
    let unknown = recall(&office.context, &request(&["nobody", "a"]), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(unknown.status, Status::NotFound);
    assert!(unknown.message.contains("`nobody`") && !unknown.message.contains("`a`"), "{unknown}");
    assert_eq!(office.decided().await, words("recalled recalled"), "an unknown run decides nothing about the others");
}
