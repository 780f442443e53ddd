//! How a journal is opened.

/// What an answered append or commit survives. Kills of this process are survived by all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Power cuts and crashes of the machine too: every commit is fsynced before it is answered.
    #[default]
    Full,
    /// A power cut may lose the commits of the last second or so, whole and from the end; the journal stays sound.
    Process,
    /// Nothing is fsynced: a power cut may leave a journal that has to be thrown away. For tests and for what can be
    /// made again.
    None,
}

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What an answer promises.
    pub durability: Durability,
    /// Opens a journal that lost what it had acknowledged (a restored backup, say), writes down what was lost, and
    /// takes what is there as the truth from now on.
    pub accept_loss: bool,
    /// Opens for reading only; appends, commits and joins are refused. Writes nothing.
    pub read_only: bool,
    /// Page cache of the writer, in MiB.
    pub cache_mib: u32,
    /// Breaks promises on purpose, so that tests of them can be seen to fail.
    #[doc(hidden)]
    pub faults: Faults,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            accept_loss: false,
            read_only: false,
            cache_mib: 64,
            faults: Faults::default(),
        }
    }
}

/// Promises to break. Each is what one of the tests must notice.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Serve records without looking at their checksums.
    pub skip_crc: bool,
    /// Answer before the commit.
    pub ack_before_commit: bool,
    /// Open without comparing the head file.
    pub skip_head_check: bool,
    /// Commit without looking at the lease.
    pub skip_fence_check: bool,
}
