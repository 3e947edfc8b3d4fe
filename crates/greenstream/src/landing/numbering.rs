//! What becomes of each upload of a group, in their order, where the journal ends as it is known to end.

use super::entry::{Body, UploadBody};
use super::hash::Hash;
use super::index::{Index, Known, find};
use super::source::short_name;
use super::{Incoming, Landed, Zone};
use greenstream_core::Ts;

/// A group on its way into the journal.
pub(super) struct Numbering<'a> {
    zone: &'a Zone,
    /// The group's own uploads.
    fresh: Index,
    /// The entries that the journal is to take.
    pub(super) bodies: Vec<(Ts, Body)>,
}

impl<'a> Numbering<'a> {
    pub(super) fn new(zone: &'a Zone) -> Numbering<'a> {
        Numbering { zone, fresh: zone.index.after(), bodies: Vec::new() }
    }

    /// Whether the group itself has such bytes.
    pub(super) fn holds(&self, sha256: &Hash) -> bool {
        self.fresh.holds(sha256)
    }

    /// Takes in an upload whose bytes are there.
    pub(super) fn enter(&mut self, incoming: &Incoming, sha256: Hash, bytes: u64) -> Landed {
        let Incoming { name, feed, time_zone, meter, landed_at, .. } = incoming;
        let indexes = [&self.zone.index, &self.fresh];
        match find(indexes, &sha256, meter.as_deref(), feed, time_zone.as_deref()) {
            Known::Same(upload) => Landed::Delivered { upload },
            Known::Other(upload) => self.refused(upload),
            Known::No => {
                let upload = self.fresh.last() + 1;
                let entry = self.zone.journal.head().entry + 1 + self.bodies.len() as u64;
                let body = Body::Upload(UploadBody {
                    upload,
                    sha256,
                    bytes,
                    name: short_name(name.clone()),
                    feed: feed.clone(),
                    time_zone: time_zone.clone(),
                    meter: meter.clone(),
                });
                self.fresh.add(entry, *landed_at, body.clone());
                self.bodies.push((*landed_at, body));
                Landed::New { upload, entry }
            }
        }
    }

    fn refused(&self, upload: u32) -> Landed {
        let known = self.zone.index.get(upload).or_else(|| self.fresh.get(upload));
        Landed::Refused {
            upload,
            feed: known.map_or_else(String::new, |known| known.feed.to_string()),
            time_zone: known.and_then(|known| known.time_zone.as_deref()).map(str::to_owned),
        }
    }
}
