//! A person's data, gone from every view; and an erasure that is cut short anywhere.

use super::office::{Office, contents, holds, open, run, runs};
use stillhouse::commands::export;
use stillhouse::context::Context;
use stillhouse::datasets::{self, Standing};
use stillhouse::decisions;
use stillhouse::erasure::{Done, Request, Step, erase};
use stillhouse::failure::{Failure, Status};
use stillhouse_files::dataset::Dataset;
use stillhouse_schemas::Payload;
use tokio_util::sync::CancellationToken;

const PERSON: &str = "worker:mary-7";

fn request() -> Request {
    Request { subject: Some(PERSON.into()), reason: "request 12".into(), by: "op".into(), ..Request::default() }
}

async fn filled() -> (Office, export::Report, export::Report) {
    let office = Office::new(true).await;
    office
        .append(&[
            run("a", 1, "pass", None),
            run("m1", 2, "pass", Some(PERSON)),
            run("m2", 3, "fail", Some(PERSON)),
            run("other", 4, "pass", Some("worker:8")),
        ])
        .await;
    let first = office.export("first").await;
    office.append(&[run("m3", 5, "pass", Some(PERSON))]).await;
    let second = office.export("second").await;
    assert_eq!((runs(&first.path).len(), runs(&second.path).len()), (3, 4));
    (office, first, second)
}

