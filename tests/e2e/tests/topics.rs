//! The arrows between topics, over the tables: every topic has one writer, and data flows one way.

use std::collections::BTreeSet;
use stillhouse_processors::PROCESSORS;
use stillhouse_schemas::{EVENTS, Partitions, TOPICS, Topic, Writer};

/// Writers that topics are kept for before they exist.
const PLANNED: &[&str] = &["validator"];

/// A topic, as far as arrows go: its name, the processor that writes it if one does, its events.
#[derive(Clone)]
struct Node {
    name: String,
    writer: Option<String>,
    events: Vec<String>,
}

/// A processor: its name, inputs and outputs.
#[derive(Clone)]
struct Arrow {
    name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

fn tables() -> (Vec<Node>, Vec<Arrow>) {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let topics = TOPICS.iter().map(|topic| Node {
        name: topic.name.to_owned(),
        writer: if let Writer::Processor(name) = topic.writer { Some(name.to_owned()) } else { None },
        events: owned(topic.events),
    });
    let processors = PROCESSORS.iter().map(|p| Arrow {
        name: p.name.to_owned(),
        inputs: owned(p.inputs),
        outputs: owned(p.outputs),
    });
    (topics.collect(), processors.collect())
}

/// Everything that is wrong with the tables, in words.
fn faults(topics: &[Node], processors: &[Arrow]) -> Vec<String> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for topic in topics {
        if !names.insert(&topic.name) {
            found.push(format!("topic {} stands twice", topic.name));
        }
        if let Some(writer) = &topic.writer
            && !PLANNED.contains(&writer.as_str())
            && !processors.iter().any(|p| p.name == *writer && p.outputs.contains(&topic.name))
        {
            found.push(format!("topic {} is said to be written by {writer}, which does not say so", topic.name));
        }
        for event in topic.events.iter().filter(|event| !EVENTS.iter().any(|e| e.name == event.as_str())) {
            found.push(format!("topic {} holds {event}, which is no event", topic.name));
        }
    }
    for processor in processors {
        for input in processor.inputs.iter().filter(|input| !names.contains(input)) {
            found.push(format!("{} reads {input}, which is no topic", processor.name));
        }
        for output in &processor.outputs {
            match topics.iter().find(|t| t.name == *output) {
                Some(topic) if topic.writer.as_ref() == Some(&processor.name) => {}
                Some(topic) => {
                    found.push(format!("{} writes {output}, which {:?} writes", processor.name, topic.writer))
                }
                None => found.push(format!("{} writes {output}, which is no topic", processor.name)),
            }
        }
        // Everything that can be reached from its outputs.
        let mut reached: BTreeSet<&String> = processor.outputs.iter().collect();
        while let Some(more) = processors
            .iter()
            .filter(|p| p.inputs.iter().any(|input| reached.contains(input)))
            .flat_map(|p| &p.outputs)
            .find(|output| !reached.contains(output))
        {
            reached.insert(more);
        }
        if processor.inputs.iter().any(|input| reached.contains(input)) {
            found.push(format!("what {} writes comes back to it", processor.name));
        }
    }
    found
}

#[test]
fn every_topic_has_one_writer_and_data_flows_one_way() {
    let (topics, processors) = tables();
    assert!(topics.len() > 5 && processors.len() > 2, "the tables were read");
    assert_eq!(faults(&topics, &processors), Vec::<String>::new());
    for event in EVENTS {
        let holders = topics.iter().filter(|t| t.events.iter().any(|e| e == event.name)).count();
        assert!(holders > 0, "no topic holds {}", event.name);
    }
}

#[test]
fn crooked_arrows_are_caught() {
    let (topics, processors) = tables();
    let at = |name: &str| processors.iter().position(|p| p.name == name).expect("a processor");
    let (materializer, scorer) = (at("materializer"), at("scorer"));

    let mut second_writer = processors.clone();
    second_writer[materializer].outputs.push("scores".to_owned());
    assert_eq!(faults(&topics, &second_writer).len(), 1, "two writers of one topic");

    let mut circle = processors.clone();
    circle[materializer].inputs.push("scores".to_owned());
    let circular = faults(&topics, &circle);
    assert!(circular.iter().all(|f| f.ends_with("comes back to it")) && circular.len() == 2, "{circular:?}");

    let mut lost = processors.clone();
    lost[scorer].outputs.clear();
    assert_eq!(faults(&topics, &lost).len(), 1, "a topic that nobody writes");

    let mut unknown = processors.clone();
    unknown[scorer].inputs.push("nothing".to_owned());
    unknown[scorer].outputs.push("nowhere".to_owned());
    assert_eq!(faults(&topics, &unknown).len(), 2, "topics that do not exist");

    let mut twice = topics.clone();
    twice.push(topics[0].clone());
    assert_eq!(faults(&twice, &processors).len(), 1, "a topic that stands twice");
}

/// Topics about runs have equally many partitions, so that what a processor reads of one run meets in one worker. What
/// runs when asked for, and so joins no group, also reads what operators decided, whole.
#[test]
fn what_a_processor_reads_together_is_partitioned_alike() {
    for processor in PROCESSORS {
        let decided = |t: &Topic| t.writer == Writer::Operator && !processor.is_transform();
        let read = TOPICS.iter().filter(|t| processor.inputs.contains(&t.name) && !decided(t));
        let alike: Vec<_> = read.map(|t| t.partitions).collect();
        assert!(alike.iter().all(|p| *p == Partitions::PerRun), "{} reads topics of different kinds", processor.name);
    }
}

/// Physical names never meet: no topic's name is another's with a generation behind it.
#[test]
fn physical_names_never_meet() {
    for topic in TOPICS {
        for other in TOPICS.iter().filter(|t| t.derived) {
            let rest = topic.name.strip_prefix(other.name).and_then(|rest| rest.strip_prefix('.'));
            assert_eq!(rest, None, "{} could be a generation of {}", topic.name, other.name);
        }
    }
}
