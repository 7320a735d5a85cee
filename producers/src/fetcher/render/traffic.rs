//! What a page has under way, from the events that Chromium sends.

use std::collections::HashSet;

use serde_json::Value;

/// What is known of a page so far.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// The frame of the page itself.
    pub(super) frame: Option<String>,
    /// The status of the page itself, after redirects.
    pub(super) status: Option<u16>,
    pub(super) is_loaded: bool,
    pub(super) is_crashed: bool,
    open: HashSet<String>,
}

impl Traffic {
    /// Whether nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes an event in.
    pub(super) fn note(&mut self, method: &str, params: &Value) {
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        match method {
            "Network.requestWillBeSent" => {
                // Streams never end.
                let is_stream = matches!(text("type"), Some("EventSource" | "WebSocket" | "Media" | "Ping"));
                self.open.extend(text("requestId").filter(|_| !is_stream).map(str::to_owned));
            }
            "Network.loadingFinished" | "Network.loadingFailed" => {
                self.open.remove(text("requestId").unwrap_or_default());
            }
            "Network.responseReceived"
                if text("type") == Some("Document") && text("frameId") == self.frame.as_deref() =>
            {
                let status = params.get("response").and_then(|response| response.get("status")).and_then(Value::as_u64);
                self.status = status.and_then(|status| u16::try_from(status).ok());
            }
            "Page.loadEventFired" => self.is_loaded = true,
            "Inspector.targetCrashed" | "Target.targetCrashed" => self.is_crashed = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_is_quiet_when_all_but_its_streams_have_ended() {
        let mut traffic = Traffic { frame: Some("f".into()), ..Traffic::default() };
        traffic.note("Network.requestWillBeSent", &json!({"requestId": "1", "type": "Document"}));
        traffic.note("Network.requestWillBeSent", &json!({"requestId": "2", "type": "EventSource"}));
        assert!(!traffic.is_quiet());
        traffic.note(
            "Network.responseReceived",
            &json!({"type": "Document", "frameId": "other", "response": {"status": 500}}),
        );
        traffic.note(
            "Network.responseReceived",
            &json!({"type": "Document", "frameId": "f", "response": {"status": 200}}),
        );
        traffic.note("Network.loadingFailed", &json!({"requestId": "1"}));
        traffic.note("Page.loadEventFired", &json!({}));
        assert!(traffic.is_quiet() && traffic.is_loaded && traffic.status == Some(200) && !traffic.is_crashed);
    }
}
