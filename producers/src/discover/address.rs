//! What the address alone says of a source.

use url::Url;

use super::Candidate;
use crate::kinds::Kind;

/// The places to look for what `url` names, best first; nothing for a site that is not known by its address.
pub fn candidates(url: &Url) -> Vec<Candidate> {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix("www.").unwrap_or(host);
    let path: Vec<&str> =
        url.path_segments().map(|segments| segments.filter(|s| !s.is_empty()).collect()).unwrap_or_default();
    let found = match host {
        "reddit.com" | "old.reddit.com" | "new.reddit.com" => reddit(&path),
        "youtube.com" | "m.youtube.com" => youtube(url, &path),
        "t.me" | "telegram.me" => telegram(&path),
        "github.com" => github(&path),
        "medium.com" => medium(&path),
        "bsky.app" => bluesky(url, &path),
        "snapshot.org" | "snapshot.box" => snapshot(url.fragment().unwrap_or_default()),
        "news.ycombinator.com" | "hn.algolia.com" => hacker_news(url),
        _ if host.ends_with(".medium.com") => {
            vec![(Kind::Rss, format!("https://{host}/feed"), "Medium", host.trim_end_matches(".medium.com").to_owned())]
        }
        _ if host.ends_with(".substack.com") => vec![(
            Kind::Rss,
            format!("https://{host}/feed"),
            "Substack",
            host.trim_end_matches(".substack.com").to_owned(),
        )],
        _ => on_any_host(url, &path),
    };
    let candidate = |(kind, address, platform, name): Found| {
        Some(Candidate { kind, url: Url::parse(&address).ok()?, platform, name })
    };
    found.into_iter().filter_map(candidate).collect()
}

