//! Passes of a measurement: as many items as the time allows, after shorter passes that warm up.

use std::time::Duration;

/// Repeats `pass` with more and more items until it lasts as long as the budget, and returns the
/// nanoseconds per item of the last pass. The earlier ones warm up pools and caches.
pub(crate) fn ns_each(
    budget: Duration,
    mut items: u64,
    mut pass: impl FnMut(u64) -> Result<Duration, String>,
) -> Result<f64, String> {
    loop {
        let took = pass(items)?;
        if took * 10 >= budget * 8 {
            return Ok(took.as_nanos() as f64 / items as f64);
        }
        let more = budget.as_secs_f64() / took.as_secs_f64().max(1e-9);
        items = (items as f64 * more.clamp(1.3, 50.0)) as u64 + 1;
    }
}
