//! Columns of rows, for formats and cards that must say what they are.

use std::fmt::Write;
pub use stillhouse_schemas::columns::{Column, Type};

/// Its name among the features of Hugging Face `datasets`, if it is a plain one.
fn plain(ty: Type) -> Option<&'static str> {
    match ty {
        Type::Text => Some("string"),
        Type::Int => Some("int64"),
        Type::Float => Some("float64"),
        Type::Bool => Some("bool"),
        Type::Json => Some("json"),
        Type::List(_) | Type::Struct(_) => None,
    }
}

/// The columns as features of Hugging Face `datasets`, in YAML.
pub(super) fn features(columns: &[Column], indent: usize, out: &mut String) {
    let space = " ".repeat(indent);
    for &Column { name, ty } in columns {
        let _ = match ty {
            Type::List(items) => match *items {
                Type::Struct(members) => {
                    let _ = writeln!(out, "{space}- name: {name}\n{space}  list:");
                    features(members, indent + 2, out);
                    Ok(())
                }
                other => writeln!(out, "{space}- {{name: {name}, list: {}}}", plain(other).unwrap_or("json")),
            },
            Type::Struct(members) => {
                let _ = writeln!(out, "{space}- name: {name}\n{space}  struct:");
                features(members, indent + 2, out);
                Ok(())
            }
            other => writeln!(out, "{space}- {{name: {name}, dtype: {}}}", plain(other).unwrap_or("json")),
        };
    }
}
