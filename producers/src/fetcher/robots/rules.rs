//! The rules of one robots.txt: the group that names us, else `*`; the longest matching rule; allow wins a tie.

use std::time::Duration;

/// Our product token.
const TOKEN: &str = "vigie";

/// No more of a file is read than this (RFC 9309, 2.5 asks for 500 KiB at least).
const MAX_BYTES: usize = 512 * 1024;

/// Characters compared for one decision at most: some ten milliseconds.
const MAX_STEPS: u32 = 10_000_000;

/// The longest crawl-delay that is honoured.
pub(in crate::fetcher) const MAX_DELAY: Duration = Duration::from_secs(60);

/// The rules that apply to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::fetcher) struct Rules {
    /// (is allowed, pattern)
    rules: Vec<(bool, String)>,
    /// `crawl-delay`, which is in no standard but in many files; capped.
    pub(in crate::fetcher) delay: Option<Duration>,
}

impl Rules {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]);
        let (mut ours, mut others) = (None::<Self>, Self::default());
        let (mut names_us, mut names_all, mut in_rules) = (false, false, false);
        for line in text.trim_start_matches('\u{feff}').split(['\r', '\n']) {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            if key == "user-agent" {
                if in_rules {
                    (names_us, names_all, in_rules) = (false, false, false);
                }
                let is_token = |c: &char| c.is_ascii_alphabetic() || matches!(c, '-' | '_');
                let token: String = value.chars().take_while(is_token).collect();
                names_us |= token.eq_ignore_ascii_case(TOKEN);
                names_all |= value.starts_with('*');
                if names_us {
                    ours.get_or_insert_default();
                }
                continue;
            }
            let group = match (&mut ours, names_us, names_all) {
                (Some(ours), true, _) => Some(ours),
                (_, _, true) => Some(&mut others),
                _ => None,
            };
            match key.as_str() {
                "allow" | "disallow" => {
                    in_rules = true;
                    // An empty disallow allows all, which is what no rule does.
                    if let Some(group) = group.filter(|_| !value.is_empty()) {
                        group.rules.push((key == "allow", normal(value)));
                    }
                }
                "crawl-delay" => {
                    in_rules = true;
                    let seconds = value.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds > 0.0);
                    if let (Some(group), Some(seconds)) = (group, seconds) {
                        group.delay = Some(Duration::from_secs_f64(seconds.min(MAX_DELAY.as_secs_f64())));
                    }
                }
                _ => {}
            }
        }
        ours.unwrap_or(others)
    }

    /// Whether `path` (with its query) may be fetched. Rules that take too long to compare forbid it.
    pub(in crate::fetcher) fn allows(&self, path: &str) -> bool {
        if path == "/robots.txt" {
            return true;
        }
        let path = normal(path);
        let mut steps = MAX_STEPS;
        let matching = self.rules.iter().filter(|(_, pattern)| matches(pattern, &path, &mut steps));
        let longest = matching.max_by_key(|(allowed, pattern)| (pattern.len(), *allowed));
        steps > 0 && longest.is_none_or(|(allowed, _)| *allowed)
    }
}

/// One spelling of what can be spelled in several ways (RFC 9309, 2.2.2): what need not be escaped is not, the rest is, in capitals.
fn normal(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| path.get(at + 1..at + 3))
            .flatten()
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let byte = escaped.unwrap_or(bytes[at]);
        let is_unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if is_unreserved || (escaped.is_none() && byte.is_ascii_graphic() && byte != b'%') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

