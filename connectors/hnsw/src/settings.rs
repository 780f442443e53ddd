//! What an index is made of, decided when it is made.

use serde::{Deserialize, Serialize};

use crate::distance::Distance;
use crate::error::Error;

/// How an index is built and searched. Dimensions, distance and the shape of the graph are kept with a dump; an index
/// can only be loaded under the dimensions and the distance it was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Floats of a vector.
    pub dims: usize,
    /// How vectors are compared.
    pub distance: Distance,
    /// Links of a row on the upper levels of the graph; twice as many on the lowest.
    pub links: usize,
    /// How many candidates a row's links are chosen from: more is a better graph and a slower build.
    pub ef_construction: usize,
    /// How many candidates a search keeps when the query does not say.
    pub ef: usize,
    /// Below this many rows to look at, every one of them is looked at.
    pub exact_below: usize,
    /// Rows of one young part, after which another is begun.
    pub young_rows: usize,
    /// Threads that build a segment. One thread builds the same bytes from the same rows each time.
    pub threads: usize,
}

impl Settings {
    /// M 16, ef_construction 200, all processors.
    pub fn new(dims: usize, distance: Distance) -> Self {
        Self {
            dims,
            distance,
            links: 16,
            ef_construction: 200,
            ef: 64,
            exact_below: 4_096,
            young_rows: 8_192,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("dims", self.dims, 1, 16_384),
            ("links", self.links, 2, 128),
            ("ef_construction", self.ef_construction, 4, 10_000),
            ("ef", self.ef, 1, 100_000),
            ("young_rows", self.young_rows, 1, 1 << 20),
            ("threads", self.threads, 1, 1_024),
        ];
        for (name, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(Error::Settings(format!("{name} is {value}, and must be from {least} to {most}")));
            }
        }
        Ok(())
    }
}
