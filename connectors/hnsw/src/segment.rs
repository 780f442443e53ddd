//! A part of an index that does not change: one run of bytes, the same in memory and in its file.
//!
//! ```text
//! header | mean | vectors (f32) | blocks | places | upper | keys | labels | groups
//! block = scale, bias, lift, slack (f32) | codes (i8, padded to 32) | links of the lowest level (u32)
//! ```
//! All numbers are little-endian; each section begins at a multiple of 64. A row's block is what a walk reads of it, in
//! one place; its vector is read once, when it is among the best. Rows lie in the order in which a walk comes by them.
//! `labels` are places in `groups`, the groups of this segment.

use memmap2::{Mmap, MmapMut};
use std::fs::File;
use std::path::Path;

use crate::builder::{Builder, NONE, Rows};
use crate::codes::{Coder, Head, Probe, padded};
use crate::distance::Distance;
use crate::error::Error;
use crate::machine;
use crate::settings::Settings;
use crate::walk::Graph;

#[cfg(not(target_endian = "little"))]
compile_error!("segments are little-endian and read in place");

const MAGIC: u64 = u64::from_le_bytes(*b"stillvec");
const VERSION: u32 = 1;
const ALIGN: usize = 64;
/// Row numbers are 31 bits wide.
pub(crate) const MOST_ROWS: u64 = (1 << 31) - 1;

/// What a file begins with.
#[derive(Clone, Copy, Debug)]
struct Header {
    distance: u32,
    dims: u32,
    links: u32,
    rows: u32,
    groups: u32,
    entry: u32,
    top: u32,
    /// Words of the links of the upper levels.
    upper: u32,
    longest: f32,
}

/// The header as it stands in the file.
type Words = [u32; 16];

impl Header {
    const BYTES: usize = size_of::<Words>();

    fn words(&self) -> Words {
        let &Self { distance, dims, links, rows, groups, entry, top, upper, longest } = self;
        let [low, high] = [MAGIC as u32, (MAGIC >> 32) as u32];
        let longest = longest.to_bits();
        [low, high, VERSION, distance, dims, links, rows, groups, entry, top, upper, longest, 0, 0, 0, 0]
    }

    fn of(words: Words) -> Result<Self, String> {
        let [low, high, version, distance, dims, links, rows, groups, entry, top, upper, longest, ..] = words;
        if u64::from(low) | u64::from(high) << 32 != MAGIC {
            return Err("not a segment of an index".into());
        }
        if version != VERSION {
            return Err(format!("a segment of format {version}, and this is format {VERSION}"));
        }
        let longest = f32::from_bits(longest);
        Ok(Self { distance, dims, links, rows, groups, entry, top, upper, longest })
    }
}

/// Where the sections are.
#[derive(Clone, Copy, Debug)]
struct Layout {
    mean: usize,
    vectors: usize,
    blocks: usize,
    stride: usize,
    width: usize,
    places: usize,
    upper: usize,
    keys: usize,
    labels: usize,
    groups: usize,
    end: usize,
}

impl Layout {
    /// None where the numbers of a foreign header overflow.
    fn of(header: &Header) -> Option<Self> {
        let (rows, dims) = (header.rows as usize, header.dims as usize);
        let width = padded(dims);
        let stride = (Head::BYTES + width + header.links as usize * 2 * 4).next_multiple_of(16);
        let mut at = Header::BYTES;
        let mut section = |bytes: Option<usize>| {
            let place = at.checked_next_multiple_of(ALIGN)?;
            at = place.checked_add(bytes?)?;
            Some(place)
        };
        Some(Self {
            mean: section(dims.checked_mul(4))?,
            vectors: section(rows.checked_mul(dims)?.checked_mul(4))?,
            blocks: section(rows.checked_mul(stride))?,
            stride,
            width,
            places: section(rows.checked_mul(4))?,
            upper: section((header.upper as usize).checked_mul(4))?,
            keys: section(rows.checked_mul(8))?,
            labels: section(rows.checked_mul(4))?,
            groups: section((header.groups as usize).checked_mul(4))?,
            end: at,
        })
    }
}

#[derive(Debug)]
enum Image {
    Memory(MmapMut),
    File(Mmap),
}

/// A row to build of.
pub(crate) trait Sources: Rows {
    fn key(&self, row: u32) -> u64;
    fn group(&self, row: u32) -> u32;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Segment {
    image: Image,
    header: Header,
    layout: Layout,
}

/// A segment's sections, as what they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub rows: u32,
    pub entry: u32,
    pub top: usize,
    dims: usize,
    links: usize,
    width: usize,
    stride: usize,
    blocks: &'a [u8],
    vectors: &'a [f32],
    places: &'a [u32],
    upper: &'a [u32],
    pub keys: &'a [u64],
    pub labels: &'a [u32],
    pub groups: &'a [u32],
}

fn code_of(distance: Distance) -> u32 {
    match distance {
        Distance::Cosine => 1,
        Distance::Euclidean => 2,
        Distance::Dot => 3,
    }
}

