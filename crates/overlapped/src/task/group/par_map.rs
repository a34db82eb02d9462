//! [`par_map`]: a map over all schedulers of the run.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use super::map::Source;
use crate::sys::lock::Mutex;
use crate::task::spawn::place_for;
use crate::task::{JoinError, Placed, SpawnError};

/// Runs `f` on every item in a tasklet of its own, on **all schedulers** of this run
/// ([`Config::threads`](crate::Config::threads)), at most `limit` (at least one) items at a time,
/// and gives the results in the order of the items.
///
/// Otherwise it is like [`map`](super::map()): the rules for room, order, panics, deadlines, drops
/// and the source hold here as well. Each item goes to the scheduler that has the fewest placed
/// tasklets ([`place`](crate::task::place)). For computations use a `limit` of a few times the
/// number of schedulers, so that a slow item leaves the others something to do.
///
/// If workers should fetch the items themselves, place a tasklet [on each
/// scheduler](crate::task::place_on_each) that receives from an [`mpmc`](crate::sync::mpmc)
/// channel.
///
/// # Panics
/// The iterator panics outside a scheduler; the message names the call of `par_map`. At
/// `Config::tasklets_max` it runs fewer at a time, and panics if it cannot run even one.
///
/// ```
/// use overlapped::{Config, task::par_map};
/// let primes = Config::new().threads(2).run(|| {
///     let tests = par_map(64, 2..1_000u32, |n| (2..n).all(|d| n % d != 0));
///     tests.filter(|is_prime| *is_prime.as_ref().unwrap()).count()
/// });
/// assert_eq!(primes.unwrap(), 168);
/// ```
#[track_caller]
pub fn par_map<I, F, T>(limit: usize, items: I, f: F) -> ParMap<I::IntoIter, F, T>
where
    I: IntoIterator<Item: Send + 'static>,
    F: Fn(I::Item) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    let source = Source::new("par_map", limit, items);
    ParMap { source, f: Arc::new(f), refused: None, begun: VecDeque::new() }
}

/// The results of [`par_map`].
#[must_use = "nothing is done before the results are asked for"]
pub struct ParMap<I: Iterator, F, T> {
    source: Source<I>,
    f: Arc<F>,
    /// An item that was taken and could not be placed.
    refused: Option<I::Item>,
    begun: VecDeque<Placed<T>>,
}

impl<I, F, T> ParMap<I, F, T>
where
    I: Iterator<Item: Send + 'static>,
    F: Fn(I::Item) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    /// Places as many items as there is room for.
    fn begin(&mut self) {
        loop {
            let begun = self.begun.len();
            let next = self.refused.take().or_else(|| self.source.next(begun));
            let Some(item) = next else { return };
            match self.place(item) {
                Ok(placed) => self.begun.push_back(placed),
                Err(SpawnError::Limit) if begun > 0 => return,
                Err(error) => self.source.refuse(error),
            }
        }
    }

    /// Places an item. If that fails, the item stays in `refused`.
    fn place(&mut self, item: I::Item) -> Result<Placed<T>, SpawnError> {
        let f = Arc::clone(&self.f);
        // Shared with the closure: if that is refused, it is dropped, and the item is not lost.
        let item = Arc::new(Mutex::new(Some(item)));
        let take = |item: &Mutex<Option<I::Item>>| item.lock().take();
        let theirs = Arc::clone(&item);
        let placed = place_for(self.source.made_at, move || {
            let item = take(&theirs).expect("an item that was placed is taken by its tasklet");
            f(item)
        });
        if placed.is_err() {
            self.refused = take(&item);
        }
        placed
    }
}

impl<I, F, T> Iterator for ParMap<I, F, T>
where
    I: Iterator<Item: Send + 'static>,
    F: Fn(I::Item) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    type Item = Result<T, JoinError>;

    fn next(&mut self) -> Option<Result<T, JoinError>> {
        self.begin();
        // The tasklet stays in `begun` during the wait, so that it is killed with the caller.
        let waited = self.begun.front()?.wait_end();
        let first = self.begun.pop_front()?;
        if waited.is_err() {
            first.kill();
        }
        Some(waited.and_then(|()| first.join()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint(self.begun.len() + usize::from(self.refused.is_some()))
    }
}

impl<I, F, T> FusedIterator for ParMap<I, F, T>
where
    I: Iterator<Item: Send + 'static>,
    F: Fn(I::Item) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
}

impl<I: Iterator, F, T> Drop for ParMap<I, F, T> {
    fn drop(&mut self) {
        self.begun.iter().for_each(Placed::kill);
    }
}

impl<I: Iterator, F, T> fmt::Debug for ParMap<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParMap")
            .field("limit", &self.source.limit)
            .field("begun", &self.begun.len())
            .finish()
    }
}
