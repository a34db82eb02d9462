//! [`map`]: so many items at a time, the results in the order of the items.

use std::collections::VecDeque;
use std::fmt;
use std::iter::{Fuse, FusedIterator};
use std::rc::Rc;

use crate::task::spawn::admit;
use crate::task::{Builder, JoinError, SpawnError, Tasklet};

/// Runs `f` on every item in a tasklet of its own, at most `limit` (at least one) at a time, and
/// gives the results in the order of the items.
///
/// Nothing is spawned before the first result is asked for. An item is taken from `items` only when
/// there is room for it, and a result that has not been taken takes up room: so a slow consumer
/// holds the source back, and memory does not grow with the number of items.
///
/// A panic in `f` is [`JoinError::Panicked`] in the place of that item's result, and the others go
/// on. Dropping the iterator kills what it has begun. A deadline that passes while it waits is
/// [`JoinError::TimedOut`] for that item, whose tasklet is killed. `items` is called by whoever
/// takes the results: one that waits holds up results that are there.
///
/// # Panics
/// The iterator, where [`spawn`](crate::spawn()) does. At `Config::tasklets_max` it takes fewer at
/// a time, and panics where not even one can be had.
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
pub fn map<I, F, T>(limit: usize, items: I, f: F) -> Map<I::IntoIter, F, T>
where
    I: IntoIterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    let items = items.into_iter().fuse();
    Map { items, f: Rc::new(f), begun: VecDeque::new(), limit: limit.max(1) }
}

/// The results of [`map`].
#[must_use = "nothing is done before the results are asked for"]
pub struct Map<I, F, T> {
    items: Fuse<I>,
    f: Rc<F>,
    begun: VecDeque<Tasklet<T>>,
    limit: usize,
}

impl<I, F, T> Map<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    /// Begins as many as there is room for.
    fn begin(&mut self) {
        while self.begun.len() < self.limit {
            if !self.begun.is_empty() && matches!(admit(), Err(SpawnError::Limit)) {
                return;
            }
            let Some(item) = self.items.next() else { return };
            let f = Rc::clone(&self.f);
            match Builder::new().spawn(move || f(item)) {
                Ok(tasklet) => self.begun.push_back(tasklet),
                Err(error) => panic!("overlapped::task::map: {error}"),
            }
        }
    }
}

impl<I, F, T> Iterator for Map<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
    type Item = Result<T, JoinError>;

    fn next(&mut self) -> Option<Result<T, JoinError>> {
        self.begin();
        // It stays in its place meanwhile: a kill of the caller shall find it.
        let waited = self.begun.front()?.wait_end();
        let first = self.begun.pop_front()?;
        if waited.is_err() {
            first.kill();
        }
        Some(waited.and_then(|()| first.join()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (lower, upper) = self.items.size_hint();
        let begun = self.begun.len();
        (lower.saturating_add(begun), upper.and_then(|upper| upper.checked_add(begun)))
    }
}

impl<I, F, T> FusedIterator for Map<I, F, T>
where
    I: Iterator<Item: 'static>,
    F: Fn(I::Item) -> T + 'static,
    T: 'static,
{
}

impl<I, F, T> Drop for Map<I, F, T> {
    fn drop(&mut self) {
        self.begun.iter().for_each(Tasklet::kill);
    }
}

impl<I, F, T> fmt::Debug for Map<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("limit", &self.limit).field("begun", &self.begun.len()).finish()
    }
}
