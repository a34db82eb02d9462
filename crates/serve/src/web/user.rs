//! Who a request comes from.

/// The user of a request, for the handlers behind a layer that has checked a password: the layer
/// puts it among the request's extensions. Scripts are told it as `REMOTE_USER`.
///
/// ```
/// use overlapped_serve::web::{Call, Cgi, Handler, User};
/// # let folder = tempfile::tempdir()?;
/// # fn is_right(_: &http::HeaderMap) -> bool { true }
///
/// let cgi = Cgi::new(folder.path())?;
/// let checked = move |mut call: Call<'_>| {
///     if is_right(call.request.headers()) {
///         call.request.extensions_mut().insert(User::new("Basic", "somebody"));
///     }
///     cgi.handle(call)
/// };
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    scheme: String,
    name: String,
}

impl User {
    /// A user of this name, who has shown it by this scheme, such as `Basic`.
    pub fn new(scheme: impl Into<String>, name: impl Into<String>) -> User {
        User { scheme: scheme.into(), name: name.into() }
    }

    /// By what the name was shown: `AUTH_TYPE`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
