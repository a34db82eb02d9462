//! Limits on what a client may send.

/// Limits on what a client may send. A request that reaches a limit is answered, one above it is
/// refused.
///
/// ```
/// use overlapped_wire::http::Limits;
///
/// let uploads = Limits { body_bytes_max: 1 << 40, ..Limits::default() };
/// assert_eq!(uploads.head_bytes_max, 32 * 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request line, without its end; above it: `414`.
    pub line_bytes_max: usize,
    /// Header fields, and trailer fields after a chunked body; above it: `431`. Capped at
    /// [`Limits::FIELDS_MAX`].
    pub fields_max: usize,
    /// Bytes of the whole head, with the empty line that ends it, and again of all the trailer
    /// fields; above it: `431`.
    pub head_bytes_max: usize,
    /// Bytes of a body, without its framing; above it: `413`.
    pub body_bytes_max: u64,
}

impl Limits {
    /// The number of header fields that no limit can exceed.
    pub const FIELDS_MAX: usize = 256;
}

impl Default for Limits {
    /// Allows a request line of 8 KiB, 100 fields, a head of 32 KiB, a body of 16 MiB.
    fn default() -> Limits {
        Limits {
            line_bytes_max: 8 * 1024,
            fields_max: 100,
            head_bytes_max: 32 * 1024,
            body_bytes_max: 16 * 1024 * 1024,
        }
    }
}
