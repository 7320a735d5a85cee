//! robots.txt (RFC 9309): the group that names us, else `*`; the longest matching rule; allow wins a tie.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Our product token.
const TOKEN: &str = "vigie";

/// How long rules are kept (RFC 9309, 2.4).
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// No more of a file is read than this (RFC 9309, 2.5 asks for 500 KiB at least).
const MAX_BYTES: usize = 512 * 1024;

/// The rules of the sites asked lately.
#[derive(Debug, Default)]
pub(super) struct Robots {
    sites: Mutex<HashMap<String, (Duration, Arc<Rules>)>>,
}

impl Robots {
    pub(super) fn cached(&self, site: &str, now: Duration) -> Option<Arc<Rules>> {
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.get(site).filter(|(at, _)| now.saturating_sub(*at) < KEPT).map(|(_, rules)| rules.clone())
    }

    pub(super) fn keep(&self, site: String, rules: Rules, now: Duration) -> Arc<Rules> {
        let rules = Arc::new(rules);
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.insert(site, (now, rules.clone()));
        rules
    }
}

/// The rules that apply to us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// (is allowed, pattern)
    rules: Vec<(bool, String)>,
}

impl Rules {
    pub(super) fn allow_all() -> Self {
        Self::default()
    }

    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]);
        let mut ours: Option<Vec<(bool, String)>> = None;
        let mut others: Vec<(bool, String)> = Vec::new();
        let (mut names_us, mut names_all, mut in_rules) = (false, false, false);
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "user-agent" => {
                    if in_rules {
                        (names_us, names_all, in_rules) = (false, false, false);
                    }
                    let token: String =
                        value.chars().take_while(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_')).collect();
                    names_us |= token.eq_ignore_ascii_case(TOKEN);
                    names_all |= value.starts_with('*');
                    if names_us && ours.is_none() {
                        ours = Some(Vec::new());
                    }
                }
                key @ ("allow" | "disallow") => {
                    in_rules = true;
                    // An empty disallow allows all, which is what no rule does.
                    if value.is_empty() {
                        continue;
                    }
                    let rule = (key == "allow", value.to_owned());
                    if names_us {
                        ours.get_or_insert_default().push(rule);
                    } else if names_all {
                        others.push(rule);
                    }
                }
                _ => {}
            }
        }
        Self { rules: ours.unwrap_or(others) }
    }

    /// Whether `path` (with its query) may be fetched.
    pub(super) fn allows(&self, path: &str) -> bool {
        if path == "/robots.txt" {
            return true;
        }
        let matching = self.rules.iter().filter(|(_, pattern)| matches(pattern, path));
        matching.max_by_key(|(allowed, pattern)| (pattern.len(), *allowed)).is_none_or(|(allowed, _)| *allowed)
    }
}

/// `*` stands for anything, `$` at the end for the end; else a prefix. Greedy with one point to go back to: linear in practice, never exponential.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, whole) = pattern.strip_suffix('$').map_or((pattern, false), |p| (p, true));
    let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
    let (mut p, mut s) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
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
    fn many_stars_do_not_hang() {
        let pattern = "/".to_owned() + &"*a".repeat(200) + "$";
        assert!(!matches(&pattern, &("/".to_owned() + &"a".repeat(5000) + "b")));
    }
}
