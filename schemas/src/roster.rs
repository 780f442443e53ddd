//! The roster as validators see it: who the workers are, at one version.

use std::fmt;

/// A worker, as the roster has it. Empty text and none mean that the roster does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker<'a> {
    /// The worker's id.
    pub id: &'a str,
    /// The name, as it is written.
    pub name: &'a str,
    /// The main role or title.
    pub role: &'a str,
    /// Certifications that are held.
    pub certifications: Vec<&'a str>,
    /// City.
    pub city: &'a str,
    /// State or region, as its usual short form.
    pub state: &'a str,
    /// Latitude and longitude, in degrees.
    pub place: Option<(f32, f32)>,
    /// From which day on the worker is free, in days since 1970-01-01.
    pub available_from: Option<i32>,
    /// Until which day, inclusive.
    pub available_until: Option<i32>,
    /// Pay by the hour, in cents: from, to.
    pub pay: Option<(u32, u32)>,
    /// Telephone number.
    pub phone: &'a str,
    /// E-mail address.
    pub email: &'a str,
    /// `active`, `inactive`, `on_assignment` or `do_not_use`.
    pub status: &'a str,
}

/// Workers at one version: the same version gives the same answers for ever.
pub trait Roster: Send + Sync + fmt::Debug {
    /// Names the content: two rosters of the same version hold the same workers.
    fn version(&self) -> &str;

    /// How many workers there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The worker of this id, compared byte for byte.
    fn worker(&self, id: &str) -> Option<Worker<'_>>;

    /// Workers of this name, however it is cased, accented or spaced, at most `most` of them, ordered by id.
    fn named(&self, name: &str, most: usize) -> Vec<Worker<'_>>;
}

/// Rosters by version. What the validator is handed.
pub trait Rosters: Send + Sync + fmt::Debug {
    /// The newest one that was loaded, if any was.
    fn newest(&self) -> Option<std::sync::Arc<dyn Roster>>;

    /// The one of this version, if it can still be had.
    fn at(&self, version: &str) -> Option<std::sync::Arc<dyn Roster>>;

    /// The one that was in force at this time, in microseconds since 1970; before the first was loaded that one, and none
    /// if none ever was. The error says why it cannot be had any more. Who keeps no history has the newest for all times.
    fn of_time(&self, _at: crate::Micros) -> Result<Option<std::sync::Arc<dyn Roster>>, String> {
        Ok(self.newest())
    }
}
