//! What can be subscribed to on Kafka, as AsyncAPI 3: made from the catalogue of topics and their Avro schemas.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};
use vigie_schemas::{Compatibility, Topic};

use crate::http::answer;

/// Confluent's wire format: a zero byte, the schema's id as four bytes, Avro binary.
const CONTENT_TYPE: &str = "application/vnd.confluent.avro";
const AVRO: &str = "application/vnd.apache.avro+json;version=1.9.0";
const BINDING: &str = "0.5.0";

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));

/// The topics in AsyncAPI
#[utoipa::path(get, path = "/asyncapi.json", tag = "pages", operation_id = "asyncapi",
    responses((status = 200, description = "The description", body = Object)))]
pub(crate) async fn asyncapi(headers: HeaderMap) -> Response {
    answer::conditional(&headers, answer::JSON, DOCUMENT.clone())
}

/// The topics that people outside subscribe to: their schemas change so that old readers read new records.
fn public() -> impl Iterator<Item = Topic> {
    Topic::ALL.into_iter().filter(|topic| topic.compatibility() == Compatibility::FullTransitive)
}

fn document() -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for topic in public() {
        let schema: Value = serde_json::from_str(topic.schema()).unwrap_or_default();
        let name = schema["name"].as_str().unwrap_or_default().to_owned();
        channels.insert(topic.name().to_owned(), channel(topic, &name, &schema["doc"]));
        let channel = format!("#/channels/{}", topic.name());
        let messages_of = json!([{"$ref": format!("{channel}/messages/{name}")}]);
        let operation =
            json!({"action": "send", "channel": {"$ref": channel}, "messages": messages_of, "summary": schema["doc"]});
        operations.insert(format!("publish.{}", topic.name()), operation);
        let message = json!({
            "name": name,
            "summary": schema["doc"],
            "contentType": CONTENT_TYPE,
            "payload": {"schemaFormat": AVRO, "schema": schema},
            "bindings": {"kafka": {
                "key": {"type": "string"},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicIdStrategy",
                "bindingVersion": BINDING,
            }},
        });
        messages.insert(name, message);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "vigie",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What people say about crypto assets, as Kafka topics. Read them with isolation.level=read_committed: records are written \
                exactly once, in transactions. A higher revision replaces the lower ones. Topics may have a prefix.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    })
}

fn channel(topic: Topic, message: &str, about: &Value) -> Value {
    let config = topic.configs().into_iter().next();
    let setting = |name: &str| config.as_ref().and_then(|config| config.config.get(name)).cloned().unwrap_or_default();
    json!({
        "address": topic.name(),
        "description": about,
        "messages": {message: {"$ref": format!("#/components/messages/{message}")}},
        "bindings": {"kafka": {
            "partitions": topic.partitions(),
            "topicConfiguration": {
                "cleanup.policy": [setting("cleanup.policy")],
                "retention.ms": setting("retention.ms").parse::<i64>().ok(),
            },
            "bindingVersion": BINDING,
        }},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_insight_topic_is_described_by_its_own_schema() {
        let document = document();
        let topics: Vec<_> = document["channels"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(topics, ["insights.alerts.v1", "insights.sentiment.v1", "insights.terms.v1", "insights.trends.v1"]);
        for (topic, channel) in document["channels"].as_object().unwrap() {
            for (name, message) in channel["messages"].as_object().unwrap() {
                let target = message["$ref"].as_str().unwrap().trim_start_matches('#');
                let payload = &document.pointer(target).unwrap()["payload"]["schema"];
                let expected: Value = serde_json::from_str(Topic::from_name(topic).unwrap().schema()).unwrap();
                assert_eq!((payload, payload["name"].as_str()), (&expected, Some(name.as_str())));
            }
            assert!(
                channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"].as_i64().unwrap() > 0,
                "{topic}"
            );
        }
        for operation in document["operations"].as_object().unwrap().values() {
            let channel = operation["channel"]["$ref"].as_str().unwrap().trim_start_matches('#');
            assert!(document.pointer(channel).is_some(), "{operation}");
        }
    }
}
