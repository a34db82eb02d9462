//! Users and the hashes of their passwords, as in a file of `htpasswd`.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use overlapped::time::Instant;
use sha_crypt::{PasswordVerifier, ShaCrypt};

use crate::locks::IgnorePoison;
use crate::web::layers::invalid;

/// A larger file is none of users.
const FILE_MAX: u64 = 4 << 20;
/// The most that a try may cost: of bcrypt 2^15, of sha-crypt these rounds; seconds of a processor.
const COST_MAX: u32 = 15;
const ROUNDS_MAX: u32 = 5_000_000;
/// Between two reads of a file that cannot be read.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Users {
    file: PathBuf,
    stamp: Stamp,
    quiet_until: Mutex<Option<Instant>>,
    hashes: HashMap<String, Hash>,
}

/// The state of the file: device, inode, size, and the time of the last change.
type Stamp = (u64, u64, u64, i64, i64);

enum Hash {
    Bcrypt(String),
    Sha(String),
}

impl Users {
    /// Reads a file, and looks at every hash in it. Blocks the thread.
    pub(super) fn read(file: &Path) -> io::Result<Users> {
        let explain = |error: io::Error| {
            let text = format!("cannot read the users in {}: {error}", file.display());
            io::Error::new(error.kind(), text)
        };
        let mut opened = fs::File::open(file).map_err(explain)?;
        let metadata = opened.metadata().map_err(explain)?;
        if !metadata.is_file() || metadata.len() > FILE_MAX {
            return Err(explain(invalid("it is not a file of htpasswd".to_owned())));
        }
        let mut text = String::new();
        opened.read_to_string(&mut text).map_err(explain)?;
        let mut hashes = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |why: &str| {
                explain(invalid(format!(
                    "line {} {why}; `htpasswd -B {} NAME` writes a right one",
                    at + 1,
                    file.display()
                )))
            };
            let (name, hash) =
                line.split_once(':').ok_or_else(|| refuse("is not a name and a hash"))?;
            if name.is_empty() || name.contains(char::is_control) {
                return Err(refuse("has a name that no client can send"));
            }
            hashes.insert(name.to_owned(), Hash::parse(hash).map_err(refuse)?);
        }
        if hashes.is_empty() {
            return Err(explain(invalid("it has no users, so nobody could come in".to_owned())));
        }
        let (file, stamp) = (file.to_owned(), stamp(&metadata));
        Ok(Users { file, stamp, quiet_until: Mutex::new(None), hashes })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Tells whether the file is still what was read, as far as it is to be looked at now.
    pub(super) fn is_current(&self) -> bool {
        let quiet_until = *self.quiet_until.lock().ignore_poison();
        quiet_until.is_some_and(|until| Instant::now() < until)
            || fs::metadata(&self.file).is_ok_and(|found| stamp(&found) == self.stamp)
    }

    /// Tells whether both were read from the same state of the file.
    pub(super) fn is_same(&self, other: &Users) -> bool {
        self.stamp == other.stamp
    }

    /// Leaves the file alone for a while.
    pub(super) fn look_again_later(&self) {
        let until = Instant::now() + PAUSE;
        *self.quiet_until.lock().ignore_poison() = Some(until);
    }

    /// Tells whether the password is that of the user. Blocks the thread. For a name that is
    /// unknown it takes as long as for one that is known.
    pub(super) fn check(&self, name: &str, password: &[u8]) -> bool {
        let known = self.hashes.get(name);
        let Some(hash) = known.or_else(|| self.hashes.values().next()) else { return false };
        let is_right = hash.fits(password);
        known.is_some() && is_right
    }
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec())
}

