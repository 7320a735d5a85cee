//! From text to windows of token ids.

use std::path::Path;

use tokenizers::Tokenizer;

use super::mood::{Places, places};
use super::{ModelError, Passage};

/// Most windows that are read of one text; what follows is left out and the answer flagged.
pub(super) const MAX_WINDOWS: usize = 16;

/// Most bytes of one text that are tokenised: beyond what [`MAX_WINDOWS`] windows of ordinary prose hold.
pub(super) const MAX_BYTES: usize = 32 * 1024;

/// One run of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// `[CLS] tokens [SEP]`.
    pub(super) ids: Vec<i32>,
    /// Tokens without the special ones: the weight of this window in the mean.
    pub(super) tokens: usize,
    /// Where its tokens stand as seen from each target; empty without any.
    pub(super) places: Vec<Places>,
}

/// The windows of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Encoded {
    /// At least one token each; empty if the text has no token at all.
    pub(super) windows: Vec<Window>,
    /// True if the end of the text is left out.
    pub(super) truncated: bool,
}

/// A tokenizer with its special tokens looked up.
pub(super) struct Encoder {
    tokenizer: Tokenizer,
    cls: i32,
    sep: i32,
    max_tokens: usize,
    reach: Option<u16>,
}

impl Encoder {
    /// From the bytes of `tokenizer.json`; `path` is for messages only. Targets are looked for if there is a reach for their [`places`].
    pub(super) fn new(path: &Path, bytes: &[u8], max_tokens: usize, reach: Option<u16>) -> Result<Self, ModelError> {
        let malformed = |detail: String| ModelError::Malformed { path: path.to_owned(), detail };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| malformed(error.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| malformed(error.to_string()))?;
        let special = |token: &str| {
            let id = tokenizer.token_to_id(token).map(token_id);
            id.ok_or_else(|| malformed(format!("the vocabulary has no {token} token")))
        };
        let (cls, sep) = (special("[CLS]")?, special("[SEP]")?);
        Ok(Self { tokenizer, cls, sep, max_tokens, reach })
    }

    /// Splits a text into as few windows as it needs, of nearly equal length, so that none is a stub of a few tokens.
    pub(super) fn encode(&self, Passage { text, targets, .. }: Passage<'_>) -> Result<Encoded, ModelError> {
        let head = &text[..text.floor_char_boundary(MAX_BYTES)];
        let reach = self.reach.filter(|_| !targets.is_empty());
        // Offsets take time, and few posts need them.
        let encoding = match reach {
            Some(_) => self.tokenizer.encode(head, false),
            None => self.tokenizer.encode_fast(head, false),
        };
        let encoding = encoding.map_err(|error| ModelError::Tokenizer(error.to_string()))?;
        let room = self.max_tokens - 2;
        let all = encoding.get_ids();
        let ids = &all[..all.len().min(room * MAX_WINDOWS)];
        let truncated = head.len() < text.len() || ids.len() < all.len();
        if ids.is_empty() {
            return Ok(Encoded { windows: Vec::new(), truncated });
        }
        let size = ids.len().div_ceil(ids.len().div_ceil(room));
        let mut windows: Vec<Window> = ids.chunks(size).map(|chunk| self.window(chunk)).collect();
        if let Some(reach) = reach {
            for (window, offsets) in windows.iter_mut().zip(encoding.get_offsets().chunks(size)) {
                window.places = places(offsets, targets, reach);
            }
        }
        Ok(Encoded { windows, truncated })
    }

    fn window(&self, chunk: &[u32]) -> Window {
        let mut ids = Vec::with_capacity(chunk.len() + 2);
        ids.push(self.cls);
        ids.extend(chunk.iter().copied().map(token_id));
        ids.push(self.sep);
        Window { ids, tokens: chunk.len(), places: Vec::new() }
    }
}

/// As ONNX wants it. No vocabulary has 2^31 entries; if one had, ONNX Runtime would refuse the id.
fn token_id(id: u32) -> i32 {
    i32::try_from(id).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whitespace tokenizer of five words, small enough to check by hand.
    fn encoder(max_tokens: usize) -> Encoder {
        let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
            "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
            "model":{"type":"WordLevel","vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"up":3,"down":4},"unk_token":"[UNK]"}}"#;
        Encoder::new(Path::new("tokenizer.json"), json.as_bytes(), max_tokens, Some(2)).unwrap()
    }

    #[test]
    fn a_short_text_is_one_window_between_the_special_tokens() {
        let encoded = encoder(8).encode("up down up".into()).unwrap();
        assert_eq!(encoded.windows, [Window { ids: vec![1, 3, 4, 3, 2], tokens: 3, places: Vec::new() }]);
        assert!(!encoded.truncated);
    }

    #[test]
    fn a_long_text_is_split_evenly_and_loses_nothing() {
        let encoded = encoder(8).encode("up down ".repeat(7).as_str().into()).unwrap();
        let tokens: Vec<usize> = encoded.windows.iter().map(|window| window.tokens).collect();
        assert_eq!(tokens, [5, 5, 4]);
        assert!(!encoded.truncated);
    }

    #[test]
    fn a_huge_text_is_cut_at_the_window_limit_and_flagged() {
        let encoded = encoder(8).encode("up ".repeat(1000).as_str().into()).unwrap();
        assert_eq!(encoded.windows.len(), MAX_WINDOWS);
        assert!(encoded.truncated);
        let one_word = encoder(8).encode("é".repeat(MAX_BYTES).as_str().into()).unwrap();
        assert!(one_word.truncated, "the byte limit cuts between characters");
    }

    #[test]
    fn a_text_without_tokens_has_no_window() {
        assert_eq!(encoder(8).encode(" \n ".into()).unwrap(), Encoded::default());
    }
}
