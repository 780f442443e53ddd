//! Topics made, kept, refused, deleted; reopening; verification.

use std::time::Duration;
use stillhouse_streams::{Cleanup, ErrorKind, TopicSpec};

use super::case::{self, Case, identified, into, record, text, texts};

pub(super) async fn reopening_gives_everything_back(case: &Case<'_>) {
    let topic = case.topic("t", 2).await;
    let id = case.name("id");
    let batch = (0..20).map(|i| into(&topic, i % 2, record("k", &format!("{i:02}")))).collect();
    case.append(batch).await;
    case.append(vec![into(&topic, 0, identified(&id, "k", "identified"))]).await;
    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, 8).await;
    case::committed(&mut *session, vec![into(&topic, 1, record("k", "output"))], &batch.progress).await;
    session.leave().await.expect("leave");
    let before = case.settled(&topic, 22).await;
    let progress = case.group("g").await.expect("the group").progress;

    // The case keeps a clone of its own journal, so a second one is opened, closed and reopened.
    let own = case.backend.open().await;
    let name = case.name("again");
    let spec = TopicSpec { name: name.clone(), partitions: 3, cleanup: Cleanup::Compact };
    own.ensure(std::slice::from_ref(&spec)).await.expect("ensure");
    let again: std::sync::Arc<str> = name.clone().into();
    let own_id = case.name("own-id");
    let first = case::append(&*own, vec![into(&again, 2, identified(&own_id, "k", "one"))]).await;
    case::append(&*own, (0..5).map(|i| into(&again, 2, record(&i.to_string(), &i.to_string()))).collect()).await;
    case::settled(&*own, case.backend.patience(), &again, 6).await;
    let group = case.name("h");
    let mut session = case::join(&*own, group.clone(), &[&again]).await;
    let taken = case.take(&mut *session, 2).await;
    case::committed(&mut *session, Vec::new(), &taken.progress).await;
    session.leave().await.expect("leave");

    let own = case.backend.reopen(own).await;
    let topics = own.topics().await.expect("topics");
    let found = topics.iter().find(|t| t.spec.name == name).expect("the topic is still there");
    assert_eq!(found.spec, spec);
    let found = case::settled(&*own, case.backend.patience(), &again, 6).await;
    assert_eq!(texts(&found[2]), ["one", "0", "1", "2", "3", "4"]);
    let groups = own.groups().await.expect("groups");
    let state = groups.iter().find(|g| g.group == group).expect("the group is still there");
    assert_eq!((state.members, &state.progress), (0, &taken.progress));
    let receipts = case::append(&*own, vec![into(&again, 2, record("k", "after"))]).await;
    assert!(receipts[0].position.offset > found[2].last().expect("records").offset, "no offset is used twice");
    if case.traits().id_index {
        let repeated = case::append(&*own, vec![into(&again, 2, identified(&own_id, "k", "one"))]).await;
        assert!(repeated[0].duplicate && repeated[0].position == first[0].position, "ids are known after reopening");
    }
    let mut session = case::join(&*own, group, &[&again]).await;
    let rest = case.take(&mut *session, 5).await;
    assert_eq!(rest.records.iter().map(|r| text(&r.record)).collect::<Vec<_>>(), ["1", "2", "3", "4", "after"]);

    assert_eq!(case.settled(&topic, 22).await, before, "the other journal is untouched");
    assert_eq!(case.group("g").await.expect("the group").progress, progress);
}

