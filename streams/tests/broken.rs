//! Journals that are broken in one way each: what the suite says to them shows that its cases can fail.

use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use stillhouse_kit::conformance::{self, Backend, Traits};
use stillhouse_streams::{
    Append, Batch, BatchLimits, GroupSpec, Headers, Journal, MemoryJournal, Progress, Receipt, Result, Scan, Session,
    Wraps,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    TornBatches,
    LosesTheLast,
    DropsHeaders,
    SwapsRecords,
    OutputsWithoutProgress,
    ProgressWithoutOutputs,
    NobodyIsFenced,
    TakesTooMuch,
    ForgetsToRewind,
    IgnoresLimits,
    ScansPastTheEnd,
    ResetsUnderMembers,
    KeepsEverything,
}

/// Each fault, and a case that must find it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::TornBatches, "appends::batches_over_topics_are_atomic"),
    (Fault::TornBatches, "appends::a_refused_batch_leaves_nothing"),
    (Fault::LosesTheLast, "appends::order_is_kept_per_partition"),
    (Fault::LosesTheLast, "generated::operations_agree_with_the_reference"),
    (Fault::DropsHeaders, "records::headers_survive"),
    (Fault::SwapsRecords, "appends::order_is_kept_per_partition"),
    (Fault::OutputsWithoutProgress, "groups::outputs_and_progress_are_one"),
    (Fault::ProgressWithoutOutputs, "groups::outputs_and_progress_are_one"),
    (Fault::ProgressWithoutOutputs, "sharing::members_come_and_go"),
    (Fault::NobodyIsFenced, "sharing::a_lost_partition_is_fenced"),
    (Fault::TakesTooMuch, "records::the_largest_record_is_taken_and_the_next_is_not"),
    (Fault::ForgetsToRewind, "groups::what_was_not_committed_comes_again"),
    (Fault::ForgetsToRewind, "outcomes::unknown_commits_lose_and_double_nothing"),
    (Fault::IgnoresLimits, "groups::limits_bind"),
    (Fault::ScansPastTheEnd, "reads::bounds_of_a_scan"),
    (Fault::ResetsUnderMembers, "groups::reset_moves_a_group_without_members"),
    (Fault::KeepsEverything, "cleaning::retention_takes_the_old_from_the_beginning"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_found() {
    for (fault, case) in FAULTS {
        let found = conformance::failures(&Backends(*fault), &[case]).await;
        assert_eq!(found.len(), 1, "{case} does not see that {fault:?}");
    }
}

struct Backends(Fault);

#[async_trait]
impl Backend for Backends {
    fn name(&self) -> &str {
        "broken"
    }

    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(Broken(MemoryJournal::new(), self.0))
    }

    async fn reopen(&self, journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
        journal
    }

    fn traits(&self) -> Traits {
        Traits { id_index: true, dense_offsets: true, cleans: true, immediate: true }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }
}

struct Broken(MemoryJournal, Fault);

#[async_trait]
impl Wraps for Broken {
    fn wrapped(&self) -> &dyn Journal {
        &self.0
    }

    fn max_record_bytes(&self) -> usize {
        self.0.max_record_bytes() - usize::from(self.1 == Fault::TakesTooMuch)
    }

    async fn append(&self, mut batch: Vec<Append>) -> Result<Vec<Receipt>> {
        match self.1 {
            Fault::TornBatches => {
                let mut receipts = Vec::new();
                for append in batch {
                    receipts.extend(self.0.append(vec![append]).await?);
                    tokio::task::yield_now().await;
                }
                Ok(receipts)
            }
            Fault::LosesTheLast if batch.len() > 1 => {
                batch.pop();
                let mut receipts = self.0.append(batch).await?;
                receipts.extend(receipts.last().cloned());
                Ok(receipts)
            }
            Fault::DropsHeaders => {
                batch.iter_mut().for_each(|append| append.record.headers = Headers::default());
                self.0.append(batch).await
            }
            Fault::SwapsRecords => {
                batch.reverse();
                self.0.append(batch).await
            }
            _ => self.0.append(batch).await,
        }
    }

    async fn scan(&self, topic: &str, partition: u32, from: u64, until: Option<u64>) -> Result<Box<dyn Scan>> {
        let until = until.map(|until| until + u64::from(self.1 == Fault::ScansPastTheEnd && until < u64::MAX));
        self.0.scan(topic, partition, from, until).await
    }

    async fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Session>> {
        Ok(Box::new(BrokenSession(self.0.join(spec).await?, self.0.clone(), self.1)))
    }

    async fn reset(&self, group: &str, progress: &Progress) -> Result<()> {
        match self.1 {
            Fault::ResetsUnderMembers => Ok(()),
            _ => self.0.reset(group, progress).await,
        }
    }

    async fn clean(&self, now: i64) -> Result<()> {
        if self.1 == Fault::KeepsEverything { Ok(()) } else { self.0.clean(now).await }
    }
}

struct BrokenSession(Box<dyn Session>, MemoryJournal, Fault);

#[async_trait]
impl Session for BrokenSession {
    async fn next(&mut self, limits: &BatchLimits) -> Result<Batch> {
        let mut limits = limits.clone();
        if self.2 == Fault::IgnoresLimits {
            limits.records += 1;
        }
        self.0.next(&limits).await
    }

    async fn commit(&mut self, outputs: Vec<Append>, progress: &Progress) -> Result<Vec<Receipt>> {
        match self.2 {
            Fault::OutputsWithoutProgress => self.0.commit(outputs, &Progress::default()).await,
            Fault::ProgressWithoutOutputs => self.0.commit(Vec::new(), progress).await,
            Fault::NobodyIsFenced => self.1.append(outputs).await,
            _ => self.0.commit(outputs, progress).await,
        }
    }

    async fn rewind(&mut self) -> Result<()> {
        if self.2 == Fault::ForgetsToRewind { Ok(()) } else { self.0.rewind().await }
    }

    fn assignment(&self) -> Vec<(Arc<str>, u32)> {
        self.0.assignment()
    }

    async fn leave(self: Box<Self>) -> Result<()> {
        self.0.leave().await
    }
}
