//! Why an address cannot be listened on, by whom it is held, and what helps.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// An error that names the remedy.
pub(super) fn explain(addr: &str, error: &io::Error) -> anyhow::Error {
    let port = addr.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let remedy = match (error.kind(), port) {
        (ErrorKind::AddrInUse, Some(port)) => {
            let holders = holders(port);
            let by = if holders.is_empty() {
                String::new()
            } else {
                format!("Held by {}. ", holders.join(", "))
            };
            format!(
                "{by}Stop the other program, or choose another address with --listen; \
                 `ss -ltnp 'sport = :{port}'` shows who listens there (as root: of every user)."
            )
        }
        (ErrorKind::PermissionDenied, Some(port @ 1..1024)) => format!(
            "Ports below 1024 need a privilege: choose a higher one, or allow it with \
             `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`, or give the program \
             the right with `sudo setcap cap_net_bind_service=+ep FILE`."
        ),
        (ErrorKind::AddrNotAvailable, _) => {
            "No interface of this machine has that address: `ip address` lists them, and 0.0.0.0 \
             or [::] is all of them."
                .to_owned()
        }
        (ErrorKind::InvalidInput, _) => {
            "An address is host:port, such as 127.0.0.1:7007, localhost:7007 or [::1]:7007."
                .to_owned()
        }
        _ => "Choose another address with --listen.".to_owned(),
    };
    anyhow::anyhow!("cannot listen on {addr}: {error}. {remedy}")
}

/// The programs that listen on `port`, as far as this user may see.
fn holders(port: u16) -> Vec<String> {
    let mut sockets = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if let Ok(table) = fs::read_to_string(table) {
            sockets.extend(listening_sockets(&table, port));
        }
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|process| {
            let id: u32 = process.file_name().to_str()?.parse().ok()?;
            has_one_of(&process.path(), &sockets).then(|| {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                format!("{} (process {id})", name.trim())
            })
        })
        .collect()
}

/// The socket numbers of those who listen on `port`, out of a table such as /proc/net/tcp; see
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
    fn a_privileged_port_comes_with_its_remedies() {
        let error = ErrorKind::PermissionDenied.into();
        let text = explain("127.0.0.1:80", &error).to_string();
        assert!(text.contains("ip_unprivileged_port_start=80"), "{text}");
        assert!(text.contains("setcap"), "{text}");
    }

    #[test]
    fn our_own_listener_is_named_as_the_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let me = format!("process {}", std::process::id());
        assert!(holders(port).iter().any(|holder| holder.contains(&me)));
    }
}
