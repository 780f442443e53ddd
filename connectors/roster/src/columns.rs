//! The columns of a roster's file: what they are called, whether they must be there, what is taken in them.

use arrow_schema::DataType;

/// A column that is read.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Whether a file without it is refused. Where another is missing, the roster does not say.
    pub required: bool,
    /// What it holds, in words.
    pub takes: &'static str,
    pub(crate) kind: Kind,
}

/// What is taken in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    List,
    Degrees,
    Day,
    Cents,
}

impl Kind {
    /// Whether values of a type can be read as this.
    pub(crate) fn takes(self, found: &DataType) -> bool {
        match self {
            Self::Text => *found == DataType::Utf8,
            Self::List => match found {
                DataType::List(item) => *item.data_type() == DataType::Utf8,
                other => *other == DataType::Utf8,
            },
            Self::Degrees => matches!(found, DataType::Float32 | DataType::Float64),
            Self::Day => matches!(found, DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8),
            Self::Cents => found.is_integer(),
        }
    }
}

const TEXT: &str = "text";
const DEGREES: &str = "degrees as a float";
const DAY: &str = "a date, a timestamp, or text as 2026-01-31";
const CENTS: &str = "whole cents by the hour, as an integer";

macro_rules! columns {
    ($($name:ident $required:literal $takes:expr, $kind:ident;)*) => {
        /// All columns that are read; others are passed over.
        pub static COLUMNS: &[Column] = &[$(Column {
            name: stringify!($name), required: $required, takes: $takes, kind: Kind::$kind,
        }),*];
    };
}

columns! {
    id true TEXT, Text;
    name true TEXT, Text;
    role true TEXT, Text;
    certifications false "a list of texts, or text with `;` between", List;
    city true TEXT, Text;
    state true TEXT, Text;
    latitude false DEGREES, Degrees;
    longitude false DEGREES, Degrees;
    available_from false DAY, Day;
    available_until false DAY, Day;
    pay_min false CENTS, Cents;
    pay_max false CENTS, Cents;
    phone false TEXT, Text;
    email false TEXT, Text;
    status true "text: active, inactive, on_assignment or do_not_use", Text;
}
