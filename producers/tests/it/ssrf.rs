//! Addresses and tricks by which a scraper is led off the public web: none gets a single connection to anything but the public web.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::header;
use tokio::net::TcpListener;
use url::Url;
use vigie_producers::fetcher::{FetchError, Fetched};

use crate::web::{Web, public};

/// Hosts as they may stand in an address, each with what it stands for.
const HOSTS: &[(&str, &str)] = &[
    // Every range of the IPv4 special-purpose registry, at its edges.
    ("0.0.0.0", "this host"),
    ("0.255.255.255", "this network"),
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "shared, CGNAT"),
    ("100.127.255.254", "shared, CGNAT"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "cloud metadata"),
    ("169.254.170.2", "container credentials"),
    ("172.16.0.1", "private"),
    ("172.31.255.254", "private"),
    ("192.0.0.1", "protocol assignments"),
    ("192.0.0.192", "cloud metadata"),
    ("192.0.2.1", "documentation"),
    ("192.31.196.1", "AS112"),
    ("192.52.193.1", "AMT"),
    ("192.88.99.1", "6to4 relay"),
    ("192.168.0.1", "private"),
    ("192.168.255.254", "private"),
    ("192.175.48.1", "AS112"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.254", "benchmarking"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast, SSDP"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    // Spellings of IPv4.
    ("2130706433", "decimal"),
    ("0x7f000001", "hexadecimal"),
    ("0X7F.0.0.1", "hexadecimal part"),
    ("0177.0.0.1", "octal part"),
    ("017700000001", "octal"),
    ("127.1", "two parts"),
    ("127.0.1", "three parts"),
    ("0", "one part"),
    ("0x0", "one hexadecimal part"),
    ("127.0.0.1.", "trailing dot"),
    ("127.0.0.01", "leading zero"),
    ("0x7f.0x0.0x0.0x1", "hexadecimal parts"),
    ("①②⑦.⓪.⓪.①", "circled digits"),
    ("１２７.０.０.１", "fullwidth digits"),
    ("127。0。0。1", "ideographic full stops"),
    ("%31%32%37.0.0.1", "escaped digits"),
    ("127.0.0.1%2e", "escaped trailing dot"),
    ("3232235521", "decimal, private"),
    ("0xa9fea9fe", "hexadecimal, metadata"),
    ("127.0.0.1%00.a.example", "zero byte"),
    ("127.0.0.1%0d%0aHost:a", "line end"),
    // IPv6.
    ("[::]", "unspecified"),
    ("[::1]", "loopback"),
    ("[0:0:0:0:0:0:0:1]", "loopback, long"),
    ("[0000::0001]", "loopback, zeros"),
    ("[::127.0.0.1]", "v4-compatible"),
    ("[::ffff:127.0.0.1]", "v4-mapped"),
    ("[::ffff:7f00:1]", "v4-mapped, hexadecimal"),
    ("[::ffff:169.254.169.254]", "v4-mapped metadata"),
    ("[::ffff:0:127.0.0.1]", "v4-translated"),
    ("[64:ff9b::127.0.0.1]", "NAT64"),
    ("[64:ff9b::a00:1]", "NAT64, hexadecimal"),
    ("[64:ff9b:1::1]", "local NAT64"),
    ("[100::1]", "discard"),
    ("[2001::1]", "Teredo"),
    ("[2001:0:7f00:1::]", "Teredo"),
    ("[2001:2::1]", "benchmarking"),
    ("[2001:10::1]", "ORCHID"),
    ("[2001:20::1]", "ORCHIDv2"),
    ("[2001:db8::1]", "documentation"),
    ("[2002:7f00:1::]", "6to4 of loopback"),
    ("[2002:a00:1::1]", "6to4 of private"),
    ("[2002:a9fe:a9fe::]", "6to4 of metadata"),
    ("[2606:4700::5efe:10.0.0.1]", "ISATAP of private"),
    ("[2620:4f:8000::1]", "AS112"),
    ("[3fff::1]", "documentation"),
    ("[5f00::1]", "SRv6"),
    ("[fc00::1]", "unique local"),
    ("[fd00:ec2::254]", "cloud metadata"),
    ("[fe80::1]", "link-local"),
    ("[fe80::1%25eth0]", "zone id"),
    ("[fe80::1%eth0]", "zone id, not escaped"),
    ("[fec0::1]", "site-local"),
    ("[ff02::1]", "multicast"),
    // Names that are never public.
    ("localhost", "name"),
    ("LocalHost.", "name, case and dot"),
    ("a.localhost", "name below"),
    ("printer.local", "mDNS"),
    ("metadata.google.internal", "cloud metadata"),
    ("router.home.arpa", "home network"),
    ("wiki.corp", "company network"),
    ("nas.lan", "home network"),
    ("localhost.localdomain", "name"),
    // Userinfo.
    ("good.example@127.0.0.1", "user that looks like a host"),
    ("good.example:80@127.0.0.1", "user and password"),
    ("good.example%2F@127.0.0.1", "escaped slash in the user"),
    ("@127.0.0.1", "empty user"),
    ("127.0.0.1#@good.example", "fragment"),
    ("127.0.0.1?@good.example", "query"),
    ("127.0.0.1\\.good.example", "backslash ends the host"),
    ("ⓛocalhost", "circled letter"),
    ("loc\u{ad}alhost", "soft hyphen"),
    ("127.0.0.1\t", "tab"),
];

