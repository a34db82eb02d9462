//! The settings of [`Files`](super::Files).

use http::HeaderValue;

use crate::web::below::Root;

/// The settings that all requests share.
#[derive(Clone)]
pub(super) struct FilesConfig {
    pub(super) root: Root,
    pub(super) index: Vec<String>,
    pub(super) listing: bool,
    pub(super) hidden: bool,
    pub(super) clean_urls: bool,
    pub(super) compression: bool,
    pub(super) cache_control: Option<HeaderValue>,
}
