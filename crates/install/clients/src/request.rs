//! A request to a crate, and its outcome: what the rows make and the measurement repeats.

use std::fmt::Debug;

/// A failure, in words.
pub(crate) type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The number of requests at a time.
pub(crate) const REQUESTS: usize = 20;

/// A request, made and checked. It stays on the thread, or in the tasklet, that has made it.
pub(crate) type Request = Box<dyn FnOnce() -> Result>;

/// Opens the connection of a number, and returns its request.
pub(crate) type Opener = Box<dyn Fn(usize) -> Result<Request> + Send + Sync>;

/// Makes an opener without a connection, of the request alone.
pub(crate) fn requests<F>(request: F) -> Result<Opener>
where
    F: Fn(usize) -> Result + Clone + Send + Sync + 'static,
{
    Ok(Box::new(move |number| {
        let request = request.clone();
        Ok(Box::new(move || request(number)))
    }))
}

/// Checks an answer.
pub(crate) fn same<T: PartialEq + Debug>(found: T, expected: T) -> Result {
    if found == expected {
        return Ok(());
    }
    let mut text = format!("the answer is {found:?}, not {expected:?}");
    text.truncate(text.floor_char_boundary(200));
    Err(text.into())
}
