//! The path of a socket of the Unix family, and the lines that tell the load where to connect.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Returns the path on which this process listens. The load removes it.
pub(super) fn path() -> PathBuf {
    std::env::temp_dir().join(format!("overlapped-bench-{}.socket", std::process::id()))
}

/// Prints the path, for the load.
pub(super) fn announce_path() {
    println!("{}", path().display());
}

/// Prints the ports of the sockets, for the load.
pub(super) fn announce_ports(sockets: impl IntoIterator<Item = SocketAddr>) {
    let ports: Vec<String> =
        sockets.into_iter().map(|address| address.port().to_string()).collect();
    println!("{}", ports.join(" "));
}
