//! Servers of mail: SMTP, IMAP.

use std::path::Path;

use super::process::{Program, User, find, find_python};
use super::running::{NotStarted, Running, free_port, wait_for};

/// The package's path in Debian.
const AIOSMTPD: &str = "/usr/lib/python3/dist-packages/aiosmtpd";

/// Starts aiosmtpd, which puts each message into a folder.
pub(super) fn smtp(folder: &Path) -> Result<Running, NotStarted> {
    let Some(python) = find_python().filter(|_| Path::new(AIOSMTPD).is_dir()) else {
        return Err(NotStarted::Missing("python3-aiosmtpd"));
    };
    let address = free_port()?;
    let listen = address.to_string();
    let mail = folder.join(MAIL);
    let mail = mail.to_string_lossy();
    let arguments =
        ["-m", "aiosmtpd", "-n", "-l", &listen, "-c", "aiosmtpd.handlers.Mailbox", &mail];
    let server = Program::new(&python, folder).args(arguments).start()?;
    wait_for(server, address, || true)
}

/// The folder of the messages.
const MAIL: &str = "mail";

/// Returns the messages that the SMTP server in `folder` has.
pub(crate) fn messages(folder: &Path) -> std::io::Result<Vec<String>> {
    let files = std::fs::read_dir(folder.join(MAIL).join("new"))?;
    files.map(|file| std::fs::read_to_string(file?.path())).collect()
}

/// The only message of the IMAP server.
pub(crate) const IMAP_MESSAGE: &str =
    "From: from@localhost\r\nTo: reader@localhost\r\nSubject: One\r\n\r\nThe body.\r\n";

/// Starts Dovecot, with one user, `reader`, and one message.
pub(super) fn imap(folder: &Path) -> Result<Running, NotStarted> {
    let Some(dovecot) = find("dovecot").filter(|_| find("imap-login").is_some()) else {
        return Err(NotStarted::Missing("dovecot-imapd"));
    };
    let user = User::instead_of_root("nobody")?;
    let address = free_port()?;
    let mail = folder.join(MAIL);
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(mail.join(part))?;
    }
    std::fs::write(mail.join("new/1.one.localhost"), IMAP_MESSAGE)?;
    for path in [&mail, &mail.join("cur"), &mail.join("new"), &mail.join("tmp")] {
        user.own(path)?;
    }
    user.own(&mail.join("new/1.one.localhost"))?;
    let settings = folder.join("settings");
    std::fs::write(&settings, dovecot_settings(folder, address.port(), &user))?;
    let server = Program::new(&dovecot, folder)
        .args(["-F".as_ref(), "-c".as_ref(), settings.as_os_str()])
        .by(&user, folder)?
        .start()?;
    wait_for(server, address, || true)
}

fn dovecot_settings(folder: &Path, port: u16, user: &User) -> String {
    let User { uid, gid, name, group } = user;
    let folder = folder.display();
    format!(
        "protocols = imap
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{folder}/{MAIL}
first_valid_uid = 1
default_internal_user = {name}
default_internal_group = {group}
default_login_user = {name}
mail_max_userip_connections = 100
passdb {{
  driver = static
  args = password=word
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service auth-worker {{
  user = {name}
}}
"
    )
}
