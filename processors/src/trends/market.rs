//! The whole market, where its counting is spread over all tasks: copies are looked for, and what each task counted is added up.
//!
//! ```text
//! trends.market.v1 ─┬─ posts, by a value of their fingerprint ─▶ any task: [posts] ─▶ copies ─▶ task 0
//!                   ├─ how far each trends task has come ──────▶ every task: [progress] ─▶ how far the search for copies has come ─▶ task 0
//!                   └─ counts of each trends task, copies ─────▶ task 0: [shares, copies, windows, histories] ─▶ insights.trends.v1, insights.alerts.v1
//! ```
//!
//! **Guarantees.** What is emitted for `*` is what one task would emit that counts all posts: counts add up; all posts of an author are counted by one
//! task, so distinct authors add up; a post is a copy if it is one by any value of its fingerprint. A task's counts replace those that it sent before,
//! so nothing is counted twice. Task 0 gets a few records a window and commit, and one for each copy, however many posts there are.
//!
//! A window is final when every trends task has closed it and every market task has looked through the posts that those counted until then: each
//! tells how far it has come after all that it counted, in the transaction that counted it. A trends task to which nothing comes says that it is
//! idle, and is not waited for. What it counts then in a window that is closed for all is late.

//!
//! | store | key | value |
//! |---|---|---|
//! | `posts` | window start, band, 0, post | [`Kept`](copies::Kept), a day longer than its window |
//! | `progress` | `tasks`, `copies` | [`Bounds`](bounds::Bounds) |
//! | `shares` | window start, task | [`WindowState`](super::window::WindowState); that of task -1 takes the copies off |
//! | `copies` | window start, post | [`Marks`](copies::Marks): who says that it is a copy |
//! | `windows`, `histories` | as those of [a trends task](super::stores) | the sum |

mod bounds;
mod copies;
mod merge;
mod processor;

pub(crate) use processor::MarketProcessor;
use vigie_streams::StoreSpec;

use super::copies::INDEX_VERSION;
use super::counting::POSTS;
use super::stores::{HISTORIES, PROGRESS, WINDOWS};

/// The stores' declarations.
pub(crate) fn specs() -> [StoreSpec; 6] {
    let posts = StoreSpec::key_value(POSTS).indexed(INDEX_VERSION, copies::index_keys);
    let [windows, histories, shares, kept, progress] =
        [WINDOWS, HISTORIES, merge::SHARES, merge::COPIES, PROGRESS].map(StoreSpec::key_value);
    [posts, windows, histories, shares, kept, progress]
}
