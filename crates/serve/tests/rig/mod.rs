//! Helpers for the tests of scripts.
#![allow(dead_code, reason = "every test program uses a part of it")]

use std::io::{self, Read};
use std::path::Path;
use std::process::Command;

use http::{HeaderMap, Request, StatusCode};
use overlapped_wire::http::{Answer, Content, Service};

/// Writes an executable file. The system refuses to execute a file that is open for writing, which
/// a child of another test may have inherited for a moment. So a process of its own writes it.
pub(crate) fn script(folder: &Path, name: &str, text: &str) {
    let source = folder.join("source");
    std::fs::write(&source, text).unwrap();
    let target = folder.join(name);
    let mut install = Command::new("install");
    let installed = install.args(["-D", "-m", "755"]).arg(&source).arg(&target).status().unwrap();
    assert!(installed.success());
    std::fs::remove_file(source).unwrap();
}

pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The error, if the body broke off.
    pub(crate) body: io::Result<Vec<u8>>,
}

impl Got {
    pub(crate) fn of(answer: Answer) -> Got {
        let (head, content) = answer.into_parts();
        let body = match content {
            Content::Bytes(bytes) => Ok(bytes.into_owned()),
            Content::Shared(bytes) => Ok(bytes.to_vec()),
            Content::Reader { mut reader, .. } => {
                let mut body = Vec::new();
                reader.read_to_end(&mut body).map(|_| body)
            }
            other => panic!("{other:?}"),
        };
        Got { status: head.status, headers: head.headers, body }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

pub(crate) fn get(service: &mut impl Service, path: &str) -> Got {
    Got::of(service.call(request("GET", path, &[]), &mut io::empty()))
}

pub(crate) fn post(service: &mut impl Service, path: &str, body: impl Read) -> Got {
    let mut body = body;
    Got::of(service.call(request("POST", path, &[("transfer-encoding", "chunked")]), &mut body))
}
