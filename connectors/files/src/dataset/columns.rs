//! Columns of rows, for formats and cards that must say what they are.

use std::fmt::Write;

/// A column, or a member of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// What is in it. Anything may be null.
    pub ty: Type,
}

/// What is in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    Text,
    /// A 64-bit integer.
    Int,
    /// A 64-bit float.
    Float,
    /// True or false.
    Bool,
    /// Anything; formats with types hold it as JSON text.
    Json,
    /// Any number of these.
    List(Box<Type>),
    /// These members.
    Struct(Vec<Column>),
}

impl Type {
    /// Its name among the features of Hugging Face `datasets`, if it is a plain one.
    fn plain(&self) -> Option<&'static str> {
        match self {
            Self::Text => Some("string"),
            Self::Int => Some("int64"),
            Self::Float => Some("float64"),
            Self::Bool => Some("bool"),
            Self::Json => Some("json"),
            Self::List(_) | Self::Struct(_) => None,
        }
    }
}

/// The columns as features of Hugging Face `datasets`, in YAML.
pub(super) fn features(columns: &[Column], indent: usize, out: &mut String) {
    let space = " ".repeat(indent);
    for Column { name, ty } in columns {
        let _ = match ty {
            Type::List(items) => match &**items {
                Type::Struct(members) => {
                    let _ = writeln!(out, "{space}- name: {name}\n{space}  list:");
                    features(members, indent + 2, out);
                    Ok(())
                }
                other => writeln!(out, "{space}- {{name: {name}, list: {}}}", other.plain().unwrap_or("json")),
            },
            Type::Struct(members) => {
                let _ = writeln!(out, "{space}- name: {name}\n{space}  struct:");
                features(members, indent + 2, out);
                Ok(())
            }
            other => writeln!(out, "{space}- {{name: {name}, dtype: {}}}", other.plain().unwrap_or("json")),
        };
    }
}
