//! What only the application knows, in words of our own: attributes that it sets on any of its spans.

use super::attributes::Attributes;
use super::said::{Said, fill};
use stillhouse_schemas::Span;

pub(super) fn read(_: &Span, attributes: Attributes<'_>, said: &mut Said) {
    let text = |name: &str| attributes.text(&format!("stillhouse.{name}"));
    fill(&mut said.task_key, || text("task_key"));
    fill(&mut said.source_class, || text("source_class"));
    fill(&mut said.role, || text("role"));
    fill(&mut said.reference, || text("reference"));
    fill(&mut said.session_id, || text("session_id"));
    fill(&mut said.outcome.reward, || {
        attributes.value("stillhouse.outcome.reward")?.as_f64().filter(|reward| reward.is_finite())
    });
    fill(&mut said.outcome.verdict, || text("outcome.verdict"));
    fill(&mut said.outcome.human_label, || text("outcome.human_label"));
    fill(&mut said.outcome.source, || text("outcome.source"));
    fill(&mut said.response_schema, || attributes.value("stillhouse.response_schema").map(|v| v.to_string()));
    said.tags.extend(attributes.texts("stillhouse.tags"));
}
