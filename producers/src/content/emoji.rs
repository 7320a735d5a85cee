//! Emoji that are pictures.

use scraper::node::Element;

/// What a picture of an emoji or a smiley shows, as text: `🚀`, `:rocket:` or `:-)`; `None` if it is another picture.
pub(crate) fn of_image(image: &Element) -> Option<&str> {
    let is_named = image.classes().any(|class| {
        let class = class.to_ascii_lowercase();
        ["emoji", "smil", "emoticon"].iter().any(|part| class.contains(part))
    });
    let texts = ["alt", "title"].into_iter().filter_map(|name| image.attr(name)).map(str::trim);
    let mut texts = texts.filter(|text| !text.is_empty() && text.len() <= 64);
    if is_named { texts.next() } else { texts.find(|text| is_emoji(text)) }
}

/// Whether a text is nothing but pictographs, or a `:name:`.
fn is_emoji(text: &str) -> bool {
    let name = text.strip_prefix(':').and_then(|text| text.strip_suffix(':'));
    let is_name =
        name.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b)));
    is_name || text.chars().all(is_pictograph)
}

/// Whether it is a part of an emoji.
fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{200d}' | '\u{20e3}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}'
        | '\u{2b00}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}' | '\u{e0020}'..='\u{e007f}')
}
