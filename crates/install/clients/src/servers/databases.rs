//! PostgreSQL, MariaDB, Redis, memcached.

use std::path::{Path, PathBuf};

use super::process::{Program, User, find};
use super::running::{NotStarted, Running, free_port, wait_for};

/// Debian has a folder for each version.
fn find_postgres(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path()).collect();
    versions.sort();
    let program = |version: PathBuf| version.join("bin").join(name);
    versions.into_iter().rev().map(program).find(|path| path.is_file()).or_else(|| find(name))
}

pub(super) fn postgres(folder: &Path) -> Result<Running, NotStarted> {
    let (Some(initdb), Some(postgres)) = (find_postgres("initdb"), find_postgres("postgres"))
    else {
        return Err(NotStarted::Missing("postgresql"));
    };
    let user = User::instead_of_root("postgres")?;
    let data = folder.join("data");
    let in_data = ["-D".as_ref(), data.as_os_str()];
    let arguments = "-A trust -U postgres -N -E UTF8 --locale=C.UTF-8".split(' ');
    Program::new(&initdb, folder).args(in_data).args(arguments).by(&user, folder)?.run()?;
    let address = free_port()?;
    let port = address.port();
    let arguments = format!(
        "-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=16MB \
         -c unix_socket_directories="
    );
    let server = Program::new(&postgres, folder)
        .args(in_data)
        .args(arguments.split(' '))
        .by(&user, folder)?
        // A fast shutdown: it does not wait for clients.
        .stopped_by(libc::SIGINT)
        .start()?;
    let state = data.join("postmaster.pid");
    wait_for(server, address, || {
        std::fs::read_to_string(&state).is_ok_and(|text| text.contains("ready"))
    })
}

pub(super) fn mariadb(folder: &Path) -> Result<Running, NotStarted> {
    let (Some(installer), Some(mariadb)) = (find("mariadb-install-db"), find("mariadbd")) else {
        return Err(NotStarted::Missing("mariadb-server"));
    };
    let user = User::instead_of_root("mysql")?;
    let data = format!("--datadir={}", folder.join("data").display());
    let arguments = [
        "--no-defaults",
        &data,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--innodb-log-file-size=4M",
    ];
    Program::new(&installer, folder).args(arguments).by(&user, folder)?.run()?;
    let address = free_port()?;
    let arguments = format!(
        "--bind-address=127.0.0.1 --port={} --skip-name-resolve --skip-log-bin \
         --innodb-log-file-size=4M --innodb-buffer-pool-size=16M --pid-file=pid --socket=socket",
        address.port()
    );
    let server = Program::new(&mariadb, folder)
        .args(["--no-defaults", &data])
        .args(arguments.split(' '))
        .by(&user, folder)?
        .start()?;
    wait_for(server, address, || true)
}

pub(super) fn redis(folder: &Path) -> Result<Running, NotStarted> {
    let Some(redis) = find("redis-server") else {
        return Err(NotStarted::Missing("redis-server"));
    };
    let address = free_port()?;
    let arguments = format!("--bind 127.0.0.1 --port {} --appendonly no --save", address.port());
    let server = Program::new(&redis, folder).args(arguments.split(' ')).args([""]).start()?;
    wait_for(server, address, || true)
}

pub(super) fn memcached(folder: &Path) -> Result<Running, NotStarted> {
    let Some(memcached) = find("memcached") else {
        return Err(NotStarted::Missing("memcached"));
    };
    let user = User::instead_of_root("nobody")?;
    let address = free_port()?;
    let arguments = format!("-l 127.0.0.1 -p {} -U 0 -m 16", address.port());
    let server =
        Program::new(&memcached, folder).args(arguments.split(' ')).by(&user, folder)?.start()?;
    wait_for(server, address, || true)
}
