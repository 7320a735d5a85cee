//! Single-byte encodings that the web's own list leaves out: DOS, old Macintosh, EBCDIC.
//!
//! `code_pages.txt` has one on each line: its names, a tab, then the characters of bytes 128 to 255 (ASCII extended) or 64 to 255 (EBCDIC).

/// The tables.
const PAGES: &str = include_str!("code_pages.txt");

/// `<?xm` in EBCDIC.
const EBCDIC_START: [u8; 4] = [0x4c, 0x6f, 0xa7, 0x94];

/// One table.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodePage(&'static str);

impl CodePage {
    /// The text, and whether some bytes stand for nothing.
    pub(super) fn decode(self, bytes: &[u8]) -> (String, bool) {
        let table: Vec<char> = self.0.chars().collect();
        let first = 256 - table.len();
        let is_ebcdic = first < 128;
        let text: String = bytes
            .iter()
            .map(|byte| match usize::from(*byte).checked_sub(first) {
                Some(at) => table[at],
                None if is_ebcdic => control(*byte),
                None => char::from(*byte),
            })
            .collect();
        let malformed = text.contains(char::REPLACEMENT_CHARACTER);
        (text, malformed)
    }
}

/// The control characters of EBCDIC that documents have.
fn control(byte: u8) -> char {
    match byte {
        0x05 => '\t',
        0x15 | 0x25 => '\n',
        0x0d => '\r',
        _ => ' ',
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

/// The text of a document in EBCDIC, known by how it begins.
pub(super) fn ebcdic(bytes: &[u8]) -> Option<String> {
    if !bytes.starts_with(&EBCDIC_START) {
        return None;
    }
    // All variants agree on the letters that a declaration is written in.
    let (head, _) = named("cp037")?.decode(&bytes[..bytes.len().min(200)]);
    let label = head.split_once("encoding").and_then(|(_, rest)| rest.split(['"', '\'']).nth(1)).unwrap_or("cp037");
    let bare: String = label.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    Some(named(&bare).or_else(|| named("cp037"))?.decode(bytes).0)
}
