//! The limit on each client's requests.

use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use overlapped::time::Instant;
use overlapped_wire::http::Answer;

use super::buckets::Buckets;
use crate::web::{Call, Handler, page};

/// A layer that answers `429` with `Retry-After` to clients that send too many requests. A client
/// is an IPv4 address, or an IPv6 network of 64 bits; all clients of a Unix socket are one. Behind
/// a proxy, put [`Forwarded`](super::Forwarded) around it.
#[derive(Debug)]
pub struct RequestLimit<H> {
    inner: H,
    buckets: Buckets,
}

/// The maximum burst, in seconds of the rate.
const BURST: u32 = 10;

impl<H: Handler> RequestLimit<H> {
    /// Allows `rate` requests per second on average, and bursts of what ten seconds allow.
    pub fn new(rate: NonZeroU32, inner: H) -> RequestLimit<H> {
        let step = Duration::from_secs(1) / rate.get();
        RequestLimit { inner, buckets: Buckets::new(rate.get().saturating_mul(BURST), step) }
    }
}

impl<H: Handler> Handler for RequestLimit<H> {
    fn handle(&self, call: Call<'_>) -> Answer {
        let address = call.peer.remote.map(|remote| remote.ip());
        match self.buckets.take(address, Instant::now()) {
            Ok(()) => self.inner.handle(call),
            Err(wait) => too_many(&call.request, wait),
        }
    }
}

/// Returns `429` with `Retry-After`.
fn too_many(request: &http::Request<()>, wait: Duration) -> Answer {
    let answer = page::refusal(request, StatusCode::TOO_MANY_REQUESTS);
    with_retry_after(answer, seconds(wait))
}

/// Returns a time in whole seconds, rounded up, for `Retry-After`.
pub(super) fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Adds `Retry-After` to an answer.
pub(super) fn with_retry_after(mut answer: Answer, seconds: u64) -> Answer {
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    answer
}