/// `*` stands for anything, `$` at the end for the end; else a prefix. Greedy with one point to go back to: linear in practice, never exponential.
fn matches(pattern: &str, path: &str, steps: &mut u32) -> bool {
    let (pattern, whole) = pattern.strip_suffix('$').map_or((pattern, false), |p| (p, true));
    let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
    let (mut p, mut s) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        *steps = steps.saturating_sub(1);
        if *steps == 0 {
            return false;
        }
        if p == pattern.len() && (!whole || s == path.len()) {
            return true;
        }
        if p < pattern.len() && pattern[p] == b'*' {
            back = Some((p + 1, s));
            p += 1;
        } else if p < pattern.len() && s < path.len() && pattern[p] == path[s] {
            p += 1;
            s += 1;
        } else if let Some((after, from)) = back.filter(|(_, from)| *from < path.len()) {
            back = Some((after, from + 1));
            p = after;
            s = from + 1;
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_group_replaces_the_group_for_all() {
        let rules = Rules::parse(b"User-agent: *\nDisallow: /\n\nUser-agent: other\nUser-agent: Vigie/2\nDisallow: /private # secret\nAllow: /private/open\n");
        assert!(rules.allows("/feed") && rules.allows("/private/open/x"));
        assert!(!rules.allows("/private/x"));
        assert!(!Rules::parse(b"user-agent:*\ndisallow:/").allows("/feed"));
    }

    #[test]
    fn the_longest_rule_wins_and_allow_wins_a_tie() {
        let rules = Rules::parse(b"User-agent: *\nDisallow: /a\nAllow: /a\nDisallow: /*.json$\nAllow: /r/*/new.json\n");
        assert!(rules.allows("/a/b"));
        assert!(!rules.allows("/x.json"));
        assert!(rules.allows("/x.json?y"));
        assert!(rules.allows("/r/Bitcoin/new.json"));
        assert!(Rules::parse(b"User-agent: *\nDisallow:\n").allows("/"));
        assert!(Rules::parse(b"<html>not found</html>").allows("/"));
    }

    #[test]
    fn a_crawl_delay_belongs_to_its_group_and_is_capped() {
        let delay = |text: &str| Rules::parse(text.as_bytes()).delay;
        assert_eq!(delay("User-agent: *\nCrawl-delay: 2.5"), Some(Duration::from_millis(2500)));
        assert_eq!(delay("User-agent: *\nCrawl-delay: 86400"), Some(MAX_DELAY));
        assert_eq!(delay("User-agent: other\nCrawl-delay: 9\n\nUser-agent: *\nDisallow:"), None);
        assert_eq!(delay("User-agent: *\nCrawl-delay: 9\nUser-agent: vigie\nDisallow: /x"), None);
        for wrong in ["soon", "-1", "NaN", "inf", "1e999", ""] {
            assert_eq!(delay(&format!("User-agent: *\nCrawl-delay: {wrong}")), None, "{wrong}");
        }
        // It ends the list of names like any rule, so that the next group's rules are not ours.
        let rules = Rules::parse(b"User-agent: *\nCrawl-delay: 1\nUser-agent: bad\nDisallow: /\n");
        assert!(rules.allows("/feed"));
    }

    #[test]
    fn byte_order_marks_line_ends_and_escapes_make_no_difference() {
        let rules =
            Rules::parse("\u{feff}User-agent: *\rDisallow: /\u{e9}\r\nDisallow: /a%3cd\nDisallow: /%7ejoe".as_bytes());
        for path in ["/%C3%A9t%C3%A9", "/%c3%a9", "/a%3Cd.html", "/~joe/x", "/%7Ejoe"] {
            assert!(!rules.allows(path), "{path}");
        }
        assert!(rules.allows("/a<d") == rules.allows("/a%253cd") && rules.allows("/e"));
    }

    #[test]
    fn many_stars_do_not_hang() {
        let pattern = "/".to_owned() + &"*a".repeat(200) + "$";
        assert!(!matches(&pattern, &("/".to_owned() + &"a".repeat(5000) + "b"), &mut MAX_STEPS.clone()));
        // Made to be compared from each place of the path almost to its end.
        let file = format!("User-agent: *\nDisallow: *{}b\n", "a".repeat(8000)).repeat(50);
        let path = "/".to_owned() + &"a".repeat(7999);
        assert!(!Rules::parse(file.as_bytes()).allows(&path));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_rules(bytes: Vec<u8>, lines: Vec<(bool, String)>, path: String) {
            let _ = Rules::parse(&bytes).allows(&path);
            let mut file = "User-agent: *\n".to_owned();
            for (allowed, pattern) in lines {
                file += &format!("{}: /{pattern}\n", if allowed { "Allow" } else { "Disallow" });
            }
            let rules = Rules::parse(file.as_bytes());
            assert_eq!(rules.allows(&path), rules.allows(&normal(&path)), "one spelling is as good as another");
        }
    }
}
