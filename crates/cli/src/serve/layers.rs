//! Wraps a site in its layers, in the order that the documentation of `overlapped_serve::web`
//! states: the last one is the outermost.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use overlapped_serve::web::{
    BasicAuth, Call, Cors, Forwarded, Handler, Headers, Https, Network, Redirects, RequestLimit,
};
use overlapped_wire::http::{Answer, text};

use super::config::Source;
use super::faults::Faults;
use super::options::http::HttpOptions;

/// Wraps `site` in the layers of the options. Also returns the fields to add to answers to invalid
/// requests.
pub(super) fn wrap(
    http: &HttpOptions,
    source: &Source,
    site: impl Handler + 'static,
    faults: &mut Faults,
) -> (Box<dyn Handler>, Option<Arc<HeaderMap>>) {
    let mut site: Box<dyn Handler> = Box::new(site);
    if !http.redirect.is_empty() {
        let mut redirects = Redirects::new(site);
        for (at, rule) in http.redirect.iter().enumerate() {
            let location = || source.location("http.redirect", Some(at));
            let added = match rule.split_once('=') {
                Some((from, to)) => redirects.add(from, to).map_err(|error| error.to_string()),
                None => Err(format!("{rule:?} cannot be redirected: write it as /old=/new")),
            };
            faults.keep(location, added);
        }
        site = Box::new(redirects);
    }
    if http.auth.is_some() {
        site = with_auth(http, source, site, faults);
    }
    if http.redirect_https {
        site = Box::new(Https::new(site));
    }
    if let Some(rate) = http.request_rate {
        site = Box::new(RequestLimit::new(rate.into(), site));
    }
    for (at, origin) in http.cors.iter().enumerate() {
        let tried = Cors::new([origin], unavailable);
        faults.keep(|| source.location("http.cors", Some(at)), tried);
    }
    if !http.cors.is_empty() {
        site = Cors::new(&http.cors, site).map_or_else(|_| boxed(unavailable), boxed);
    }
    let mut fields = None;
    if !http.header.is_empty() {
        let mut headers = Headers::new(site);
        for (at, field) in http.header.iter().enumerate() {
            let location = || source.location("http.header", Some(at));
            let added = match field.split_once(':') {
                Some((name, value)) => {
                    headers.add(name.trim(), value.trim()).map_err(|error| error.to_string())
                }
                None => Err(format!("{field:?} is not an HTTP field: write it as \"Name: value\"")),
            };
            faults.keep(location, added);
        }
        fields = Some(Arc::new(headers.all()));
        site = Box::new(headers);
    }
    if !http.trust_forwarded.is_empty() {
        let networks = http.trust_forwarded.iter().enumerate().filter_map(|(at, text)| {
            let location = || source.location("http.trust-forwarded", Some(at));
            faults.keep(location, text.parse())
        });
        let networks: Vec<Network> = networks.collect();
        site = Box::new(Forwarded::new(networks, site));
    }
    (site, fields)
}

fn with_auth(
    http: &HttpOptions,
    source: &Source,
    site: Box<dyn Handler>,
    faults: &mut Faults,
) -> Box<dyn Handler> {
    let Some(file) = &http.auth else { return site };
    let location = || source.location("http.auth", None);
    http.refuse_if_served(file, location, faults);
    faults.keep(location, BasicAuth::new(file, site)).map_or_else(|| boxed(unavailable), boxed)
}

fn boxed(handler: impl Handler + 'static) -> Box<dyn Handler> {
    Box::new(handler)
}

/// Stands in for a handler that has faults; it is never called.
fn unavailable(_: Call<'_>) -> Answer {
    text(StatusCode::NOT_FOUND, "")
}
