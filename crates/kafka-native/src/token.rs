//! A token of SASL OAUTHBEARER (RFC 7628).

use std::ffi::{CString, c_char};
use std::ptr;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::types::RDKafkaRespErr;

use crate::{ERROR_BYTES, text_in};

/// What a client shows the brokers.
pub struct Token<'a> {
    /// The token itself.
    pub value: &'a str,
    /// When it expires, in milliseconds since 1970.
    pub expires_ms: i64,
    /// Whose it is; librdkafka's logs name it.
    pub principal: &'a str,
    /// SASL extensions: names and values.
    pub extensions: &'a [(String, String)],
}

/// Gives `client` a token, for the connections that it makes from now on. rdkafka's own way reaches
/// no admin client and leaves the extensions out.
///
/// # Errors
/// What librdkafka refuses: an expired token, a character that RFC 7628 does not allow, a client
/// without OAUTHBEARER.
pub fn set_token<C: ClientContext>(client: &Client<C>, token: &Token<'_>) -> Result<(), String> {
    let c = |text: &str| CString::new(text).map_err(|_| "a zero byte in the token or its extensions".to_owned());
    let (value, principal) = (c(token.value)?, c(token.principal)?);
    let pairs = token.extensions.iter().flat_map(|(name, value)| [name, value]);
    let extensions: Vec<CString> = pairs.map(|text| c(text)).collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = extensions.iter().map(|text| text.as_ptr()).collect();
    let array = if pointers.is_empty() { ptr::null_mut() } else { pointers.as_mut_ptr() };
    let mut error = [0_u8; ERROR_BYTES];
    // SAFETY: `client` is borrowed, so its handle is valid; the texts and the array with its length
    // outlive the call, which copies them; `error` is as long as said.
    let code = unsafe {
        native::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.expires_ms,
            principal.as_ptr(),
            array,
            pointers.len(),
            error.as_mut_ptr().cast(),
            error.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(text_in(&error)) }
}
