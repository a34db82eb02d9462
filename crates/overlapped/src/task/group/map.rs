//! [`map`] and [`map_unordered`]: a limited number of items at a time. (`par_map` shares the work
//! among all schedulers.)
//!
//! All three take an item from the source only if fewer than the limit are *begun*: spawned, with a
//! result that the caller has not taken. In `map` the begun items are a window: neither results nor
//! tasklets pile up behind a slow item, but once the window is full, the map waits for that item. A
//! larger buffer would only fill up later. In `map_unordered` a slow item does not stop the others.

use std::collections::VecDeque;
use std::fmt;
use std::iter::{Fuse, FusedIterator};
use std::panic::Location;
use std::rc::Rc;

use super::TaskletGroup;
use crate::sched::Origin;
use crate::task::spawn::admit;
use crate::task::{Builder, JoinError, SpawnError, Tasklet};

/// Runs `f` on every item in a tasklet of its own, at most `limit` (at least one) at a time, and
/// gives the results **in the order of the items**; [`map_unordered`] gives them as they come.
///
/// The order costs time if the items take unequal time: a slow item holds back everything that is
/// `limit` items behind it, even if all between them have ended. If the order does not matter, or
/// can be restored afterwards (`items.enumerate()`), use [`map_unordered`].
///
/// Nothing is spawned before the first call of `next`. An item is taken from `items` only if there
/// is room for it, and a result that has not been taken takes up room: so a slow consumer holds the
/// source back, and memory does not grow with the number of items.
///
/// A panic in `f` is [`JoinError::Panicked`] in the place of that item's result, and the others go
/// on. Dropping the iterator kills what it has begun. If a deadline passes while the iterator waits
/// for an item's result, that result is [`JoinError::TimedOut`], and the item's tasklet is killed.
/// The tasklet that takes the results also calls `items`: while `items` waits, results that are
/// ready wait, too.
///
/// # Panics
/// The iterator panics where [`spawn`](crate::spawn()) does; the message names the call of `map`.
/// At `Config::tasklets_max` it runs fewer at a time, and panics if it cannot run even one.
///
/// ```
/// use overlapped::{run, task::map, time::{Duration, sleep}};
/// run(|| {
///     let lengths = map(8, ["one", "two", "three"], |word| {
///         sleep(Duration::from_millis(5));
///         word.len()
///     });
///     let lengths: Result<Vec<usize>, _> = lengths.collect();
///     assert_eq!(lengths.unwrap(), [3, 3, 5]);
/// }).unwrap();
/// ```
#[track_caller]
pub fn map<I, F, T>(limit: usize, items: I, f: F) -> Map<I::IntoIter, F, T>
where
    I: IntoIterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    Map { source: Source::new("map", limit, items), f: Rc::new(f), begun: VecDeque::new() }
}

/// Runs `f` on every item in a tasklet of its own, at most `limit` (at least one) at a time, and
/// gives the results **as they come, in the order of their ends**; [`map`] gives them in the order
/// of the items.
///
/// A slow item holds back nothing but itself. `f` can say which result belongs to which item:
/// `items.enumerate()` numbers them.
///
/// The rules of [`map`] for room, panics, drops and the source hold here as well. If a deadline
/// passes while the iterator waits, the result is [`JoinError::TimedOut`], and the tasklet that was
/// begun first is killed; so there are as many results as items.
///
/// # Panics
/// As [`map`].
///
/// ```
/// use overlapped::{run, task::map_unordered, time::{Duration, sleep}};
/// run(|| {
///     let naps = [40, 0, 20].into_iter().enumerate();
///     let woken = map_unordered(8, naps, |(index, millis)| {
///         sleep(Duration::from_millis(millis));
///         index
///     });
///     let woken: Result<Vec<usize>, _> = woken.collect();
///     assert_eq!(woken.unwrap(), [1, 2, 0]);
/// }).unwrap();
/// ```
#[track_caller]
pub fn map_unordered<I, F, T>(limit: usize, items: I, f: F) -> MapUnordered<I::IntoIter, F, T>
where
    I: IntoIterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    let source = Source::new("map_unordered", limit, items);
    MapUnordered { source, f: Rc::new(f), begun: TaskletGroup::new(usize::MAX) }
}