/// Whole addresses that must not be asked.
const ADDRESSES: &[&str] = &[
    "file:///etc/passwd",
    "ftp://good.example/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "data:text/xml,<rss/>",
    "dict://127.0.0.1:11211/stat",
    "ldap://127.0.0.1/",
    "javascript:alert(1)",
    "jar:http://127.0.0.1!/x",
    "ws://127.0.0.1/",
    "blob:http://127.0.0.1/x",
    "http:///127.0.0.1/",
    "http://good.example:22/",
    "http://good.example:25/",
    "http://good.example:6667/",
    "http://good.example:2049/",
];

/// Names that resolve to places off the public web.
const RESOLVED: &[(&str, &[&str])] = &[
    ("loopback.example", &["127.0.0.1"]),
    ("private.example", &["10.0.0.1", "192.168.1.1"]),
    ("metadata.example", &["169.254.169.254"]),
    ("six.example", &["::1"]),
    ("unique.example", &["fd00::1"]),
    ("mapped.example", &["::ffff:127.0.0.1"]),
    ("nat64.example", &["64:ff9b::7f00:1"]),
    ("tunnel.example", &["2002:7f00:1::"]),
    ("zero.example", &["0.0.0.0"]),
    ("cgnat.example", &["100.64.0.1"]),
];

/// A server at a private address that must not be reached, and how often it was.
async fn secret() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let reached = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reached);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, reached)
}

/// Asked directly, an address off the web is refused by the guard, unless it is no address at all.
fn is_refused(error: &FetchError) -> bool {
    matches!(error, FetchError::Blocked(why) if !why.starts_with("robots"))
}

