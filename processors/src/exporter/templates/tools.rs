//! The `tools` column: JSON-Schema functions as chat templates take them.

use super::super::canonical::Json;
use super::super::reason::{Reason, Withheld};
use stillhouse_schemas::Tool;

/// A list, or `null` where the run names no tools. The column is in every row, so that readers that infer a schema
/// from the first rows see it.
pub(super) fn tools(tools: &[Tool]) -> Result<Json<'_>, Withheld> {
    if tools.is_empty() {
        return Ok(Json::Null);
    }
    tools.iter().map(function).collect::<Result<_, _>>().map(Json::List)
}

fn function(tool: &Tool) -> Result<Json<'_>, Withheld> {
    let invalid = |why: &str| {
        Withheld::new(Reason::InvalidToolSchema, format!("parameters of tool `{}`: {why}", tool.name.escape_debug()))
    };
    let parameters = match tool.parameters.as_deref().map(str::trim) {
        None | Some("") => Json::Null,
        Some(text) => match Json::recorded(text) {
            Ok(json @ (Json::Map(_) | Json::Null)) => json,
            Ok(_) => return Err(invalid("not a JSON object")),
            Err(error) => return Err(invalid(&error.to_string())),
        },
    };
    Ok(Json::map([
        ("type", Json::text("function")),
        (
            "function",
            Json::map([
                ("name", Json::text(tool.name.as_str())),
                ("description", Json::optional(tool.description.as_deref())),
                ("parameters", parameters),
            ]),
        ),
    ]))
}
