//! Echo servers over sockets of other kinds: streams of the Unix family, and UDP.
//!
//! A stream's echo is that of the suite `echo`. UDP has several sockets, and for each a task that
//! receives a datagram and sends it back to its sender.

/// A library with such sockets. Each method serves until its process is killed.
pub(crate) trait Sockets {
    /// Listens at a path of this process, prints it, and echoes.
    fn serve_unix(&self) -> Result<(), String>;

    /// Binds `sockets` sockets, prints their ports, and echoes.
    fn serve_datagrams(&self, sockets: usize) -> Result<(), String>;
}
