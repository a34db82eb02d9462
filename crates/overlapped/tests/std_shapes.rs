//! Every item of std's blocking types is here, with the same signature, or is a line in
//! docs/std.md.
//!
//! `docs/std-items.txt` lists std's items. Below, std's function and this library's are assigned to
//! the same type, which the compiler checks. The tests compare the lists.
#![allow(deprecated, reason = "what std deprecates is there, too")]
#![allow(clippy::type_complexity, reason = "a shape is a type written out")]
#![allow(clippy::incompatible_msrv, reason = "the list is that of the newest std")]

use std::collections::{BTreeMap, BTreeSet};

/// The types that the signatures are made of. No module has one of the same name.
#[allow(unused_imports, reason = "not every module needs all")]
mod words {
    pub(crate) use std::ffi::OsStr;
    pub(crate) use std::fmt::Debug;
    pub(crate) use std::io::{self, Read, Seek, Write};
    pub(crate) use std::net::{Ipv4Addr, Ipv6Addr, Shutdown};
    pub(crate) use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
    pub(crate) use std::os::unix::fs::{FileExt, OpenOptionsExt};
    pub(crate) use std::path::Path;
    pub(crate) use std::process::{ExitStatus, Output, Stdio};
    pub(crate) use std::time::{Duration, SystemTime};
}

/// The modules of std that are in two places.
mod of_std {
    pub(crate) mod process {
        pub(crate) use std::os::unix::process::CommandExt;
        pub(crate) use std::process::*;
    }
}

/// The modules of this library.
mod of_ours {
    pub(crate) mod process {
        pub(crate) use overlapped::os::unix::process::CommandExt;
        pub(crate) use overlapped::process::*;
    }
}

/// For each module, std's and ours: the functions with their types, and the traits of the
/// types. Makes `SHAPES` and `TRAITS` of them.
macro_rules! modules {
    ($($room:ident: $std:path | $ours:path {
        $($type:ident { $($method:ident: $shape:ty),* $(,)? })*;
        traits { $($implementor:ty: $($trait:path),+;)* }
    })*) => {
        $(mod $room {
            modules!(@side std $std
                { $($type { $($method: $shape,)* })* } { $($implementor: $($trait),+;)* });
            modules!(@side ours $ours
                { $($type { $($method: $shape,)* })* } { $($implementor: $($trait),+;)* });
        })*
        const SHAPES: &[&str] = &[
            $($($(concat!(stringify!($type), "::", stringify!($method)),)*)*)*
        ];
        const TRAITS: &[(&str, &str)] = &[
            $($($((stringify!($trait), stringify!($implementor)),)+)*)*
        ];
    };
    (@side $side:ident $path:path
        { $($type:ident { $($method:ident: $shape:ty,)* })* }
        { $($implementor:ty: $($trait:path),+;)* }) => {
        #[allow(unused_imports, dead_code, reason = "it only has to compile")]
        mod $side {
            use $path as room;
            use crate::words::*;
            use room::*;

            fn shapes() {
                $($(let _: $shape = $type::$method;)*)*
            }

            fn traits() {
                $($({
                    fn has<T: $trait>() {}
                    has::<$implementor>();
                })+)*
            }
        }
    };
}

