//! The language of mappings: what it can say, and how it answers what it cannot.

use super::{PLAIN, import, mapping};
use stillhouse_files::import::{FIELDS, FILTERS, Mapping, READY, language};

fn complaint(text: &str) -> String {
    match Mapping::parse("m.toml", text) {
        Ok(_) => panic!("taken: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn complaints_have_a_place_and_a_remedy() {
    let messages = "messages = \"{m}\"\n";
    for (text, expected) in [
        ("", "m.toml:1:1: `name = \"…\"` is missing"),
        ("name = \"a\"\n", "m.toml:1:1: `messages` is missing"),
        ("name = \"a b\"\n", "m.toml:1:8: a mapping's name has"),
        ("name = 7\n", "m.toml:1:8: expected text in quotes, found an integer"),
        ("name = \"a\"\nmesages = \"{m}\"\n", "m.toml:2:1: unknown key `mesages`; did you mean `messages`?"),
        (
            "name = \"a\"\nmodle = \"{m}\"\nmessages = \"{m}\"\n",
            "m.toml:2:1: unknown key `modle`; did you mean `model`?",
        ),
        (
            "name = \"a\"\nzzzzzzzz = 1\nmessages = \"{m}\"\n",
            "m.toml:2:1: unknown key `zzzzzzzz`; known here: name, version",
        ),
        (
            "name = \"a\"\nmessages = \"{m}\"\n[outcome]\nrewrd = 1\n",
            "m.toml:4:1: unknown key `rewrd`; did you mean `reward`?",
        ),
        ("name = \"a\"\nname = \"b\"\n", "m.toml:2:1: duplicate key"),
        ("name = \"a\nmessages", "m.toml:1:10: invalid basic string"),
        ("name = \"a\"\nmodel = \"{m\"\nmessages = \"{m}\"\n", "m.toml:2:9: `{` is not closed"),
        ("name = \"a\"\nmodel = \"m}\"\nmessages = \"{m}\"\n", "m.toml:2:9: `}` opens nothing"),
        ("name = \"a\"\nmodel = \"{}\"\nmessages = \"{m}\"\n", "m.toml:2:9: a path is empty"),
        ("name = \"a\"\nmodel = \"{a[b]}\"\nmessages = \"{m}\"\n", "is neither a number nor `name=value`"),
        (
            "name = \"a\"\nmodel = \"{a|hsh}\"\nmessages = \"{m}\"\n",
            "`hsh` is no filter, did you mean `hash`?; there are hash",
        ),
        ("name = \"a\"\nmodel = { path = \"{a}\" }\nmessages = \"{m}\"\n", "needs `from"),
        ("name = \"a\"\nmodel = { from = \"{a}\" }\nmessages = \"{m}\"\n", "needs one of `map`, `at_least`, `above`"),
        ("name = \"a\"\nmodel = { from = \"{a}\", map = {}, at_least = 1 }\nmessages = \"{m}\"\n", "needs one of"),
        ("name = \"a\"\nmodel = { from = \"{a}\", at_least = 1 }\nmessages = \"{m}\"\n", "a threshold needs `then`"),
        ("name = \"a\"\nmodel = { from = \"{a}\", unit = \"s\" }\nmessages = \"{m}\"\n", "unknown key `unit`"),
        (
            "name = \"a\"\noccurred_at = { from = \"{a}\", unit = \"sec\" }\nmessages = \"{m}\"\n",
            "`sec` is no unit of time; there are s, ms, us, ns",
        ),
        (
            "name = \"a\"\nmodel = \"{each}\"\nmessages = \"{m}\"\n",
            "`{each}` or `{item}` is used, but the mapping has no `each`",
        ),
        ("name = \"a\"\neach = []\nmessages = \"{m}\"\n", "m.toml:2:8: `each` is empty"),
        ("name = \"a\"\nkeep_extra = \"yes\"\nmessages = \"{m}\"\n", "expected true or false, found a string"),
        ("name = \"a\"\nmessages = []\n", "a run needs a conversation"),
        ("name = \"a\"\nmessages = [{ role = \"user\" }]\n", "a message needs `content`"),
        (
            "name = \"a\"\nmessages = [{ from = \"{m}\", roles = { x = \"usr\" } }]\n",
            "`usr` is no role, did you mean `user`?",
        ),
        ("name = \"a\"\nmessages = [{ text = \"{m}\" }]\n", "`text` needs `turns"),
        ("name = \"a\"\nmessages = [{ from = \"{m}\", role = \"user\" }]\n", "one of `from`, `text`, or `role`"),
        (
            "name = \"a\"\nmessages = \"{m}\"\n[join]\non = \"{i}\"\nsides = { a = \"{x}\" }\n",
            "`sides` needs exactly two entries",
        ),
    ] {
        let said = complaint(text);
        assert!(said.contains(expected), "{text}\n  said     {said}\n  expected {expected}");
    }
    assert!(Mapping::parse("m.toml", &format!("name = \"a\"\n{messages}")).is_ok());
}

#[test]
fn paths_lead_where_they_say() {
    let record = r#"{"q":"q","a":"a","o":{"p":[{"n":"x","v":1},{"n":"y","v":2},{"n":"x","v":3}],"a.b":"dot"},"6b":"six","each":"own","u":null}"#;
    for (template, found) in [
        ("{o.p[0].v}", Some("1")),
        ("{o.p[-1].v}", Some("3")),
        ("{o.p[9].v}", None),
        ("{o.p[-9]}", None),
        ("{o.p[n=y].v}", Some("2")),
        ("{o.p[n=x].v}", Some("1")),
        ("{o.p[last n=x].v}", Some("3")),
        ("{o.p[v=2].n}", Some("y")),
        ("{o.p[n=z].v}", None),
        ("{o.'a.b'}", Some("dot")),
        ("{\\\"6b\\\"}", Some("six")),
        ("{6b}", Some("six")),
        ("{$.each}", Some("own")),
        ("{u}", None),
        ("{q.x}", None),
        ("{q[0]}", None),
        ("{{{q}}}", Some("{q}")),
        ("{q}/{o.p[0].v}", Some("q/1")),
        ("{q}/{u}", None),
        ("{ q }", Some("q")),
        ("{o.p[0]|json}", Some("{\"n\":\"x\",\"v\":1}")),
        ("{q|hash}", Some("8e35c2cd3bf6641b")),
    ] {
        let imported = import(mapping(&format!("{PLAIN}model = \"{template}\"\n")), record);
        assert_eq!(imported.run().model.as_deref(), found, "{template}");
    }
}

#[test]
fn rules_decide() {
    let map = |rule: &str| mapping(&format!("{PLAIN}outcome.verdict = {rule}\n"));
    let verdict = |rule: &str, value: &str| {
        let imported = import(map(rule), format!("{{\"q\":\"q\",\"a\":\"a\",\"v\":{value}}}"));
        match &imported.rejections[..] {
            [] => Ok(imported.run().outcome.verdict.clone()),
            [rejection] => Err(rejection.reason.clone()),
            _ => panic!("{:?}", imported.reasons()),
        }
    };
    let is = |text: &str| Ok(Some(text.to_owned()));
    let by_value = "{ from = \"{v}\", map = { true = \"pass\", false = \"fail\", \"2\" = \"two\" } }";
    assert_eq!(verdict(by_value, "true"), is("pass"));
    assert_eq!(verdict(by_value, "false"), is("fail"));
    assert_eq!(verdict(by_value, "\"true\""), is("pass"));
    assert_eq!(verdict(by_value, "2"), is("two"));
    assert_eq!(verdict(by_value, "null"), Ok(None));
    let refused = verdict(by_value, "\"maybe\"").unwrap_err();
    assert!(refused.contains("gives `maybe`, which is not in the map; add it or an `else`"), "{refused}");
    assert_eq!(verdict("{ from = \"{v}\", map = { a = \"pass\" }, else = \"{v}\" }", "\"b\""), is("b"));
    assert_eq!(verdict("{ from = \"{v}\", map = { a = \"pass\" }, else = [] }", "\"b\""), Ok(None));
    assert_eq!(verdict("{ from = \"{v}\", map = { a = \"pass\" }, missing = \"fail\" }", "null"), is("fail"));
    let threshold = "{ from = \"{v}\", at_least = 0.5, then = \"pass\", else = \"fail\" }";
    assert_eq!(verdict(threshold, "0.5"), is("pass"));
    assert_eq!(verdict(threshold, "0.49"), is("fail"));
    assert!(verdict(threshold, "\"0.5\"").unwrap_err().contains("a number is needed"));
    assert_eq!(verdict("{ from = \"{v|number}\", above = 0.5, then = \"pass\" }", "\"0.5\""), Ok(None));
    assert_eq!(verdict("[\"{w}\", \"{v}\", \"none\"]", "\"x\""), is("x"));
    assert_eq!(verdict("[\"{w}\", \"{v}\", \"none\"]", "null"), is("none"));
    assert!(verdict("\"{v}\"", "{\"a\":1}").unwrap_err().contains("`{path|json}`"));
}

#[test]
fn numbers_and_labels_are_checked() {
    let map = mapping(&format!(
        "{PLAIN}cost_usd = \"{{c}}\"\nusage.input_tokens = \"{{n}}\"\ntags = [\"fixed\", \"{{t}}\", \"fixed\"]\noutcome.reward = 1.0\n"
    ));
    let import = |rest: &str| import(map.clone(), format!("{{\"q\":\"q\",\"a\":\"a\"{rest}}}"));
    let imported = import(",\"c\":0.25,\"n\":12.0,\"t\":[\"a\",\"b\"]");
    let run = imported.run();
    assert_eq!(
        (run.cost_usd, run.usage.clone().unwrap().input_tokens, run.outcome.reward),
        (Some(0.25), Some(12), Some(1.0))
    );
    assert_eq!(run.tags, ["fixed", "a", "b"]);
    assert_eq!(import("").run().usage, None, "nothing said, nothing kept");
    for bad in [",\"c\":\"free\"", ",\"n\":1.5", ",\"n\":-1", ",\"c\":-1", ",\"n\":[]"] {
        assert_eq!(import(bad).rejections.len(), 1, "{bad}");
    }
}

#[test]
fn one_record_holds_several_runs() {
    let fields = mapping(
        "name = \"f\"\neach = [\"m1\", \"m2\", \"m3\"]\nmodel = \"{each}\"\nmessages = [{ role = \"user\", content = \"{q}\" }, { role = \"assistant\", content = \"{item.text}\" }]\n",
    );
    let imported = import(fields.clone(), "{\"q\":\"q\",\"m1\":{\"text\":\"a\"},\"m3\":{\"text\":\"c\"}}\n");
    let models: Vec<_> = imported.runs().iter().map(|r| r.model.clone().unwrap()).collect();
    assert_eq!(models, ["m1", "m3"], "parts that are not there are no runs");
    assert_eq!(imported.records, 1);
    let partly = import(fields.clone(), "{\"q\":\"q\",\"m1\":{\"text\":\"a\"},\"m2\":{}}\n");
    assert_eq!(partly.events.len(), 1);
    assert_eq!(partly.rejections[0].part.as_deref(), Some("m2"));
    assert!(import(fields, "{\"q\":\"q\"}").reasons()[0].contains("none of its parts is there: m1, m2, m3"));

    let list = mapping("name = \"l\"\neach = \"runs\"\nmodel = \"{each}\"\nmessages = \"{item}\"\n");
    let messages = "[{\"role\":\"user\",\"content\":\"x\"}]";
    let imported = import(list.clone(), format!("{{\"runs\":[{messages},{messages}]}}"));
    assert_eq!(imported.runs().iter().map(|r| r.model.clone().unwrap()).collect::<Vec<_>>(), ["0", "1"]);
    assert_ne!(imported.ids()[0], imported.ids()[1]);
    assert!(import(list, "{\"runs\":7}").reasons()[0].contains("neither a list nor an object"));
}

#[test]
fn conversations_come_as_one_text() {
    let map = mapping(
        "name = \"t\"\nmessages = { text = \"{t}\", turns = { \"Human:\" = \"user\", \"Assistant:\" = \"assistant\" } }\n",
    );
    let talk = |text: &str| {
        let imported = import(map.clone(), serde_json::json!({"t": text}).to_string());
        if imported.rejections.is_empty() { Ok(imported.talk()) } else { Err(imported.reasons().remove(0)) }
    };
    let turn = |role: &str, text: &str| (role.to_owned(), text.to_owned());
    assert_eq!(
        talk("\n\nHuman: Hi there\nsecond line\n\nAssistant: Hello, Human: no marker here\n\nHuman: Bye\n\nAssistant:"),
        Ok(vec![
            turn("user", "Hi there\nsecond line"),
            turn("assistant", "Hello, Human: no marker here"),
            turn("user", "Bye"),
            turn("assistant", "")
        ])
    );
    assert!(talk("no markers at all").unwrap_err().contains("no line begins with one of the markers"));
    assert!(talk("Preface.\nHuman: x").unwrap_err().contains("before the first marker"));
    let with_before = mapping(
        "name = \"t\"\nmessages = { text = \"{t}\", before = \"system\", turns = { \"Q:\" = \"user\", \"Q::\" = \"assistant\" } }\n",
    );
    let imported = import(with_before, serde_json::json!({"t": "Rules.\nQ: a\nQ:: b"}).to_string());
    assert_eq!(imported.talk(), [turn("system", "Rules."), turn("user", "a"), turn("assistant", "b")]);
}

#[test]
fn only_and_records_choose_what_is_read() {
    let map = mapping(&format!(
        "{PLAIN}records = [\"data\"]\nonly = {{ from = [\"{{kind}}\", \"run\"], is = [\"run\", 1] }}\n"
    ));
    let imported = import(
        map,
        "{\"data\":[{\"q\":\"1\",\"a\":\"x\"},{\"kind\":\"span\"},{\"kind\":1,\"q\":\"2\",\"a\":\"y\"}],\"meta\":{}}\n{\"q\":\"3\",\"a\":\"z\"}\n",
    );
    assert_eq!((imported.events.len(), imported.passed_over, imported.records), (3, 1, 4), "{:?}", imported.reasons());
}

#[test]
fn what_is_not_mapped_is_kept_if_asked_for() {
    let record = "{\"q\":\"1\",\"a\":\"x\",\"b\":{\"z\":1,\"y\":2},\"c\":null,\"s\":\"t\"}";
    assert_eq!(import(mapping(PLAIN), record).run().extra.len(), 0);
    let kept = import(mapping(&format!("{PLAIN}keep_extra = true\n[extra]\nnamed = \"{{s}}\"\n")), record);
    let extra: Vec<_> = kept.run().extra.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(extra, [("b", "{\"y\":2,\"z\":1}"), ("named", "\"t\"")]);
    let huge = format!("{{\"q\":\"1\",\"a\":\"x\",\"h\":\"{}\"}}", "h".repeat(300_000));
    let kept = import(mapping(&format!("{PLAIN}keep_extra = true\n")), huge);
    assert!(kept.run().extra["h"].starts_with("{\"omitted_bytes\":300002,\"sha256\":\""), "{}", kept.run().extra["h"]);
}

#[test]
fn the_page_about_the_language_names_all_there_is() {
    let page = language();
    for name in FIELDS.iter().map(|f| f.name).chain(FILTERS.iter().map(|f| f.name)) {
        assert!(page.contains(name), "{name}");
    }
}

#[test]
fn every_shipped_mapping_compiles_under_its_own_name() {
    for ready in READY {
        let mapping = ready.mapping().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(mapping.name(), ready.name);
        assert!(!mapping.description().is_empty());
    }
}
