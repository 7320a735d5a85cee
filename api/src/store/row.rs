//! Rows as structs, and times as the database has them.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::time::UtcTime;

/// A struct from a row: fields that are called as their columns, and behind the semicolon others.
macro_rules! columns {
    ($row:expr => $of:ident { $($column:ident),+ $(; $($field:ident: $value:expr),+)? }) => {
        $of { $($column: $row.try_get(stringify!($column).trim_start_matches("r#"))?,)+ $($($field: $value,)+)? }
    };
}
pub(crate) use columns;

impl<'a> FromSql<'a> for UtcTime {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        jiff::Timestamp::from_sql(kind, raw).map(Self)
    }

    fn accepts(kind: &Type) -> bool {
        <jiff::Timestamp as FromSql>::accepts(kind)
    }
}

impl ToSql for UtcTime {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <jiff::Timestamp as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}
