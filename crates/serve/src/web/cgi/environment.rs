//! The environment of a script: the meta-variables of RFC 3875, section 4.1; those of Apache and
//! lighttpd that programs need (`SCRIPT_FILENAME`, `REDIRECT_STATUS`: php-cgi; `REQUEST_URI`,
//! `DOCUMENT_ROOT`: PHP programs); and nothing else but the variables that are configured.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::config::CgiConfig;
use super::script::Script;
use crate::peer::Peer;
use crate::web::{Call, User};

/// Headers that have variables of their own, belong to the connection, or are secrets between the
/// client and the server (section 4.1.18). One of the secrets can be enabled:
/// [`Cgi::pass_authorization`](super::Cgi::pass_authorization).
const EXCLUDED: &[HeaderName] = &[
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

type Variables = BTreeMap<OsString, OsString>;

/// Builds the environment. `length` is that of the body, if there is one.
pub(crate) fn build(
    call: &Call<'_>,
    config: &CgiConfig,
    script: &Script,
    length: Option<u64>,
) -> Variables {
    let Call { request, peer, .. } = call;
    let mut variables: Variables = config.variables.iter().cloned().collect();
    let mut set = |name: &str, value: &OsStr| _ = variables.insert(name.into(), value.into());
    let mut text = |name: &str, value: &str| set(name, value.as_ref());
    text("GATEWAY_INTERFACE", "CGI/1.1");
    text("SERVER_SOFTWARE", concat!("overlapped/", env!("CARGO_PKG_VERSION")));
    text("SERVER_PROTOCOL", &format!("{:?}", request.version()));
    text("REQUEST_METHOD", request.method().as_str());
    text("QUERY_STRING", request.uri().query().unwrap_or_default());
    // The target as it was sent.
    let target = request.uri().path_and_query();
    text("REQUEST_URI", target.map_or("", |target| target.as_str()));
    text("REQUEST_SCHEME", if peer.secure { "https" } else { "http" });
    // php-cgi requires it, as a proof that the web server has chosen the program and not a client.
    text("REDIRECT_STATUS", "200");
    let (name, port) = server(call);
    text("SERVER_NAME", &name);
    text("SERVER_PORT", &port.to_string());
    // A client of a Unix socket has no address.
    let remote = peer.remote.map(|remote| remote.ip().to_canonical().to_string());
    let remote = remote.unwrap_or_default();
    text("REMOTE_ADDR", &remote);
    text("REMOTE_HOST", &remote);
    // An address that a proxy has reported has no port.
    if let Some(remote) = peer.remote.filter(|remote| remote.port() != 0) {
        text("REMOTE_PORT", &remote.port().to_string());
    }
    if let Some(local) = peer.local {
        text("SERVER_ADDR", &local.ip().to_canonical().to_string());
    }
    if let Some(user) = request.extensions().get::<User>() {
        text("AUTH_TYPE", user.scheme());
        text("REMOTE_USER", user.name());
    }
    // The RFC has no variable for it.
    if peer.secure {
        text("HTTPS", "on");
    }
    if let Some(length) = length {
        text("CONTENT_LENGTH", &length.to_string());
    }
    if let Some(kind) = request.headers().get(CONTENT_TYPE) {
        set("CONTENT_TYPE", &OsString::from_vec(kind.as_bytes().to_vec()));
    }
    set("SCRIPT_NAME", &script.name);
    set("SCRIPT_FILENAME", script.path.as_os_str());
    set("PATH_INFO", &script.info);
    if let Some(documents) = &config.documents {
        set("DOCUMENT_ROOT", documents.as_os_str());
        if !script.info.is_empty() {
            let mut translated = documents.clone().into_os_string();
            translated.push(&script.info);
            set("PATH_TRANSLATED", &translated);
        }
    }
    fields(call, config, &mut variables);
    variables
}

/// Adds the request's headers as `HTTP_…`.
fn fields(call: &Call<'_>, config: &CgiConfig, variables: &mut Variables) {
    let headers = call.request.headers();
    for name in headers.keys() {
        // `Proxy` is not a header of HTTP, but `HTTP_PROXY` is a setting of many programs
        // (httpoxy).
        let is_excluded = EXCLUDED.contains(name) || name == "proxy" || name == "keep-alive";
        let is_excluded = is_excluded && !(name == AUTHORIZATION && config.passes_authorization);
        // With other characters than letters, digits and `-`, two names could become one variable.
        let is_plain =
            name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if is_excluded || !is_plain {
            continue;
        }
        let separator: &[u8] = if name == COOKIE { b"; " } else { b", " };
        let values: Vec<&[u8]> =
            headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        let variable = format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_"));
        variables.insert(variable.into(), OsString::from_vec(values.join(separator)));
    }
}

/// Returns the server's name and port, as the client knows them.
fn server(call: &Call<'_>) -> (String, u16) {
    let Peer { local, secure, .. } = &call.peer;
    let authority = call.request.uri().authority().cloned().or_else(|| {
        call.request.headers().get(HOST)?.to_str().ok()?.parse::<http::uri::Authority>().ok()
    });
    let is_name = |host: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        !host.is_empty() && host.bytes().all(plain)
    };
    let host = authority.as_ref().map(|authority| authority.host()).filter(|host| is_name(host));
    let name = match (host, local) {
        (Some(host), _) => host.to_owned(),
        (None, Some(local)) if local.is_ipv6() => format!("[{}]", local.ip()),
        (None, Some(local)) => local.ip().to_string(),
        (None, None) => "localhost".to_owned(),
    };
    let default = if *secure { 443 } else { 80 };
    let requested = authority.as_ref().and_then(|authority| authority.port_u16());
    (name, local.map(|local| local.port()).or(requested).unwrap_or(default))
}
