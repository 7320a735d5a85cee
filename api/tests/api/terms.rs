//! Terms that rise.

use crate::world::{Post, Window, World, at};

#[tokio::test]
async fn terms_come_with_their_posts_page_by_page() {
    let world = World::new().await;
    world.window(Window::of("*", &at(0), 4, None)).await;
    world.post(Post { url: Some("https://example.com/1"), ..Post::of("UST", "reddit:1", &at(1)) }).await;
    let millis = "extract(epoch FROM timestamptz '{}')::bigint * 1000".replace("{}", &at(1));
    for (n, (term, seconds, significance)) in [
        ("depeg", 3600, 12.5),
        ("$xyzq", 3600, 9.0),
        ("ust lost", 3600, 9.0),
        ("fell again", 3600, 2.5),
        ("depeg", 86_400, 4.0),
    ]
    .into_iter()
    .enumerate()
    {
        let kind = ["word", "cashtag", "phrase", "phrase", "word"][n];
        world
            .sql(&format!(
                "SELECT make_partition('terms', '{0}'); \
                 INSERT INTO terms VALUES (date_trunc('hour', timestamptz '{0}') - {n} / 2 * interval '1 hour', '{0}', '{0}', {significance}, 0.5, {seconds}, 2, \
                 15, 18, 100, false, true, 'live', '{term}', '{kind}', NULL, E'LUNC\\nUST', ({millis}) || ' reddit:1' || E'\\n' || ({millis}) || ' gone')",
                at(1)
            ))
            .await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.json(&format!("/v1/terms?limit=2{cursor}")).await;
        seen.extend(page["terms"].as_array().unwrap().iter().map(|term| term["term"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["depeg", "$xyzq", "ust lost"]);
    let first = &world.json("/v1/terms?term=depeg").await["terms"][0];
    assert_eq!(
        (&first["authors"], &first["all_authors"], &first["asset"]),
        (&15.into(), &100.into(), &serde_json::Value::Null)
    );
    assert_eq!(first["assets"], serde_json::json!(["LUNC", "UST"]));
    assert_eq!(
        (&first["examples"][0]["url"], &first["examples"][0]["published_at"]),
        (&"https://example.com/1".into(), &at(1).into())
    );
    assert_eq!(
        (&first["examples"][1]["post_id"], &first["examples"][1]["url"]),
        (&"gone".into(), &serde_json::Value::Null)
    );
    let count = async |query: &str| world.json(&format!("/v1/terms?{query}")).await["terms"].as_array().unwrap().len();
    assert_eq!(count("kind=cashtag").await, 1);
    assert_eq!(count("interval=1d").await, 1);
    assert_eq!(count("asset=UST").await, 3);
    assert_eq!(count("min_significance=0").await, 4);
    assert_eq!(count("min_significance=10").await, 1);
    world.get("/v1/terms?asset=NOPE").await.problem(404);
    world.get("/v1/terms?interval=5m").await.problem(400);
    let csv = world.get("/v1/terms?format=csv&term=depeg").await.text();
    assert!(csv.starts_with("term,kind,window_start,") && csv.contains("\r\ndepeg,word,"), "{csv}");
}
