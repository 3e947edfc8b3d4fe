//! What a Green Button document (ESPI) says: Atom entries that refer to one another by links, of
//! meter readings, reading types and interval blocks. Readings are held until all types are known.

use quick_xml::events::{BytesRef, BytesStart, Event};
use rustc_hash::FxHashMap;

use super::digits;
use super::espi_names::{Leaf, ReadingType, Tag, epoch};
use super::header::shown;
use super::xml::{Elements, Place, Sink, Wrong};

/// The longest text of an element and the longest link that is looked at.
const TEXT_BYTES_MAX: usize = 256;
const LINK_BYTES_MAX: usize = 2_048;

/// One `IntervalReading`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub(crate) place: Place32,
    /// Microseconds since the epoch; none where it is no such number.
    pub(crate) start: Option<i64>,
    /// Seconds; none where it is left out, 0 where it is no such number.
    pub(crate) duration: Option<u32>,
    /// Where its value ends in [`Document::values`].
    value_end: u32,
}

/// A place within the bytes of an upload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place32 {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// Readings from this one on are of the meter reading with this link.
pub(crate) struct Run {
    pub(crate) first: usize,
    pub(crate) meter_reading: Vec<u8>,
}

/// An Atom entry that is being read.
#[derive(Default)]
struct Entry {
    own: Vec<u8>,
    up: Vec<u8>,
    /// The link to a reading type.
    reading_type: Vec<u8>,
    is_meter_reading: bool,
    says: Option<ReadingType>,
    first: usize,
}

/// Everything that has been read of a document.
#[derive(Default)]
pub(crate) struct Document {
    elements: Elements,
    tags: Vec<Tag>,
    /// The text of the innermost element.
    text: Vec<u8>,
    entry: Option<Entry>,
    reading: Option<Reading>,
    /// The values of the readings, one after the other.
    values: Vec<u8>,
    pub(crate) held: Vec<Held>,
    pub(crate) runs: Vec<Run>,
    /// By their links.
    pub(crate) reading_types: FxHashMap<Vec<u8>, ReadingType>,
    /// The link of each to its reading type.
    pub(crate) meter_readings: FxHashMap<Vec<u8>, Vec<u8>>,
}

/// An `IntervalReading` that is being read.
struct Reading {
    start_at: u64,
    depth: usize,
    start: Option<i64>,
    duration: Option<u32>,
    value: Vec<u8>,
}

const PLAIN: &str = "send plain ESPI: without a document type, and with no entities but the five of XML";

impl Sink for Document {
    fn event(&mut self, event: &Event<'_>, place: Place) -> Result<(), Wrong> {
        match event {
            Event::Start(tag) => self.open(tag, place),
            Event::Empty(tag) => {
                self.open(tag, place)?;
                self.close(tag.name().as_ref(), place)
            }
            Event::End(tag) => self.close(tag.name().as_ref(), place),
            Event::Text(text) => self.add(text),
            Event::CData(text) => self.add(text),
            Event::GeneralRef(reference) => self.refer(reference),
            Event::DocType(_) => Err(("the XML has a document type (DTD)".to_owned(), PLAIN)),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => Ok(()),
        }
    }
}

impl Document {
    /// The value of a reading as it stands in the document, trimmed; empty where it is left out.
    pub(crate) fn value(&self, index: usize) -> &[u8] {
        let end_of = |index: usize| self.held.get(index).map_or(0, |held| held.value_end as usize);
        let start = index.checked_sub(1).map_or(0, end_of);
        self.values.get(start..end_of(index)).unwrap_or(&[])
    }

    /// Ends the document.
    pub(crate) fn finish(&self) -> Result<(), Wrong> {
        self.elements.finish()
    }