fn mean_of(rows: &impl Rows, dims: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; dims];
    for row in 0..rows.len() {
        for (sum, &x) in sums.iter_mut().zip(rows.vector(row)) {
            *sum += f64::from(x);
        }
    }
    sums.iter().map(|sum| (sum / f64::from(rows.len().max(1))) as f32).collect()
}

/// Rows in an order in which each is followed by its nearest that has no place yet: what is near in the graph is near in
/// memory.
fn order_of(builder: &Builder, rows: u32) -> Vec<u32> {
    let mut order = Vec::with_capacity(rows as usize);
    let mut placed = vec![false; rows as usize];
    let (mut waiting, mut links) = (Vec::new(), Vec::new());
    for first in std::iter::once(builder.entry()).chain(0..rows).filter(|&row| row < rows) {
        waiting.push(first);
        while let Some(row) = waiting.pop() {
            if std::mem::replace(&mut placed[row as usize], true) {
                continue;
            }
            order.push(row);
            links.clear();
            Graph::links(builder, row, |to| links.push(to));
            // The nearest is the next to be taken.
            waiting.extend(links.iter().rev().filter(|&&to| !placed[to as usize]));
        }
    }
    order
}

impl Segment {
    /// Builds a segment. The second is where each row of `rows` went.
    pub fn build(rows: &impl Sources, settings: &Settings) -> Result<(Self, Vec<u32>), Error> {
        let (dims, links, count) = (settings.dims, settings.links, rows.len());
        let mean = mean_of(rows, dims);
        let square = |row| machine::dot(rows.vector(row), rows.vector(row));
        let longest = match settings.distance {
            Distance::Dot => (0..count).map(square).fold(0.0, f32::max),
            _ => 0.0,
        };
        let coder = Coder { distance: settings.distance, mean: &mean, longest };
        let builder = Builder::build(rows, coder, links, settings.ef_construction, settings.threads);
        let order = order_of(&builder, count);
        let mut moved = vec![NONE; count as usize];
        for (new, &old) in order.iter().enumerate() {
            moved[old as usize] = new as u32;
        }
        let mut groups: Vec<u32> = (0..count).map(|row| rows.group(row)).collect();
        groups.sort_unstable();
        groups.dedup();
        let words = |row: u32| usize::from(builder.level(row)) * links;
        let header = Header {
            distance: code_of(settings.distance),
            dims: dims as u32,
            links: links as u32,
            rows: count,
            groups: groups.len() as u32,
            entry: moved.get(builder.entry() as usize).copied().unwrap_or_default(),
            top: if count > 0 { u32::from(builder.level(builder.entry())) } else { 0 },
            upper: order.iter().filter(|&&row| builder.level(row) > 0).map(|&row| 1 + words(row) as u32).sum(),
            longest,
        };
        let layout = Layout::of(&header).ok_or(Error::Full(MOST_ROWS))?;
        let mut image = MmapMut::map_anon(layout.end).map_err(Error::io(Path::new("memory")))?;
        #[cfg(target_os = "linux")]
        let _ = image.advise(memmap2::Advice::HugePage);
        image[..Header::BYTES].copy_from_slice(bytemuck::bytes_of(&header.words()));
        let put = |image: &mut [u8], at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(&mut image, layout.mean, bytemuck::cast_slice(&mean));
        put(&mut image, layout.groups, bytemuck::cast_slice(&groups));
        let target = |link: u32| moved.get(link as usize).copied().unwrap_or(NONE);
        let mut upper: Vec<u32> = Vec::with_capacity(header.upper as usize);
        for (new, &old) in order.iter().enumerate() {
            put(&mut image, layout.vectors + new * dims * 4, bytemuck::cast_slice(rows.vector(old)));
            let block = layout.blocks + new * layout.stride;
            put(&mut image, block, builder.block(old));
            let low: Vec<u32> = builder.linked(old, 0).map(target).collect();
            put(&mut image, block + Head::BYTES + layout.width, bytemuck::cast_slice(&low));
            let place = if builder.level(old) > 0 { upper.len() as u32 } else { NONE };
            put(&mut image, layout.places + new * 4, bytemuck::bytes_of(&place));
            if place != NONE {
                upper.push(u32::from(builder.level(old)));
                (1..=usize::from(builder.level(old)))
                    .for_each(|level| upper.extend(builder.linked(old, level).map(target)));
            }
            put(&mut image, layout.keys + new * 8, bytemuck::bytes_of(&rows.key(old)));
            let label = groups.partition_point(|&group| group < rows.group(old)) as u32;
            put(&mut image, layout.labels + new * 4, bytemuck::bytes_of(&label));
        }
        put(&mut image, layout.upper, bytemuck::cast_slice(&upper));
        Ok((Self { image: Image::Memory(image), header, layout }, moved))
    }

