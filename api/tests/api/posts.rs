use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{Post, Window, World, at};

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
async fn posts_are_picked_and_shown_by_the_mood_towards_the_asset() {
    let world = World::new().await;
    let post = Post::of("SOL", "swap", "2022-05-09T12:00:00Z");
    world.post(Post { label: Some("positive"), score: Some(0.4), text: "sold my SOL for BTC", ..post }).await;
    for asset in ["*", "BTC", "SOL"] {
        world.window(Window::of(asset, "2022-05-09T12:00:00Z", 1, None)).await;
    }
    world
        .sql("UPDATE stored_posts SET assets = E'BTC\\nSOL'; UPDATE post_assets SET label = 'negative', score = -0.7; \
              INSERT INTO post_assets SELECT published_at, 0.9, 'positive', run_id, 'BTC', post_key, evidence FROM post_assets")
        .await;
    let page = world.json("/v1/assets/SOL/posts?label=negative&max_score=-0.7").await;
    let post = &page["posts"][0];
    assert_eq!((&post["label"], &post["score"]), (&json!("positive"), &json!(0.4)), "of the post as a whole");
    let moods = json!([{"asset": "BTC", "label": "positive", "score": 0.9}, {"asset": "SOL", "label": "negative", "score": -0.7}]);
    assert_eq!(post["assets"], moods);
    for (path, found) in
        [("SOL/posts?label=positive", 0), ("BTC/posts?min_score=0.9", 1), ("*/posts?label=positive&max_score=0.4", 1)]
    {
        let page = world.json(&format!("/v1/assets/{path}")).await;
        assert_eq!(ids(&page).len(), found, "{path}");
    }
    let searched = world.json("/v1/search?q=sold&asset=SOL&label=negative&from=2022-05-09&to=2022-05-09").await;
    assert_eq!(ids(&searched), ["swap"]);
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
async fn copies_and_spam_are_marked_and_left_out_where_asked_and_deleted_posts_are_gone() {
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
              UPDATE stored_posts SET deleted_at = now() WHERE post_id = 'gone'; DELETE FROM post_assets WHERE post_key = post_key('gone')")
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

/// xorshift64: any sequence that repeats itself will do.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[tokio::test]
async fn unique_posts_are_those_that_the_windows_count_as_unique() {
    let world = World::new().await;
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut inserted: Vec<(String, i64, [u16; 4], bool)> = Vec::new();
    for n in 0..260_i64 {
        // Values from so few that near copies are common, over four days.
        let bands: [u16; 4] = std::array::from_fn(|_| (random(&mut state) % 25) as u16);
        let (minute, spam) = ((random(&mut state) % (4 * 1440)) as i64, random(&mut state).is_multiple_of(5));
        let (id, published) = (format!("p{n:03}"), at(minute));
        let asset = if n % 7 == 0 { "ETH" } else { "BTC" };
        world.post(Post::of(asset, &id, &published)).await;
        let fingerprint = bands.iter().fold(0_u64, |all, band| all << 16 | u64::from(*band)).cast_signed();
        let score = if spam { 0.5 } else { 0.4 };
        world
            .sql(&format!(
                "UPDATE stored_posts SET fingerprint = {fingerprint}, spam_score = {score} WHERE post_id = '{id}'"
            ))
            .await;
        if asset == "BTC" {
            inserted.push((id, minute, bands, spam));
        }
    }
    let mut expected = BTreeSet::new();
    for (id, minute, bands, spam) in &inserted {
        let mut is_copy = false;
        for (other, earlier, others, _) in &inserted {
            let equal = (0..4).filter(|at| bands[*at] == others[*at]).count();
            let before = (earlier, other) < (minute, id) && minute - earlier <= 1440;
            is_copy |= before && equal >= 2;
        }
        if !is_copy && !spam {
            expected.insert(id.clone());
        }
    }
    assert!(expected.len() > 20 && expected.len() < 200, "{}", expected.len());
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.json(&format!("/v1/assets/BTC/posts?unique=true&limit=7{cursor}")).await;
        seen.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), expected.len(), "none twice");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    // Of a part of the time, copies of what was before it are left out too.
    let part =
        world.json(&format!("/v1/assets/BTC/posts?unique=true&limit=200&from={}&to={}", at(1440), at(2880))).await;
    let within = |id: &String| inserted.iter().any(|(own, minute, ..)| own == id && (1440..2880).contains(minute));
    assert_eq!(
        ids(&part).into_iter().collect::<BTreeSet<_>>(),
        expected.iter().filter(|id| within(id)).cloned().collect()
    );
}

