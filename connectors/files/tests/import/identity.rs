//! The same record is the same run, wherever it stands.

use super::{Folder, PLAIN, import, import_files, mapping, ready};
use stillhouse_files::import::Options;

#[test]
fn ids_do_not_depend_on_file_place_form_or_spelling() {
    let lines = "{\"q\":\"1\",\"a\":\"x\",\"n\":1.50}\n{\"q\":\"2\",\"a\":\"y\"}\n";
    let array = "[ {\"a\": \"y\", \"q\": \"2\"},\n {\"n\": 1.5, \"q\": \"1\", \"a\": \"\\u0078\"} ]";
    let one = import(mapping(PLAIN), lines);
    let mut other = import(mapping(PLAIN), array);
    other.events.reverse();
    assert_eq!(one.events, other.events);
    assert_eq!(one.ids()[0], one.runs()[0].run_id);

    let folder = Folder::new();
    let (first, second) = (folder.file("one.jsonl", lines), folder.file("two.json", array));
    let both = import_files(mapping(PLAIN), &[&first, &second], Options::default());
    let distinct: std::collections::BTreeSet<_> = both.ids().into_iter().collect();
    assert_eq!((both.events.len(), distinct.len()), (4, 2));
}

/// Forever: a change here would double every run that was imported before. The ids were computed apart, by Python's
/// hashlib and json (sorted keys, no spaces, unescaped).
#[test]
fn ids_never_change() {
    let imported = import(mapping(PLAIN), "{\"q\":\"1\",\"a\":\"x\",\"f\":[0.1,-3,true,null,\"\\u00e9\\n\"]}\n");
    assert_eq!(imported.ids(), ["c4312234-c080-55fe-984a-f49dd07eb4d1"]);
    let keyed = mapping(&format!("key = \"{{id}}\"\neach = \"parts\"\n{PLAIN}"));
    let imported = import(keyed, "{\"id\":7,\"q\":\"1\",\"a\":\"x\",\"parts\":{\"left\":1,\"right\":2}}\n");
    assert_eq!(imported.ids(), ["fb4f863b-bfa6-538c-ba0a-1325947e21b7", "06f0a417-bb33-5442-b452-428730fee199"]);
}

#[test]
fn content_name_key_and_part_make_different_runs() {
    let id = |map: &str, text: &str| import(mapping(map), text).ids()[0].to_owned();
    let record = "{\"id\":\"7\",\"q\":\"1\",\"a\":\"x\"}\n";
    let plain = id(PLAIN, record);
    assert_ne!(plain, id(PLAIN, &record.replace('x', "y")));
    assert_ne!(plain, id(&PLAIN.replace("plain", "other"), record));
    let keyed = format!("key = \"{{id}}\"\n{PLAIN}");
    assert_ne!(plain, id(&keyed, record));
    assert_eq!(
        id(&keyed, record),
        id(&keyed, &record.replace('x', "y")),
        "a key is an identity, whatever the rest says"
    );
    assert_eq!(
        plain,
        id(&format!("version = \"2\"\nmodel = \"m\"\n{PLAIN}"), record),
        "what the mapping makes of it is not"
    );
}

#[test]
fn without_times_the_epoch_is_the_time() {
    let imported = import(mapping(PLAIN), "{\"q\":\"1\",\"a\":\"x\"}\n");
    assert_eq!(imported.events[0].envelope.occurred_at, 0);
    let imported =
        import(mapping(&format!("occurred_at = \"2024-06-01T00:00:00Z\"\n{PLAIN}")), "{\"q\":\"1\",\"a\":\"x\"}\n");
    assert_eq!(imported.events[0].envelope.occurred_at, 1_717_200_000_000_000);
}

#[test]
fn the_producer_says_which_mapping_and_what_it_said() {
    let event = |map: &str| import(mapping(map), "{\"q\":\"1\",\"a\":\"x\"}\n").events.remove(0);
    let producer = event(PLAIN).envelope.producer;
    assert_eq!(
        (producer.name.as_str(), producer.version.as_str(), producer.config_hash.len()),
        ("import/plain", "1", 16)
    );
    let respelled = "name='plain' # a comment\nversion = '3'\n[[messages]]\ncontent = '{q}'\nrole = 'user'\n[[messages]]\nrole = 'assistant'\ncontent = '{a}'\n";
    assert_eq!(event(respelled).envelope.producer.config_hash, producer.config_hash);
    assert_ne!(event(&format!("model = \"m\"\n{PLAIN}")).envelope.producer.config_hash, producer.config_hash);
}

#[test]
fn events_survive_the_codec() {
    let codec = stillhouse_schemas::Codec::plain();
    let imported = import(
        ready("sharegpt"),
        r#"{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}],"k":1}"#,
    );
    let event = &imported.events[0];
    assert_eq!(&codec.decode(&codec.encode(event).unwrap().value).unwrap(), event);
}
