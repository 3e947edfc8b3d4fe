//! XML that arrives in pieces: whole tags and texts are handed on, however the document is cut. What
//! is held is one of them at most.

use memchr::{memchr_iter, memchr3};
use quick_xml::Reader;
use quick_xml::errors::Error;
use quick_xml::events::Event;

use super::Refusal;
use super::lines::LINE_BYTES_MAX;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Cuts a document into tags and texts.
#[derive(Default)]
pub(crate) struct Xml {
    /// The start of a tag or text that is not whole yet.
    carry: Vec<u8>,
    /// Bytes of the document before it.
    done: u64,
    /// Line ends before it.
    line_ends: u64,
}

/// Where a tag or text stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Takes the tags and texts of a document.
pub(crate) trait Sink {
    /// Takes the next.
    ///
    /// # Errors
    /// What is wrong with the document, and the way out.
    fn event(&mut self, event: &Event<'_>, place: Place) -> Result<(), Wrong>;
}

/// What is wrong with a document, and the way out.
pub(crate) type Wrong = (String, &'static str);

const BROKEN: &str = "send the file again, whole and as the data custodian gave it";

impl Xml {
    /// Takes the next piece, of any length.
    pub(crate) fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), Refusal> {
        if self.carry.is_empty() {
            let used = self.read(bytes, false, sink)?;
            self.carry.extend_from_slice(bytes.get(used..).unwrap_or(&[]));
        } else {
            self.carry.extend_from_slice(bytes);
            // nothing else ends a tag, a text or a reference
            if memchr3(b'<', b'>', b';', bytes).is_some() || bytes.contains(&b'&') {
                self.read_carry(false, sink)?;
            }
        }
        if self.carry.len() > LINE_BYTES_MAX { Err(self.too_long(0)) } else { Ok(()) }
    }

    /// Ends the document.
    pub(crate) fn finish(&mut self, sink: &mut impl Sink) -> Result<(), Refusal> {
        self.read_carry(true, sink)
    }

    /// The line, from 1, after so many further line ends.
    pub(crate) fn line(&self, further: usize) -> u64 {
        self.line_ends + further as u64 + 1
    }

    fn read_carry(&mut self, at_end: bool, sink: &mut impl Sink) -> Result<(), Refusal> {
        let mut carry = std::mem::take(&mut self.carry);
        let used = self.read(&carry, at_end, sink)?;
        carry.drain(..used);
        self.carry = carry;
        Ok(())
    }

    /// Hands on what is whole in `bytes`, and says how many of them that was.
    fn read(&mut self, bytes: &[u8], at_end: bool, sink: &mut impl Sink) -> Result<usize, Refusal> {
        // a new reader takes a mark at its start for one of the document, so that none may stand there
        let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let rest = bytes.get(mark..).unwrap_or(&[]);
        let mut reader = Reader::from_reader(rest);
        let config = reader.config_mut();
        // elements may end in a later piece: the sink sees to their names
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        let mut used = mark;
        loop {
            let event = reader.read_event();
            let end = mark + usize::try_from(reader.buffer_position()).unwrap_or(rest.len());
            match event {
                Ok(Event::Eof) => break,
                Ok(Event::Text(_)) if end == bytes.len() && !at_end => break,
                Ok(_) if end - used > LINE_BYTES_MAX => return Err(self.too_long(line_ends(bytes, used))),
                Ok(event) => {
                    let place = Place { start: self.done + used as u64, end: self.done + end as u64 };
                    if let Err((problem, hint)) = sink.event(&event, place) {
                        return Err(self.refuse(line_ends(bytes, used), problem, hint));
                    }
                    used = end;
                }
                Err(error) => {
                    let may_go_on = matches!(error, Error::Syntax(_)) || end >= bytes.len();
                    if may_go_on && !at_end {
                        break;
                    }
                    return Err(self.refuse(
                        line_ends(bytes, used),
                        format!("the XML is not well-formed: {error}"),
                        BROKEN,
                    ));
                }
            }
        }
        self.done += used as u64;
        self.line_ends += line_ends(bytes, used) as u64;
        Ok(used)
    }

    fn too_long(&self, further: usize) -> Refusal {
        let problem = "a tag, comment or text of the XML is longer than 1 MiB, or does not end".to_owned();
        self.refuse(further, problem, BROKEN)
    }

    pub(crate) fn refuse(&self, further: usize, problem: String, hint: &str) -> Refusal {
        Refusal::NotWellFormed { line: self.line(further), problem, hint: hint.to_owned() }
    }
}

fn line_ends(bytes: &[u8], before: usize) -> usize {
    memchr_iter(b'\n', bytes.get(..before).unwrap_or(bytes)).count()
}

/// The elements that are open, by name: each ends with the name that it began with.
#[derive(Default)]
pub(crate) struct Elements {
    names: Vec<u8>,
    starts: Vec<usize>,
}

/// The most elements within one another. ESPI has nine.
const DEPTH_MAX: usize = 64;

impl Elements {
    pub(crate) fn depth(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn open(&mut self, name: &[u8]) -> Result<(), Wrong> {
        if self.depth() == DEPTH_MAX {
            return Err((
                format!("more than {DEPTH_MAX} elements of the XML stand within one another"),
                BROKEN,
            ));
        }
        self.starts.push(self.names.len());
        self.names.extend_from_slice(name);
        Ok(())
    }

    pub(crate) fn close(&mut self, name: &[u8]) -> Result<(), Wrong> {
        let open = self.starts.pop().and_then(|start| Some((start, self.names.get(start..)?)));
        match open {
            Some((start, open)) if open == name => {
                self.names.truncate(start);
                Ok(())
            }
            Some((_, open)) => Err((
                format!("the element {} ends as {}", super::header::shown(open), super::header::shown(name)),
                BROKEN,
            )),
            None => {
                Err((format!("the element {} ends and has not begun", super::header::shown(name)), BROKEN))
            }
        }
    }

    /// What is open still, at the end of the document.
    pub(crate) fn finish(&self) -> Result<(), Wrong> {
        match self.starts.last().and_then(|start| self.names.get(*start..)) {
            None => Ok(()),
            Some(open) => {
                Err((format!("the XML breaks off within the element {}", super::header::shown(open)), BROKEN))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stand_within_one_another_up_to_the_limit() {
        let mut elements = Elements::default();
        for _ in 0..DEPTH_MAX {
            assert!(elements.open(b"a").is_ok());
        }
        assert!(elements.open(b"a").is_err_and(|(problem, _)| problem.starts_with("more than 64 elements")));
        assert!(elements.close(b"a").is_ok() && elements.open(b"b").is_ok());
    }

    /// Passes over everything.
    struct Nothing;

    impl Sink for Nothing {
        fn event(&mut self, _: &Event<'_>, _: Place) -> Result<(), Wrong> {
            Ok(())
        }
    }

    #[test]
    fn a_tag_is_held_up_to_the_limit_of_a_line_and_not_a_byte_longer() {
        let tag = format!("<{}", "a".repeat(LINE_BYTES_MAX - 1));
        let mut xml = Xml::default();
        assert!(xml.push(tag.as_bytes(), &mut Nothing).is_ok());
        assert!(xml.push(b"a", &mut Nothing).is_err());
    }
}
