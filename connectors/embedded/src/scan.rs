//! Reads one partition in pages.

use crate::journal::Handle;
use crate::rows::{Page, Walk};
use async_trait::async_trait;
use std::ops::ControlFlow;
use std::sync::Arc;
use stillhouse_streams::{Result, Scan, Stored};

/// One page is one buffer, kept as long as any of its records.
const PAGE_BYTES: usize = 4 << 20;
/// Rows looked at in one read transaction, where compaction left many holes.
const PAGE_ROWS: u64 = 20_000;

/// See the module.
pub(crate) struct EmbeddedScan {
    pub(crate) handle: Arc<Handle>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    pub(crate) next: u64,
    pub(crate) until: u64,
}

#[async_trait]
impl Scan for EmbeddedScan {
    async fn next(&mut self, max: usize) -> Result<Vec<Stored>> {
        loop {
            let (topic, number, from, until) = (self.topic.clone(), self.partition, self.next, self.until);
            let skip_crc = self.handle.shared.options.faults.skip_crc;
            let (records, next, ended) = self
                .handle
                .shared
                .reading(move |view| {
                    let place = view.catalog.place(&topic, number)?;
                    let mut page = Page::new(place.clone(), max.max(1), PAGE_BYTES);
                    let walk = Walk { conn: view.conn, skip_crc };
                    let mut turned_away = None;
                    let last = from.saturating_add(PAGE_ROWS).min(until);
                    let end = walk.rows(&place, from..last, |raw| {
                        let step = page.take(raw);
                        if page.turned_away() {
                            turned_away = Some(raw.offset);
                            return Ok(ControlFlow::Break(()));
                        }
                        Ok(step)
                    })?;
                    let next = turned_away.unwrap_or(end);
                    // At the end: nothing was shown although nothing stood in the way.
                    let ended = next >= until || next == from && page.len() == 0;
                    Ok((page.records()?, next, ended))
                })
                .await?;
            self.next = next.max(self.next);
            if !records.is_empty() || ended {
                return Ok(records);
            }
        }
    }
}
