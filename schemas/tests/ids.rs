//! Ids are forever.

use std::collections::BTreeMap;
use stillhouse_schemas::{config_hash, ids};

/// Changing any of these breaks every journal there is. The values were computed by another program.
#[test]
fn golden() {
    assert_eq!(ids::imported("tau-bench", "0/1"), "a90e9a01-4f59-53fb-a4eb-9ad282e0e529");
    assert_eq!(ids::imported("", ""), "8e849103-44f5-534a-bee3-6cc01f6fafd1");
    let derived = ids::derived(&["a", "b"], "scorer", "1", "0011223344556677", "scores", 0);
    assert_eq!(derived, "7d08b680-a231-586e-a8f4-02ced90766c3");
    assert_eq!(ids::derived(&[], "scorer", "1", "", "scores", u32::MAX), "d8bae36f-725d-5068-9270-c6b9e8753c9d");
    let settings = BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
    assert_eq!(config_hash(&settings), "63662dceceaac3ca");
    assert_eq!(config_hash(&BTreeMap::new()), "e3b0c44298fc1c14");
}

#[test]
fn every_part_of_what_an_event_was_derived_from_counts() {
    let base = || ids::derived(&["a", "b"], "scorer", "1", "c", "scores", 0);
    assert_eq!(base(), base());
    let others = [
        ids::derived(&["b", "a"], "scorer", "1", "c", "scores", 0),
        ids::derived(&["a"], "scorer", "1", "c", "scores", 0),
        ids::derived(&["ab"], "scorer", "1", "c", "scores", 0),
        ids::derived(&["a", "b", "scorer"], "1", "c", "scores", "", 0),
        ids::derived(&["a", "b"], "scorers", "1", "c", "scores", 0),
        ids::derived(&["a", "b"], "scorer", "2", "c", "scores", 0),
        ids::derived(&["a", "b"], "scorer", "1c", "", "scores", 0),
        ids::derived(&["a", "b"], "scorer", "1", "d", "scores", 0),
        ids::derived(&["a", "b"], "scorer", "1", "c", "evidence", 0),
        ids::derived(&["a", "b"], "scorer", "1", "c", "scores", 1),
    ];
    assert!(others.iter().all(|o| *o != base()));
    assert_ne!(ids::imported("ab", "c"), ids::imported("a", "bc"));
    let settings = |k: &str, v: &str| config_hash(&BTreeMap::from([(k.to_owned(), v.to_owned())]));
    assert_ne!(settings("ab", "c"), settings("a", "bc"));
}

#[test]
fn all_made_ids_are_legal_and_live_ones_ascend() {
    let mut last = String::new();
    for _ in 0..1000 {
        let id = ids::live();
        ids::check(&id).expect("legal");
        assert!(id > last, "{id} after {last}");
        last = id;
    }
    ids::check(&ids::imported("any source", "any\0key")).expect("legal");
    ids::check(&ids::derived(&["x"], "p", "1", "", "t", 0)).expect("legal");
}

#[test]
fn illegal_ids_are_told_what_is_wrong() {
    for (id, said) in [
        ("", "empty"),
        ("-a", "begin"),
        (".a", "begin"),
        ("a b", "' '"),
        ("a/b", "'/'"),
        ("a\n", "'\\n'"),
        ("é", "begin"),
        ("aé", "'é'"),
        ("a\u{202e}b", "'\\u{202e}'"),
    ] {
        let message = ids::check(id).unwrap_err();
        assert!(message.contains(said), "{id:?}: {message}");
    }
    assert!(ids::check(&"a".repeat(128)).is_ok());
    assert!(ids::check(&"a".repeat(129)).unwrap_err().contains("129 bytes"));
    assert!(ids::check("0.A_b:c-9").is_ok());
}
