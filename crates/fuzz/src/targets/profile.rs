//! Feed profiles: any text is a profile or is refused in words; what compiles reads any file by the laws.

use greenstream_core::Ts;
use greenstream_core::decode::{Feed, FeedError, Given};

use super::laws;

/// A profile, and after a line of `---` a file to read by it.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (profile, rest) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let Ok(feed) = toml::from_str::<Feed>(profile) else { return };
    let _ = feed.claims("upload.csv");
    let rest_bytes = &bytes[bytes.len() - rest.len().min(bytes.len())..];
    let _ = feed.header_names(rest_bytes);
    let landed_at = Ts::from_micros(1_793_000_000_000_000);
    for time_zone in [None, Some("Europe/London")] {
        let fits = feed.fits(rest_bytes, "upload.csv");
        match feed.compile(&Given { time_zone, name: "upload.csv", landed_at }) {
            Ok(decoder) => {
                let content = feed.text_of(rest_bytes, true);
                let decoded = laws::decode(&decoder, &content);
                // the differences of registers are rows of the same upload, no more and no fewer
                if let Ok(decoded) = decoded
                    && decoded.registers.is_none()
                {
                    assert!(
                        decoded.rows.iter().all(|row| row.revision == 0 || feed.columns.revision.is_some())
                    );
                }
            }
            Err(error) => {
                assert!(time_zone.is_some() || !fits || matches!(error, FeedError::Zone { .. }));
                let said = error.to_string();
                assert!(!said.is_empty() && !said.contains('\n'), "{said:?}");
            }
        }
    }
}
