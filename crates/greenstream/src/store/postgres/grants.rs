//! The role that dashboards read with: it may look at the views of the contract and at nothing else.

use super::session::Session;
use super::views;
use crate::store::error::{Doing, StoreError};

/// Lets the configured role read the views, if there is one. The role has to be there: making one takes
/// rights that this program has no other use for.
pub(super) fn give(session: &Session) -> Result<(), StoreError> {
    let server = session.server();
    let Some(role) = &server.reader_role else { return Ok(()) };
    let (schema, role) = (server.schema(), quoted(role));
    let views = views::NAMES.join(", ");
    let sql = format!("GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {views} TO {role}");
    session.batch(&sql).doing("let `[store] reader_role` read its views")
}

/// A name as SQL takes it whatever it holds.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(quoted("dash"), "\"dash\"");
        assert_eq!(quoted("a\"; drop"), "\"a\"\"; drop\"");
    }
}
