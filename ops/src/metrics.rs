//! The Prometheus text format, and what the node says in it.
//!
//! Lag has the names of kafka_exporter on every journal, so that existing dashboards work, plus
//! `stillhouse_consumer_group_lag_seconds`. Label values are escaped; a family is written once, with help and type.

use crate::http::{Counters, Health, Serving};
use crate::lag::Look;
use std::fmt::Write;
use stillhouse_streams::runner::BATCH_SECONDS;

/// `Content-Type` of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

/// Text in the making.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a family: all its samples follow before the next one begins.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { out: &mut self.0, name: name.to_owned() }
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// A family whose samples are being written.
#[derive(Debug)]
pub struct Family<'a> {
    out: &'a mut String,
    name: String,
}

impl Family<'_> {
    /// One sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// A histogram: counts per bucket (not cumulative, one more than there are bounds) and the sum of all values.
    pub fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], sum: f64) -> &mut Self {
        let mut total = 0;
        for (index, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds.get(index).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.line("_bucket", labels, Some(&bound), total as f64);
        }
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, total as f64);
        self
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], le: Option<&str>, value: f64) {
        let _ = write!(self.out, "{}{suffix}", self.name);
        let mut open = '{';
        for (name, value) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            let _ = write!(self.out, "{open}{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
            open = ',';
        }
        if open == ',' {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

/// Everything that the node says. A journal that does not answer is a figure too (`stillhouse_journal_up`).
pub async fn render(health: &Health, counters: &Counters, serving: &Serving) -> String {
    let mut out = Exposition::default();
    out.family("stillhouse_build_info", Kind::Gauge, "Version of this build.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let look = health.look().await;
    let up = if look.is_ok() { 1.0 } else { 0.0 };
    out.family("stillhouse_journal_up", Kind::Gauge, "Whether the journal answers.").sample(&[], up);
    if let Ok(look) = look {
        topics(&mut out, &look);
        groups(&mut out, &look);
    }
    processors(&mut out, health);
    counters.render(&mut out);
    crate::http::models::render(serving, &mut out);
    process(&mut out);
    out.into_text()
}

fn topics(out: &mut Exposition, look: &Look) {
    let mut family = out.family("kafka_topic_partitions", Kind::Gauge, "Number of partitions of the topic.");
    for topic in &look.topics {
        family.sample(&[("topic", &topic.spec.name)], topic.partitions.len() as f64);
    }
    type Offset = fn(&stillhouse_streams::PartitionState) -> u64;
    let offsets: [(&str, &str, Offset); 2] = [
        ("kafka_topic_partition_current_offset", "End offset of the partition.", |p| p.end),
        ("kafka_topic_partition_oldest_offset", "Oldest offset of the partition that can be read.", |p| p.start),
    ];
    for (name, help, offset) in offsets {
        let mut family = out.family(name, Kind::Gauge, help);
        for topic in &look.topics {
            for (number, partition) in topic.partitions.iter().enumerate() {
                let labels = [("topic", topic.spec.name.as_str()), ("partition", &number.to_string())];
                family.sample(&labels, offset(partition) as f64);
            }
        }
    }
}

fn groups(out: &mut Exposition, look: &Look) {
    type Figure = fn(&crate::lag::PartitionLag) -> f64;
    let figures: [(&str, &str, Figure); 3] = [
        ("kafka_consumergroup_current_offset", "Committed offset of the group.", |p| p.committed as f64),
        ("kafka_consumergroup_lag", "Offsets that the group is behind.", |p| p.lag as f64),
        (
            "stillhouse_consumer_group_lag_seconds",
            "How long the first event that the group has not taken has waited; 0 without lag.",
            |p| p.lag_seconds,
        ),
    ];
    for (name, help, figure) in figures {
        let mut family = out.family(name, Kind::Gauge, help);
        for group in &look.groups {
            for p in &group.partitions {
                let labels = [
                    ("consumergroup", group.group.as_str()),
                    ("topic", &p.topic),
                    ("partition", &p.partition.to_string()),
                ];
                family.sample(&labels, figure(p));
            }
        }
    }
    for (name, help, figure) in [
        (
            "kafka_consumergroup_current_offset_sum",
            "Committed offsets of the group, over all partitions.",
            figures[0].2,
        ),
        ("kafka_consumergroup_lag_sum", "Offsets that the group is behind, over all partitions.", figures[1].2),
    ] {
        let mut family = out.family(name, Kind::Gauge, help);
        for group in &look.groups {
            let mut sums: Vec<(&str, f64)> = Vec::new();
            for p in &group.partitions {
                match sums.last_mut() {
                    Some((topic, sum)) if *topic == &*p.topic => *sum += figure(p),
                    _ => sums.push((&p.topic, figure(p))),
                }
            }
            for (topic, sum) in sums {
                family.sample(&[("consumergroup", &group.group), ("topic", topic)], sum);
            }
        }
    }
    let mut family = out.family("kafka_consumergroup_members", Kind::Gauge, "Members of the group.");
    for group in &look.groups {
        family.sample(&[("consumergroup", &group.group)], group.members as f64);
    }
}

fn processors(out: &mut Exposition, health: &Health) {
    type Count = fn(&stillhouse_streams::runner::Snapshot) -> u64;
    let all = health.node().processors();
    let counts: [(&str, &str, Count); 7] = [
        ("stillhouse_processor_processed_total", "Records taken and committed.", |s| s.processed),
        ("stillhouse_processor_emitted_total", "Records emitted.", |s| s.emitted),
        ("stillhouse_processor_dead_lettered_total", "Records that went to dead letters.", |s| s.dead_lettered),
        ("stillhouse_processor_retries_total", "Tries that failed and were made again.", |s| s.retries),
        ("stillhouse_processor_panics_total", "Panics contained.", |s| s.panics),
        ("stillhouse_processor_rewinds_total", "Batches taken back after a failed commit.", |s| s.rewinds),
        ("stillhouse_processor_restarts_total", "Times the processor was started again.", |s| s.restarts),
    ];
    for (name, help, count) in counts {
        let mut family = out.family(name, Kind::Counter, help);
        for p in &all {
            family.sample(&[("processor", &p.processor), ("generation", &p.generation)], count(&p.stats) as f64);
        }
    }
    let help = "Seconds from a batch's arrival to its commit.";
    let mut family = out.family("stillhouse_processor_batch_seconds", Kind::Histogram, help);
    for p in &all {
        let labels = [("processor", p.processor.as_str()), ("generation", &p.generation)];
        family.histogram(&labels, &BATCH_SECONDS, &p.stats.batches, p.stats.batch_seconds);
    }
    let help = "Whether the processor is a member of its group.";
    let mut family = out.family("stillhouse_processor_running", Kind::Gauge, help);
    for p in &all {
        let running = p.stats.state == stillhouse_streams::runner::State::Running;
        family.sample(&[("processor", &p.processor), ("generation", &p.generation)], f64::from(u8::from(running)));
    }
}

fn process(out: &mut Exposition) {
    if let Some(bytes) = resident_bytes() {
        out.family("process_resident_memory_bytes", Kind::Gauge, "Resident memory.").sample(&[], bytes as f64);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        out.family("process_open_fds", Kind::Gauge, "Open files.").sample(&[], files.count() as f64);
    }
}

/// Resident memory of this process, where the system tells it.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_histograms_are_cumulative() {
        let mut out = Exposition::default();
        out.family("a_total", Kind::Counter, "x\ny\\").sample(&[("l", "a\"b\\c\nd"), ("m", "")], 2.0).sample(&[], 0.5);
        out.family("h", Kind::Histogram, "h").histogram(&[("l", "x")], &[0.1, 1.0], &[1, 0, 2], 7.5);
        assert_eq!(
            out.into_text(),
            "# HELP a_total x\\ny\\\\\n# TYPE a_total counter\na_total{l=\"a\\\"b\\\\c\\nd\",m=\"\"} 2\na_total 0.5\n\
             # HELP h h\n# TYPE h histogram\nh_bucket{l=\"x\",le=\"0.1\"} 1\nh_bucket{l=\"x\",le=\"1\"} 1\n\
             h_bucket{l=\"x\",le=\"+Inf\"} 3\nh_sum{l=\"x\"} 7.5\nh_count{l=\"x\"} 3\n"
        );
    }
}
