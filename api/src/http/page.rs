//! Lists in pages, newest first (keyset pagination): what is asked for, and where a page begins and ends.

use crate::http::cursor;
use crate::http::params::{Cursor, Int, PageLimit};
use crate::http::problem::Problem;
use crate::time::UtcTime;

/// Parameters, with those that every list in pages has. What stands before the name of the format is the help of `limit`.
macro_rules! page_params {
    ($(#[$meta:meta])* $name:ident { $($own:tt)* } $(#[$rows:meta])+ $format:ident) => {
        $(#[$meta])*
        #[derive(Debug, Default, Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name {
            $($own)*
            $(#[$rows])+
            #[param(inline)]
            pub(crate) limit: $crate::http::params::PageLimit,
            /// `next` of the page before
            #[param(inline)]
            pub(crate) cursor: Option<$crate::http::params::Cursor>,
            /// By default what `Accept` prefers
            #[param(inline)]
            pub(crate) format: Option<$format>,
        }
    };
}
pub(crate) use page_params;

/// A part of a list that is ordered by time, newest first, and then by id.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    question: String,
    /// Time and id of the last row of the page before.
    pub(crate) after: Option<(UtcTime, String)>,
    limit: i64,
}

impl Page {
    /// What is asked for of the list that `question` names: the cursor of another list is refused.
    pub(crate) fn new(question: String, cursor: Option<&Cursor>, Int(limit): PageLimit) -> Result<Self, Problem> {
        let after = cursor.map(|Cursor(text)| cursor::read(text, &question)).transpose()?;
        Ok(Self { question, after, limit })
    }

    /// The time and id that its rows come after; on the first page there is no row at `latest`.
    pub(crate) fn begin(&self, latest: UtcTime) -> (UtcTime, String) {
        self.after.clone().unwrap_or_else(|| (latest, String::new()))
    }

    /// Rows to read: one more shows whether there is another page.
    pub(crate) fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// Shortens what was read to the page. Returns the cursor of the next one, if there is one; `place` gives a row's time and id.
    pub(crate) fn end<T>(&self, rows: &mut Vec<T>, place: impl Fn(&T) -> (UtcTime, &str)) -> Option<String> {
        let more = rows.len() as i64 > self.limit;
        rows.truncate(self.limit as usize);
        let (time, id) = rows.last().filter(|_| more).map(place)?;
        Some(cursor::write(&self.question, time, id))
    }
}
