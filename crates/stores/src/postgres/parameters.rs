//! libpq's parameters of TLS, which tokio-postgres does not know, taken out of a connection string.
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>

use percent_encoding::percent_decode_str;

/// Which parameters are ours; of each the last value holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) mode: Option<String>,
    pub(super) roots: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

impl Parameters {
    fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "sslmode" => Some(&mut self.mode),
            "sslrootcert" => Some(&mut self.roots),
            "sslcert" => Some(&mut self.certificate),
            "sslkey" => Some(&mut self.key),
            _ => None,
        }
    }
}

/// Our parameters, and the connection string without them; `None` if it is not one.
pub(super) fn split(text: &str) -> Option<(Parameters, String)> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") { of_url(text) } else { of_pairs(text) }
}

fn of_url(text: &str) -> Option<(Parameters, String)> {
    let mut ours = Parameters::default();
    let Some((before, query)) = text.split_once('?') else { return Some((ours, text.to_owned())) };
    let (mut rest, mut mark) = (before.to_owned(), '?');
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        if let Some(place) = ours.place(&percent_decode_str(name).decode_utf8().ok()?) {
            *place = Some(percent_decode_str(value).decode_utf8().ok()?.into_owned());
        } else {
            rest.push(mark);
            rest.push_str(pair);
            mark = '&';
        }
    }
    Some((ours, rest))
}

/// `name = value ...`, values quoted by `'` where they hold spaces; `\` escapes.
fn of_pairs(text: &str) -> Option<(Parameters, String)> {
    let (mut ours, mut rest) = (Parameters::default(), String::new());
    let mut input = text.trim_start();
    while !input.is_empty() {
        let pair = input;
        let (name, after) = input.split_once('=')?;
        let (value, after) = value(after.trim_start())?;
        match ours.place(name.trim()) {
            Some(place) => *place = Some(value),
            None => {
                rest.push_str(&pair[..pair.len() - after.len()]);
                rest.push(' ');
            }
        }
        input = after.trim_start();
    }
    Some((ours, rest))
}

/// A value, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let (quoted, text) = text.strip_prefix('\'').map_or((false, text), |text| (true, text));
    let (mut value, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            _ if !quoted && letter.is_whitespace() => return Some((value, &text[at..])),
            _ => value.push(letter),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(mode: &str, roots: &str) -> Parameters {
        Parameters { mode: Some(mode.to_owned()), roots: Some(roots.to_owned()), ..Parameters::default() }
    }

    #[test]
    fn ours_are_taken_out_and_the_rest_stays_as_it_is() {
        for (text, roots, rest) in [
            (
                "postgres://u:p@h:1,g:2/d?sslmode=verify-ca&connect_timeout=3&sslrootcert=%2Fa%20b%2Bc+d",
                "/a b+c+d",
                "postgres://u:p@h:1,g:2/d?connect_timeout=3",
            ),
            (
                r"host=h  sslmode = verify-ca password='a b\' sslmode=disable' sslrootcert=/a\ b user=u",
                "/a b",
                r"host=h password='a b\' sslmode=disable' user=u ",
            ),
        ] {
            assert_eq!(split(text), Some((ours("verify-ca", roots), rest.to_owned())), "{text}");
        }
        for wrong in ["nonsense", "host='open", "postgres://h/d?sslmode", r"host=a\"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }
}
