use crate::support::map;
use std::sync::Arc;
use stillhouse_processors::{Kind, PROCESSORS, Ports, Takes, processor};
use stillhouse_schemas::model::{Embedders, Embeddings, ModelError};
use stillhouse_schemas::{Codec, TOPICS, Writer};

/// Makes no vectors.
#[derive(Debug)]
struct Nobody;

#[async_trait::async_trait]
impl Embedders for Nobody {
    async fn embed(&self, _: &str, _: &[&str]) -> Result<Embeddings, ModelError> {
        Err(ModelError::Never("nobody is there".into()))
    }
}

#[test]
fn every_topic_has_one_writer_and_data_flows_one_way() {
    for definition in PROCESSORS {
        for topic in definition.inputs.iter().chain(definition.outputs) {
            assert!(TOPICS.iter().any(|t| t.name == *topic), "{}: no topic `{topic}`", definition.name);
        }
        for output in definition.outputs {
            let topic = stillhouse_schemas::topic(output).unwrap();
            assert_eq!(topic.writer, Writer::Processor(definition.name), "{output}");
        }
    }
    for (i, definition) in PROCESSORS.iter().enumerate() {
        for (input, earlier) in
            definition.inputs.iter().flat_map(|input| PROCESSORS[i..].iter().map(move |p| (input, p)))
        {
            assert!(
                !earlier.outputs.contains(input),
                "{} reads {input} of {}, which is not upstream",
                definition.name,
                earlier.name
            );
        }
    }
    for topic in TOPICS {
        if let Writer::Processor(writer) = topic.writer {
            let known = PROCESSORS.iter().any(|p| p.name == writer && p.outputs.contains(&topic.name));
            assert!(known || processor(writer).is_err(), "{writer} does not know that it writes {}", topic.name);
        }
    }
}

#[test]
fn every_processor_can_be_built_and_told_apart() {
    for definition in PROCESSORS {
        let defaults = definition.settings(&map(&[])).unwrap();
        let ports = Ports { embedders: Some(Arc::new(Nobody)), ..Ports::from(Codec::plain()) };
        let built = definition.build(&defaults, ports).unwrap();
        assert_eq!(built.is_some(), matches!(definition.kind, Kind::Transform(_)));
        assert_eq!(defaults.config_hash().is_empty(), definition.settings.is_empty());
        assert_eq!(definition.producer(&defaults).name, definition.name);
        for setting in definition.settings {
            assert!(setting.doc.ends_with('.'), "{} has no sentence", setting.name);
            let other = match setting.takes {
                Takes::Number | Takes::Count => "17",
                Takes::Fraction => "0.123",
                Takes::Uri | Takes::Embedding => "ollama://h:1/m",
                Takes::Json if setting.default == "{}" => r#"{"x":1}"#,
                Takes::Json => "{}",
                Takes::AsOf => "newest",
                Takes::Word(words) => words.iter().find(|word| **word != setting.default).unwrap(),
            };
            let changed = definition.settings(&map(&[(setting.name, other)])).unwrap();
            assert_ne!(changed.config_hash(), defaults.config_hash(), "{}", setting.name);
        }
    }
}

#[test]
fn names_are_suggested() {
    let said = |name: &str| processor(name).err().unwrap().to_string();
    assert_eq!(said("scoer"), "no processor is called `scoer`; did you mean `scorer`?");
    assert_eq!(
        said("x"),
        "no processor is called `x`; there are assembler, materializer, scorer, reconciler, validator, embedder, exporter, replayer, auditor"
    );
    let refused = processor("scorer").unwrap().settings(&map(&[("acceptreward", "1")])).unwrap_err().to_string();
    assert_eq!(refused, "`scorer` has no setting `acceptreward`; did you mean `accept_reward`?");
}
