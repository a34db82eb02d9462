//! Files with several names, which are to be one file again.
//!
//! The first name that is come upon claims the file, and is copied. Who comes upon another one
//! meanwhile leaves it here, and it becomes work once the copy has its name; later ones are linked
//! at once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Stat, statat};

use super::Copying;
use super::folder::{Entry, Folder};
use super::identity::{self, Identity};

type Waiting = (Arc<Folder>, Entry);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Links {
    known: Mutex<HashMap<Identity, State>>,
    /// Names that have waited, and may go on.
    released: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
enum State {
    Claimed(Vec<Waiting>),
    Copied(Twin),
}

/// The copy of another name.
#[derive(Debug, Clone)]
pub(super) struct Twin {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) birth: u64,
}

/// The next step for a name.
#[derive(Debug)]
pub(super) enum Claimed {
    /// It is the only one, or is to become a file of its own.
    Alone,
    First(Claim),
    /// It was left here.
    Waits,
    Copied(Twin),
}

/// The right to copy a file that has several names. Dropped, it goes to another one of them.
#[derive(Debug)]
pub(super) struct Claim {
    copying: Arc<Copying>,
    source: Identity,
}

impl Links {
    pub(super) fn claim(folder: &Arc<Folder>, entry: &Entry, stat: &Stat) -> Claimed {
        let copying = folder.copying();
        if !copying.options.archive || stat.st_nlink < 2 {
            return Claimed::Alone;
        }
        let source = identity::of(stat);
        let mut known = lock(&copying.links.known);
        match known.get_mut(&source) {
            Some(State::Copied(twin)) => Claimed::Copied(twin.clone()),
            Some(State::Claimed(waiting)) => {
                waiting.push((Arc::clone(folder), entry.clone()));
                Claimed::Waits
            }
            None => {
                known.insert(source, State::Claimed(Vec::new()));
                Claimed::First(Claim { copying: Arc::clone(copying), source })
            }
        }
    }

    /// Takes what has become work since the last call.
    pub(super) fn released(&self) -> Vec<Waiting> {
        std::mem::take(&mut *lock(&self.released))
    }

    /// Takes the names that nobody has come back for. At the end there is none, unless the copying
    /// was stopped.
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
    /// The copy has its name.
    pub(super) fn done(self, folder: &Folder, entry: &Entry) {
        let stat = statat(folder.to(), entry.copy(), AtFlags::SYMLINK_NOFOLLOW);
        if let Ok(stat) = stat {
            let birth = identity::birth_of(folder.to(), entry.copy());
            let path = folder.to_path_of(entry.copy());
            self.release(Some(Twin { path, identity: identity::of(&stat), birth }));
        }
    }

    fn release(&self, twin: Option<Twin>) {
        let links = &self.copying.links;
        let mut known = lock(&links.known);
        // Done before: this is the drop.
        if !matches!(known.get(&self.source), Some(State::Claimed(_))) {
            return;
        }
        let before = match twin {
            Some(twin) => known.insert(self.source, State::Copied(twin)),
            None => known.remove(&self.source),
        };
        drop(known);
        if let Some(State::Claimed(waiting)) = before {
            lock(&links.released).extend(waiting);
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
