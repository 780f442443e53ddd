//! The language of mappings, told to people.

use super::fields::FIELDS;
use super::template::FILTERS;
use std::fmt::Write;

const HEAD: &str = r#"A mapping is a TOML file that says how the records of a source become runs.

TEMPLATES  "text" is itself; {path} stands for what the record holds there: "tau:{info.task.id}".
           One {path} alone gives the value as it is. If a path leads nowhere, the template gives nothing.
           {{ and }} are braces.
PATHS      a.b[0].c   $ (the record)   [-1] (last)   [name=x] (first element whose name is x)   [last name=x]
           Keys with odd characters in quotes: '{"gen_ai.system"}'.
RULES      "template"                       true, 0.5                    ["{a}", "{b}"]: the first that gives something
           { from = R, map = { true = "pass", false = "fail" }, else = R }
           { from = R, at_least = 0.5, then = R, else = R }              (or above = 0.5)
           { from = R, unit = "s" }: a time as a number (s, ms, us, ns); text is RFC 3339, or YYYY-MM-DD HH:MM:SS in UTC
           Each with from also takes missing = R. An empty list gives nothing.

ABOUT THE MAPPING
  name            part of every run's identity: the same record under the same name is the same run
  version         written into the events
  description     for --list
ABOUT RECORDS
  records         path or paths of a list within one document, whose elements are the records
  merge           R: records of one document that give the same are parts of one; what a later part says holds
  only            { from = R, is = ["a", "b"] }: other records are passed over
  each            one record, several runs: names of fields, or the path of a list or object.
                  {each} is the name (or number), {item} the part, as in {item.solution}
  join            { on = R, sides = { a = R, b = R } }: two records, told apart by what only one of them has, make one: {a.x}, {b.y}
ABOUT THE EVENT
  key             the record's own id, if it is unique within the source; without it, the hash of the record identifies it
  run_id          id of the run; without it, the event's id
  occurred_at     when it happened; without it 1970-01-01T00:00:00Z, so that every import gives the same bytes
  subject         whom it is about, if a person
  traceparent     W3C trace context
THE CONVERSATION  messages = piece, or a list of pieces that follow each other
  "{path}"                                      messages as the source has them (OpenAI's shape)
  { from = R, role_key = "from", content_key = "value" (or lists of names), roles = { human = "user", function_call = "tool_call" }, as = "user" }
  { role = "user", content = R }                one message (also name, reasoning, tool_call_id)
  { text = R, turns = { "Human:" = "user", "Assistant:" = "assistant" }, before = "system" }
  Each table also takes optional = true.
  tools           tools that the model could call (OpenAI's shape)
LABELS AND THE REST
  tags            list of rules; a list that one of them gives is taken apart
  extra           { name = R }: kept as JSON text
  keep_extra      true: every top-level field that the mapping does not mention is kept in extra
  spans           true: records are spans of traces and nothing else is said (mappings `otel`, `phoenix`)
FIELDS OF THE RUN
"#;

/// The whole language on one page.
pub fn language() -> String {
    let mut page = HEAD.to_owned();
    for field in FIELDS {
        let _ = writeln!(page, "  {:<24}{}", field.name, field.doc);
    }
    page.push_str("FILTERS, as in {question|hash}\n");
    for filter in FILTERS {
        let _ = writeln!(page, "  {:<24}{}", filter.name, filter.doc);
    }
    page
}
