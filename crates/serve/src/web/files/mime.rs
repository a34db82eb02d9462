//! Media types by file names.

use std::path::Path;

/// Names of files without an extension that are text.
const TEXTS: &[&str] = &[
    "authors",
    "changelog",
    "changes",
    "contributing",
    "copying",
    "copyright",
    "dockerfile",
    "license",
    "makefile",
    "news",
    "notice",
    "readme",
    "todo",
];

/// Returns the media type of a file with this name.
pub(crate) fn media_type(name: &Path) -> String {
    let extension = name.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let guess = match extension.as_deref() {
        None => {
            let name = name.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            let is_text = TEXTS.iter().any(|text| name == *text || name.starts_with("license-"));
            (if is_text { "text/plain" } else { "application/octet-stream" }).to_owned()
        }
        Some("log" | "lock" | "conf" | "cfg" | "diff" | "patch" | "sha256" | "sha512" | "sum") => {
            "text/plain".to_owned()
        }
        // Types that the crate's table lacks, or has as a vendor's.
        Some("rpm") => "application/x-rpm".to_owned(),
        Some("deb") => "application/vnd.debian.binary-package".to_owned(),
        Some("ts" | "m2ts") => "video/mp2t".to_owned(),
        Some("otf") => "font/otf".to_owned(),
        // RFC 9512.
        Some("yaml" | "yml") => "application/yaml".to_owned(),
        // RFC 8878.
        Some("zst") => "application/zstd".to_owned(),
        Some(_) => {
            let guess = mime_guess::from_path(name).first_raw();
            guess.unwrap_or("application/octet-stream").to_owned()
        }
    };
    if guess.starts_with("text/") { guess + "; charset=utf-8" } else { guess }
}

/// Tells whether compression makes such a file smaller.
pub(crate) fn is_compressible(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default();
    let (class, form) = kind.split_once('/').unwrap_or((kind, ""));
    class == "text"
        || form.ends_with("+xml")
        || form.ends_with("+json")
        || matches!(
            kind,
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/yaml"
                | "application/toml"
                | "application/wasm"
                | "application/rtf"
                | "application/sql"
                | "application/vnd.ms-fontobject"
                | "font/ttf"
                | "font/otf"
                | "image/bmp"
                | "image/x-icon"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_follow_from_names() {
        for (name, kind, compressible) in [
            ("index.html", "text/html; charset=utf-8", true),
            ("a.B/Style.CSS", "text/css; charset=utf-8", true),
            ("app.js", "text/javascript; charset=utf-8", true),
            ("data.json", "application/json", true),
            ("picture.svg", "image/svg+xml", true),
            ("photo.JPG", "image/jpeg", false),
            ("font.woff2", "font/woff2", false),
            ("a.rpm", "application/x-rpm", false),
            ("a.deb", "application/vnd.debian.binary-package", false),
            ("segment.ts", "video/mp2t", false),
            ("a.otf", "font/otf", true),
            ("a.ttf", "font/ttf", true),
            ("module.wasm", "application/wasm", true),
            ("archive.tar.gz", "application/gzip", false),
            ("README", "text/plain; charset=utf-8", true),
            ("LICENSE-MIT", "text/plain; charset=utf-8", true),
            ("program", "application/octet-stream", false),
            ("x.unheard-of", "application/octet-stream", false),
        ] {
            let guessed = media_type(Path::new(name));
            assert_eq!((&*guessed, is_compressible(&guessed)), (kind, compressible), "{name}");
        }
    }
}