modules! {
    net: std::net | overlapped::net {
        TcpStream {
            connect: fn(&'static str) -> io::Result<TcpStream>,
            connect_timeout: fn(&SocketAddr, Duration) -> io::Result<TcpStream>,
            peer_addr: fn(&TcpStream) -> io::Result<SocketAddr>,
            local_addr: fn(&TcpStream) -> io::Result<SocketAddr>,
            shutdown: fn(&TcpStream, Shutdown) -> io::Result<()>,
            try_clone: fn(&TcpStream) -> io::Result<TcpStream>,
            set_read_timeout: fn(&TcpStream, Option<Duration>) -> io::Result<()>,
            set_write_timeout: fn(&TcpStream, Option<Duration>) -> io::Result<()>,
            read_timeout: fn(&TcpStream) -> io::Result<Option<Duration>>,
            write_timeout: fn(&TcpStream) -> io::Result<Option<Duration>>,
            peek: fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
            set_nodelay: fn(&TcpStream, bool) -> io::Result<()>,
            nodelay: fn(&TcpStream) -> io::Result<bool>,
            set_ttl: fn(&TcpStream, u32) -> io::Result<()>,
            ttl: fn(&TcpStream) -> io::Result<u32>,
            take_error: fn(&TcpStream) -> io::Result<Option<io::Error>>,
            set_nonblocking: fn(&TcpStream, bool) -> io::Result<()>,
        }
        TcpListener {
            bind: fn(&'static str) -> io::Result<TcpListener>,
            local_addr: fn(&TcpListener) -> io::Result<SocketAddr>,
            try_clone: fn(&TcpListener) -> io::Result<TcpListener>,
            accept: fn(&TcpListener) -> io::Result<(TcpStream, SocketAddr)>,
            incoming: fn(&TcpListener) -> Incoming<'_>,
            set_ttl: fn(&TcpListener, u32) -> io::Result<()>,
            ttl: fn(&TcpListener) -> io::Result<u32>,
            set_only_v6: fn(&TcpListener, bool) -> io::Result<()>,
            only_v6: fn(&TcpListener) -> io::Result<bool>,
            take_error: fn(&TcpListener) -> io::Result<Option<io::Error>>,
            set_nonblocking: fn(&TcpListener, bool) -> io::Result<()>,
        }
        UdpSocket {
            bind: fn(&'static str) -> io::Result<UdpSocket>,
            recv_from: fn(&UdpSocket, &mut [u8]) -> io::Result<(usize, SocketAddr)>,
            peek_from: fn(&UdpSocket, &mut [u8]) -> io::Result<(usize, SocketAddr)>,
            send_to: fn(&UdpSocket, &[u8], &'static str) -> io::Result<usize>,
            peer_addr: fn(&UdpSocket) -> io::Result<SocketAddr>,
            local_addr: fn(&UdpSocket) -> io::Result<SocketAddr>,
            try_clone: fn(&UdpSocket) -> io::Result<UdpSocket>,
            set_read_timeout: fn(&UdpSocket, Option<Duration>) -> io::Result<()>,
            set_write_timeout: fn(&UdpSocket, Option<Duration>) -> io::Result<()>,
            read_timeout: fn(&UdpSocket) -> io::Result<Option<Duration>>,
            write_timeout: fn(&UdpSocket) -> io::Result<Option<Duration>>,
            set_broadcast: fn(&UdpSocket, bool) -> io::Result<()>,
            broadcast: fn(&UdpSocket) -> io::Result<bool>,
            set_multicast_loop_v4: fn(&UdpSocket, bool) -> io::Result<()>,
            multicast_loop_v4: fn(&UdpSocket) -> io::Result<bool>,
            set_multicast_ttl_v4: fn(&UdpSocket, u32) -> io::Result<()>,
            multicast_ttl_v4: fn(&UdpSocket) -> io::Result<u32>,
            set_multicast_loop_v6: fn(&UdpSocket, bool) -> io::Result<()>,
            multicast_loop_v6: fn(&UdpSocket) -> io::Result<bool>,
            set_ttl: fn(&UdpSocket, u32) -> io::Result<()>,
            ttl: fn(&UdpSocket) -> io::Result<u32>,
            join_multicast_v4: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()>,
            join_multicast_v6: fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()>,
            leave_multicast_v4: fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()>,
            leave_multicast_v6: fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()>,
            take_error: fn(&UdpSocket) -> io::Result<Option<io::Error>>,
            connect: fn(&UdpSocket, &'static str) -> io::Result<()>,
            send: fn(&UdpSocket, &[u8]) -> io::Result<usize>,
            recv: fn(&UdpSocket, &mut [u8]) -> io::Result<usize>,
            peek: fn(&UdpSocket, &mut [u8]) -> io::Result<usize>,
            set_nonblocking: fn(&UdpSocket, bool) -> io::Result<()>,
        };
        traits {
            TcpStream: AsFd, AsRawFd, Debug, From<OwnedFd>, FromRawFd, IntoRawFd, Read, Write;
            &TcpStream: Read, Write;
            TcpListener: AsFd, AsRawFd, Debug, From<OwnedFd>, FromRawFd, IntoRawFd;
            UdpSocket: AsFd, AsRawFd, Debug, From<OwnedFd>, FromRawFd, IntoRawFd;
            OwnedFd: From<TcpStream>, From<TcpListener>, From<UdpSocket>;
        }
    }

    unix: std::os::unix::net | overlapped::os::unix::net {
        UnixStream {
            connect: fn(&'static str) -> io::Result<UnixStream>,
            connect_addr: fn(&SocketAddr) -> io::Result<UnixStream>,
            pair: fn() -> io::Result<(UnixStream, UnixStream)>,
            try_clone: fn(&UnixStream) -> io::Result<UnixStream>,
            local_addr: fn(&UnixStream) -> io::Result<SocketAddr>,
            peer_addr: fn(&UnixStream) -> io::Result<SocketAddr>,
            set_read_timeout: fn(&UnixStream, Option<Duration>) -> io::Result<()>,
            set_write_timeout: fn(&UnixStream, Option<Duration>) -> io::Result<()>,
            read_timeout: fn(&UnixStream) -> io::Result<Option<Duration>>,
            write_timeout: fn(&UnixStream) -> io::Result<Option<Duration>>,
            set_nonblocking: fn(&UnixStream, bool) -> io::Result<()>,
            take_error: fn(&UnixStream) -> io::Result<Option<io::Error>>,
            shutdown: fn(&UnixStream, Shutdown) -> io::Result<()>,
        }
        UnixListener {
            bind: fn(&'static str) -> io::Result<UnixListener>,
            bind_addr: fn(&SocketAddr) -> io::Result<UnixListener>,
            accept: fn(&UnixListener) -> io::Result<(UnixStream, SocketAddr)>,
            try_clone: fn(&UnixListener) -> io::Result<UnixListener>,
            local_addr: fn(&UnixListener) -> io::Result<SocketAddr>,
            set_nonblocking: fn(&UnixListener, bool) -> io::Result<()>,
            take_error: fn(&UnixListener) -> io::Result<Option<io::Error>>,
            incoming: fn(&UnixListener) -> Incoming<'_>,
        }
        UnixDatagram {
            bind: fn(&'static str) -> io::Result<UnixDatagram>,
            bind_addr: fn(&SocketAddr) -> io::Result<UnixDatagram>,
            unbound: fn() -> io::Result<UnixDatagram>,
            pair: fn() -> io::Result<(UnixDatagram, UnixDatagram)>,
            connect: fn(&UnixDatagram, &'static str) -> io::Result<()>,
            connect_addr: fn(&UnixDatagram, &SocketAddr) -> io::Result<()>,
            try_clone: fn(&UnixDatagram) -> io::Result<UnixDatagram>,
            local_addr: fn(&UnixDatagram) -> io::Result<SocketAddr>,
            peer_addr: fn(&UnixDatagram) -> io::Result<SocketAddr>,
            recv_from: fn(&UnixDatagram, &mut [u8]) -> io::Result<(usize, SocketAddr)>,
            recv: fn(&UnixDatagram, &mut [u8]) -> io::Result<usize>,
            send_to: fn(&UnixDatagram, &[u8], &'static Path) -> io::Result<usize>,
            send_to_addr: fn(&UnixDatagram, &[u8], &SocketAddr) -> io::Result<usize>,
            send: fn(&UnixDatagram, &[u8]) -> io::Result<usize>,
            set_read_timeout: fn(&UnixDatagram, Option<Duration>) -> io::Result<()>,
            set_write_timeout: fn(&UnixDatagram, Option<Duration>) -> io::Result<()>,
            read_timeout: fn(&UnixDatagram) -> io::Result<Option<Duration>>,
            write_timeout: fn(&UnixDatagram) -> io::Result<Option<Duration>>,
            set_nonblocking: fn(&UnixDatagram, bool) -> io::Result<()>,
            take_error: fn(&UnixDatagram) -> io::Result<Option<io::Error>>,
            shutdown: fn(&UnixDatagram, Shutdown) -> io::Result<()>,
        };
        traits {
            UnixStream: AsFd, AsRawFd, Debug, From<OwnedFd>, FromRawFd, IntoRawFd, Read, Write;
            &UnixStream: Read, Write;
            UnixListener: AsFd, AsRawFd, Debug, From<OwnedFd>, FromRawFd, IntoRawFd;
            &UnixListener: IntoIterator;
            UnixDatagram: AsFd, AsRawFd, Debug, From<OwnedFd>, FromRawFd, IntoRawFd;
            OwnedFd: From<UnixStream>, From<UnixListener>, From<UnixDatagram>;
        }
    }

    fs: std::fs | overlapped::fs {
        File {
            open: fn(&'static str) -> io::Result<File>,
            create: fn(&'static str) -> io::Result<File>,
            create_new: fn(&'static str) -> io::Result<File>,
            options: fn() -> OpenOptions,
            sync_all: fn(&File) -> io::Result<()>,
            sync_data: fn(&File) -> io::Result<()>,
            lock: fn(&File) -> io::Result<()>,
            lock_shared: fn(&File) -> io::Result<()>,
            try_lock: fn(&File) -> Result<(), TryLockError>,
            try_lock_shared: fn(&File) -> Result<(), TryLockError>,
            unlock: fn(&File) -> io::Result<()>,
            set_len: fn(&File, u64) -> io::Result<()>,
            metadata: fn(&File) -> io::Result<Metadata>,
            try_clone: fn(&File) -> io::Result<File>,
            set_permissions: fn(&File, Permissions) -> io::Result<()>,
            set_times: fn(&File, FileTimes) -> io::Result<()>,
            set_modified: fn(&File, SystemTime) -> io::Result<()>,
        }
        FileExt {
            read_at: fn(&File, &mut [u8], u64) -> io::Result<usize>,
            write_at: fn(&File, &[u8], u64) -> io::Result<usize>,
            read_exact_at: fn(&File, &mut [u8], u64) -> io::Result<()>,
            write_all_at: fn(&File, &[u8], u64) -> io::Result<()>,
        }
        OpenOptions {
            new: fn() -> OpenOptions,
            read: fn(&mut OpenOptions, bool) -> &mut OpenOptions,
            write: fn(&mut OpenOptions, bool) -> &mut OpenOptions,
            append: fn(&mut OpenOptions, bool) -> &mut OpenOptions,
            truncate: fn(&mut OpenOptions, bool) -> &mut OpenOptions,
            create: fn(&mut OpenOptions, bool) -> &mut OpenOptions,
            create_new: fn(&mut OpenOptions, bool) -> &mut OpenOptions,
            open: fn(&OpenOptions, &'static str) -> io::Result<File>,
        }
        OpenOptionsExt {
            mode: fn(&mut OpenOptions, u32) -> &mut OpenOptions,
            custom_flags: fn(&mut OpenOptions, i32) -> &mut OpenOptions,
        };
        traits {
            File: AsFd, AsRawFd, Debug, FileExt, From<OwnedFd>, FromRawFd, IntoRawFd, Read, Seek,
                Write;
            &File: Read, Seek, Write;
            OwnedFd: From<File>;
            Stdio: From<File>;
            OpenOptions: Clone, Debug, OpenOptionsExt;
        }
    }

    process: crate::of_std::process | crate::of_ours::process {
        Command {
            new: fn(&'static str) -> Command,
            arg: for<'a> fn(&'a mut Command, &'static str) -> &'a mut Command,
            args: fn(&mut Command, [String; 2]) -> &mut Command,
            env: fn(&mut Command, String, String) -> &mut Command,
            envs: fn(&mut Command, [(String, String); 2]) -> &mut Command,
            env_remove: fn(&mut Command, String) -> &mut Command,
            env_clear: fn(&mut Command) -> &mut Command,
            current_dir: fn(&mut Command, String) -> &mut Command,
            stdin: fn(&mut Command, Stdio) -> &mut Command,
            stdout: fn(&mut Command, Stdio) -> &mut Command,
            stderr: fn(&mut Command, Stdio) -> &mut Command,
            spawn: fn(&mut Command) -> io::Result<Child>,
            output: fn(&mut Command) -> io::Result<Output>,
            status: fn(&mut Command) -> io::Result<ExitStatus>,
            get_program: fn(&Command) -> &OsStr,
            get_args: fn(&Command) -> CommandArgs<'_>,
            get_envs: fn(&Command) -> CommandEnvs<'_>,
            get_current_dir: fn(&Command) -> Option<&Path>,
        }
        CommandExt {
            uid: fn(&mut Command, u32) -> &mut Command,
            gid: fn(&mut Command, u32) -> &mut Command,
            pre_exec: unsafe fn(&mut Command, fn() -> io::Result<()>) -> &mut Command,
            exec: fn(&mut Command) -> io::Error,
            arg0: fn(&mut Command, String) -> &mut Command,
            process_group: fn(&mut Command, i32) -> &mut Command,
        }
        Child {
            kill: fn(&mut Child) -> io::Result<()>,
            id: fn(&Child) -> u32,
            wait: fn(&mut Child) -> io::Result<ExitStatus>,
            try_wait: fn(&mut Child) -> io::Result<Option<ExitStatus>>,
            wait_with_output: fn(Child) -> io::Result<Output>,
        };
        traits {
            Command: CommandExt, Debug;
            Child: Debug;
        }
    }
}

const ITEMS: &str = include_str!("../../../docs/std-items.txt");
const TABLE: &str = include_str!("../../../docs/std.md");

/// Lists std's items: `Type::method` and `impl Trait for Type`.
fn items() -> BTreeSet<String> {
    let lines = ITEMS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let items = lines.map(|line| {
        let (item, _version) = line.rsplit_once(' ').unwrap();
        item.strip_prefix("fn ").unwrap_or(item).to_owned()
    });
    items.collect()
}

/// Lists the items that the compiler has checked here.
fn shapes() -> BTreeSet<String> {
    let mut all: BTreeSet<String> = SHAPES.iter().map(|&shape| shape.to_owned()).collect();
    all.extend(TRAITS.iter().map(|(name, implementor)| format!("impl {name} for {implementor}")));
    assert_eq!(all.len(), SHAPES.len() + TRAITS.len(), "a shape is here twice");
    all
}

/// Lists the rows under "Items" in docs/std.md: each item, and whether it is here.
fn table() -> BTreeMap<String, String> {
    let (_, section) = TABLE.split_once("\n## Items\n").expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rows = BTreeMap::new();
    for line in section.lines() {
        let cells: Vec<_> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let [item, verdict, why] = cells[..] else { continue };
        let Some(item) = item.strip_prefix('`').and_then(|item| item.strip_suffix('`')) else {
            continue;
        };
        assert!(["differs", "absent"].contains(&verdict), "{line}: differs or absent?");
        assert!(why.len() > 5, "{line}: why?");
        let before = rows.insert(item.to_owned(), verdict.to_owned());
        assert_eq!(before, None, "{item} is in the table twice");
    }
    assert!(rows.len() > 5, "the table was not found");
    rows
}

#[test]
fn all_that_std_has_is_here_or_in_the_table() {
    let (items, shapes, table) = (items(), shapes(), table());
    assert!(items.len() > 200, "the list was not found");
    let missing: Vec<_> =
        items.iter().filter(|item| !shapes.contains(*item) && !table.contains_key(*item)).collect();
    assert!(missing.is_empty(), "neither in this file nor in docs/std.md: {missing:#?}");
    println!("{} items: {} of the same shape, {} lines", items.len(), shapes.len(), table.len());
}

#[test]
fn every_line_of_the_table_names_an_item_of_std() {
    let items = items();
    let stale: Vec<_> = table().into_keys().filter(|item| !items.contains(item)).collect();
    assert!(stale.is_empty(), "in docs/std.md, but not in docs/std-items.txt: {stale:#?}");
    let stale: Vec<_> = shapes().into_iter().filter(|item| !items.contains(item)).collect();
    assert!(stale.is_empty(), "in this file, but not in docs/std-items.txt: {stale:#?}");
}

#[test]
fn items_that_the_table_calls_absent_do_not_exist_here() {
    let shapes = shapes();
    let absent = table().into_iter().filter(|(_, verdict)| verdict == "absent");
    let here: Vec<_> = absent.filter(|(item, _)| shapes.contains(item)).collect();
    assert!(here.is_empty(), "absent by docs/std.md, but here: {here:#?}");
}
