//! A journal around another one: says only what it does differently.
//!
//! ```
//! use stillhouse_streams::{Journal, Wraps, memory::MemoryJournal};
//! struct Renamed(MemoryJournal);
//! impl Wraps for Renamed {
//!     fn wrapped(&self) -> &dyn Journal {
//!         &self.0
//!     }
//!     fn uri(&self) -> String {
//!         "renamed:".to_owned()
//!     }
//! }
//! let journal: Box<dyn Journal> = Box::new(Renamed(MemoryJournal::new()));
//! assert_eq!(journal.uri(), "renamed:");
//! ```

use crate::{
    Append, GroupSpec, GroupState, Journal, Position, Progress, Receipt, Result, Scan, Session, TopicSpec, TopicState,
    Verified,
};
use async_trait::async_trait;

macro_rules! wraps {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        /// A [`Journal`] by what stands behind it: every call goes there, unless it is written here.
        #[async_trait]
        pub trait Wraps: Send + Sync + 'static {
            /// The journal behind it.
            fn wrapped(&self) -> &dyn Journal;

            /// See [`Journal::uri`].
            fn uri(&self) -> String {
                self.wrapped().uri()
            }

            /// See [`Journal::max_record_bytes`].
            fn max_record_bytes(&self) -> usize {
                self.wrapped().max_record_bytes()
            }

            $(
                #[doc = concat!("See [`Journal::", stringify!($name), "`].")]
                async fn $name(&self, $($argument: $type),*) -> $answer {
                    self.wrapped().$name($($argument),*).await
                }
            )*
        }

        #[async_trait]
        impl<T: Wraps> Journal for T {
            fn uri(&self) -> String {
                Wraps::uri(self)
            }

            fn max_record_bytes(&self) -> usize {
                Wraps::max_record_bytes(self)
            }

            $(
                async fn $name(&self, $($argument: $type),*) -> $answer {
                    Wraps::$name(self, $($argument),*).await
                }
            )*
        }
    };
}

wraps! {
    ensure(topics: &[TopicSpec]) -> Result<()>;
    append(batch: Vec<Append>) -> Result<Vec<Receipt>>;
    scan(topic: &str, partition: u32, from: u64, until: Option<u64>) -> Result<Box<dyn Scan>>;
    offset_at(topic: &str, partition: u32, timestamp: i64) -> Result<u64>;
    find(id: &str) -> Result<Option<Position>>;
    join(spec: &GroupSpec) -> Result<Box<dyn Session>>;
    topics() -> Result<Vec<TopicState>>;
    groups() -> Result<Vec<GroupState>>;
    reset(group: &str, progress: &Progress) -> Result<()>;
    delete_topic(topic: &str) -> Result<()>;
    delete_group(group: &str) -> Result<()>;
    clean(now: i64) -> Result<()>;
    verify() -> Result<Verified>;
}
