//! The three distances, and what a vector must be to have one.

use serde::{Deserialize, Serialize};

use crate::error::VectorError;
use crate::machine;

/// How far two vectors are from each other. Smaller is nearer, for all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// One minus the cosine of the angle: 0 to 2. Vectors are kept with length one; a vector of zeros has no direction
    /// and is refused.
    Cosine,
    /// The length of the difference.
    Euclidean,
    /// The dot product, negated.
    Dot,
}

/// Squares up to this sum stay finite in every step that follows.
const LARGEST: f64 = 1e30;

impl Distance {
    /// The vector as it is kept and compared: checked, and of length one where only the direction counts.
    pub(crate) fn prepare(self, vector: &[f32], dims: usize) -> Result<Vec<f32>, VectorError> {
        if vector.len() != dims {
            return Err(VectorError::Dims { expected: dims, found: vector.len() });
        }
        if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
            return Err(VectorError::NotFinite { at });
        }
        let squares: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        match self {
            Self::Cosine if squares == 0.0 => Err(VectorError::Zero),
            Self::Cosine => {
                let length = squares.sqrt();
                Ok(vector.iter().map(|&x| (f64::from(x) / length) as f32).collect())
            }
            _ if squares > LARGEST => Err(VectorError::TooLong),
            _ => Ok(vector.to_vec()),
        }
    }

    /// The distance of two prepared vectors.
    pub(crate) fn between(self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::Cosine => (1.0 - machine::dot(a, b)).max(0.0),
            Self::Euclidean => machine::squared(a, b).sqrt(),
            Self::Dot => -machine::dot(a, b),
        }
    }
}
