//! What an answer may claim: final, complete, known at a time, and nothing that it does not know.

use serde_json::{Value, json};

use crate::world::{MONDAY, Post, Window, World, at, column, points};

/// A final window of the asset, counted by the task that reads the lineage's partition.
async fn final_window(world: &World, asset: &str, minute: i64, emitted: &str, lineage: i32) {
    let start = at(minute);
    world.window(Window { emitted, ..Window::of(asset, &start, 2, None) }).await;
    world
        .sql(&format!(
            "UPDATE stored_windows SET lineage_id = {lineage} WHERE asset = '{asset}' AND window_start = '{start}'"
        ))
        .await;
}

#[tokio::test]
async fn a_point_is_final_when_no_window_of_it_can_come() {
    let world = World::new().await;
    world.sql("INSERT INTO lineages VALUES (9, 'tiny', '1', 'abc', 'a1', 'posts.mentions.v1', 3)").await;
    final_window(&world, "BTC", 0, "2022-05-09T07:00:00Z", 1).await;
    final_window(&world, "XRP", 0, "2022-05-09T07:00:00Z", 9).await;
    final_window(&world, "*", 55, "2022-05-09T07:00:00Z", 1).await;
    let hour = async |asset: &str, more: &str| {
        let path = format!("/v1/assets/{asset}/series?interval=1h&metrics=posts&from={}&to={}{more}", at(0), at(120));
        column(&world.json(&path).await, "final")
    };
    let flag = |first: bool| [json!(first), json!(false)];
    assert_eq!(hour("BTC", "").await, flag(true), "its task has closed the hour for another asset");
    assert_eq!(hour("XRP", "").await, flag(false), "its own task may bring more");
    assert_eq!(hour("BTC", "&as_of=2022-05-09T06:59:59Z").await, flag(false), "nothing was final then");
    assert_eq!(hour("BTC", "&as_of=2022-05-09T07:00:00Z").await, flag(true));
    let board = world.json(&format!("/v1/trends?window=1h&at={}", at(60))).await;
    let finals: Vec<(&str, bool)> = board["trends"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t["asset"].as_str().unwrap(), t["final"].as_bool().unwrap()))
        .collect();
    assert_eq!(finals, [("BTC", true), ("XRP", false)]);
    world.sql("UPDATE stored_windows SET run_id = 'replay' WHERE asset = 'XRP'").await;
    let replay = "INSERT INTO runs (run_id, topic, model, state, started_at) VALUES ('replay', 'posts.raw.v1', 'm', 'running', now())";
    world.sql(replay).await;
    assert_eq!(hour("XRP", "&run=replay").await, flag(false));
    world.sql("UPDATE runs SET state = 'finished', finished_at = now()").await;
    assert_eq!(hour("XRP", "&run=replay").await, [true, true], "nothing comes to a replay that has finished");
    // A window that is still open holds its own hour up, and what follows.
    let start = at(50);
    world.window(Window { r#final: false, ..Window::of("BTC", &start, 1, None) }).await;
    assert_eq!(hour("BTC", "").await, flag(false));
}

#[tokio::test]
async fn finalized_series_end_with_what_is_final() {
    let world = World::new().await;
    for minute in [0, 55, 60, 110] {
        final_window(&world, "BTC", minute, MONDAY, 1).await;
        final_window(&world, "*", minute, MONDAY, 1).await;
    }
    let path = |more: &str| format!("/v1/assets/BTC/series?interval=1h&metrics=posts&from={}{more}", at(0));
    assert_eq!(column(&world.json(&path("")).await, "final"), [true, false]);
    let series = world.json(&path("&finalized=true")).await;
    assert_eq!((column(&series, "posts"), &series["to"]), (vec![json!(4)], &json!(at(60))));
    let csv = world
        .get(&path("&finalized=true&format=csv&to=2022-05-09T00:05:00Z&interval=1d").replace("interval=1h&", ""))
        .await
        .text();
    assert_eq!(csv, "start,end,posts,windows,revision,final,complete,computed_at,runs\r\n", "a head without rows");
    let none = world.json(&format!("/v1/series?assets=BTC,*&interval=1d&finalized=true&from={}", at(0))).await;
    assert_eq!(none["series"][0]["points"], json!([]));
}

#[tokio::test]
async fn the_period_that_is_going_on_is_marked_and_compared_with_nothing() {
    let world = World::new().await;
    // The wall clock is at 12:00.
    for (start, posts) in [("10:30", 8), ("11:30", 12), ("12:00", 1)] {
        let start = format!("2026-11-23T{start}:00Z");
        world.window(Window::of("BTC", &start, posts, Some(0.1))).await;
        world.window(Window::of("*", &start, posts, Some(0.1))).await;
    }
    assert_eq!(
        world.json("/v1/assets").await["newest"],
        "2026-11-23T12:00:00Z",
        "not the end of a window that goes on"
    );
    let board = world.json("/v1/trends").await;
    assert_eq!(
        (&board["at"], &board["newest"], &board["complete"]),
        (&json!("2026-11-23T12:00:00Z"), &board["at"], &json!(true))
    );
    let btc = &board["trends"][0];
    assert_eq!((&btc["posts"], &btc["previous"]["posts"], &btc["growth"]), (&json!(12), &json!(8), &json!(0.5)));
    let ahead = world.json("/v1/trends?at=2026-11-23T12:30:00Z").await;
    assert_eq!(ahead["complete"], false);
    assert_eq!((&ahead["trends"][0]["posts"], &ahead["trends"][0]["growth"]), (&json!(13), &Value::Null));
    for field in ["growth_z", "mean_score_change"] {
        assert_eq!(ahead["trends"][0][field], Value::Null);
    }
    assert_eq!(world.json("/v1/market-trends?at=2026-11-23T12:30:00Z").await["complete"], false);
    let series = world.json("/v1/assets/BTC/series?interval=1h&from=now-2h").await;
    assert_eq!(column(&series, "start"), ["2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z", "2026-11-23T12:00:00Z"]);
    assert_eq!(column(&series, "complete"), [true, true, false]);
    let until = world.json("/v1/assets/BTC/series?interval=1h&from=now-2h&to=now-1h&metrics=posts").await;
    assert_eq!(column(&until, "posts"), [8]);
    assert_eq!(world.json("/v1/trends?at=now-1h").await["at"], "2026-11-23T11:00:00Z");
    // A post that is dated into the future moves nothing.
    world.window(Window::of("*", "2031-01-01T00:00:00Z", 1, None)).await;
    assert_eq!(world.json("/v1/trends").await["at"], "2026-11-23T12:00:00Z");
    assert_eq!(world.json("/v1/assets/BTC/series?interval=1h").await["to"], "2026-11-23T13:00:00Z");
    world.clock.advance(std::time::Duration::from_secs(299));
    assert_eq!(world.json("/v1/trends").await["at"], "2026-11-23T12:00:00Z");
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(world.json("/v1/trends").await["at"], "2026-11-23T12:05:00Z");
}

#[tokio::test]
async fn authors_are_those_of_the_posts_that_are_counted() {
    let world = World::new().await;
    // By 06:00 the windows had counted two posts each; later revisions count all but the last, which came too late.
    for (minute, early, all) in [(0, 2, 4), (5, 2, 3)] {
        for (revision, posts, emitted) in [(1, early, at(360)), (2, all, at(720))] {
            let start = at(minute);
            for asset in ["BTC", "*"] {
                let window = Window { revision, posts, emitted: &emitted, ..Window::of(asset, &start, posts, None) };
                world.window(window).await;
            }
        }
        for n in 0..=all {
            let (id, published, author) = (format!("{minute}-{n}"), at(minute), format!("author {minute} {n}"));
            world.post(Post { author: Some(&author), ..Post::of("BTC", &id, &published) }).await;
            // Scored well before its window was emitted, as in a backlog.
            world.sql(&format!("UPDATE stored_posts SET scored_at = '{}' WHERE post_id = '{id}'", at(10 + n))).await;
        }
    }
    for asset in ["BTC", "*"] {
        let hour = async |as_of: &str| {
            let path = format!("/v1/assets/{asset}/series?interval=1h&from={}&to={}{as_of}", at(0), at(60));
            let point = points(&world.json(&path).await)[0].clone();
            (point["posts"].as_i64(), point["unique_authors"].as_i64())
        };
        assert_eq!(hour("").await, (Some(7), Some(7)), "who came late is no author of what is counted");
        assert_eq!(hour(&format!("&as_of={}", at(400))).await, (Some(4), Some(4)));
        assert_eq!(hour(&format!("&as_of={}", at(100))).await, (None, None));
    }
}

#[tokio::test]
async fn boards_moods_alerts_and_posts_tell_what_was_known() {
    let world = World::new().await;
    for (revision, posts, emitted) in [(1, 10, at(10)), (2, 30, at(100))] {
        for asset in ["BTC", "*"] {
            let start = at(0);
            let labels = [0, 0, posts];
            world
                .window(Window { revision, emitted: &emitted, labels, ..Window::of(asset, &start, posts, Some(0.5)) })
                .await;
        }
    }
    for n in 0..30 {
        let (id, published, author) = (format!("p{n:02}"), at(1), format!("author {n}"));
        let glad = Post { label: Some("positive"), score: Some(0.8), ..Post::of("BTC", &id, &published) };
        world.post(Post { author: Some(&author), ..glad }).await;
        let scored = at(if n < 12 { 5 } else { 90 });
        world.sql(&format!("UPDATE stored_posts SET scored_at = '{scored}' WHERE post_id = '{id}'")).await;
    }
    for (id, minute) in [("early", 10), ("late", 100)] {
        world
            .sql(&format!(
                "INSERT INTO alerts (alert_id, run_id, asset, kind, window_start, window_end, value, raised_at, sample) \
                 VALUES ('{id}', 'live', 'BTC', 'attention_spike', '{}', '{}', 1, '{}', true)",
                at(0),
                at(5),
                at(minute)
            ))
            .await;
    }
    let (then, now) = (format!("&as_of={}", at(50)), String::new());
    for (as_of, posts, voices, alerts, listed) in [(&then, 10, 10, 1, 12), (&now, 30, 30, 2, 30)] {
        let range = format!("at={}{as_of}", at(5));
        let board = world.json(&format!("/v1/trends?{range}&posts=2")).await;
        assert_eq!(
            (&board["trends"][0]["posts"], &board["market"]["posts"]),
            (&json!(posts), &json!(posts)),
            "{as_of}"
        );
        let mood = &world.json(&format!("/v1/market-trends?{range}")).await["market_trends"][0];
        assert_eq!(
            (&mood["posts"], &mood["scored_posts"], &mood["voices"]),
            (&json!(posts), &json!(posts), &json!(voices))
        );
        let raised = world.json(&format!("/v1/alerts?asset=BTC{as_of}")).await;
        assert_eq!(raised["alerts"].as_array().unwrap().len(), alerts);
        let known = world.json(&format!("/v1/assets/BTC/posts?limit=200{as_of}")).await;
        assert_eq!(known["posts"].as_array().unwrap().len(), listed);
    }
    let before = world.json(&format!("/v1/trends?at={}&as_of={}", at(5), at(9))).await;
    assert_eq!(before["trends"], json!([]));
}

#[tokio::test]
async fn every_enum_is_strict_and_lists_what_is_known() {
    let world = World::new().await;
    world.window(Window::of("BTC", MONDAY, 1, None)).await;
    let doc: Value = serde_json::from_str(&vigie_api::openapi_json()).unwrap();
    let mut tried = 0;
    for (path, item) in doc["paths"].as_object().unwrap() {
        let parameters = item["get"]["parameters"].as_array().into_iter().flatten();
        // A file that there is not is a 404.
        for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
            let schema = parameter["schema"].to_string();
            let name = parameter["name"].as_str().unwrap();
            let resolve = |schema: &Value| match schema["$ref"].as_str() {
                Some(target) => doc.pointer(target.trim_start_matches('#')).unwrap().clone(),
                None => schema.clone(),
            };
            let own = resolve(&parameter["schema"]);
            let known = [resolve(&own["items"]), own].into_iter().find_map(|schema| schema["enum"].as_array().cloned());
            let Some(known) = known else {
                assert!(!schema.contains("enum"), "{path} {name}: {schema}");
                continue;
            };
            let url = format!("{}?{name}=nonsense", path.replace("{asset}", "BTC"));
            let problem = world.get(&url).await.problem(400);
            let wrong = problem["errors"].as_array().unwrap().iter().find(|error| error["parameter"] == name).unwrap();
            for value in &known {
                assert!(wrong["detail"].as_str().unwrap().contains(value.as_str().unwrap()), "{url}: {wrong}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 14, "{tried}");
}

#[tokio::test]
async fn a_date_as_an_end_means_all_of_that_day() {
    let world = World::new().await;
    for minute in [0, 1435, 1440] {
        let start = at(minute);
        world.window(Window::of("BTC", &start, 1, None)).await;
        let id = format!("p{minute}");
        world.post(Post::of("BTC", &id, &start)).await;
    }
    let series = world.json("/v1/assets/BTC/series?interval=1h&metrics=posts&from=2022-05-09&to=2022-05-09").await;
    assert_eq!((points(&series).len(), &series["to"]), (24, &json!("2022-05-10T00:00:00Z")));
    let page = world.json("/v1/assets/BTC/posts?from=2022-05-09&to=2022-05-09").await;
    let ids: Vec<&str> =
        page["posts"].as_array().unwrap().iter().map(|post| post["post_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["p1435", "p0"]);
}
