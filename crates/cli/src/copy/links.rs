//! Files with several names, which become one file again.
//!
//! The first worker that meets a name of such a file claims it and copies the file. Workers that
//! meet another name meanwhile leave that here, and it becomes work once the copy has its name;
//! later names are linked at once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Stat, statat};

use super::folder::{Entry, Folder};
use super::identity::{self, Identity};

type Waiting = (Arc<Folder>, Entry);

/// The files with several names that were met so far.
#[derive(Debug, Default)]
pub(super) struct Links {
    known: Mutex<HashMap<Identity, State>>,
    /// Names that waited and can be linked now.
    released: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
enum State {
    Claimed(Vec<Waiting>),
    Copied(CopiedName),
}

/// The copy made under another name.
#[derive(Debug, Clone)]
pub(super) struct CopiedName {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) birth: u64,
}

/// The next step for a name.
#[derive(Debug)]
pub(super) enum Claimed {
    /// The file has no other name, or becomes a file of its own.
    Alone,
    First(Claim),
    /// The name was left here.
    Waits,
    Copied(CopiedName),
}

/// The right to copy a file that has several names. If it is dropped, another name may claim the
/// file.
#[derive(Debug)]
pub(super) struct Claim {
    links: Arc<Links>,
    source: Identity,
}

impl Links {
    /// Claims a file for one of its names.
    pub(super) fn claim(
        self: &Arc<Links>,
        folder: &Arc<Folder>,
        entry: &Entry,
        stat: &Stat,
    ) -> Claimed {
        if !folder.copying().options.archive || stat.st_nlink < 2 {
            return Claimed::Alone;
        }
        let source = identity::from_stat(stat);
        let mut known = lock(&self.known);
        match known.get_mut(&source) {
            Some(State::Copied(copied_name)) => Claimed::Copied(copied_name.clone()),
            Some(State::Claimed(waiting)) => {
                waiting.push((Arc::clone(folder), entry.clone()));
                Claimed::Waits
            }
            None => {
                known.insert(source, State::Claimed(Vec::new()));
                Claimed::First(Claim { links: Arc::clone(self), source })
            }
        }
    }

    /// Takes the names that can be linked since the last call.
    pub(super) fn released(&self) -> Vec<Waiting> {
        std::mem::take(&mut *lock(&self.released))
    }

    /// Takes the names that are still waiting. At the end there are none, unless the run was
    /// stopped.
    pub(super) fn left_out(&self) -> Vec<Waiting> {
        let mut left = self.released();
        for state in lock(&self.known).values_mut() {
            if let State::Claimed(waiting) = state {
                left.append(waiting);
            }
        }
        left
    }
}

impl Claim {
    /// Registers the finished copy.
    pub(super) fn done(self, folder: &Folder, entry: &Entry) {
        let stat = statat(folder.to(), entry.copy(), AtFlags::SYMLINK_NOFOLLOW);
        if let Ok(stat) = stat {
            let birth = identity::birth_of(folder.to(), entry.copy());
            let path = folder.to_path_of(entry.copy());
            self.release(Some(CopiedName { path, identity: identity::from_stat(&stat), birth }));
        }
    }

    fn release(&self, copied_name: Option<CopiedName>) {
        let mut known = lock(&self.links.known);
        // Called by the drop after `done`.
        if !matches!(known.get(&self.source), Some(State::Claimed(_))) {
            return;
        }
        let before = match copied_name {
            Some(copied_name) => known.insert(self.source, State::Copied(copied_name)),
            None => known.remove(&self.source),
        };
        drop(known);
        if let Some(State::Claimed(waiting)) = before {
            lock(&self.links.released).extend(waiting);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release(None);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
