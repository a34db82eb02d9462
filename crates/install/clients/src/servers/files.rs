//! Servers of files and messages: FTP, MQTT.

use std::path::Path;

use super::process::{Program, User, find, find_python};
use super::running::{NotStarted, Running, free_port, wait_for};
use crate::request::REQUESTS;

/// The size of each file of the FTP server.
pub(crate) const FTP_FILE_SIZE: usize = 1 << 16;

/// The package's path in Debian.
const PYFTPDLIB: &str = "/usr/lib/python3/dist-packages/pyftpdlib";

/// Starts pyftpdlib, with `file-N`, whose bytes are all N.
pub(super) fn ftp(folder: &Path) -> Result<Running, NotStarted> {
    let Some(python) = find_python().filter(|_| Path::new(PYFTPDLIB).is_dir()) else {
        return Err(NotStarted::Missing("python3-pyftpdlib"));
    };
    for number in 0..REQUESTS {
        let file = folder.join(format!("file-{number}"));
        std::fs::write(file, vec![number as u8; FTP_FILE_SIZE])?;
    }
    let address = free_port()?;
    let port = address.port().to_string();
    let server = Program::new(&python, folder)
        .args(["-m", "pyftpdlib", "-i", "127.0.0.1", "-p", &port, "-d"])
        .args([folder])
        .start()?;
    wait_for(server, address, || true)
}

/// Starts mosquitto.
pub(super) fn mqtt(folder: &Path) -> Result<Running, NotStarted> {
    let Some(mosquitto) = find("mosquitto") else {
        return Err(NotStarted::Missing("mosquitto"));
    };
    let user = User::instead_of_root("nobody")?;
    let address = free_port()?;
    let settings =
        format!("listener {} 127.0.0.1\nallow_anonymous true\npersistence false\n", address.port());
    let path = folder.join("settings");
    std::fs::write(&path, settings)?;
    let server = Program::new(&mosquitto, folder)
        .args(["-c".as_ref(), path.as_os_str()])
        .by(&user, folder)?
        .start()?;
    wait_for(server, address, || true)
}
