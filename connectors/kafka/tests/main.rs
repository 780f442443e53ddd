//! The Kafka journal against a real Apache Kafka: the one that `STILLHOUSE_KAFKA` (`host:port`) names, or one that is
//! started here. Without either the tests fail; none is skipped.

mod broker;
mod conformance;
mod delayed_end;
mod groups;
mod outage;
mod proxy;
mod refusals;
