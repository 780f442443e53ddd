//! The roster, load by load.

use serde::{Deserialize, Serialize};

/// Some of the workers that a load of the roster changes. It changes nothing before the load has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RosterChanged {
    /// The load.
    pub load: String,
    /// Number of this event in the load, from zero.
    pub part: i32,
    /// Workers that were added, or of whom something else is said now.
    #[serde(default)]
    pub workers: Vec<RosterWorker>,
    /// Ids of workers that are there no more.
    #[serde(default)]
    pub removed: Vec<String>,
}

/// A worker, as the roster has it. Empty text and none: it does not say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RosterWorker {
    /// The worker's id.
    pub id: String,
    /// Name, as it is written.
    #[serde(default)]
    pub name: String,
    /// Main role or title.
    #[serde(default)]
    pub role: String,
    /// Certifications that are held.
    #[serde(default)]
    pub certifications: Vec<String>,
    /// City.
    #[serde(default)]
    pub city: String,
    /// State or region, as its usual short form.
    #[serde(default)]
    pub state: String,
    /// Degrees.
    #[serde(default)]
    pub latitude: Option<f64>,
    /// Degrees.
    #[serde(default)]
    pub longitude: Option<f64>,
    /// From which day on the worker is free, in days since 1970-01-01.
    #[serde(default)]
    pub available_from: Option<i32>,
    /// Until which day, inclusive.
    #[serde(default)]
    pub available_until: Option<i32>,
    /// Pay by the hour, in cents: from.
    #[serde(default)]
    pub pay_min: Option<i64>,
    /// Pay by the hour, in cents: to.
    #[serde(default)]
    pub pay_max: Option<i64>,
    /// Telephone number.
    #[serde(default)]
    pub phone: String,
    /// E-mail address.
    #[serde(default)]
    pub email: String,
    /// `active`, `inactive`, `on_assignment` or `do_not_use`.
    #[serde(default)]
    pub status: String,
}

/// The end of a load of the roster: from here on it is another version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterLoaded {
    /// The load.
    pub load: String,
    /// Version of the roster that it makes: a hash of all workers.
    pub version: String,
    /// How many workers there are now.
    pub workers: i64,
    /// Events of the load before this one.
    pub parts: i32,
    /// Id of the event that ended the load that this one was made on; empty: on nothing, all workers are in it.
    #[serde(default)]
    pub base: String,
    /// The version before.
    #[serde(default)]
    pub base_version: String,
    /// Workers that were not there before.
    #[serde(default)]
    pub added: i64,
    /// Workers of whom something else is said now.
    #[serde(default)]
    pub changed: i64,
    /// Workers that are there no more.
    #[serde(default)]
    pub removed: i64,
    /// Where they were read: the name of a file.
    #[serde(default)]
    pub source: String,
}
