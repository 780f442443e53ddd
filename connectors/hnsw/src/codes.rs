//! Vectors as bytes: what the graph is walked by, and how far from the truth that can be.
//!
//! A segment's vectors are kept twice: as they are, for the distances that are reported, and as one signed byte an element
//! for everything else. A row's codes stand for its difference from the segment's mean, times a scale of its own. Every
//! distance then is `bias(u) + bias(v) - u'·v'`, up to a term that is the same for all rows of one query; for the dot
//! product, links are chosen as if each row had one more element that makes all rows equally long (`lift`), which turns the
//! largest product into the nearest neighbour. A query's own codes have 16 bits, so that its error is next to nothing.
//!
//! Each row knows the length of what its codes leave out (`slack`), which bounds the error of its distance to any query:
//! an exact scan reads the whole vector only of rows that the bound cannot rule out.

use crate::distance::Distance;
use crate::machine::{self, LANES};

/// What a row has beside its codes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    scale: f32,
    bias: f32,
    lift: f32,
    slack: f32,
}

/// How the vectors of one segment become codes.
#[derive(Clone, Debug)]
pub(crate) struct Coder<'a> {
    pub distance: Distance,
    pub mean: &'a [f32],
    /// The square of the longest vector's length.
    pub longest: f32,
}

/// A query as the codes of one segment are compared with it.
#[derive(Debug)]
pub(crate) struct Probe {
    distance: Distance,
    codes: Vec<i16>,
    scale: f32,
    lift: f32,
    /// Length of the query, centred.
    length: f32,
    /// Length of what the query's own codes leave out, times the largest length of codes of scale one.
    left_out: f32,
    /// What all distances have in common.
    shift: f32,
}

/// Elements of a row of codes.
pub(crate) fn padded(dims: usize) -> usize {
    dims.next_multiple_of(LANES)
}

impl Coder<'_> {
    /// Writes a prepared vector's codes.
    pub fn encode(&self, vector: &[f32], codes: &mut [i8]) -> Head {
        let centred: Vec<f32> = vector.iter().zip(self.mean).map(|(x, m)| x - m).collect();
        let largest = centred.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let scale = largest / 127.0;
        codes.fill(0);
        let mut left_out = 0.0;
        if scale > 0.0 {
            for (code, &x) in codes.iter_mut().zip(&centred) {
                *code = (x / scale).round().clamp(-127.0, 127.0) as i8;
                left_out += (x - f32::from(*code) * scale).powi(2);
            }
        }
        let slack = left_out.sqrt();
        match self.distance {
            Distance::Cosine => Head { scale, bias: -machine::dot(self.mean, &centred), lift: 0.0, slack },
            Distance::Euclidean => Head { scale, bias: machine::dot(&centred, &centred) / 2.0, lift: 0.0, slack },
            Distance::Dot => {
                let lift = (self.longest - machine::dot(vector, vector)).max(0.0).sqrt();
                Head { scale, bias: -machine::dot(self.mean, &centred), lift, slack }
            }
        }
    }

    /// A prepared vector as a query.
    pub fn probe(&self, vector: &[f32]) -> Probe {
        let centred: Vec<f32> = vector.iter().zip(self.mean).map(|(x, m)| x - m).collect();
        let width = padded(vector.len());
        // So that the sum of all products stays within 32 bits.
        let most = (i32::MAX as usize / (127 * width)).min(i16::MAX as usize) as f32;
        let largest = centred.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let scale = largest / most;
        let mut codes = vec![0i16; width];
        let mut left_out = 0.0;
        if scale > 0.0 {
            for (code, &x) in codes.iter_mut().zip(&centred) {
                *code = (x / scale).round().clamp(-most, most) as i16;
                left_out += (x - f32::from(*code) * scale).powi(2);
            }
        }
        let length = machine::dot(&centred, &centred).sqrt();
        let shift = match self.distance {
            Distance::Cosine => 1.0 - machine::dot(vector, self.mean),
            Distance::Euclidean => length * length,
            Distance::Dot => -machine::dot(vector, self.mean),
        };
        let room = 127.0 * (width as f32).sqrt();
        Probe { distance: self.distance, codes, scale, lift: 0.0, length, left_out: left_out.sqrt() * room, shift }
    }

    /// A row as the query for its own links.
    pub fn probe_row(&self, vector: &[f32], head: &Head) -> Probe {
        Probe { lift: head.lift, ..self.probe(vector) }
    }
}

impl Probe {
    /// What rows are ordered by: the distance, up to what all rows of a query have in common.
    #[inline(always)]
    pub fn key(&self, head: &Head, codes: &[i8]) -> f32 {
        let product = machine::dot_codes(&self.codes, codes) as f32;
        head.bias - head.scale * self.scale * product - self.lift * head.lift
    }

    /// No row with this key is nearer than this.
    pub fn least(&self, key: f32, head: &Head) -> f32 {
        let room = 127.0 * (self.codes.len() as f32).sqrt() * head.scale;
        let rounding = 1e-5 * (self.length * room + head.bias.abs() + self.shift.abs());
        let key = key - self.length * head.slack - self.left_out * head.scale - rounding;
        match self.distance {
            Distance::Cosine => (key + self.shift).max(0.0),
            Distance::Dot => key + self.shift,
            Distance::Euclidean => (2.0 * key + self.shift).max(0.0).sqrt(),
        }
    }
}

/// How far two rows are from each other, on the same scale as [`Probe::key`] plus the query's bias.
#[inline(always)]
pub(crate) fn apart(a: &Head, a_codes: &[i8], b: &Head, b_codes: &[i8]) -> f32 {
    let product = machine::dot_rows(a_codes, b_codes) as f32;
    a.bias + b.bias - a.scale * b.scale * product - a.lift * b.lift
}

impl Head {
    /// As it stands in a block.
    pub const BYTES: usize = 16;

    pub fn words(&self) -> [f32; 4] {
        [self.scale, self.bias, self.lift, self.slack]
    }

    #[inline(always)]
    pub fn of([scale, bias, lift, slack]: [f32; 4]) -> Self {
        Self { scale, bias, lift, slack }
    }

    /// What turns a key of this row's probe into [`apart`].
    pub fn bias(&self) -> f32 {
        self.bias
    }

    /// Whether all of it is numbers that can be compared.
    pub fn is_sound(&self) -> bool {
        self.words().iter().all(|x| x.is_finite())
    }
}