    fn open(&mut self, tag: &BytesStart<'_>, place: Place) -> Result<(), Wrong> {
        self.elements.open(tag.name().as_ref())?;
        self.text.clear();
        let kind = Tag::of(tag.local_name().as_ref());
        self.tags.push(kind);
        match kind {
            Tag::Entry if self.entry.is_none() => {
                self.entry = Some(Entry { first: self.held.len(), ..Entry::default() });
            }
            Tag::Link => self.link(tag)?,
            Tag::MeterReading => self.entry.iter_mut().for_each(|entry| entry.is_meter_reading = true),
            Tag::ReadingType => {
                self.entry.iter_mut().for_each(|entry| entry.says = Some(ReadingType::default()));
            }
            Tag::IntervalReading if self.reading.is_none() => {
                self.reading = Some(Reading {
                    start_at: place.start,
                    depth: self.elements.depth(),
                    start: None,
                    duration: None,
                    value: Vec::new(),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &[u8], place: Place) -> Result<(), Wrong> {
        let depth = self.elements.depth();
        self.elements.close(name)?;
        match self.tags.pop() {
            Some(Tag::Leaf(leaf)) => self.leaf(leaf),
            Some(Tag::IntervalReading) => {
                if let Some(reading) = self.reading.take_if(|reading| reading.depth == depth) {
                    self.hold(&reading, place.end);
                }
            }
            // an entry within an entry is not Atom; the outer one ends last
            Some(Tag::Entry) if !self.tags.contains(&Tag::Entry) => self.end_entry(),
            _ => {}
        }
        self.text.clear();
        Ok(())
    }

    /// The text of an element that says something, by the element that it stands in.
    fn leaf(&mut self, leaf: Leaf) {
        let text = self.text.trim_ascii();
        match (leaf, self.tags.last(), &mut self.reading) {
            (Leaf::Value, Some(Tag::IntervalReading), Some(reading)) => {
                reading.value.clear();
                reading.value.extend_from_slice(text);
            }
            (Leaf::Start, Some(Tag::TimePeriod), Some(reading)) => reading.start = epoch(text),
            (Leaf::Duration, Some(Tag::TimePeriod), Some(reading)) => {
                reading.duration = Some(digits::number(text).unwrap_or(0));
            }
            (_, Some(Tag::ReadingType), None) => {
                let Some(says) = self.entry.as_mut().and_then(|entry| entry.says.as_mut()) else { return };
                says.hear(leaf, text);
            }
            _ => {}
        }
    }

    fn hold(&mut self, reading: &Reading, end: u64) {
        self.values.extend_from_slice(&reading.value);
        let place = Place32 {
            start: u32::try_from(reading.start_at).unwrap_or(u32::MAX),
            len: u32::try_from(end - reading.start_at).unwrap_or(u32::MAX),
        };
        let value_end = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        if self.entry.is_none() {
            self.runs.push(Run { first: self.held.len(), meter_reading: Vec::new() });
        }
        self.held.push(Held { place, start: reading.start, duration: reading.duration, value_end });
    }

    fn link(&mut self, tag: &BytesStart<'_>) -> Result<(), Wrong> {
        // links of an entry only, not of the feed
        let Some(entry) = self.entry.as_mut().filter(|_| self.tags.iter().rev().nth(1) == Some(&Tag::Entry))
        else {
            return Ok(());
        };
        let (mut relation, mut href) = (Vec::new(), Vec::new());
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| {
                (
                    format!("the XML is not well-formed: {error} in a link"),
                    "ask the sender for well-formed XML",
                )
            })?;
            let value = attribute.value.as_ref();
            match attribute.key.as_ref() {
                b"rel" => relation = value.to_vec(),
                b"href" if value.len() <= LINK_BYTES_MAX => href = trim_slashes(value).to_vec(),
                _ => {}
            }
        }
        match relation.as_slice() {
            b"self" => entry.own = href,
            b"up" => entry.up = href,
            b"related" if href.windows(12).any(|part| part == b"ReadingType/") => entry.reading_type = href,
            _ => {}
        }
        Ok(())
    }

    fn end_entry(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        if self.held.len() > entry.first {
            let block = before_block(&entry.own).or_else(|| before_block(&entry.up)).unwrap_or(&[]);
            self.runs.push(Run { first: entry.first, meter_reading: block.to_vec() });
        }
        if let Some(says) = entry.says {
            self.reading_types.insert(entry.own, says);
        } else if entry.is_meter_reading {
            self.meter_readings.insert(entry.own, entry.reading_type);
        }
    }

    fn add(&mut self, text: &[u8]) -> Result<(), Wrong> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        if self.tags.is_empty() && !text.trim_ascii().is_empty() {
            let problem =
                format!("the XML has the text {} outside of its elements", shown(text.trim_ascii()));
            return Err((problem, "Green Button is XML: choose the feed that fits with --feed"));
        }
        if self.tags.last().is_some_and(|tag| matches!(tag, Tag::Leaf(_))) {
            if self.text.len() + text.len() <= TEXT_BYTES_MAX {
                self.text.extend_from_slice(text);
            } else {
                // no number is as long: it stays none, whatever follows
                self.text = vec![b'x'; TEXT_BYTES_MAX];
            }
        }
        Ok(())
    }

    fn refer(&mut self, reference: &BytesRef<'_>) -> Result<(), Wrong> {
        let wrong = || (format!("the XML has the entity {}", shown(reference)), PLAIN);
        let resolved = match reference.resolve_char_ref() {
            Ok(Some(character)) => Some(character),
            Ok(None) => match &**reference {
                b"lt" => Some('<'),
                b"gt" => Some('>'),
                b"amp" => Some('&'),
                b"apos" => Some('\''),
                b"quot" => Some('"'),
                _ => None,
            },
            Err(_) => None,
        };
        self.add(resolved.ok_or_else(wrong)?.encode_utf8(&mut [0; 4]).as_bytes())
    }
}

fn trim_slashes(mut href: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = href {
        href = rest;
    }
    href
}

/// The link of the meter reading that a block's link names.
fn before_block(href: &[u8]) -> Option<&[u8]> {
    let at = href.windows(14).rposition(|part| part == b"/IntervalBlock")?;
    href.get(..at)
}
