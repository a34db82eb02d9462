//! The interim response before a body.

/// Returns `100 Continue` the first time, if the client waits for it.
pub(super) fn interim_response(is_open: &mut bool) -> Option<&'static [u8]> {
    std::mem::take(is_open).then_some(b"HTTP/1.1 100 Continue\r\n\r\n")
}
