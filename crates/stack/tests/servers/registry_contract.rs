//! What clients of the Confluent REST API rely on. `VIGIE_CONTRACT_REGISTRY_URL` runs the same suite against another registry.

use serde_json::{Value, json};
use vigie_stack::registry::{SchemaStore, router};

use crate::http::call;

const RECORD: &str =
    r#"{"type":"record","name":"R","namespace":"t","fields":[{"name":"a","type":"long","doc":"kept"}]}"#;
const WITH_DEFAULT: &str = r#"{"type":"record","name":"R","namespace":"t","fields":[{"name":"a","type":"long"},{"name":"b","type":["null","string"],"default":null}]}"#;
const WITHOUT_DEFAULT: &str = r#"{"type":"record","name":"R","namespace":"t","fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}"#;

async fn serve(store: SchemaStore) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(store)).await });
    format!("http://{address}")
}

fn schema(text: &str) -> Option<Value> {
    Some(json!({"schema": text}))
}

fn id(answer: &(u16, Value)) -> u64 {
    assert_eq!(answer.0, 200, "{answer:?}");
    answer.1["id"].as_u64().unwrap()
}

#[tokio::test]
async fn confluent_clients_find_what_they_rely_on() {
    let dir = tempfile::tempdir().unwrap();
    let url = match std::env::var("VIGIE_CONTRACT_REGISTRY_URL") {
        Ok(url) => url,
        Err(_) => serve(SchemaStore::open(&dir.path().join("registry.json")).unwrap()).await,
    };
    let subject = format!("t{}-value", std::process::id());
    let other = format!("t{}-other", std::process::id());
    same_schema_has_the_same_id_everywhere(&url, &subject, &other).await;
    unknown_things_have_their_error_codes(&url, &subject).await;
    incompatible_schema_is_refused(&url, &subject).await;
}

async fn same_schema_has_the_same_id_everywhere(url: &str, subject: &str, other: &str) {
    let versions = format!("/subjects/{subject}/versions");
    let first = id(&call(url, "POST", &versions, schema(RECORD)).await);
    assert_eq!(id(&call(url, "POST", &versions, schema(RECORD)).await), first);
    assert_eq!(id(&call(url, "POST", &format!("/subjects/{other}/versions"), schema(RECORD)).await), first);
    assert_eq!(call(url, "GET", &versions, None).await, (200, json!([1])));

    let second = id(&call(url, "POST", &versions, schema(WITH_DEFAULT)).await);
    assert_ne!(first, second);
    assert_eq!(call(url, "GET", &versions, None).await, (200, json!([1, 2])));
    let (status, latest) = call(url, "GET", &format!("{versions}/latest"), None).await;
    assert_eq!((status, &latest["id"], &latest["version"]), (200, &json!(second), &json!(2)));
    let (status, found) = call(url, "POST", &format!("/subjects/{subject}"), schema(RECORD)).await;
    assert_eq!(
        (status, &found["id"], &found["version"], &found["subject"]),
        (200, &json!(first), &json!(1), &json!(subject))
    );

    let (status, by_id) = call(url, "GET", &format!("/schemas/ids/{first}"), None).await;
    let text: Value = serde_json::from_str(by_id["schema"].as_str().unwrap()).unwrap();
    assert_eq!((status, text), (200, serde_json::from_str(RECORD).unwrap()));
    let (_, uses) = call(url, "GET", &format!("/schemas/ids/{first}/versions"), None).await;
    assert!(uses.as_array().unwrap().contains(&json!({"subject": other, "version": 1})), "{uses}");
    let (_, subjects) = call(url, "GET", "/subjects", None).await;
    assert!(subjects.as_array().unwrap().contains(&json!(subject)), "{subjects}");
}

async fn unknown_things_have_their_error_codes(url: &str, subject: &str) {
    let cases = [
        ("GET", "/subjects/no-such-subject/versions".to_owned(), None, 404, 40_401),
        ("GET", format!("/subjects/{subject}/versions/99"), None, 404, 40_402),
        ("GET", format!("/subjects/{subject}/versions/x"), None, 422, 42_202),
        ("GET", "/schemas/ids/999999".to_owned(), None, 404, 40_403),
        ("POST", format!("/subjects/{subject}"), schema(r#"{"type":"fixed","name":"F","size":3}"#), 404, 40_403),
        ("POST", format!("/subjects/{subject}/versions"), schema(r#"{"type":"nonsense"}"#), 422, 42_201),
        ("PUT", format!("/config/{subject}"), Some(json!({"compatibility": "SIDEWAYS"})), 422, 42_203),
    ];
    for (method, path, body, status, code) in cases {
        let answer = call(url, method, &path, body).await;
        assert_eq!((answer.0, &answer.1["error_code"]), (status, &json!(code)), "{method} {path}: {}", answer.1);
    }
}

async fn incompatible_schema_is_refused(url: &str, subject: &str) {
    let config = format!("/config/{subject}");
    let level = json!({"compatibility": "FULL_TRANSITIVE"});
    assert_eq!(call(url, "PUT", &config, Some(level.clone())).await, (200, level));
    assert_eq!(call(url, "GET", &config, None).await.1["compatibilityLevel"], "FULL_TRANSITIVE");

    let check = format!("/compatibility/subjects/{subject}/versions/latest");
    assert_eq!(call(url, "POST", &check, schema(WITHOUT_DEFAULT)).await.1["is_compatible"], json!(false));
    assert_eq!(call(url, "POST", &check, schema(RECORD)).await.1["is_compatible"], json!(true));
    let refused = call(url, "POST", &format!("/subjects/{subject}/versions"), schema(WITHOUT_DEFAULT)).await;
    assert_eq!((refused.0, &refused.1["error_code"]), (409, &json!(409)), "{}", refused.1);
    assert_eq!(call(url, "GET", &format!("/subjects/{subject}/versions"), None).await, (200, json!([1, 2])));
}

#[tokio::test]
async fn registrations_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registry.json");
    let before = serve(SchemaStore::open(&file).unwrap()).await;
    let first = id(&call(&before, "POST", "/subjects/s/versions", schema(RECORD)).await);
    call(&before, "PUT", "/config", Some(json!({"compatibility": "FULL"}))).await;

    let after = serve(SchemaStore::open(&file).unwrap()).await;
    assert_eq!(call(&after, "GET", "/subjects/s/versions/latest", None).await.1["id"], json!(first));
    assert_eq!(call(&after, "GET", "/config", None).await.1["compatibilityLevel"], "FULL");
    assert_ne!(id(&call(&after, "POST", "/subjects/s/versions", schema(WITH_DEFAULT)).await), first);
}

#[tokio::test]
async fn a_damaged_file_is_refused_by_name_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registry.json");
    std::fs::write(&file, "{\"schemas\": {").unwrap();
    let error = SchemaStore::open(&file).unwrap_err().to_string();
    assert!(error.contains("registry.json"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"{\"schemas\": {");
}
