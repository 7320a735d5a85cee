//! What a post's text says: language, assets and sentiment ([`analysis`]), whether it is a copy, and whether it is spam.

pub mod analysis;
pub mod fingerprint;
pub mod language;
pub mod letters;
pub mod score_lines;
pub mod spam;
pub mod terms;
