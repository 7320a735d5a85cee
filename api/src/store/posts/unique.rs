//! Posts that are no copies, as the topology counts `unique_posts`: a post is a copy if a near duplicate of it, about the same asset, was published
//! in the 24 hours before. Two posts are near duplicates if two of the four 16-bit values of their fingerprints are equal in the same place.

use std::collections::HashMap;

use tokio::task::coop::consume_budget;
use vigie_schemas::WHOLE_MARKET;

use crate::store::posts::{Post, PostsQuery};
use crate::store::{Snapshot, StoreError};
use crate::time::UtcTime;

/// Seconds.
const COPIED_WITHIN: i64 = 86_400;
/// Posts that are looked at together, at least.
const BATCH: i64 = 200;

/// When a post was published, and its id, so that no two are at the same place.
type Spot = (jiff::Timestamp, String);

impl Snapshot {
    /// As [`Snapshot::posts`], without copies.
    pub(crate) async fn unique_posts(&self, query: &PostsQuery) -> Result<Vec<Post>, StoreError> {
        let mut posts = Vec::new();
        for (run, mut part) in query.of_parts() {
            part.limit -= posts.len() as i64;
            if part.limit > 0 {
                posts.extend(self.unique_posts_of(&run, &part).await?);
            }
        }
        Ok(posts)
    }

    /// Each run has counted by itself.
    async fn unique_posts_of(&self, run: &str, query: &PostsQuery) -> Result<Vec<Post>, StoreError> {
        let mut batch = PostsQuery { limit: BATCH.max(query.limit), ..query.clone() };
        let mut found = Vec::new();
        loop {
            let posts = self.posts_of(run, &batch).await?;
            let is_last = (posts.len() as i64) < batch.limit;
            let (Some(newest), Some(oldest)) = (posts.first(), posts.last()) else { break };
            let place = (oldest.published_at, oldest.post_id.clone());
            let earlier =
                self.earlier(run, query, oldest.published_at.plus(-COPIED_WITHIN), newest.published_at).await?;
            found.extend(posts.into_iter().filter(|post| !earlier.has_copied(post)));
            if is_last || found.len() as i64 >= query.limit {
                break;
            }
            batch.after = Some(place);
        }
        found.truncate(query.limit as usize);
        Ok(found)
    }

    /// The posts about the asset that were published in `[from, to]`, spam too.
    async fn earlier(&self, run: &str, query: &PostsQuery, from: UtcTime, to: UtcTime) -> Result<Earlier, StoreError> {
        let posts = if query.asset == WHOLE_MARKET {
            "posts p WHERE $2::text = '*' AND p.run_id = $1"
        } else {
            "post_assets a JOIN posts p USING (run_id, published_at, post_key) \
             WHERE a.run_id = $1 AND a.asset = $2 AND a.published_at >= $3 AND a.published_at <= $4"
        };
        let sql = format!(
            "SELECT p.published_at, p.post_id, p.fingerprint FROM {posts} AND p.published_at >= $3 AND p.published_at <= $4 \
             AND p.fingerprint IS NOT NULL AND p.deleted_at IS NULL"
        );
        let mut earlier = Earlier::default();
        for row in self.rows(&sql, &[&run, &query.asset, &from, &to]).await? {
            consume_budget().await;
            earlier.add((row.try_get("published_at")?, row.try_get("post_id")?), row.try_get("fingerprint")?);
        }
        for spots in earlier.spots.values_mut() {
            consume_budget().await;
            spots.sort_unstable();
        }
        Ok(earlier)
    }
}

/// The spots of posts under each pair of values of their fingerprints, in order.
#[derive(Default)]
struct Earlier {
    spots: HashMap<(u8, u32), Vec<Spot>>,
}

impl Earlier {
    fn add(&mut self, spot: Spot, fingerprint: i64) {
        for pair in pairs(fingerprint) {
            self.spots.entry(pair).or_default().push(spot.clone());
        }
    }

    fn has_copied(&self, post: &Post) -> bool {
        let Some(fingerprint) = post.fingerprint else { return false };
        let spot = (post.published_at.0, post.post_id.clone());
        let day = jiff::SignedDuration::from_secs(COPIED_WITHIN);
        let first = post.published_at.0.checked_sub(day).unwrap_or(jiff::Timestamp::MIN);
        pairs(fingerprint).any(|pair| {
            let spots = self.spots.get(&pair).map_or(&[][..], Vec::as_slice);
            let before = spots.partition_point(|earlier| *earlier < spot);
            before.checked_sub(1).and_then(|last| spots.get(last)).is_some_and(|(time, _)| *time >= first)
        })
    }
}

/// Two near duplicates share one of the six pairs of values.
fn pairs(fingerprint: i64) -> impl Iterator<Item = (u8, u32)> {
    let value = move |at: u32| (fingerprint >> (16 * at)) as u16;
    let places = (0..4).flat_map(|a| (a + 1..4).map(move |b| (a, b)));
    places.zip(0..).map(move |((a, b), number)| (number, u32::from(value(a)) << 16 | u32::from(value(b))))
}