    /// Maps a file whose checksum the caller has compared.
    pub fn open(path: &Path, dims: usize, distance: Distance) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        let image = machine::map(&file).map_err(Error::io(path))?;
        let refused = |reason: String| Error::refused(path, reason);
        let words = image.get(..Header::BYTES).ok_or_else(|| refused("too short for a segment".into()))?;
        let header = Header::of(bytemuck::pod_read_unaligned(words)).map_err(refused)?;
        if header.dims as usize != dims || header.distance != code_of(distance) {
            return Err(refused("a segment of other dimensions or another distance".into()));
        }
        let layout = Layout::of(&header).filter(|layout| layout.end == image.len());
        let Some(layout) = layout else { return Err(refused("its length is not what its header says".into())) };
        if u64::from(header.rows) > MOST_ROWS || (header.rows > 0 && header.entry >= header.rows) || header.top > 64 {
            return Err(refused("its header cannot be".into()));
        }
        let segment = Self { image: Image::File(image), header, layout };
        let view = segment.view();
        if view.labels.iter().any(|&label| label >= header.groups) {
            return Err(refused("a row has no group".into()));
        }
        if !(0..view.rows).all(|row| view.head(row).is_sound()) {
            return Err(refused("a row's codes are not numbers".into()));
        }
        Ok(segment)
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.image {
            Image::Memory(bytes) => bytes,
            Image::File(bytes) => bytes,
        }
    }

    pub fn coder(&self, distance: Distance) -> Coder<'_> {
        let mean = self.section(self.layout.mean, self.header.dims as usize);
        Coder { distance, mean, longest: self.header.longest }
    }

    pub fn rows(&self) -> u32 {
        self.header.rows
    }

    fn section<T: bytemuck::Pod>(&self, at: usize, count: usize) -> &[T] {
        bytemuck::cast_slice(&self.bytes()[at..at + count * size_of::<T>()])
    }

    pub fn view(&self) -> View<'_> {
        let (header, layout) = (&self.header, &self.layout);
        let (rows, dims) = (header.rows as usize, header.dims as usize);
        View {
            rows: header.rows,
            entry: header.entry,
            top: header.top as usize,
            dims,
            links: header.links as usize,
            width: layout.width,
            stride: layout.stride,
            blocks: self.section(layout.blocks, rows * layout.stride),
            vectors: self.section(layout.vectors, rows * dims),
            places: self.section(layout.places, rows),
            upper: self.section(layout.upper, header.upper as usize),
            keys: self.section(layout.keys, rows),
            labels: self.section(layout.labels, rows),
            groups: self.section(layout.groups, header.groups as usize),
        }
    }

    /// How many rows each group has.
    pub fn census(&self) -> Vec<u32> {
        let view = self.view();
        let mut counts = vec![0; view.groups.len()];
        view.labels.iter().for_each(|&label| counts[label as usize] += 1);
        counts
    }
}

impl<'a> View<'a> {
    #[inline(always)]
    fn block(&self, row: u32) -> &'a [u8] {
        &self.blocks[row as usize * self.stride..][..self.stride]
    }

    #[inline(always)]
    pub fn head(&self, row: u32) -> Head {
        Head::of(bytemuck::pod_read_unaligned(&self.block(row)[..Head::BYTES]))
    }

    #[inline(always)]
    fn codes(&self, row: u32) -> &'a [i8] {
        bytemuck::cast_slice(&self.block(row)[Head::BYTES..][..self.width])
    }

    /// The vector as it was put in.
    pub fn vector(&self, row: u32) -> &'a [f32] {
        &self.vectors[row as usize * self.dims..][..self.dims]
    }
}

impl Graph for View<'_> {
    fn rows(&self) -> u32 {
        self.rows
    }

    #[inline(always)]
    fn key(&self, probe: &Probe, row: u32) -> f32 {
        probe.key(&self.head(row), self.codes(row))
    }

    #[inline(always)]
    fn prefetch(&self, row: u32) {
        if row < self.rows {
            machine::prefetch(&self.block(row)[..Head::BYTES + self.width]);
        }
    }

    #[inline(always)]
    fn prefetch_links(&self, row: u32) {
        machine::prefetch(&self.block(row)[Head::BYTES + self.width..]);
    }

    #[inline(always)]
    fn links(&self, row: u32, to: impl FnMut(u32)) {
        let links: &[u32] = bytemuck::cast_slice(&self.block(row)[Head::BYTES + self.width..][..self.links * 8]);
        links.iter().copied().take_while(|&link| link != NONE).for_each(to);
    }

    fn upper(&self, row: u32, level: usize, to: impl FnMut(u32)) {
        let Some(&place) = self.places.get(row as usize).filter(|&&place| place != NONE) else { return };
        let words = self.upper.get(place as usize..).unwrap_or_default();
        if words.first().is_none_or(|&levels| (levels as usize) < level) {
            return;
        }
        let links = words.get(1 + (level - 1) * self.links..).unwrap_or_default();
        links.iter().copied().take(self.links).take_while(|&link| link != NONE).for_each(to);
    }
}
