use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{Post, World};

fn ids(page: &Value) -> Vec<String> {
    page["posts"].as_array().unwrap().iter().map(|post| post["post_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_whatever_arrives_meanwhile() {
    let world = World::new().await;
    let mut all = BTreeSet::new();
    for n in 0..37 {
        // Many posts share an instant.
        let (id, at) = (format!("p{n:02}"), format!("2022-05-09T12:00:{:02}.5Z", n / 8));
        world.post(Post::of("BTC", &id, &at)).await;
        all.insert(id);
    }
    world.post(Post::of("ETH", "other", "2022-05-09T12:00:01Z")).await;
    for (asset, total) in [("BTC", 37), ("*", 38)] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = world.json(&format!("/v1/assets/{asset}/posts?limit=5{cursor}")).await;
            seen.extend(ids(&page));
            pages += 1;
            let newer = format!("{}-new-{pages}", if asset == "*" { "x" } else { "n" });
            world.post(Post::of("BTC", &newer, "2022-05-09T13:00:00Z")).await;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let known: Vec<&String> = seen.iter().filter(|id| id.starts_with('p')).collect();
        assert_eq!(known.iter().copied().collect::<BTreeSet<_>>(), all.iter().collect::<BTreeSet<_>>(), "{asset}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "{asset}: none twice");
        assert!(seen.len() >= total, "{asset}: {}", seen.len());
        assert!(
            known
                .windows(2)
                .all(|pair| pair[0][1..].parse::<u32>().unwrap() / 8 >= pair[1][1..].parse::<u32>().unwrap() / 8)
        );
    }
}

#[tokio::test]
async fn posts_are_filtered_by_time_and_label() {
    let world = World::new().await;
    for (id, at, label) in [
        ("early", "2022-05-09T11:59:59.999Z", Some("negative")),
        ("first", "2022-05-09T12:00:00Z", Some("negative")),
        ("mute", "2022-05-09T12:01:00Z", None),
        ("last", "2022-05-09T12:04:59.999Z", Some("positive")),
        ("late", "2022-05-09T12:05:00Z", Some("negative")),
    ] {
        world.post(Post { label, score: label.map(|_| 0.5), ..Post::of("BTC", id, at) }).await;
    }
    let window = "from=2022-05-09T12:00:00Z&to=2022-05-09T12:05:00Z";
    assert_eq!(ids(&world.json(&format!("/v1/assets/BTC/posts?{window}")).await), ["last", "mute", "first"]);
    assert_eq!(ids(&world.json(&format!("/v1/assets/BTC/posts?{window}&label=negative")).await), ["first"]);
    assert_eq!(ids(&world.json("/v1/assets/BTC/posts?label=negative&limit=2").await), ["late", "first"]);
    let unscored = world.json("/v1/assets/*/posts?label=unscored").await;
    assert_eq!(ids(&unscored), ["mute"]);
    assert_eq!((&unscored["posts"][0]["score"], &unscored["posts"][0]["probabilities"]), (&Value::Null, &Value::Null));
    let negative = world.json("/v1/assets/BTC/posts?label=negative&limit=1").await;
    let cursor = negative["next"].as_str().unwrap();
    let other = world.get(&format!("/v1/assets/BTC/posts?label=positive&limit=1&cursor={cursor}")).await;
    assert_eq!(other.problem(400)["errors"][0]["parameter"], "cursor");
}

#[tokio::test]
async fn a_post_tells_its_lineage_and_hostile_links_do_not_pass() {
    let world = World::new().await;
    world
        .post(Post {
            url: Some("javascript:alert(1)"),
            text: "<script>alert(1)</script>",
            ..Post::of("BTC", "evil", "2022-05-09T12:00:00Z")
        })
        .await;
    let page = world.json("/v1/assets/BTC/posts").await;
    let post = &page["posts"][0];
    assert_eq!(post["url"], Value::Null);
    assert_eq!(post["excerpt"], "<script>alert(1)</script>", "JSON carries text as it is; readers must not run it");
    assert_eq!((&page["sample"], &post["evidence"]), (&json!(true), &json!("ticker")));
    assert_eq!(
        post["lineage"],
        json!({"run_id": "live", "model": {"name": "tiny", "version": "1", "sha256": "abc", "assets_version": "a1"},
               "input_topic": "posts.raw.v1", "input_partition": 0, "input_offset": 7})
    );
}

#[tokio::test]
async fn copies_and_spam_are_told_and_left_out_where_asked_and_deleted_posts_are_gone() {
    let world = World::new().await;
    for (id, at, fingerprint) in [
        ("first", "2022-05-09T12:00:00Z", 7),
        ("copy", "2022-05-09T12:01:00Z", 7),
        ("days later", "2022-05-11T12:00:00Z", 7),
        ("spam", "2022-05-09T12:02:00Z", 8),
        ("gone", "2022-05-09T12:03:00Z", 9),
    ] {
        world.post(Post::of("BTC", id, at)).await;
        world.sql(&format!("UPDATE stored_posts SET fingerprint = {fingerprint} WHERE post_id = '{id}'")).await;
    }
    world
        .sql("UPDATE stored_posts SET spam_score = 0.5, spam_reasons = '[\"promotion\"]', revision = 2 WHERE post_id = 'spam'; \
              UPDATE stored_posts SET deleted_at = now() WHERE post_id = 'gone'; DELETE FROM post_assets WHERE post_id = 'gone'")
        .await;
    for asset in ["BTC", "*"] {
        let page = world.json(&format!("/v1/assets/{asset}/posts")).await;
        assert_eq!(ids(&page), ["days later", "spam", "copy", "first"]);
        let copies: Vec<_> = page["posts"].as_array().unwrap().iter().map(|post| post["copies"].clone()).collect();
        assert_eq!(copies, [0, 0, 1, 1]);
        let spam = &page["posts"][1];
        assert_eq!((&spam["spam_score"], &spam["spam_reasons"]), (&json!(0.5), &json!(["promotion"])));
        assert_eq!((&spam["revision"], &page["posts"][0]["spam_score"]), (&json!(2), &Value::Null));
        let unique = world.json(&format!("/v1/assets/{asset}/posts?unique=true")).await;
        assert_eq!(ids(&unique), ["days later", "first"]);
    }
}

#[tokio::test]
async fn alerts_are_paged_and_filtered() {
    let world = World::new().await;
    for n in 0..7 {
        let (asset, kind) = if n % 2 == 0 { ("LUNA", "attention_spike") } else { ("BTC", "sentiment_drop") };
        world
            .sql(&format!(
                "INSERT INTO alerts VALUES ('a{n}', 'live', '{asset}', '{kind}', timestamptz '2022-05-09T12:00:00Z' + {} * interval '5 minutes', \
                 '2022-05-09T13:00:00Z', 9, 2.5, 0.99, '2022-05-09T13:00:00Z', true)",
                n / 3
            ))
            .await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.json(&format!("/v1/alerts?limit=2{cursor}")).await;
        seen.extend(page["alerts"].as_array().unwrap().iter().map(|a| a["alert_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a6", "a3", "a4", "a5", "a0", "a1", "a2"]);
    let count =
        async |query: &str| world.json(&format!("/v1/alerts?{query}")).await["alerts"].as_array().unwrap().len();
    assert_eq!(count("asset=LUNA").await, 4);
    assert_eq!(count("kind=sentiment_drop").await, 3);
    assert_eq!(count("asset=BTC&kind=attention_spike").await, 0);
    assert_eq!(count("from=2022-05-09T12:05:00Z&to=2022-05-09T12:10:00Z").await, 3);
}
