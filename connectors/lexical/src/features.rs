//! What of a text is counted, and how much it weighs. Every number here is part of the version.
//!
//! Only operations whose result IEEE 754 fixes to the last bit are used (no power, no logarithm), and sums are made in one
//! order: so every host makes the same vector.

use unicode_normalization::UnicodeNormalization;

const WORD: f32 = 1.0;
const PAIR: f32 = 0.3;
const PART: f32 = 1.0;
/// Characters of a part, its word's borders among them.
const PARTS: std::ops::RangeInclusive<usize> = 3..=5;
/// A word of so many characters weighs half of what the longest could.
const HALF: f32 = 8.0;
/// Longer words (keys, hashes, base64) weigh no more, and give no more parts.
const LONGEST: usize = 24;

/// Calls `count` with the hash of each feature of a text and its weight, in the order of the hashes: sums of floats
/// depend on their order.
pub(crate) fn each(text: &str, mut count: impl FnMut(u64, f32)) {
    let mut found: Vec<(u64, f32)> = Vec::with_capacity(text.len().min(1 << 20) * 3);
    let mut previous: Option<(u64, f32)> = None;
    let mut bordered = Vec::with_capacity(LONGEST + 2);
    words(text, |word| {
        let length = word.len().min(LONGEST) as f32;
        let rarity = length / (length + HALF);
        let whole = hash(1, word);
        found.push((whole, WORD * rarity));
        if let Some((before, its_rarity)) = previous {
            found.push((mix(before.rotate_left(21) ^ whole), PAIR * (rarity * its_rarity).sqrt()));
        }
        previous = Some((whole, rarity));
        bordered.clear();
        bordered.push(' ');
        bordered.extend_from_slice(&word[..word.len().min(LONGEST)]);
        bordered.push(' ');
        let parts: usize = PARTS.map(|n| (bordered.len() + 1).saturating_sub(n)).sum();
        let weight = PART * rarity / (parts.max(1) as f32).sqrt();
        for part in PARTS.flat_map(|n| bordered.windows(n)) {
            found.push((hash(2, part), weight));
        }
    });
    found.sort_unstable_by(|(a, of_a), (b, of_b)| a.cmp(b).then(of_a.total_cmp(of_b)));
    for same in found.chunk_by(|(a, _), (b, _)| a == b) {
        // A part weighs what it does in the word where it weighs most.
        if let Some((hash, weight)) = same.last() {
            count(*hash, weight * (same.len() as f32).sqrt());
        }
    }
}

/// The words: runs of letters and digits; where words are written without blanks, every character is one.
fn words(text: &str, mut word: impl FnMut(&[char])) {
    let mut run = Vec::new();
    for c in text.nfkc().flat_map(char::to_lowercase) {
        let alone = is_word_alone(c);
        if !run.is_empty() && (alone || !c.is_alphanumeric()) {
            word(&run);
            run.clear();
        }
        if alone {
            word(&[c]);
        } else if c.is_alphanumeric() {
            run.push(c);
        }
    }
    if !run.is_empty() {
        word(&run);
    }
}

/// Han, kana, Thai, Lao, Khmer, Burmese: pairs of neighbours do there what words do elsewhere.
fn is_word_alone(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}'
        | '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// FNV-1a over the code points, mixed: it need not resist anybody, it must be the same for ever.
fn hash(kind: u64, chars: &[char]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ kind;
    mix(chars.iter().fold(start, |hash, c| (hash ^ u64::from(*c)).wrapping_mul(0x0100_0000_01b3)))
}

/// The finaliser of SplitMix64.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
