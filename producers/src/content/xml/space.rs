//! Namespaces: by address where declared, by custom where not.

/// The vocabularies that sources use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// RSS of any version, Atom of any version, sitemaps, and what has no namespace at all.
    Core,
    /// Dublin Core, elements and terms.
    Dublin,
    /// RSS 1.0 content.
    Content,
    /// Media RSS.
    Media,
    /// Podcasts.
    Itunes,
    /// XHTML.
    Xhtml,
    /// RDF syntax.
    Rdf,
    /// Atom threading (RFC 4685).
    Thread,
    /// Google News sitemaps.
    News,
    /// Anything else.
    Other,
}

impl Space {
    /// What a namespace address stands for.
    pub(crate) fn of_address(address: &str) -> Self {
        let address = address.trim().to_ascii_lowercase();
        let address = address.trim_end_matches(['/', '#']);
        match address.split_once("://").map_or(address, |(_, rest)| rest) {
            "" => Self::Core,
            // The address of Echo, which became Atom, had no scheme.
            "uri/of/echo/namespace" | "purl.org/pie" | "purl.org/echo" | "example.com/newformat" => Self::Core,
            "search.yahoo.com/mrss" | "tools.search.yahoo.com/mrss" | "search.yahoo.com/mrss/#" => Self::Media,
            "purl.org/dc/elements/1.0" | "purl.org/dc/elements/1.1" | "purl.org/dc/terms" => Self::Dublin,
            "purl.org/rss/1.0/modules/content" | "purl.org/rss/1.0/modules/content/encoded" => Self::Content,
            "www.w3.org/1999/xhtml" => Self::Xhtml,
            "www.w3.org/1999/02/22-rdf-syntax-ns" => Self::Rdf,
            "purl.org/syndication/thread/1.0" => Self::Thread,
            // Its elements are named like those of iTunes.
            "www.google.com/schemas/play-podcasts/1.0" => Self::Itunes,
            rest if rest.contains("itunes.com/dtds/podcast") || rest.ends_with("/dtds/podcast-1.0.dtd") => Self::Itunes,
            rest if rest.contains("/schemas/sitemap-news") => Self::News,
            rest if is_core(rest) => Self::Core,
            _ => Self::Other,
        }
    }

    /// What a prefix stands for that no one declared.
    pub(crate) fn of_prefix(prefix: &str) -> Self {
        match prefix.to_ascii_lowercase().as_str() {
            "" | "atom" | "atom03" | "atom10" | "a10" | "rss" => Self::Core,
            "dc" | "dcterms" => Self::Dublin,
            "content" => Self::Content,
            "media" => Self::Media,
            "itunes" | "googleplay" => Self::Itunes,
            "xhtml" => Self::Xhtml,
            "rdf" => Self::Rdf,
            "thr" => Self::Thread,
            "news" => Self::News,
            _ => Self::Other,
        }
    }
}

fn is_core(address: &str) -> bool {
    [
        "www.w3.org/2005/atom",
        "purl.org/atom/",
        "purl.org/rss/1.0",
        "my.netscape.com/rdf/simple/0.9",
        "my.netscape.com/publish/formats/rss-0.91",
        "channel.netscape.com/rdf/simple/0.9",
        "backend.userland.com/rss",
        "blogs.law.harvard.edu/tech/rss",
        "cyber.law.harvard.edu/rss",
        "purl.org/net/rss1.1",
        "purl.org/rss/2.0",
        "www.sitemaps.org/schemas/sitemap/",
        "www.google.com/schemas/sitemap/",
    ]
    .iter()
    .any(|start| address.starts_with(start) && !address.contains("/modules/"))
}
