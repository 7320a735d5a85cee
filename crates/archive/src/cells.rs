//! A column of a file, and what its cells hold.

use vigie_clock::Timestamp;

/// A column, with the groups that begin before it or end after it; and what a cell of it holds.
pub(crate) type Column<T> = (&'static str, Cells<T>);

/// What a cell holds; `None` is null.
pub enum Cells<T> {
    Int(fn(&T) -> Option<i32>),
    Long(fn(&T) -> Option<i64>),
    Flag(fn(&T) -> Option<bool>),
    Double(fn(&T) -> Option<f64>),
    Time(fn(&T) -> Option<Timestamp>),
    /// Bytes that come again and again: a dictionary pays.
    Word(fn(&T) -> Option<&[u8]>),
    /// Bytes that hardly do: a dictionary would be made and given up in each row group.
    Text(fn(&T) -> Option<&[u8]>),
    /// Of each element of a list.
    Words(fn(&T) -> Vec<Option<&[u8]>>),
    /// Of each element of a list.
    Doubles(fn(&T) -> Vec<Option<f64>>),
}

impl<T> Cells<T> {
    /// Whether a dictionary pays.
    pub(crate) const fn repeat(&self) -> bool {
        !matches!(self, Self::Text(_) | Self::Double(_) | Self::Doubles(_))
    }

    /// Bytes of text in a cell.
    pub(crate) fn size(&self, item: &T) -> usize {
        match self {
            Self::Word(of) | Self::Text(of) => of(item).map_or(0, <[u8]>::len),
            Self::Words(of) => of(item).into_iter().flatten().map(<[u8]>::len).sum(),
            _ => 0,
        }
    }
}
