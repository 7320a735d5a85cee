//! Single-byte encodings that the web's own list leaves out: DOS and old Macintosh.
//!
//! `code_pages.txt` has one on each line: its names, a tab, then the characters of bytes 128 to 255.

/// The tables.
const PAGES: &str = include_str!("code_pages.txt");

/// One table.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodePage(&'static str);

impl CodePage {
    /// The text, and whether some bytes stand for nothing.
    pub(super) fn decode(self, bytes: &[u8]) -> (String, bool) {
        let table: Vec<char> = self.0.chars().collect();
        let read = |byte: &u8| byte.checked_sub(128).map_or(char::from(*byte), |at| table[usize::from(at)]);
        let text: String = bytes.iter().map(read).collect();
        let malformed = text.contains(char::REPLACEMENT_CHARACTER);
        (text, malformed)
    }
}

/// The table of this name, given in lower case and without anything but letters and digits.
pub(super) fn named(name: &str) -> Option<CodePage> {
    let mut lines = PAGES.lines().filter_map(|line| line.split_once('\t'));
    let short = |name: &str| {
        name.strip_prefix("cspc")
            .map(|rest| rest.trim_start_matches('p').chars().take_while(char::is_ascii_digit).collect::<String>())
    };
    let short = short(name).map(|number| format!("cp{number}"));
    let is_named = |names: &str| names.split(' ').any(|known| known == name || Some(known) == short.as_deref());
    lines.find(|(names, _)| is_named(names)).map(|(_, table)| CodePage(table))
}
