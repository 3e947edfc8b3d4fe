//! What part of a dataset is asked for.

use greenstream_core::{Reason, Ts};

use super::db::Value;
use super::types::UploadStatus;
use crate::change::Status;

/// Which rows of a dataset, all of them by default. A field that the dataset has no column for is
/// ignored.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Filter {
    /// Rows of this meter id.
    pub meter: Option<String>,
    /// Rows at or after this instant (rows without one fall out).
    pub from: Option<Ts>,
    /// Rows before this instant (rows without one fall out).
    pub to: Option<Ts>,
    /// Entries of the error queue with this reason.
    pub reason: Option<Reason>,
    /// Entries of the error queue with this status.
    pub status: Option<Status>,
    /// Uploads with this status.
    pub upload_status: Option<UploadStatus>,
    /// Rows of this upload.
    pub upload: Option<u32>,
    /// No more rows than this.
    pub limit: Option<u64>,
}

/// The `WHERE` and `LIMIT` of a query, with the values that stand for its parameters.
#[derive(Default)]
pub(super) struct Where {
    terms: Vec<String>,
    pub(super) values: Vec<Value<'static>>,
}

impl Where {
    /// Adds `term` if there is a value, which its `?` stands for.
    pub(super) fn and<V: Into<Value<'static>>>(mut self, term: &str, value: Option<V>) -> Where {
        if let Some(value) = value {
            self.values.push(value.into());
            self.terms.push(term.replace('?', &format!("?{}", self.values.len())));
        }
        self
    }

    /// Adds `term` where `wanted`.
    pub(super) fn and_if(mut self, term: &str, wanted: bool) -> Where {
        if wanted {
            self.terms.push(term.to_owned());
        }
        self
    }

    /// Adds a range of instants over `column`.
    pub(super) fn between(self, column: &str, filter: &Filter) -> Where {
        self.and(&format!("{column} >= ?"), filter.from.map(Ts::micros))
            .and(&format!("{column} < ?"), filter.to.map(Ts::micros))
    }

    /// The whole query: `select`, the terms, `order` and the limit.
    pub(super) fn query(&self, select: &str, order: &str, limit: Option<u64>) -> String {
        let terms = if self.terms.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.terms.join(" AND "))
        };
        let limit = limit.map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
        format!("{select}{terms} ORDER BY {order}{limit}")
    }
}
