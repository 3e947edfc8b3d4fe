//! Tests of the landing zone.
