//! How numbers, instants and texts go to the server and come back.
//!
//! The program holds whole numbers and microseconds since 1970; the server's columns say how wide a number
//! is, and count instants from 2000.

use std::borrow::Cow;
use std::error::Error;

use bytes::BytesMut;
use postgres::types::{FromSql, IsNull, ToSql, Type};

use crate::store::db::Value;

/// 2000-01-01T00:00:00Z in microseconds since 1970: where the server counts from.
const EPOCH: i64 = 946_684_800_000_000;
/// The first instant that the server takes, in its own count (4714-11-24 BC).
const FIRST: i64 = -211_813_488_000_000_000;
/// The instant after the last one that it takes (294277-01-01).
const END: i64 = 9_223_371_331_200_000_000;

/// Any whole number or instant that the server sends.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Wire(pub(in crate::store) i64);

impl<'a> FromSql<'a> for Wire {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Wire(match *ty {
            Type::INT2 => i16::from_sql(ty, raw)?.into(),
            Type::INT4 => i32::from_sql(ty, raw)?.into(),
            Type::TIMESTAMPTZ => from_server(i64::from_be_bytes(raw.try_into()?)),
            _ => i64::from_sql(ty, raw)?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT2 | Type::INT4 | Type::INT8 | Type::TIMESTAMPTZ)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, ty) {
            (Value::Null, _) => return Ok(IsNull::Yes),
            (Value::Int(int), &Type::BOOL) => (*int != 0).to_sql(ty, out)?,
            // what is compared may lie beyond the column's range; what is stored never does
            (Value::Int(int), &Type::INT2) => {
                i16::try_from(clamped(*int, i16::MIN, i16::MAX))?.to_sql(ty, out)?
            }
            (Value::Int(int), &Type::INT4) => {
                i32::try_from(clamped(*int, i32::MIN, i32::MAX))?.to_sql(ty, out)?
            }
            (Value::Int(int), &Type::TIMESTAMPTZ) => to_server(*int).to_sql(&Type::INT8, out)?,
            (Value::Int(int), _) => int.to_sql(ty, out)?,
            (Value::Text(text), _) => escaped(text).to_sql(ty, out)?,
            (Value::Bytes(bytes), _) => bytes.as_ref().to_sql(ty, out)?,
            (Value::Ints(ints), &Type::INT4_ARRAY) => {
                let ints = ints.iter().map(|int| i32::try_from(clamped(*int, i32::MIN, i32::MAX)));
                ints.collect::<Result<Vec<_>, _>>()?.to_sql(ty, out)?
            }
            (Value::Ints(ints), _) => ints.to_sql(ty, out)?,
        };
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

fn clamped<T: Into<i64>>(int: i64, min: T, max: T) -> i64 {
    int.clamp(min.into(), max.into())
}

/// An instant as the server counts it. What lies beyond its time is before or after everything there.
pub(super) const fn to_server(micros: i64) -> i64 {
    match micros.checked_sub(EPOCH) {
        Some(count) if count >= FIRST && count < END => count,
        Some(count) if count >= END => i64::MAX,
        _ => i64::MIN,
    }
}

/// An instant as we count it.
const fn from_server(count: i64) -> i64 {
    match count {
        i64::MIN | i64::MAX => count,
        count => count.saturating_add(EPOCH),
    }
}

/// Stands before `0` for a NUL and before `1` for itself. It is no character, so that nearly no text holds it.
const MARK: char = '\u{10fffe}';

/// A text as the server can hold it: with every NUL, which it does not take, as two other signs.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for sign in text.chars() {
        match sign {
            '\0' => escaped.extend([MARK, '0']),
            MARK => escaped.extend([MARK, '1']),
            sign => escaped.push(sign),
        }
    }
    Cow::Owned(escaped)
}

/// The inverse of [`escaped`].
pub(in crate::store) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains(MARK) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\u{10fffe}0", "\0").replace("\u{10fffe}1", "\u{10fffe}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_comes_back_as_it_was_and_the_ends_of_time_stay_there() {
        for micros in [0, -1, EPOCH, EPOCH - 1, 1_772_410_500_250_000, i64::MIN, i64::MAX] {
            assert_eq!(from_server(to_server(micros)), micros);
        }
        assert_eq!(to_server(EPOCH), 0);
        assert_eq!(to_server(i64::MIN + 1), i64::MIN, "before all that the server knows");
    }

    #[test]
    fn a_text_with_nul_comes_back_as_it_was() {
        for text in ["", "a", "a\0b", "\0", "\u{10fffe}", "\u{10fffe}0", "\0\u{10fffe}\u{10fffe}1\0"] {
            assert!(!escaped(text).contains('\0'));
            assert_eq!(unescaped(&escaped(text)), text);
        }
    }

    #[test]
    fn a_number_beyond_its_column_is_at_the_end_of_it() {
        let mut out = BytesMut::new();
        Value::Int(i64::MIN).to_sql(&Type::INT4, &mut out).unwrap();
        Value::Int(70_000).to_sql(&Type::INT2, &mut out).unwrap();
        Value::Int(-2).to_sql(&Type::INT4, &mut out).unwrap();
        assert_eq!(out[..], [0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xfe]);
    }
}
