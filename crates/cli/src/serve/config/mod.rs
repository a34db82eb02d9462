//! The configuration file, which describes several servers.
//!
//! | file | contents |
//! |---|---|
//! | `source` | the location of each value, for messages |
//! | `explain` | messages about faults in the file, with an example |
//! | `example` | the annotated file, from which the examples come |

mod example;
mod explain;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use toml::Spanned;

use super::faults::Faults;
use super::options::access::{Mode, Owner};
use super::options::http::HttpOptions;
use super::options::server::{Limits, Listening, LogFormat, Process};
use super::options::values::{Count, TimeSpan};
use super::plan::{ProtocolName, ServerPlan};
pub(super) use example::EXAMPLE;
use source::Position;
pub(super) use source::{Source, Text};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    threads: Option<Count>,
    drain: Option<TimeSpan>,
    lame_duck: Option<TimeSpan>,
    metrics: Option<String>,
    access_log: Option<PathBuf>,
    log_format: Option<LogFormat>,
    #[serde(default)]
    server: Vec<Entry>,
}

/// One server.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entry {
    protocol: Spanned<ProtocolName>,
    #[serde(default)]
    listen: Vec<String>,
    #[serde(default)]
    proxy_protocol: bool,
    socket_mode: Option<Mode>,
    socket_owner: Option<Owner>,
    #[serde(default)]
    tls: Vec<Certificate>,
    #[serde(default)]
    limits: Limits,
    http: Option<HttpOptions>,
}

/// The files of a certificate and its key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Certificate {
    cert: PathBuf,
    key: PathBuf,
}

/// Reads the file. Relative paths start at its folder.
pub(super) fn read(
    path: &Path,
    faults: &mut Faults,
) -> anyhow::Result<(Process, Source, Vec<ServerPlan>)> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(Text::new(path, text), faults)
}

fn parse(text: Text, faults: &mut Faults) -> anyhow::Result<(Process, Source, Vec<ServerPlan>)> {
    let file =
        toml::from_str(text.text()).map_err(|error| anyhow!(explain::explain(&text, &error)))?;
    let File { threads, drain, lame_duck, metrics, access_log, log_format, server } = file;
    if server.is_empty() {
        bail!(
            "{}: the file describes no server: add [[server]] and protocol = \"echo\"",
            text.path().display()
        );
    }
    let base = text.path().parent().unwrap_or(Path::new(""));
    let access_log = access_log.map(|log| if is_dash(&log) { log } else { base.join(log) });
    let process = Process { threads, drain, lame_duck, metrics, access_log, log_format };
    let text = Arc::new(text);
    let source = |server| Source::File { file: Arc::clone(&text), server };
    if process.log_format.is_some() && process.access_log.is_none() {
        faults.add(format_args!(
            "{}: the format of an access log has no effect without a log: add access-log = \"-\", \
             or the name of a file",
            source(None).location("log-format", None)
        ));
    }
    let mut all = Vec::new();
    for (number, entry) in server.into_iter().enumerate() {
        match entry.plan(&text, source(Some(number))) {
            Ok(plan) => all.push(plan),
            Err(fault) => faults.add(fault),
        }
    }
    Ok((process, source(None), all))
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Entry {
    fn plan(self, text: &Text, source: Source) -> anyhow::Result<ServerPlan> {
        let base = text.path().parent().unwrap_or(Path::new(""));
        let name = *self.protocol.get_ref();
        let at = Position::new(text.text(), self.protocol.span().start);
        let at = format!("{}, {at}", text.path().display());
        match (name, &self.http) {
            (ProtocolName::Http, None) => {
                bail!("{at}: an HTTP server needs a folder: add `http.folder = \"DIR\"` below")
            }
            (ProtocolName::Http, Some(_)) | (_, None) => {}
            (_, Some(_)) => bail!(
                "{at}: `http` belongs to protocol = \"http\", but this is a server of {}: remove \
                 the table or change the protocol",
                name.text()
            ),
        }
        let (tls_cert, tls_key) = self
            .tls
            .into_iter()
            .map(|Certificate { cert, key }| (base.join(cert), base.join(key)))
            .unzip();
        let listening = Listening {
            listen: self.listen,
            tls_cert,
            tls_key,
            proxy_protocol: self.proxy_protocol,
            socket_mode: self.socket_mode,
            socket_owner: self.socket_owner,
        };
        let http = self.http.map(|http| http.relative_to(base));
        Ok(ServerPlan { name, listening, limits: self.limits, http, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_at(path: &str, text: &str) -> anyhow::Result<(Process, Source, Vec<ServerPlan>)> {
        let mut faults = Faults::default();
        let parsed = parse(Text::new(Path::new(path), text.to_owned()), &mut faults)?;
        faults.end().map(|()| parsed)
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", parse_at("serve.toml", text).unwrap_err())
    }

    #[test]
    fn a_fault_is_reported_with_its_location_and_a_remedy() {
        for (text, says) in [
            ("", vec!["[[server]]"]),
            ("[[server]]\nprotocl = 'echo'", vec!["line 2, column 1", "protocl", "`protocol`"]),
            ("[[server]]\nprotocol = 'ftp'", vec!["line 2, column 12", "ftp", "zen"]),
            ("[[server]]\nprotocol = 'http'", vec!["line 2, column 12", "http.folder"]),
            (
                "[[server]]\nprotocol = 'zen'\nhttp.folder = '.'",
                vec!["line 2, column 12", "remove"],
            ),
            ("drain = 'soon'\n", vec!["line 1, column 9", "500ms, 30s or 5m"]),
            ("threads = 0\n", vec!["line 1, column 11", "leave it out"]),
            (
                "[[server]]\nprotocol = 'echo'\n[server.limits]\nidle-timeout = '0s'",
                vec!["line 4, column 16", "leave it out"],
            ),
            (
                "[[server]]\nprotocol = 'http'\n[server.http]\nfolder = '.'\nmax-body = 'x'",
                vec!["line 5, column 12", "64KiB"],
            ),
        ] {
            let error = refusal(text);
            for message in says {
                assert!(error.contains(message), "{message:?} is not in\n{error}");
            }
        }
    }

    #[test]
    fn relative_paths_start_at_the_files_folder() {
        let text = "access-log = 'log'\n[[server]]\nprotocol = 'http'\n\
            tls = [{ cert = 'a.pem', key = '/b.key' }]\nhttp.folder = 'site'";
        let (process, _, plan) = parse_at("/srv/serve.toml", text).unwrap();
        assert_eq!(process.access_log.as_deref(), Some(Path::new("/srv/log")));
        let [plan] = &*plan else { panic!("{plan:?}") };
        assert_eq!(plan.listening.tls_cert, [Path::new("/srv/a.pem")]);
        assert_eq!(plan.listening.tls_key, [Path::new("/b.key")]);
        assert_eq!(plan.http.as_ref().unwrap().folder(), Path::new("/srv/site"));
    }
}
