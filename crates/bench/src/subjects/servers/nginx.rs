//! nginx as Debian has it, with what its documentation advises for static files.
//!
//! Its one worker is the process itself (`master_process off`): the loop is the same, and the
//! measurement covers all of it. By default it has no cache of open files, and each request opens,
//! stats and closes its file. With the cache, a file is stat'ed again after a minute.

use crate::error::say;
use crate::harness::process;
use crate::subjects::endpoint::{ADDRESS, announce};
use crate::traits::servers::{GREETING, Servers};
use crate::traits::tasks::Subject;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Nginx {
    pub(crate) is_caching: bool,
}

impl Subject for Nginx {
    fn prepare(&self) -> Result<(), String> {
        let output = command().arg("-v").output();
        output.map(drop).map_err(|_| "nginx is missing: apt install nginx-light".into())
    }
}

impl Servers for Nginx {
    fn http(&self, folder: &Path) -> Result<(), String> {
        let cache = match self.is_caching {
            false => "",
            true => "open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;",
        };
        become_nginx(folder, "", &format!("root {}; {cache}", folder.display()))
    }

    fn tls(&self, folder: &Path) -> Result<(), String> {
        let folder_name = folder.display();
        let site = format!(
            "ssl_certificate {folder_name}/certificate.pem;
             ssl_certificate_key {folder_name}/key.pem;
             ssl_protocols TLSv1.3;
             location / {{ default_type text/plain; return 200 {GREETING:?}; }}"
        );
        become_nginx(folder, "ssl", &site)
    }
}

fn command() -> Command {
    // Debian's path first, because not every PATH contains it.
    let path = PathBuf::from("/usr/sbin/nginx");
    Command::new(if path.exists() { path } else { "nginx".into() })
}

/// Replaces this process by nginx. The port is announced before nginx listens there.
fn become_nginx(folder: &Path, listen: &str, site: &str) -> Result<(), String> {
    let listener = TcpListener::bind(ADDRESS).map_err(say)?;
    let address = listener.local_addr().map_err(say)?;
    drop(listener);
    let work = folder.with_file_name("overlapped-bench-nginx");
    std::fs::create_dir_all(work.join("temp")).map_err(say)?;
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};\n", work.join("temp").display()))
        .concat();
    let config = format!(
        "daemon off; master_process off; worker_processes 1;
         error_log stderr crit;
         pid {work}/{port}.pid;
         events {{ use epoll; worker_connections 16384; }}
         http {{
             {temp}
             types {{ text/html html; }}
             access_log off;
             sendfile on;
             tcp_nopush on;
             tcp_nodelay on;
             keepalive_timeout 600s;
             keepalive_requests 1000000000;
             server {{ listen {address} backlog=4096 {listen}; {site} }}
         }}\n",
        work = work.display(),
        port = address.port(),
    );
    let path = work.join(format!("{}.conf", address.port()));
    std::fs::write(&path, config).map_err(say)?;
    announce(address);
    process::die_with_parent();
    Err(say(command().arg("-p").arg(&work).arg("-c").arg(&path).exec()))
}
