//! What safe Rust cannot say: vector instructions, prefetching, and the mapping of a file.
//!
//! Everything here is safe to call. A kernel's fast form is taken only where the processor was asked for it, and each
//! has a portable form with the same result (the integer kernels exactly, the others up to the order of their sums).
#![expect(
    unsafe_code,
    reason = "instructions chosen at run time and mapped files have no safe form; all of it is in this module"
)]

use memmap2::{Advice, Mmap};
use std::fs::File;
use std::io;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// How many elements of a code are taken at a time: rows of codes are padded to a multiple of this.
pub(crate) const LANES: usize = 32;

#[cfg(target_arch = "x86_64")]
fn wide() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The dot product of two vectors of one length.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    #[cfg(target_arch = "x86_64")]
    if wide() {
        // SAFETY: the processor has the instructions.
        return unsafe { dot_wide(a, b) };
    }
    dot_portable(a, b)
}

/// The squared Euclidean distance of two vectors of one length.
pub(crate) fn squared(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    #[cfg(target_arch = "x86_64")]
    if wide() {
        // SAFETY: the processor has the instructions.
        return unsafe { squared_wide(a, b) };
    }
    squared_portable(a, b)
}

/// The dot product of a query's codes and a row's. Exact: the caller keeps the query's codes small enough for 32 bits.
pub(crate) fn dot_codes(query: &[i16], row: &[i8]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if wide() {
        // SAFETY: the processor has the instructions.
        return unsafe { dot_codes_wide(query, row) };
    }
    query.iter().zip(row).map(|(&q, &r)| i32::from(q) * i32::from(r)).sum()
}

/// The dot product of the codes of two rows.
pub(crate) fn dot_rows(a: &[i8], b: &[i8]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if wide() {
        // SAFETY: the processor has the instructions.
        return unsafe { dot_rows_wide(a, b) };
    }
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// Asks for these to be brought near; no effect but on time.
#[inline(always)]
pub(crate) fn prefetch<T>(memory: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in memory.chunks(64 / size_of::<T>()) {
        // SAFETY: a prefetch reads nothing, and the address is that of a live slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = memory;
}

/// Asks for large pages for memory that has not been touched yet: what is read here and there all over it waits less for
/// the translation of addresses. No effect but on time.
pub(crate) fn enlarge<T>(memory: Vec<T>) -> Vec<T> {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4_096;
        let (from, bytes) = (memory.as_ptr() as usize, memory.capacity() * size_of::<T>());
        let (begin, end) = (from.next_multiple_of(PAGE), (from + bytes) / PAGE * PAGE);
        if end > begin {
            // SAFETY: an advice on whole pages that lie within this vector's memory; it changes nothing in them.
            unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_HUGEPAGE) };
        }
    }
    memory
}

/// Maps a file that is written once and never changed afterwards.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: files of segments are renamed into place when complete and only ever removed after that; what is read from
    // them is checked where it is used (bounds of row numbers), so a change from outside would spoil results, not memory.
    // A file that is cut short from outside while it is mapped ends the process, as with every mapped file.
    let map = unsafe { Mmap::map(file) }?;
    let _ = map.advise(Advice::Random);
    Ok(map)
}

fn dot_portable(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| a * b)
}

fn squared_portable(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| (a - b) * (a - b))
}