#[tokio::test]
async fn posts_are_picked_by_source_language_author_text_and_score() {
    let world = World::new().await;
    world.window(Window::of("BTC", &at(40 * 1440), 1, None)).await;
    world.sql("INSERT INTO sources VALUES (7, 'a-blog')").await;
    let texts = ["Bitcoin at 100%", "50_50 odds", "plain words", "ÉTÉ in Paris", r"back\slash"];
    let mut rows = Vec::new();
    for n in 0..40_i64 {
        let text = texts[(n % 5) as usize];
        let (id, author, score) = (format!("p{n:02}"), format!("author {}", n % 3), (n % 21 - 10) as f64 / 10.0);
        // The first is older than 30 days before the newest of the data.
        let published = at(if n == 0 { 0 } else { 20 * 1440 + n });
        let post = Post { author: Some(&author), text, score: Some(score), ..Post::of("BTC", &id, &published) };
        world.post(post).await;
        let (source, language) = (if n % 4 == 0 { 7 } else { 100 }, if n % 2 == 0 { "fr" } else { "en" });
        world
            .sql(&format!(
                "UPDATE stored_posts SET source_id = {source}, language = '{language}' WHERE post_id = '{id}'"
            ))
            .await;
        rows.push((n, id, author, score, text, source, language));
    }
    type Row = (i64, String, String, f64, &'static str, i32, &'static str);
    type Picks = fn(&Row) -> bool;
    let questions: [(&str, Picks); 10] = [
        ("source=a-blog", |row| row.5 == 7),
        ("language=FR", |row| row.6 == "fr"),
        ("author=author%202", |row| row.2 == "author 2"),
        ("min_score=0.3", |row| row.3 >= 0.3),
        ("max_score=-0.3", |row| row.3 <= -0.3),
        ("min_score=-0.2&max_score=0.2&language=en", |row| row.3.abs() <= 0.2 && row.6 == "en"),
        ("text=100%25", |row| row.4.contains("100%")),
        ("text=0_5", |row| row.4.contains("0_5")),
        ("text=%C3%89T%C3%89%20IN", |row| row.4.contains("ÉTÉ")),
        ("text=back%5Cslash", |row| row.4.contains('\\')),
    ];
    for asset in ["BTC", "*"] {
        for (query, picks) in questions {
            let mut expected = BTreeSet::new();
            for row in &rows {
                if picks(row) && row.0 > 0 {
                    expected.insert(row.1.clone());
                }
            }
            let page = world.json(&format!("/v1/assets/{asset}/posts?limit=200&{query}")).await;
            assert_eq!(ids(&page).into_iter().collect::<BTreeSet<_>>(), expected, "{asset} {query}");
            assert!(!expected.is_empty(), "{query}");
        }
        let old = world.json(&format!("/v1/assets/{asset}/posts?limit=200&source=a-blog&from=2022-01-01")).await;
        assert!(ids(&old).contains(&"p00".to_owned()), "older ones where a time is given");
    }
    for bad in ["min_score=1.1", "max_score=NaN", "min_score=x", "text=", "source="] {
        world.get(&format!("/v1/assets/BTC/posts?{bad}")).await.problem(400);
    }
}