/// Ends after `steps` of them.
async fn erase_until(office: &Office, steps: usize) -> (Result<Done, Failure>, Vec<Step>) {
    let mut told = Vec::new();
    let mut tell = |step: Step| {
        told.push(step);
        if told.len() > steps { Err(Failure::new(Status::Failed, "cut short")) } else { Ok(()) }
    };
    let done = Box::pin(erase(&office.context, &request(), &CancellationToken::new(), &mut tell)).await;
    (done, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_goes_on_wherever_it_was_cut_short() {
    let mut steps = 0;
    loop {
        let (office, first, second) = filled().await;
        let before = (office.events("runs").await.len(), office.events("exports").await.len());
        let manifest = std::fs::read(first.path.join("manifest.json")).unwrap();
        // Cut short after each step in turn, once and then again at once, then to the end.
        let (cut_short, told) = erase_until(&office, steps).await;
        let certificate = match cut_short {
            Err(failure) => {
                assert_eq!(failure.message, "cut short", "after {told:?}");
                assert_eq!(told.len(), steps + 1);
                let _ = erase_until(&office, 0).await;
                // Another process goes on.
                let fresh = Office { context: open(office.folder.path(), true).await, folder: office.folder };
                let (done, _) = erase_until(&fresh, usize::MAX).await;
                let done = done.unwrap_or_else(|e| panic!("after {told:?}: {e}"));
                assert_eq!(done.done_before, told.last() == Some(&Step::Certified), "{told:?}");
                check(&fresh, &first, &second, &manifest, before).await;
                done.certificate
            }
            Ok(done) => {
                assert!(!done.done_before);
                check(&office, &first, &second, &manifest, before).await;
                let (again, told) = erase_until(&office, usize::MAX).await;
                assert!(again.unwrap().done_before && told.is_empty(), "a second erasure does nothing");
                done.certificate
            }
        };
        let removed: Vec<i64> = certificate.rebuilt.iter().map(|rebuilt| rebuilt.removed).collect();
        assert_eq!((removed, certificate.runs), (vec![1, 2], vec!["m1".to_owned(), "m2".into(), "m3".into()]));
        assert_eq!(certificate.remaining, Vec::<String>::new());
        // Of each of three runs: itself, its evidence, its score; and a quarantined event of the rejected one.
        assert_eq!(certificate.events, 10);
        steps += 1;
        if told.last() == Some(&Step::Certified) && steps > told.len() {
            assert_eq!(told.len(), 7, "decided, destroyed, two derived, two removed, certified: {told:?}");
            return;
        }
    }
}

async fn check(
    office: &Office,
    first: &export::Report,
    second: &export::Report,
    manifest: &[u8],
    (appended, exported): (usize, usize),
) {
    assert_eq!(office.decided().await, ["erased", "certified"], "each once");
    assert_eq!(office.events("runs").await.len(), appended - 3, "the person's runs cannot be read");
    assert!(office.context.journal.verify().await.unwrap().damage.is_empty(), "the journal is whole");
    assert_eq!(office.events("exports").await.len(), exported + 2);
    for (name, old) in [("first", first), ("second", second)] {
        let folder = contents(&office.path(name));
        for text in ["asked in m1", "answered in m3", PERSON] {
            assert!(!holds(&folder, text), "{text} in {name}");
        }
        assert!(holds(&folder, "asked in other"), "what is another's stays");
        let tombstone = Dataset::open(&old.path).unwrap();
        tombstone.verify().unwrap();
        let erased = tombstone.manifest().erased.clone().unwrap();
        let after = erased.superseded_by.unwrap();
        let left = runs(&office.path(name).join(&after));
        assert!(left.iter().all(|run| !run.starts_with('m')), "{left:?}");
        assert_eq!(std::fs::read_dir(&old.path).unwrap().count(), 1, "only the manifest stays");
        let versions = datasets::load(&office.context).await.unwrap();
        let decisions = decisions::load(&office.context, None).await.unwrap();
        let version = versions.iter().find(|v| v.exported.dataset == old.dataset).unwrap();
        assert_eq!(version.standing(&decisions), Standing::Erased);
    }
    for (_, event) in office.events("decisions").await {
        assert!(!event.to_json().to_string().contains("mary"), "nobody's name is in the journal");
        if let Payload::Decision(decision) = &event.payload {
            assert_eq!(event.envelope.key, decision.key_id.clone().unwrap());
        }
    }
    // The cut from before is not what it was, and says so, under another name.
    let cut = office.path("cut.json");
    std::fs::write(&cut, manifest).unwrap();
    let again = office.export_at("again", &cut).await;
    assert!(again.irreproducible.is_some() && again.dataset.starts_with(&first.dataset));
    assert_ne!(again.dataset, first.dataset);
    assert_eq!((runs(&again.path).len(), again.withheld["erased"]), (2, 2));
    // What is exported from now on has the erasure in its cut, and is reproducible.
    let now = office.export("now").await;
    assert_eq!((now.irreproducible, now.withheld["erased"]), (None, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sealed_is_said_and_not_erased() {
    let office = Office::new(false).await;
    office.append(&[run("m1", 2, "pass", Some(PERSON))]).await;
    let tell = |_: Step| Ok(());
    let refused = |office: Context, request: Request| async move {
        erase(&office, &request, &CancellationToken::new(), &mut tell.clone()).await.unwrap_err()
    };
    let failure = refused(office.context.clone(), request()).await;
    assert_eq!(failure.status, Status::Config);
    assert!(failure.message.contains("1 in runs") && failure.hint.unwrap().contains("privacy.seal"));
    let nobody = Request { subject: Some("worker:9".into()), ..request() };
    assert_eq!(refused(office.context.clone(), nobody).await.status, Status::NotFound);
    let named = Request { reason: format!("{PERSON} asked"), ..request() };
    assert_eq!(refused(office.context.clone(), named).await.status, Status::Usage);

    // Sealing is turned on later: what is sealed is erased, what was there before remains, and is named.
    drop(office.context);
    let office = Office { context: open(office.folder.path(), true).await, folder: office.folder };
    office.append(&[run("m2", 3, "pass", Some(PERSON))]).await;
    office.export_with(export::Request::now(office.path("out"))).await;
    let (done, _) = erase_until(&office, usize::MAX).await;
    let certificate = done.unwrap().certificate;
    assert!(certificate.remaining.iter().any(|r| r.starts_with("1 events in runs are not sealed")), "{certificate:?}");
    assert_eq!(certificate.runs, ["m1", "m2"], "what was made of m1 since is sealed");
    assert_eq!(office.decided().await, ["erased", "certified"]);
}
