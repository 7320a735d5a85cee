//! One value of a row on its way to PostgreSQL.

use std::error::Error;
use std::str::FromStr;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, Json, ToSql, Type, to_sql_checked};
use vigie_clock::Timestamp;

/// A borrowed value. Its kind must match the type of its column.
#[derive(Debug)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    OptText(Option<&'a str>),
    OptOwned(Option<String>),
    OptBytes(Option<&'a [u8]>),
    Int(i32),
    OptInt(Option<i32>),
    Long(i64),
    OptLong(Option<i64>),
    /// A number of posts or seconds, in a column of 32 bits.
    Count(Option<i64>),
    Double(f64),
    OptDouble(Option<f64>),
    /// With the precision of 32 bits.
    OptReal(Option<f64>),
    Bool(bool),
    Time(Timestamp),
    OptTime(Option<Timestamp>),
    /// Nothing where there are none.
    Words(&'a [String]),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Text(text) => text.to_sql_checked(ty, out),
            Self::OptText(text) => text.to_sql_checked(ty, out),
            Self::OptOwned(text) => text.to_sql_checked(ty, out),
            Self::OptBytes(bytes) => bytes.to_sql_checked(ty, out),
            Self::Int(number) => number.to_sql_checked(ty, out),
            Self::OptInt(number) => number.to_sql_checked(ty, out),
            Self::Long(number) => number.to_sql_checked(ty, out),
            Self::OptLong(number) => number.to_sql_checked(ty, out),
            Self::Count(number) => number.map(i32::try_from).transpose()?.to_sql_checked(ty, out),
            Self::Double(number) => number.to_sql_checked(ty, out),
            Self::OptDouble(number) => number.to_sql_checked(ty, out),
            Self::OptReal(number) => number.map(|number| number as f32).to_sql_checked(ty, out),
            Self::Bool(truth) => truth.to_sql_checked(ty, out),
            Self::Time(time) => write_time(*time, ty, out),
            Self::OptTime(Some(time)) => write_time(*time, ty, out),
            Self::OptTime(None) => Ok(IsNull::Yes),
            Self::Words([]) => Ok(IsNull::Yes),
            Self::Words(words) => Json(words).to_sql_checked(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true // to_sql checks, for each kind
    }

    to_sql_checked!();
}

/// A state as a column holds it, by its name.
pub(crate) struct Named<T>(pub(crate) T);

impl<'a, T: FromStr<Err: Error + Sync + Send + 'static>> FromSql<'a> for Named<T> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(<&str>::from_sql(ty, raw)?.parse()?))
    }

    fn accepts(ty: &Type) -> bool {
        <&str as FromSql>::accepts(ty)
    }
}

/// `timestamptz` is microseconds since 2000-01-01 on the wire.
fn write_time(time: Timestamp, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
    const YEAR_2000: i64 = 946_684_800_000;
    if *ty != Type::TIMESTAMPTZ {
        return Err(format!("a time cannot be written as {ty}").into());
    }
    let micros = time.as_millis().checked_sub(YEAR_2000).and_then(|millis| millis.checked_mul(1000));
    out.put_i64(micros.ok_or_else(|| format!("{} ms since 1970 is no timestamptz", time.as_millis()))?);
    Ok(IsNull::No)
}
