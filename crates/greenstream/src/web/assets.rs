//! Style, scripts and the chart library, compiled in: the pages ask no other machine for anything.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

const ASSETS: [Asset; 8] = [
    Asset { name: "style.css", kind: CSS, bytes: include_bytes!("assets/style.css") },
    Asset { name: "page.js", kind: JS, bytes: include_bytes!("assets/page.js") },
    Asset { name: "overview.js", kind: JS, bytes: include_bytes!("assets/overview.js") },
    Asset { name: "meter.js", kind: JS, bytes: include_bytes!("assets/meter.js") },
    Asset { name: "icon.svg", kind: "image/svg+xml", bytes: include_bytes!("assets/icon.svg") },
    Asset { name: "uPlot.min.js", kind: JS, bytes: include_bytes!("assets/uPlot.min.js") },
    Asset { name: "uPlot.min.css", kind: CSS, bytes: include_bytes!("assets/uPlot.min.css") },
    Asset {
        name: "uPlot.LICENSE",
        kind: "text/plain; charset=utf-8",
        bytes: include_bytes!("assets/uPlot.LICENSE"),
    },
];

/// One asset. A browser keeps it and asks each time whether it is still the same: a new release shows at once.
pub async fn asset(Path(name): Path<String>, asked: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, "no such asset\n").into_response();
    };
    let tag = tag(asset.bytes);
    let headers = [
        (header::CONTENT_TYPE, asset.kind.to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag.clone()),
    ];
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    if known {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, asset.bytes).into_response()
    }
}

/// The first half of the SHA-256 of the content.
fn tag(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
