//! Kinds of files, for the state that sockets and files share.

/// What the library knows of an open file.
pub(crate) mod nonblocking {
    /// The kind of a file, by how its operations end.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum FileKind {
        /// A file on a disk.
        Disk { direct: bool, append: bool },
        /// A socket.
        Socket,
        /// A pipe, a console or another device.
        Stream,
    }
}
