//! Who may ask, and who wrote.

pub(crate) mod authors;
pub(crate) mod keys;
pub(crate) mod login;
