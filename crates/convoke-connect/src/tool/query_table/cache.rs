//! Tables that are kept between queries, as long as their file is unchanged and there is room.

use std::sync::{Arc, Mutex, PoisonError};

use convoke_port::tool::ToolError;

use super::load::{Table, load};
use crate::tool::file::ground::{Ground, Spot};
use crate::tool::job::Job;

/// Which file in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, u64),
    /// By ending: the format is told by the name.
    name: u64,
}

/// A table, or a place where one is being loaded. Whoever holds the lock loads; the others wait for it.
type Slot = Arc<Mutex<Option<Arc<Table>>>>;

/// The tables of a toolbox, most recently used last.
#[derive(Default)]
pub(crate) struct Tables {
    slots: Mutex<Vec<(Key, Slot)>>,
}

impl Tables {
    /// The table of a file: from memory if the file is unchanged, else loaded.
    pub(crate) fn get(&self, job: &Job, ground: &Ground, spot: &Spot) -> Result<Arc<Table>, ToolError> {
        let (file, size) = ground.file(spot)?;
        let shown = spot.shown();
        if size > job.limits.query.table_bytes {
            return Err(ToolError::Refused(format!(
                "`{shown}` has {size} bytes; {} can be loaded as a table",
                job.limits.query.table_bytes
            )));
        }
        let key = key(&file, spot)?;
        let slot = self.slot(key);
        let mut place = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = &*place {
            return Ok(table.clone());
        }
        match load(job, file, &shown) {
            Ok(table) => {
                let table = Arc::new(table);
                *place = Some(table.clone());
                drop(place);
                self.shrink(key, job.limits.query.cache_bytes);
                Ok(table)
            }
            Err(error) => {
                drop(place);
                self.lock().retain(|(other, _)| *other != key);
                Err(error)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Key, Slot)>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a table, moved to the end of the queue.
    fn slot(&self, key: Key) -> Slot {
        let mut slots = self.lock();
        let slot = match slots.iter().position(|(other, _)| *other == key) {
            Some(at) => slots.remove(at).1,
            None => Slot::default(),
        };
        slots.push((key, slot.clone()));
        slot
    }

    /// Drops the tables that were not used for longest until the rest fits. What is being loaded stays.
    fn shrink(&self, newest: Key, most: u64) {
        let mut slots = self.lock();
        let size = |slot: &Slot| slot.try_lock().ok().and_then(|table| table.as_ref().map(|table| table.bytes));
        let mut total: u64 = slots.iter().filter_map(|(_, slot)| size(slot)).sum();
        slots.retain(|(key, slot)| match size(slot) {
            Some(bytes) if total > most && *key != newest => {
                total -= bytes;
                false
            }
            _ => true,
        });
    }
}

fn key(file: &std::fs::File, spot: &Spot) -> Result<Key, ToolError> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::os::unix::fs::MetadataExt;
    let data = file.metadata().map_err(|error| ToolError::Failed(format!("`{}`: {error}", spot.shown())))?;
    let mut hash = DefaultHasher::new();
    spot.relative.extension().hash(&mut hash);
    Ok(Key {
        device: data.dev(),
        inode: data.ino(),
        size: data.size(),
        changed: (data.mtime(), data.mtime_nsec() as u64),
        name: hash.finish(),
    })
}
