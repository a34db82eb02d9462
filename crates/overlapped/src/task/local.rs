//! Tasklet-local values.
//!
//! A value is made at the first access in each tasklet and dropped at the tasklet's end, on its own
//! stack. Values are found by the address of their key, which is a static.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::sched::{self, assert_off_hub, here};

/// A value of which each tasklet has its own. Outside a scheduler, each thread has its own.
///
/// ```
/// use std::cell::Cell;
/// use overlapped::{run, spawn, task::Local};
///
/// static COUNT: Local<Cell<u32>> = Local::new(|| Cell::new(0));
///
/// run(|| {
///     COUNT.with(|count| count.set(7));
///     let other = spawn(|| COUNT.with(Cell::get));
///     assert_eq!(other.join().unwrap(), 0);
///     assert_eq!(COUNT.with(Cell::get), 7);
/// }).unwrap();
/// ```
#[derive(Debug)]
pub struct Local<T: 'static> {
    init: fn() -> T,
}

/// Keys are references to statics, but promoted constants may share an address with other types.
type Key = (usize, TypeId);
type Values = Vec<(Key, Rc<dyn Any>)>;

thread_local! {
    /// The values of code outside a scheduler.
    static OUTSIDE: RefCell<Values> = const { RefCell::new(Vec::new()) };
}

impl<T: 'static> Local<T> {
    /// Makes a key whose values `init` makes.
    pub const fn new(init: fn() -> T) -> Local<T> {
        Local { init }
    }

    /// Calls `f` with the calling tasklet's value, which is made first if need be.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let value = self.find().unwrap_or_else(|| {
            // `init` is the user's: it may use locals itself, so nothing is borrowed here.
            assert_off_hub();
            let made: Rc<dyn Any> = Rc::new((self.init)());
            let key = self.key();
            with_values(|values| values.push((key, made.clone())));
            made
        });
        match value.downcast_ref::<T>() {
            Some(value) => f(value),
            None => unreachable!("the key names the type"),
        }
    }

    fn key(&'static self) -> Key {
        ((&raw const *self).addr(), TypeId::of::<T>())
    }

    fn find(&'static self) -> Option<Rc<dyn Any>> {
        let key = self.key();
        with_values(|values| values.iter().find(|(at, _)| *at == key).map(|(_, rc)| rc.clone()))
    }
}

fn with_values<R>(f: impl FnOnce(&mut Values) -> R) -> R {
    match here() {
        Some(here) => here.me().extra_or_new(|extra| f(&mut extra.locals)),
        None => OUTSIDE.with_borrow_mut(f),
    }
}

/// The value by which the module `thread` identifies a tasklet.
pub(crate) type Identity = Arc<dyn Any + Send + Sync>;

/// Returns the calling tasklet's identity, which it keeps to its very end. If it has none, `make`
/// creates it from the tasklet's name. Returns `None` outside a scheduler.
pub(crate) fn identity<T: Any + Send + Sync>(
    make: impl FnOnce(Option<String>) -> Arc<T>,
) -> Option<Identity> {
    let here = here()?;
    let me = here.me();
    let known = me.extra(|extra| extra?.identity.clone());
    Some(known.unwrap_or_else(|| {
        let made: Identity = make(me.name());
        me.extra_or_new(|extra| extra.identity = Some(made.clone()));
        made
    }))
}

/// Tells whether the calling tasklet is the first of its run: the one that runs the closure given
/// to `run`.
pub(crate) fn is_first() -> bool {
    here().is_some_and(|here| here.is_first(here.me()))
}

/// Drops the calling tasklet's values, when it has nothing more to do.
pub(crate) fn drop_locals() {
    if let Some(here) = here() {
        here.me().last_drops.set(true);
        sched::drop_locals(here.me());
    }
}
