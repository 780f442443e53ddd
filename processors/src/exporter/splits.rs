//! Which split a row is in: train, validation or test.
//!
//! Decided by a hash of what the row is about and by nothing else: its task key, or its prompt where it has none. So no
//! task is in two splits, and a row keeps its split whatever is exported beside it, as long as the shares stay.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Names, in the order of their shares.
pub const NAMES: [&str; 3] = ["train", "validation", "test"];
/// Shares are counted in these parts.
const PARTS: u64 = 1_000_000;

/// The shares of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits([u64; 3]);

impl Default for Splits {
    /// All in `train`.
    fn default() -> Self {
        Self([PARTS, 0, 0])
    }
}

/// Shares that are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` are no shares: give up to three numbers that make 1, for train, validation and test: 0.8,0.1,0.1")]
pub struct BadSplits(String);

impl FromStr for Splits {
    type Err = BadSplits;

    fn from_str(text: &str) -> Result<Self, BadSplits> {
        let bad = || BadSplits(text.escape_debug().to_string());
        let mut shares = [0; 3];
        let given: Vec<&str> = text.split(',').map(str::trim).collect();
        if given.len() > shares.len() {
            return Err(bad());
        }
        for (share, given) in shares.iter_mut().zip(given) {
            *share = parts(given).ok_or_else(bad)?;
        }
        if shares.iter().sum::<u64>() != PARTS { Err(bad()) } else { Ok(Self(shares)) }
    }
}

/// A decimal number in [0, 1] with up to six decimals, exactly.
fn parts(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if fraction.len() > 6 || !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
    whole.checked_mul(PARTS)?.checked_add(fraction).filter(|parts| *parts <= PARTS)
}

impl fmt::Display for Splits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, share) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let fraction = format!("{:06}", share % PARTS);
            write!(f, "{comma}{}.{}", share / PARTS, fraction.trim_end_matches('0'))?;
            if share % PARTS == 0 {
                f.write_str("0")?;
            }
        }
        Ok(())
    }
}

impl Splits {
    /// The splits that rows may be in.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        NAMES.into_iter().zip(self.0).filter(|(_, share)| *share > 0).map(|(name, _)| name)
    }

    /// The split of a row about this task; without a task key, of this prompt.
    pub(super) fn of(&self, task_key: Option<&str>, prompt: &[u8]) -> u8 {
        if self.0[0] == PARTS {
            return 0;
        }
        let mut hash = Sha256::new();
        match task_key.filter(|key| !key.is_empty()) {
            Some(key) => hash.update([b"stillhouse split task\0", key.as_bytes()].concat()),
            None => {
                hash.update(b"stillhouse split prompt\0");
                hash.update(prompt);
            }
        }
        let digest = hash.finalize();
        let place = u64::from_be_bytes(std::array::from_fn(|i| digest[i])) % PARTS;
        let mut end = 0;
        for (number, share) in (0..).zip(self.0) {
            end += share;
            if place < end {
                return number;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_one_and_are_spelled_in_one_way() {
        for (given, spelled) in [
            ("0.8,0.1,0.1", "0.8,0.1,0.1"),
            ("1", "1.0,0.0,0.0"),
            (" .5 , 0.50", "0.5,0.5,0.0"),
            ("0.333333,0.333333,0.333334", "0.333333,0.333333,0.333334"),
        ] {
            let splits: Splits = given.parse().expect(given);
            assert_eq!(splits.to_string(), spelled);
            assert_eq!(spelled.parse(), Ok(splits));
        }
        for bad in [
            "",
            ".",
            "0.8,0.1",
            "0.8,0.1,0.1,0.0",
            "80,10,10",
            "-0.1,1.1",
            "0.5,0.5x",
            "nan",
            "1e0",
            "0.5000001,0.4999999",
        ] {
            assert!(bad.parse::<Splits>().is_err(), "{bad}");
        }
    }

    /// Golden: a row keeps its split for ever, so these must never change.
    #[test]
    fn a_task_keeps_its_split() {
        let splits: Splits = "0.8,0.1,0.1".parse().expect("shares");
        let of: String = (0..40).map(|n| char::from(b'0' + splits.of(Some(&format!("task-{n}")), b"x"))).collect();
        assert_eq!(of, GOLDEN);
        assert_eq!(splits.of(Some("task-1"), b"one prompt"), splits.of(Some("task-1"), b"another"));
        assert_eq!(splits.of(None, b"p"), splits.of(Some(""), b"p"), "an empty key is none");
        let counts = (0..10_000).fold([0; 3], |mut counts: [u32; 3], n| {
            counts[usize::from(splits.of(None, format!("{n}").as_bytes()))] += 1;
            counts
        });
        assert!(counts[0].abs_diff(8_000) < 200 && counts[1].abs_diff(1_000) < 150, "{counts:?}");
        // Growing train takes from the others and gives them nothing.
        let more: Splits = "0.9,0.05,0.05".parse().expect("shares");
        assert!(
            (0..1_000).map(|n| format!("t{n}")).all(|t| splits.of(Some(&t), b"") != 0 || more.of(Some(&t), b"") == 0)
        );
    }

    const GOLDEN: &str = "0001020000001000100000000000010000000220";
}