/// Sixteen sums at a time, which every compiler turns into vector instructions of whatever the target has.
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (left, right) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(&a, &b)| term(a, b)).sum();
    for (a, b) in left.zip(right) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(a, b);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn total(lanes: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn total_int(lanes: __m256i) -> i32 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let pair = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_11_10>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32::<0b00_00_00_01>(pair)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dot_wide(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    let (left, right) = (a.chunks_exact(32), b.chunks_exact(32));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(&a, &b)| a * b).sum();
    for (a, b) in left.zip(right) {
        for (at, sum) in sums.iter_mut().enumerate() {
            // SAFETY: both chunks have 32 floats, and 8 are read from 8 * at, at < 4.
            let (a, b) = unsafe { (_mm256_loadu_ps(a.as_ptr().add(8 * at)), _mm256_loadu_ps(b.as_ptr().add(8 * at))) };
            *sum = _mm256_fmadd_ps(a, b, *sum);
        }
    }
    total(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]))) + rest
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn squared_wide(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    let (left, right) = (a.chunks_exact(32), b.chunks_exact(32));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(&a, &b)| (a - b) * (a - b)).sum();
    for (a, b) in left.zip(right) {
        for (at, sum) in sums.iter_mut().enumerate() {
            // SAFETY: both chunks have 32 floats, and 8 are read from 8 * at, at < 4.
            let (a, b) = unsafe { (_mm256_loadu_ps(a.as_ptr().add(8 * at)), _mm256_loadu_ps(b.as_ptr().add(8 * at))) };
            let step = _mm256_sub_ps(a, b);
            *sum = _mm256_fmadd_ps(step, step, *sum);
        }
    }
    total(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]))) + rest
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dot_codes_wide(query: &[i16], row: &[i8]) -> i32 {
    let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let (left, right) = (query.chunks_exact(LANES), row.chunks_exact(LANES));
    let rest: i32 = left.remainder().iter().zip(right.remainder()).map(|(&q, &r)| i32::from(q) * i32::from(r)).sum();
    for (q, r) in left.zip(right) {
        // SAFETY: both chunks have 32 elements: 64 bytes of the query, 32 of the row.
        unsafe {
            let first = _mm256_cvtepi8_epi16(_mm_loadu_si128(r.as_ptr().cast()));
            let second = _mm256_cvtepi8_epi16(_mm_loadu_si128(r.as_ptr().add(16).cast()));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(first, _mm256_loadu_si256(q.as_ptr().cast())));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(second, _mm256_loadu_si256(q.as_ptr().add(16).cast())));
        }
    }
    total_int(_mm256_add_epi32(low, high)).wrapping_add(rest)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dot_rows_wide(a: &[i8], b: &[i8]) -> i32 {
    let mut sums = [_mm256_setzero_si256(); 2];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: i32 = left.remainder().iter().zip(right.remainder()).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
    for (a, b) in left.zip(right) {
        for (at, sum) in sums.iter_mut().enumerate() {
            // SAFETY: both chunks have 32 bytes, and 16 are read from 16 * at, at < 2.
            let (a, b) = unsafe {
                (_mm_loadu_si128(a.as_ptr().add(16 * at).cast()), _mm_loadu_si128(b.as_ptr().add(16 * at).cast()))
            };
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b)));
        }
    }
    total_int(_mm256_add_epi32(sums[0], sums[1])).wrapping_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(seed: u32, len: usize) -> Vec<f32> {
        let mut state = seed;
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    #[test]
    fn the_fast_forms_say_what_the_portable_ones_say() {
        for len in [0, 1, 7, 31, 32, 33, 64, 100, 384, 1_537] {
            let (a, b) = (floats(1, len), floats(2, len));
            let near = |x: f32, y: f32| assert!((x - y).abs() <= 1e-4 * (1.0 + y.abs()), "{len}: {x} {y}");
            near(dot(&a, &b), dot_portable(&a, &b));
            near(squared(&a, &b), squared_portable(&a, &b));
            let rows: Vec<i8> = a.iter().map(|x| (x * 127.0) as i8).collect();
            let others: Vec<i8> = b.iter().map(|x| (x * 127.0) as i8).collect();
            let wide: Vec<i16> = b.iter().map(|x| (x * 8_000.0) as i16).collect();
            assert_eq!(
                dot_rows(&rows, &others),
                rows.iter().zip(&others).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>()
            );
            assert_eq!(
                dot_codes(&wide, &rows),
                wide.iter().zip(&rows).map(|(&q, &r)| i32::from(q) * i32::from(r)).sum::<i32>()
            );
        }
    }
}