impl Hash {
    fn parse(hash: &str) -> Result<Hash, &'static str> {
        const TOO_DEAR: &str = "has a hash that takes too long";
        const MALFORMED: &str = "has a malformed hash";
        if ["$2y$", "$2b$", "$2a$"].iter().any(|kind| hash.starts_with(kind)) {
            let parts: bcrypt::HashParts = hash.parse().map_err(|_| MALFORMED)?;
            let is_bearable = parts.get_cost() <= COST_MAX;
            return if is_bearable { Ok(Hash::Bcrypt(hash.to_owned())) } else { Err(TOO_DEAR) };
        }
        if ["$5$", "$6$"].iter().any(|kind| hash.starts_with(kind)) {
            let rounds = hash[3..].strip_prefix("rounds=").and_then(|rest| rest.split('$').next());
            if let Some(rounds) = rounds {
                let rounds: u32 = rounds.parse().map_err(|_| MALFORMED)?;
                if rounds > ROUNDS_MAX {
                    return Err(TOO_DEAR);
                }
            }
            let tried = ShaCrypt::default().verify_password(b"", hash);
            return match tried {
                Ok(()) | Err(sha_crypt::password_hash::Error::PasswordInvalid) => {
                    Ok(Hash::Sha(hash.to_owned()))
                }
                Err(_) => Err(MALFORMED),
            };
        }
        Err("has a hash that is neither of bcrypt ($2y$) nor of SHA-crypt ($5$, $6$)")
    }

    /// Compares in constant time; both crates do.
    fn fits(&self, password: &[u8]) -> bool {
        match self {
            Hash::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Hash::Sha(hash) => ShaCrypt::default().verify_password(password, &**hash).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `htpasswd -nbB -C 4`, `openssl passwd -5` and `openssl passwd -6`: the password is
    /// `secret`.
    const LINES: [&str; 4] = [
        "alice:$2y$04$HYgepmxyB1jUFd8UadZTyuyiJWpTgAtgcL2n4cPeBbabrllo6GJ1C",
        "bob:$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
        "carol:$6$abcdefghijklmnop$J/AWykHqo2Tx5UtavGnFc3ytI33la50Jpz\
         LTarSWVhkIXK6wOjNwwZjsrIw2UgmrER2EKrSHCeQyAINEEXAk1/",
        "dave:$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv\
         2SoepNXNKJ/otop/Zok96Hr8Q13LEv0DRY/x8v0/crpIjl8NJSAqXV/",
    ];

    #[test]
    fn hashes_of_other_programs_are_understood() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("users");
        fs::write(&file, format!("# users\n\n{}\n", LINES.join("\n"))).unwrap();
        let users = Users::read(&file).unwrap();
        for line in LINES {
            let name = line.split(':').next().unwrap();
            assert!(users.check(name, b"secret"), "{line}");
            assert!(!users.check(name, b"Secret") && !users.check(name, b""), "{line}");
        }
        assert!(!users.check("nobody", b"secret"));
    }

    #[test]
    fn what_cannot_be_a_users_line_is_said_with_its_number() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("users");
        for (line, says) in [
            ("a", "line 2 is not a name"),
            (":x", "line 2 has a name"),
            ("a:plain", "htpasswd -B"),
            ("a:$apr1$salt$abc", "neither of bcrypt"),
            ("a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "neither of bcrypt"),
            ("a:$2y$04$short", "malformed"),
            ("a:$6$nothing", "malformed"),
            ("a:$2y$31$HYgepmxyB1jUFd8UadZTyuyiJWpTgAtgcL2n4cPeBbabrllo6GJ1C", "too long"),
            ("a:$6$rounds=999999999$salt$x", "too long"),
        ] {
            fs::write(&file, format!("\n{line}\n")).unwrap();
            let error = Users::read(&file).err().expect(line).to_string();
            assert!(error.contains(says), "{line}: {error}");
            assert!(!error.contains("$apr1$salt"), "a hash is not for logs: {error}");
        }
        fs::write(&file, "# nobody\n").unwrap();
        assert!(Users::read(&file).is_err());
        assert!(Users::read(&temp.path().join("none")).is_err());
        assert!(Users::read(temp.path()).is_err());
    }
}
