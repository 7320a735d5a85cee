#![doc = include_str!("../README.md")]

mod acls;
mod token;

pub use acls::{Acl, Failure, Operation, Pattern, Resource, create_acls, delete_acls, describe_acls};
pub use token::{Token, set_token};

use std::ffi::{CStr, c_char};

/// Room for an error's text, as much as rdkafka gives.
const ERROR_BYTES: usize = 512;

/// The text in a buffer that librdkafka was given for an error.
fn text_in(buffer: &[u8; ERROR_BYTES]) -> String {
    CStr::from_bytes_until_nul(buffer).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Copies a text of librdkafka's; null is empty.
///
/// # Safety
/// `text` is null, or ends with a zero and lives as long as the call.
unsafe fn copied(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
