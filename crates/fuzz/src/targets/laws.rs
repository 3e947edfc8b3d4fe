//! What holds of every upload that is not refused, of whatever format.

use greenstream_core::Flag;
use greenstream_core::decode::{Decoded, Decoder, Refusal};

/// Decodes bytes that arrive in pieces, cut where `cuts` (ascending) says.
pub(crate) fn streamed(decoder: &Decoder, content: &[u8], cuts: &[usize]) -> Result<Decoded, Refusal> {
    let mut stream = decoder.stream();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([content.len()]) {
        let to = cut.clamp(from, content.len());
        stream.push(&content[from..to])?;
        from = to;
    }
    stream.finish()
}

/// Cuts that differ from input to input and are the same each time.
pub(crate) fn cuts(content: &[u8]) -> Vec<usize> {
    let seed = content.iter().fold(1_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let step = usize::try_from(seed % 23 + 1).unwrap_or(1);
    (0..content.len()).step_by(step).collect()
}

/// Every byte is a header's, a row's or passed over, and every row is read or rejected, once (G1).
pub(crate) fn accounts(content: &[u8], decoded: &Decoded) {
    let coverage = decoded.coverage;
    assert_eq!(coverage.header + coverage.rows + coverage.skipped, content.len() as u64, "bytes");
    let mut numbers: Vec<u32> = decoded.rows.iter().map(|row| row.row_number).collect();
    numbers.extend(decoded.rejects.iter().map(|reject| reject.row_number));
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=u32::try_from(decoded.row_count()).unwrap()), "rows");
    let mut known = 0;
    for row in &decoded.rows {
        assert!(row.meter <= known, "meters stand in the order of their first row");
        known = known.max(row.meter + 1);
        assert_eq!(row.kw.is_none(), row.flags.has(Flag::MissingValue));
    }
    assert_eq!(known as usize, decoded.meters.len());
    for meter in &decoded.meters {
        assert!(greenstream_core::decode::is_meter_id(meter), "{meter:?}");
    }
    assert!(decoded.rejects.iter().all(|reject| reject.meter.len() <= 256));
    assert!(decoded.index.spans.is_sorted_by(|a, b| a.first_row < b.first_row));
    for number in numbers {
        if let Some(span) = decoded.index.span_of(number) {
            assert!(span.text(content, 0).is_some(), "the text of row {number}");
        }
    }
}

/// What a person is told of an upload that is refused is one line of readable text, with a way out.
pub(crate) fn refused(refusal: &Refusal) {
    for text in [refusal.to_string(), refusal.hint()] {
        assert!(!text.is_empty() && text.len() < 2_000, "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    assert!(!refusal.code().is_empty());
}

/// Decodes whole and in pieces, and checks what holds of either.
pub(crate) fn decode(decoder: &Decoder, content: &[u8]) -> Result<Decoded, Refusal> {
    let decoded = streamed(decoder, content, &[]);
    assert_eq!(streamed(decoder, content, &cuts(content)), decoded, "the pieces of an upload change nothing");
    match &decoded {
        Ok(decoded) => accounts(content, decoded),
        Err(refusal) => refused(refusal),
    }
    decoded
}
