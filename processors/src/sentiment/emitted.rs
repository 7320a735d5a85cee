//! What a task keeps of a post that it has emitted, so that an edit or a deletion can revise it.
//!
//! An entry of the store `seen` is the time the post was last seen (8 bytes, big-endian milliseconds), and then, if the post was emitted, one
//! line of text: a post takes some 50 bytes. An entry from before there were revisions is the time alone: such a post stays as it was emitted.

use vigie_clock::Timestamp;
use vigie_schemas::RawPost;

/// The last revision of a post that left the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Emitted {
    /// 1, 2, ...
    pub(crate) revision: i32,
    /// When the source says it was edited.
    pub(crate) edited_at: Option<Timestamp>,
    /// Event time of the first revision, which all others keep: an edit does not make a post newer.
    pub(crate) published_at: Timestamp,
    /// Whether the source deleted it.
    pub(crate) deleted: bool,
    pub(crate) sample: bool,
    pub(crate) kind: String,
    pub(crate) source: String,
    /// What it mentions, without the whole market.
    pub(crate) assets: Vec<String>,
    /// Where its mention of the whole market is counted, if those are spread.
    pub(crate) route: Option<u32>,
}

impl Emitted {
    /// Whether `post`, which has the same id, is a later version.
    pub(crate) fn is_edited_by(&self, post: &RawPost) -> bool {
        post.edited_at > self.edited_at
    }
}

/// Writes an entry.
pub(crate) fn encode(seen: Timestamp, emitted: Option<&Emitted>) -> Vec<u8> {
    let mut entry = seen.as_millis().to_be_bytes().to_vec();
    if let Some(emitted) = emitted {
        let edited = emitted.edited_at.map(|at| at.as_millis().to_string()).unwrap_or_default();
        let flags = format!("{}{}", if emitted.deleted { "d" } else { "" }, if emitted.sample { "s" } else { "" });
        let published = emitted.published_at.as_millis();
        let Emitted { revision, kind, source, assets, .. } = emitted;
        let assets = assets.join(",");
        let route = emitted.route.map(|route| format!("\t{route:x}")).unwrap_or_default();
        let line = format!("{revision}\t{edited}\t{published}\t{flags}\t{kind}\t{source}\t{assets}{route}");
        entry.extend(line.into_bytes());
    }
    entry
}

/// When the post was last seen.
pub(crate) fn seen(entry: &[u8]) -> Option<Timestamp> {
    let (seen, _) = entry.split_first_chunk()?;
    Some(Timestamp::from_millis(i64::from_be_bytes(*seen)))
}

/// What was emitted of it; `None` if nothing was, or an older version of this program emitted it.
pub(crate) fn emitted(entry: &[u8]) -> Option<Emitted> {
    let (_, line) = entry.split_first_chunk::<8>()?;
    let mut parts = std::str::from_utf8(line).ok()?.split('\t');
    let revision = parts.next()?.parse().ok()?;
    let edited = parts.next()?;
    let edited_at = if edited.is_empty() { None } else { Some(Timestamp::from_millis(edited.parse().ok()?)) };
    let published_at = Timestamp::from_millis(parts.next()?.parse().ok()?);
    let flags = parts.next()?;
    let (kind, source) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let assets = parts.next()?.split(',').filter(|asset| !asset.is_empty()).map(str::to_owned).collect();
    let route = parts.next().and_then(|route| u32::from_str_radix(route, 16).ok());
    let (deleted, sample) = (flags.contains('d'), flags.contains('s'));
    Some(Emitted { revision, edited_at, published_at, deleted, sample, kind, source, assets, route })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_lead_back() {
        let seen_at = Timestamp::from_millis(259_200_000);
        let whole = Emitted {
            revision: 3,
            edited_at: Some(Timestamp::from_millis(7)),
            published_at: Timestamp::from_millis(-5),
            deleted: true,
            sample: true,
            kind: "rss".into(),
            source: "blog".into(),
            assets: vec!["BTC".into(), "ETH".into()],
            route: Some(0x9e),
        };
        let bare = Emitted {
            edited_at: None,
            deleted: false,
            sample: false,
            assets: Vec::new(),
            route: None,
            ..whole.clone()
        };
        for entry in [Some(&whole), Some(&bare), None] {
            let bytes = encode(seen_at, entry);
            assert_eq!((seen(&bytes), emitted(&bytes).as_ref()), (Some(seen_at), entry));
        }
        assert_eq!((seen(b"short"), emitted(b"short")), (None, None));
        let mut later = crate::fixtures::raw_post("p", "a", "x", 0);
        assert!(!bare.is_edited_by(&later));
        later.edited_at = Some(Timestamp::from_millis(8));
        assert!(bare.is_edited_by(&later) && whole.is_edited_by(&later));
        later.edited_at = Some(Timestamp::from_millis(7));
        assert!(!whole.is_edited_by(&later));
    }
}