/// The items of a map, and the place where it was called.
pub(super) struct Source<I: Iterator> {
    items: Fuse<I>,
    pub(super) limit: usize,
    made_by: &'static str,
    pub(super) made_at: Origin,
}

impl<I: Iterator> Source<I> {
    #[track_caller]
    pub(super) fn new(
        made_by: &'static str,
        limit: usize,
        items: impl IntoIterator<IntoIter = I>,
    ) -> Source<I> {
        let (items, limit) = (items.into_iter().fuse(), limit.max(1));
        Source { items, limit, made_by, made_at: Location::caller() }
    }

    /// Takes the next item, if there is room beside the `begun` items.
    pub(super) fn next(&mut self, begun: usize) -> Option<I::Item> {
        if begun < self.limit { self.items.next() } else { None }
    }

    /// Does what [`Source::next`] does, for a tasklet of this scheduler. At the limit of tasklets
    /// it takes no item while others are begun, so that the caller waits for those instead of
    /// failing.
    fn next_here(&mut self, begun: usize) -> Option<I::Item> {
        let is_full = begun > 0 && matches!(admit(), Err(SpawnError::Limit));
        if is_full { None } else { self.next(begun) }
    }

    /// Makes a builder on behalf of the call that made the map, not of the one that takes results.
    fn builder(&self) -> Builder {
        Builder::new().on_behalf_of(self.made_at)
    }

    #[cold]
    pub(super) fn refuse(&self, error: SpawnError) -> ! {
        panic!("overlapped::task::{}, called at {}: {error}", self.made_by, self.made_at)
    }

    pub(super) fn size_hint(&self, begun: usize) -> (usize, Option<usize>) {
        let (lower, upper) = self.items.size_hint();
        (lower.saturating_add(begun), upper.and_then(|upper| upper.checked_add(begun)))
    }
}

/// The results of [`map`].
#[must_use = "nothing is done before the results are asked for"]
pub struct Map<I: Iterator, F, T> {
    source: Source<I>,
    f: Rc<F>,
    begun: VecDeque<Tasklet<T>>,
}

impl<I, F, T> Iterator for Map<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    type Item = Result<T, JoinError>;

    fn next(&mut self) -> Option<Result<T, JoinError>> {
        while let Some(item) = self.source.next_here(self.begun.len()) {
            let f = Rc::clone(&self.f);
            match self.source.builder().spawn(move || f(item)) {
                Ok(tasklet) => self.begun.push_back(tasklet),
                Err(error) => self.source.refuse(error),
            }
        }
        // The tasklet stays in `begun` during the wait, so that it is killed with the caller.
        let waited = self.begun.front()?.wait_end();
        let first = self.begun.pop_front()?;
        if waited.is_err() {
            first.kill();
        }
        Some(waited.and_then(|()| first.join()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint(self.begun.len())
    }
}

impl<I, F, T> FusedIterator for Map<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
}

impl<I: Iterator, F, T> Drop for Map<I, F, T> {
    fn drop(&mut self) {
        self.begun.iter().for_each(Tasklet::kill);
    }
}

impl<I: Iterator, F, T> fmt::Debug for Map<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("limit", &self.source.limit)
            .field("begun", &self.begun.len())
            .finish()
    }
}

/// The results of [`map_unordered`].
#[must_use = "nothing is done before the results are asked for"]
pub struct MapUnordered<I: Iterator, F, T> {
    source: Source<I>,
    f: Rc<F>,
    /// Kills its members when it is dropped.
    begun: TaskletGroup<T>,
}

impl<I, F, T> Iterator for MapUnordered<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    type Item = Result<T, JoinError>;

    fn next(&mut self) -> Option<Result<T, JoinError>> {
        while let Some(item) = self.source.next_here(self.begun.len()) {
            let f = Rc::clone(&self.f);
            if let Err(error) = self.begun.spawn_by(self.source.builder(), move || f(item)) {
                self.source.refuse(error);
            }
        }
        match self.begun.wait_next()? {
            Ok(ended) => Some(ended.join()),
            Err(error) => {
                self.begun.kill_first();
                Some(Err(error))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint(self.begun.len())
    }
}

impl<I, F, T> FusedIterator for MapUnordered<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
}

impl<I: Iterator, F, T> fmt::Debug for MapUnordered<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapUnordered")
            .field("limit", &self.source.limit)
            .field("begun", &self.begun.len())
            .finish()
    }
}
