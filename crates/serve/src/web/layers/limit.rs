//! A limit on requests of each client.

use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use overlapped::time::Instant;
use overlapped_wire::http::Answer;

use super::buckets::Buckets;
use crate::web::{Call, Handler, page};

/// Answers `429` to clients that ask too often, with the time after which to come again. A client
/// is an address of IPv4, or a network of 64 bits of IPv6; all clients of a Unix socket are one.
/// Behind a proxy, [`Forwarded`](super::Forwarded) goes around it.
#[derive(Debug)]
pub struct RequestLimit<H> {
    inner: H,
    buckets: Buckets,
}

/// Requests that may come at once, in seconds of the rate.
const AT_ONCE: u32 = 10;

impl<H: Handler> RequestLimit<H> {
    /// On average `rate` requests a second; what was not used in ten seconds may come at once.
    pub fn new(rate: NonZeroU32, inner: H) -> RequestLimit<H> {
        let step = Duration::from_secs(1) / rate.get();
        RequestLimit { inner, buckets: Buckets::new(rate.get().saturating_mul(AT_ONCE), step) }
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

/// `429`, with the time after which to come again.
fn too_many(request: &http::Request<()>, wait: Duration) -> Answer {
    let answer = page::refusal(request, StatusCode::TOO_MANY_REQUESTS);
    with_retry_after(answer, seconds(wait))
}

/// The time after which to come again, in whole seconds.
pub(super) fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Says when to come again.
pub(super) fn with_retry_after(mut answer: Answer, seconds: u64) -> Answer {
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    answer
}
