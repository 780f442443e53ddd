//! Stores from outside: what they hold after whatever happened, and what they find.

mod kills;
mod recall;
mod scene;
mod store;