/// Kind, address, platform, and a name for the source.
type Found = (Kind, String, &'static str, String);

fn reddit(path: &[&str]) -> Vec<Found> {
    match path {
        ["r", name, ..] => vec![
            (Kind::Rss, format!("https://www.reddit.com/r/{name}/new/.rss"), "Reddit", format!("reddit-{name}")),
            (
                Kind::Reddit,
                format!("https://www.reddit.com/r/{name}/new.json?limit=100"),
                "Reddit",
                format!("reddit-{name}"),
            ),
        ],
        ["user" | "u", name, ..] => {
            vec![(
                Kind::Rss,
                format!("https://www.reddit.com/user/{name}/.rss"),
                "Reddit",
                format!("reddit-user-{name}"),
            )]
        }
        _ => Vec::new(),
    }
}

fn youtube(url: &Url, path: &[&str]) -> Vec<Found> {
    let feed = |key: &str, value: &str| {
        let address = format!("https://www.youtube.com/feeds/videos.xml?{key}={value}");
        vec![(Kind::Rss, address, "YouTube", format!("youtube-{value}"))]
    };
    let list = url.query_pairs().find(|(key, _)| key == "list").map(|(_, value)| value.into_owned());
    match (path, list) {
        (["channel", id, ..], _) => feed("channel_id", id),
        (["user", name, ..], _) => feed("user", name),
        (["playlist"], Some(list)) => feed("playlist_id", &list),
        // "/@handle" and "/c/name" say in their page which channel they are.
        _ => Vec::new(),
    }
}

fn telegram(path: &[&str]) -> Vec<Found> {
    match path {
        ["s", name, ..] | [name, ..] if !name.starts_with(['+', '@']) && *name != "joinchat" => {
            vec![(Kind::Telegram, format!("https://t.me/s/{name}"), "Telegram", format!("telegram-{name}"))]
        }
        _ => Vec::new(),
    }
}

fn github(path: &[&str]) -> Vec<Found> {
    match path {
        [owner, name, rest @ ..] => {
            let name = name.trim_end_matches(".git");
            let list = match rest.first() {
                Some(&("commits" | "commit")) => "commits",
                Some(&"tags") => "tags",
                _ => "releases",
            };
            vec![(
                Kind::Rss,
                format!("https://github.com/{owner}/{name}/{list}.atom"),
                "GitHub",
                format!("github-{owner}-{name}"),
            )]
        }
        _ => Vec::new(),
    }
}

fn medium(path: &[&str]) -> Vec<Found> {
    match path {
        ["tag", tag, ..] => {
            vec![(Kind::Rss, format!("https://medium.com/feed/tag/{tag}"), "Medium", format!("medium-tag-{tag}"))]
        }
        ["feed", name] | [name, ..] => {
            vec![(Kind::Rss, format!("https://medium.com/feed/{name}"), "Medium", format!("medium-{name}"))]
        }
        [] => Vec::new(),
    }
}

fn bluesky(url: &Url, path: &[&str]) -> Vec<Found> {
    let query =
        |key: &str, value: &str| url::form_urlencoded::Serializer::new(String::new()).append_pair(key, value).finish();
    match path {
        ["profile", actor, ..] => {
            let address =
                format!("https://public.api.bsky.app/xrpc/app.bsky.feed.getAuthorFeed?{}", query("actor", actor));
            vec![(Kind::Bluesky, address, "Bluesky", format!("bluesky-{actor}"))]
        }
        ["hashtag", tag, ..] => search_bluesky(&query("q", &format!("#{tag}")), tag),
        ["search"] => url
            .query_pairs()
            .find(|(key, _)| key == "q")
            .map(|(_, words)| search_bluesky(&query("q", &words), &words))
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn search_bluesky(query: &str, name: &str) -> Vec<Found> {
    vec![(
        Kind::Bluesky,
        format!("https://api.bsky.app/xrpc/app.bsky.feed.searchPosts?{query}"),
        "Bluesky",
        format!("bluesky-search-{name}"),
    )]
}

/// "#/aavedao.eth/proposal/0x..", "/s:aavedao.eth/proposals".
fn snapshot(fragment: &str) -> Vec<Found> {
    let space = fragment.split('/').find(|part| part.contains('.') || part.contains(':')).unwrap_or_default();
    let space = space.rsplit(':').next().unwrap_or_default();
    if space.is_empty() {
        return Vec::new();
    }
    vec![(
        Kind::Snapshot,
        format!("https://hub.snapshot.org/graphql?space={space}"),
        "Snapshot",
        format!("snapshot-{space}"),
    )]
}

fn hacker_news(url: &Url) -> Vec<Found> {
    let words =
        url.query_pairs().find(|(key, _)| matches!(key.as_ref(), "q" | "query")).map(|(_, words)| words.into_owned());
    let query = words.as_deref().map(|words| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        format!("{}&", query.append_pair("query", words).finish())
    });
    let address =
        format!("https://hn.algolia.com/api/v1/search_by_date?{}tags=(story,comment)", query.unwrap_or_default());
    vec![(Kind::HackerNews, address, "Hacker News", format!("hackernews-{}", words.as_deref().unwrap_or("all")))]
}

/// Software that runs on many hosts, by the shape of its paths.
fn on_any_host(url: &Url, path: &[&str]) -> Vec<Found> {
    let site = url.origin().ascii_serialization();
    let host = url.host_str().unwrap_or_default();
    match path {
        ["tags", tag, ..] => vec![
            (Kind::Mastodon, format!("{site}/api/v1/timelines/tag/{tag}"), "Mastodon", format!("mastodon-{tag}")),
            (Kind::Rss, format!("{site}/tags/{tag}.rss"), "Mastodon", format!("mastodon-{tag}")),
        ],
        [account, ..] if account.starts_with('@') && account.len() > 1 => {
            vec![(Kind::Rss, format!("{site}/{account}.rss"), "Mastodon", format!("{host}-{account}"))]
        }
        ["c", community, ..] => vec![(
            Kind::Lemmy,
            format!("{site}/api/v3/post/list?community_name={community}&sort=New"),
            "Lemmy",
            format!("lemmy-{community}"),
        )],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_known_by_their_addresses() {
        for (address, kind, url) in [
            ("https://www.reddit.com/r/Bitcoin/", Kind::Rss, "https://www.reddit.com/r/Bitcoin/new/.rss"),
            ("https://old.reddit.com/user/ada", Kind::Rss, "https://www.reddit.com/user/ada/.rss"),
            (
                "https://www.youtube.com/channel/UC123/videos",
                Kind::Rss,
                "https://www.youtube.com/feeds/videos.xml?channel_id=UC123",
            ),
            (
                "https://youtube.com/playlist?list=PL9",
                Kind::Rss,
                "https://www.youtube.com/feeds/videos.xml?playlist_id=PL9",
            ),
            ("https://t.me/whale_alert_io", Kind::Telegram, "https://t.me/s/whale_alert_io"),
            ("https://t.me/s/whale_alert_io/12", Kind::Telegram, "https://t.me/s/whale_alert_io"),
            ("https://github.com/bitcoin/bitcoin", Kind::Rss, "https://github.com/bitcoin/bitcoin/releases.atom"),
            ("https://github.com/a/b/commits/main", Kind::Rss, "https://github.com/a/b/commits.atom"),
            ("https://medium.com/@ada/a-story", Kind::Rss, "https://medium.com/feed/@ada"),
            ("https://ada.medium.com/", Kind::Rss, "https://ada.medium.com/feed"),
            (
                "https://bsky.app/profile/ada.example",
                Kind::Bluesky,
                "https://public.api.bsky.app/xrpc/app.bsky.feed.getAuthorFeed?actor=ada.example",
            ),
            (
                "https://bsky.app/search?q=eth+merge",
                Kind::Bluesky,
                "https://api.bsky.app/xrpc/app.bsky.feed.searchPosts?q=eth+merge",
            ),
            (
                "https://snapshot.org/#/aavedao.eth/proposal/0x1",
                Kind::Snapshot,
                "https://hub.snapshot.org/graphql?space=aavedao.eth",
            ),
            (
                "https://snapshot.box/#/s:ens.eth/proposals",
                Kind::Snapshot,
                "https://hub.snapshot.org/graphql?space=ens.eth",
            ),
            (
                "https://mastodon.example/tags/bitcoin",
                Kind::Mastodon,
                "https://mastodon.example/api/v1/timelines/tag/bitcoin",
            ),
            ("https://mastodon.example/@ada", Kind::Rss, "https://mastodon.example/@ada.rss"),
            (
                "https://lemmy.example/c/crypto",
                Kind::Lemmy,
                "https://lemmy.example/api/v3/post/list?community_name=crypto&sort=New",
            ),
            (
                "https://hn.algolia.com/?q=bitcoin",
                Kind::HackerNews,
                "https://hn.algolia.com/api/v1/search_by_date?query=bitcoin&tags=(story,comment)",
            ),
        ] {
            let found = candidates(&Url::parse(address).unwrap());
            let first = found.first().unwrap_or_else(|| panic!("{address} is not known"));
            assert_eq!((first.kind, first.url.as_str()), (kind, url), "{address}");
        }
        for address in
            ["https://news.example/", "https://t.me/+secret", "https://www.reddit.com/", "https://www.youtube.com/@ada"]
        {
            assert!(candidates(&Url::parse(address).unwrap()).iter().all(|c| c.platform == "Mastodon"), "{address}");
        }
    }
}
