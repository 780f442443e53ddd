//! Columns of rows of datasets, as any file format can hold them: between those who make rows and those who write them.

/// A column, or a member of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: &'static str,
    /// What is in it. Anything may be null.
    pub ty: Type,
}

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    List(&'static Type),
    /// These members.
    Struct(&'static [Column]),
}