#[tokio::test]
async fn no_address_off_the_public_web_is_asked_directly_or_by_redirect() {
    let web = Web::start().await;
    let (port, reached) = secret().await;
    let fetcher = web.quick();
    let with_port = HOSTS.iter().map(|(host, what)| (format!("http://{host}:{port}/"), *what));
    let plain = HOSTS.iter().map(|(host, what)| (format!("http://{host}/"), *what));
    let whole = ADDRESSES.iter().map(|address| ((*address).to_owned(), "address"));
    let named = RESOLVED.iter().map(|(name, ips)| {
        web.name(name, &[ips]);
        (format!("http://{name}/"), "name")
    });
    let all: Vec<(String, &str)> = plain.chain(whole).chain(named).collect();
    assert!(all.len() >= 60, "{}", all.len());
    println!("{} addresses", all.len());
    for (n, (address, what)) in all.into_iter().chain(with_port).enumerate() {
        if let Ok(url) = Url::parse(&address) {
            let error = fetcher.fetch(&public(url.as_str())).await.unwrap_err();
            assert!(is_refused(&error), "{address} ({what}): {error}");
        }
        // The same, as a server on the public web sends us there; a Location may hold any bytes.
        let location = address.replace('\t', "%09");
        let host = format!("hop{n}.example");
        web.redirect(&format!("{host}/"), 302, &location_bytes(&location));
        let error = fetcher.fetch(&public(&format!("http://{host}/"))).await.unwrap_err();
        let is_refused = is_refused(&error) || matches!(error, FetchError::Redirect(_));
        assert!(is_refused, "redirect to {address} ({what}): {error}");
        assert_eq!(web.paths(&host), ["/robots.txt", "/"], "{address}");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
    assert!(web.seen("good.example").is_empty() && web.seen("127.0.0.1").is_empty());
}

/// A location as it goes into a header, in ASCII.
fn location_bytes(location: &str) -> String {
    let escape = |c: char| {
        let mut bytes = [0; 4];
        c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect::<String>()
    };
    location.chars().map(|c| if c.is_ascii() { c.to_string() } else { escape(c) }).collect()
}

/// How a public server may try to lead somewhere else than with a plain absolute address.
#[tokio::test]
async fn redirect_tricks_do_not_leave_the_public_web() {
    let web = Web::start().await;
    let (port, reached) = secret().await;
    let fetcher = web.quick();
    web.redirect("twice.example/", 302, "http://second.example/");
    web.redirect("second.example/", 307, &format!("http://127.0.0.1:{port}/"));
    web.redirect("named.example/", 301, "http://inside.example/");
    web.name("inside.example", &[&["10.1.1.1"]]);
    let metadata = "http://169.254.169.254/latest/meta-data/";
    for (n, (status, location)) in [
        (301, format!("//127.0.0.1:{port}/")),
        (302, format!("\\\\127.0.0.1:{port}\\")),
        (303, format!("/\\127.0.0.1:{port}/")),
        (307, format!("http://good.example@127.0.0.1:{port}/")),
        (308, format!("HTTP://127.0.0.1:{port}/")),
        (302, format!(" http://127.0.0.1:{port}/ ")),
        (302, metadata.into()),
        (302, "http://twice.example/".into()),
        (302, "http://named.example/".into()),
        (302, "http://localhost/".into()),
        (302, "http://hop-user:password@good.example/".into()),
        (302, "data:,x".into()),
        (302, "file:/etc/passwd".into()),
        (302, String::new()),
        (302, "http://[::1".into()),
    ]
    .into_iter()
    .enumerate()
    {
        let host = format!("trick{n}.example");
        web.redirect(&format!("{host}/"), status, &location);
        let error = fetcher.fetch(&public(&format!("http://{host}/"))).await.unwrap_err();
        assert!(matches!(error, FetchError::Blocked(_) | FetchError::Redirect(_)), "{location}: {error}");
    }
    // Addresses outside of Location are not followed at all.
    web.on("refresh.example/", move |_| {
        let target = format!("http://127.0.0.1:{port}/");
        let headers = [
            (header::REFRESH, format!("0; url={target}")),
            (header::CONTENT_LOCATION, target.clone()),
            (header::LINK, format!("<{target}>; rel=\"canonical\"")),
            (header::ALT_SVC, format!("h2=\"127.0.0.1:{port}\"")),
            (header::LOCATION, target.clone()),
        ];
        (
            headers,
            format!("<meta http-equiv=\"refresh\" content=\"0; url={target}\"><?xml-stylesheet href=\"{target}\"?>"),
        )
    });
    for _ in 0..2 {
        let fetched = fetcher.fetch(&public("http://refresh.example/")).await.unwrap();
        assert!(matches!(fetched, Fetched::Body(body) if body.url.as_str() == "http://refresh.example/"));
    }
    assert!(web.seen("good.example").is_empty());
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_checked_at_each_connection() {
    let web = Web::start().await;
    let (port, reached) = secret().await;
    // robots.txt and the first request find it at a public address, later ones do not.
    web.name("rebind.example", &[&["93.184.215.14"], &["93.184.215.14"], &["127.0.0.1"]]);
    let closing = [("connection", "close")];
    web.on("rebind.example/robots.txt", move |_| (closing, ""));
    web.on("rebind.example/", move |_| (closing, "public"));
    let fetcher = web.quick();
    assert!(fetcher.fetch(&public("http://rebind.example/")).await.is_ok());
    for url in ["http://rebind.example/".to_owned(), format!("http://rebind.example:{port}/")] {
        let error = fetcher.fetch(&public(&url)).await.unwrap_err();
        assert!(is_refused(&error), "{url}: {error}");
    }
    // A redirect back to the same name is a connection like any other.
    web.name("again.example", &[&["93.184.215.14"], &["93.184.215.14"], &["::1"]]);
    web.on("again.example/robots.txt", move |_| (closing, ""));
    web.redirect("again.example/", 302, "/inside");
    let error = fetcher.fetch(&public("http://again.example/")).await.unwrap_err();
    assert!(is_refused(&error), "{error}");
    assert_eq!(web.paths("again.example"), ["/robots.txt", "/"]);
    // Of an answer with both kinds, only the public ones are used.
    web.name("mixed.example", &[&["127.0.0.1", "93.184.215.14", "::1", "169.254.169.254"]]);
    web.on("mixed.example/", |_| "public");
    let fetched = fetcher.fetch(&public("http://mixed.example/")).await.unwrap();
    assert!(matches!(fetched, Fetched::Body(body) if body.bytes == b"public"));
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_local_server_is_trusted_with_itself_and_not_with_the_rest() {
    let web = Web::start().await;
    web.on("127.0.0.1/", |_| "local");
    web.redirect("127.0.0.1/out", 302, "http://metadata.example/");
    web.name("metadata.example", &[&["169.254.169.254"]]);
    let fetcher = web.quick();
    let local = |path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", web.port);
        vigie_producers::fetcher::Request { local: true, ..public(&url) }
    };
    assert!(fetcher.fetch(&local("/")).await.is_ok());
    web.redirect("127.0.0.1/port", 302, "http://metadata.example:22/");
    for path in ["/out", "/port"] {
        let error = fetcher.fetch(&local(path)).await.unwrap_err();
        assert!(is_refused(&error), "{path}: {error}");
    }
    web.redirect("127.0.0.1/in", 302, &format!("http://localhost:{}/", web.port));
    web.on("localhost/", |_| "inside");
    let fetched = fetcher.fetch(&local("/in")).await.unwrap();
    assert!(matches!(fetched, Fetched::Body(body) if body.bytes == b"inside"));
}
