//! One pass over a text, each rule asked only where a find of it could be noticed.

use super::RULES;
use std::ops::Range;
use std::sync::LazyLock;

/// For each byte, a bit for every rule that may notice something at it.
static NOTICED: LazyLock<[u8; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let byte = u8::try_from(byte).unwrap_or_default();
        RULES.iter().enumerate().filter(|(_, rule)| (rule.at)(byte)).fold(0, |bits, (number, _)| bits | 1 << number)
    })
});

/// Letters and digits, which words are made of.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// The finds of the rules that are `wanted`, in order and apart. Finds begin and end between characters: rules go by
/// ASCII bytes only.
pub(super) fn scan(text: &str, wanted: impl Fn(usize) -> bool) -> Vec<(Range<usize>, usize)> {
    let mask = (0..RULES.len()).filter(|rule| wanted(*rule)).fold(0_u8, |mask, rule| mask | 1 << rule);
    let bytes = text.as_bytes();
    let mut finds: Vec<(Range<usize>, usize)> = Vec::new();
    let (mut at, mut free) = (0, 0);
    while at < bytes.len() {
        let mut bits = NOTICED[usize::from(bytes[at])] & mask;
        let mut next = at + 1;
        while bits != 0 {
            let number = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let rule = &RULES[number];
            let start = (rule.back)(bytes, at);
            if start < free || (start > 0 && is_word(bytes[start - 1])) {
                continue;
            }
            if let Some(end) = (rule.finds)(bytes, at)
                && end > start
                && bytes.get(end).is_none_or(|byte| !is_word(*byte))
            {
                finds.push((start..end, number));
                free = end;
                next = end;
                break;
            }
        }
        at = next;
    }
    finds
}