pub(super) async fn ensure_keeps_what_is_there(case: &Case<'_>) {
    let topic = case.topic("t", 2).await;
    case.append(vec![into(&topic, 1, record("k", "v"))]).await;
    let spec = |partitions, cleanup| [TopicSpec { name: topic.to_string(), partitions, cleanup }];
    case.journal.ensure(&spec(2, Cleanup::Keep)).await.expect("the same again");
    for partitions in [0, 1, 3] {
        let error = case.journal.ensure(&spec(partitions, Cleanup::Keep)).await.expect_err("another number");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{partitions} partitions: {error}");
    }
    let hour = Cleanup::Retain(Duration::from_secs(3_600));
    case.journal.ensure(&spec(2, hour.clone())).await.expect("another cleanup");
    let listed = || async {
        let topics = case.journal.topics().await.expect("topics");
        let found = topics.into_iter().find(|t| t.spec.name == *topic)?;
        (found.spec.cleanup == hour && found.partitions.len() == 2).then_some(())
    };
    case.eventually("the new cleanup is listed", listed).await;
    case.journal.ensure(&spec(2, Cleanup::Keep)).await.expect("back again");
    case.settled(&topic, 1).await;
    let names: Vec<_> = case.journal.topics().await.expect("topics").into_iter().map(|t| t.spec.name).collect();
    assert!(names.is_sorted(), "topics are listed by name");
}

pub(super) async fn bad_names_are_refused(case: &Case<'_>) {
    let long = "x".repeat(250);
    for bad in ["", ".", "..", "a b", "a/b", "ü", "a\0b", "a\nb", &long] {
        let spec = TopicSpec { name: bad.to_owned(), partitions: 1, cleanup: Cleanup::Keep };
        let error = case.journal.ensure(&[spec]).await.expect_err("a bad name");
        assert_eq!(error.kind(), ErrorKind::Invalid, "`{}`: {error}", bad.escape_debug());
    }
    let long = format!("{}{}", case.name(""), "x".repeat(249));
    let spec = TopicSpec { name: long[..249].to_owned(), partitions: 1, cleanup: Cleanup::Keep };
    case.journal.ensure(&[spec]).await.expect("249 characters are fine");
    case.journal.delete_topic(&long[..249]).await.expect("delete");
}

pub(super) async fn deleted_topics_are_gone(case: &Case<'_>) {
    let topic = case.topic("t", 1).await;
    let other = case.topic("other", 1).await;
    let id = case.name("id");
    case.append(vec![into(&topic, 0, identified(&id, "k", "old")), into(&other, 0, record("k", "kept"))]).await;
    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, 1).await;
    case::committed(&mut *session, Vec::new(), &batch.progress).await;
    session.leave().await.expect("leave");
    let ask = || async { case.group("g").await.is_none_or(|g| g.members == 0).then_some(()) };
    case.eventually("the member has left", ask).await;

    case.journal.delete_topic(&case.name("never")).await.expect("a missing topic may be deleted");
    case.journal.delete_topic(&topic).await.expect("delete");
    let gone = || async {
        let listed = case.journal.topics().await.expect("topics").iter().any(|t| t.spec.name == *topic);
        let found = case.journal.scan(&topic, 0, 0, None).await.err().map(|e| e.kind());
        (!listed && found == Some(ErrorKind::NotFound)).then_some(())
    };
    case.eventually("the topic is gone", gone).await;
    assert_eq!(texts(&case.settled(&other, 1).await[0]), ["kept"]);

    let topic = case.topic("t", 1).await;
    let receipts = case.append(vec![into(&topic, 0, identified(&id, "k", "new"))]).await;
    assert!(!receipts[0].duplicate, "the ids went with the topic");
    assert_eq!(texts(&case.settled(&topic, 1).await[0]), ["new"]);
    let mut session = case.join("g", &[&topic]).await;
    let batch = case.take(&mut *session, 1).await;
    assert_eq!(text(&batch.records[0].record), "new", "the progress went with the topic");
}

pub(super) async fn verify_counts_everything(case: &Case<'_>) {
    let topic = case.topic("t", 2).await;
    case.append((0..10).map(|i| into(&topic, i % 2, record("k", &i.to_string()))).collect()).await;
    case.settled(&topic, 10).await;
    let verified = case.journal.verify().await.expect("verify");
    assert_eq!(verified.damage, []);
    if verified.note.is_empty() {
        assert!(verified.records >= 10 && verified.partitions >= 2, "everything is walked: {verified:?}");
        let heads: Vec<_> = verified.heads.iter().filter(|(name, ..)| *name == *topic).collect();
        assert_eq!(heads.len(), 2);
        assert!(heads.iter().all(|(_, _, end, hash)| *end == 5 && !hash.is_empty()), "{heads:?}");
    }
}
