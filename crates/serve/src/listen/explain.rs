//! Error messages for addresses that a server cannot listen on: the cause, the process that holds
//! the address, and a remedy.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use crate::state::Address;

/// Adds the address and a remedy to an error.
pub(super) fn explain(address: &Address, error: &io::Error) -> io::Error {
    let remedy = match address {
        Address::Tcp(address) => of_tcp(*address, error),
        Address::Unix(path) => of_unix(path, error),
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}. {remedy}"))
}

/// Resolves `host:port`.
pub(super) fn resolve(text: &str) -> io::Result<Vec<SocketAddr>> {
    // For other programs a port alone means every interface, which would surprise a user who means
    // this machine.
    let port = text.strip_prefix('*').unwrap_or(text);
    if let Ok(port) = port.strip_prefix(':').unwrap_or(port).parse::<u16>() {
        let text = format!(
            "cannot listen on {text}: the host is missing. 127.0.0.1:{port} is for clients on this \
             machine, 0.0.0.0:{port} for all interfaces ([::]:{port}: also by IPv6)."
        );
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    let found = text.to_socket_addrs().map_err(|error| invalid_address(text, &error))?;
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        Err(invalid_address(text, &ErrorKind::InvalidInput.into()))
    } else {
        Ok(found)
    }
}

/// Returns the error for a text that is not an address.
fn invalid_address(text: &str, error: &io::Error) -> io::Error {
    let text = format!(
        "cannot listen on {text}: {error}. An address is host:port, such as 127.0.0.1:7007, \
         localhost:7007 or [::1]:7007; unix:/path/to/a/socket; or fd:NAME, for a socket that \
         systemd or a hot restart hands over."
    );
    io::Error::new(error.kind(), text)
}

fn of_tcp(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match (error.kind(), port) {
        (ErrorKind::AddrInUse, _) => {
            let holders = holders(&Address::Tcp(address));
            let holders = holders.iter().map(|(id, name)| format!("{name} (process {id})"));
            let holders = holders.collect::<Vec<_>>().join(", ");
            let by = if holders.is_empty() { holders } else { format!("Held by {holders}. ") };
            format!(
                "{by}Stop the other program, or choose another address; \
                 `ss -ltnp 'sport = :{port}'` shows who listens there (as root: of every user)."
            )
        }
        (ErrorKind::PermissionDenied, 1..1024) => format!(
            "Ports below 1024 need a privilege: choose a higher one, or allow it with \
             `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`, or give the program \
             the right with `sudo setcap cap_net_bind_service=+ep FILE`."
        ),
        (ErrorKind::AddrNotAvailable, _) => {
            "No interface of this machine has that address: `ip address` lists them, and 0.0.0.0 \
             or [::] means all of them."
                .to_owned()
        }
        _ => "Choose another address.".to_owned(),
    }
}

fn of_unix(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "Another program listens there: stop it (`ss -lxp src {}` shows it), or choose another \
             path.",
            path.display()
        ),
        ErrorKind::AlreadyExists => {
            "The file is not a socket: move it away, or choose another path.".to_owned()
        }
        ErrorKind::NotFound => {
            "The folder does not exist: create it, or choose another path.".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "This user must be allowed to write to the folder: change its permissions, or choose \
             another one."
                .to_owned()
        }
        _ => "Choose another path, of at most 107 bytes.".to_owned(),
    }
}

/// Returns the numbers and names of the processes that listen on `address`, as far as this user may
/// see. It reads Linux's /proc; if that is missing it returns nothing.
pub(super) fn holders(address: &Address) -> Vec<(u32, String)> {
    let mut sockets = HashSet::new();
    let mut search = |table: &str, find: &dyn Fn(&str) -> Vec<String>| {
        if let Ok(table) = fs::read_to_string(table) {
            sockets.extend(find(&table));
        }
    };
    match address {
        Address::Tcp(address) => {
            let find = |table: &str| listening_sockets(table, address.port());
            search("/proc/net/tcp", &find);
            search("/proc/net/tcp6", &find);
        }
        Address::Unix(path) => search("/proc/net/unix", &|table| unix_sockets(table, path)),
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|process| {
            let id: u32 = process.file_name().to_str()?.parse().ok()?;
            has_one_of(&process.path(), &sockets).then(|| {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                (id, name.trim().to_owned())
            })
        })
        .collect()
}

/// Returns the inodes of sockets that listen on `path`, from /proc/net/unix (proc_net_unix(5)).
fn unix_sockets(table: &str, path: &Path) -> Vec<String> {
    const LISTENS: &str = "00010000";
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, _, _, flags, _, _, inode, name] = fields[..] else { return None };
            let found = flags == LISTENS && Path::new(name) == path;
            found.then(|| format!("socket:[{inode}]"))
        })
        .collect()
}

/// Returns the inodes of sockets that listen on `port`, from a table such as /proc/net/tcp; see
/// proc_net_tcp in the kernel's documentation.
fn listening_sockets(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
            let (_, hex) = local.rsplit_once(':')?;
            let found = state == LISTEN && u16::from_str_radix(hex, 16) == Ok(port);
            found.then(|| format!("socket:[{inode}]"))
        })
        .collect()
}

fn has_one_of(process: &Path, sockets: &HashSet<String>) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
            0: 0100007F:1B5F 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1\n\
            1: 0100007F:1B5F 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 0 0 4243 1\n";
        assert_eq!(listening_sockets(table, 7007), ["socket:[4242]"]);
        assert!(listening_sockets(table, 7008).is_empty());
    }

    #[test]
    fn the_error_for_a_privileged_port_names_its_remedies() {
        let error = ErrorKind::PermissionDenied.into();
        let address = Address::Tcp("127.0.0.1:80".parse().unwrap());
        let text = explain(&address, &error).to_string();
        assert!(text.contains("ip_unprivileged_port_start=80"), "{text}");
        assert!(text.contains("setcap"), "{text}");
    }

    #[test]
    fn a_listener_of_this_process_is_found_as_the_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        assert!(holders(&address).iter().any(|(id, _)| *id == std::process::id()));
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let held = holders(&Address::Unix(path));
        assert!(held.iter().any(|(id, _)| *id == std::process::id()), "{held:?}");
    }
}
