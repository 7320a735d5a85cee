//! What analysts ask for, against independent counts: plain loops over the rows that were inserted.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{MONDAY, Post, Window, World, at, column, points};

/// A window as it was inserted: asset, start in minutes after [`MONDAY`], labels, mean score.
type Row = (&'static str, i64, [i64; 3], f64);

/// Windows of three weeks, at odd times. The market has all of them, and some more.
async fn three_weeks() -> (World, Vec<Row>) {
    let world = World::new().await;
    let mut rows: Vec<Row> = Vec::new();
    let mut minute = -3 * 24 * 60;
    for n in 0..60 {
        minute += 5 * (1 + n * 7919 % 160);
        let labels = [n % 3, n % 5, n % 4];
        if n % 3 != 1 {
            rows.push(("BTC", minute, labels, (n % 9) as f64 / 10.0 - 0.4));
        }
        if n % 4 == 0 {
            rows.push(("ETH", minute, [1, n % 2, 2], 0.1));
        }
        rows.push(("*", minute, [labels[0] + 2, labels[1] + 2, labels[2] + 3], 0.05));
    }
    for (asset, minute, labels, mean) in &rows {
        let posts = labels.iter().sum::<i64>() + 1;
        let start = at(*minute);
        world.window(Window { labels: *labels, ..Window::of(asset, &start, posts, Some(*mean)) }).await;
    }
    world.sql("UPDATE stored_windows SET unique_posts = posts - 1, spam_posts = 1").await;
    (world, rows)
}

#[tokio::test]
async fn every_interval_and_metric_is_the_sum_of_its_windows() {
    let (world, rows) = three_weeks().await;
    for (interval, minutes) in [("5m", 5), ("15m", 15), ("1h", 60), ("4h", 240), ("1d", 1440), ("1w", 7 * 1440)] {
        // Three days before the Monday begins the week before.
        let from = if interval == "1w" { -7 * 1440 } else { -3 * 1440 };
        let to = if interval == "5m" { from + 5 * 5000 } else { 21 * 1440 };
        let metrics =
            "posts,negative,positive,sentiment_balance,mean_score,dominance,unique_posts,spam_posts,completeness";
        let series = world
            .json(&format!(
                "/v1/assets/BTC/series?interval={interval}&from={}&to={}&metrics={metrics}",
                at(from),
                at(to)
            ))
            .await;
        assert_eq!(points(&series).len() as i64, (to - from) / minutes, "{interval}");
        let mut mentioned = 0;
        for (n, point) in points(&series).iter().enumerate() {
            let start = from + n as i64 * minutes;
            assert_eq!(point["start"], at(start), "{interval}");
            let (mut posts, mut labels, mut scores, mut scored, mut all, mut windows, mut own) =
                (0, [0; 3], 0.0, 0, 0, 0, 0);
            for (asset, minute, counts, mean) in &rows {
                if *minute < start || *minute >= start + minutes {
                    continue;
                }
                let count: i64 = counts.iter().sum();
                if *asset == "*" {
                    (all, windows) = (all + count + 1, windows + 1);
                } else if *asset == "BTC" {
                    (posts, own) = (posts + count + 1, own + 1);
                    labels = [labels[0] + counts[0], labels[1] + counts[1], labels[2] + counts[2]];
                    (scores, scored) = (scores + mean * count as f64, scored + count);
                }
            }
            assert_eq!(
                point["completeness"].as_f64(),
                Some(windows as f64 * 5.0 / minutes as f64),
                "{interval} {start}"
            );
            if windows == 0 {
                assert_eq!((&point["posts"], &point["sentiment_balance"]), (&Value::Null, &Value::Null));
                continue;
            }
            mentioned += own;
            assert_eq!(point["posts"], posts, "{interval} {start}");
            assert_eq!((&point["negative"], &point["positive"]), (&json!(labels[0]), &json!(labels[2])));
            assert_eq!(point["sentiment_balance"], labels[2] - labels[0]);
            assert_eq!((&point["unique_posts"], &point["spam_posts"]), (&json!(posts - own), &json!(own)));
            assert!((point["dominance"].as_f64().unwrap() - posts as f64 / all as f64).abs() < 1e-12);
            match point["mean_score"].as_f64() {
                Some(mean) => assert!((mean - scores / scored as f64).abs() < 1e-12, "{interval} {start}"),
                None => assert_eq!(scored, 0),
            }
        }
        assert!(mentioned > 10, "{interval}");
    }
}

#[tokio::test]
async fn weighted_sentiment_is_the_rolling_z_score_of_unique_posts_times_mean_score() {
    let world = World::new().await;
    let mut xs = Vec::new();
    for day in 0..45_i64 {
        let start = at(day * 1440 + 600);
        world.window(Window::of("*", &start, 50, Some(0.0))).await;
        // On some days nobody mentions the asset, on one nobody scores.
        if day % 6 == 5 {
            xs.push(Some(0.0));
            continue;
        }
        let (posts, mean) = (3 + day * 13 % 17, (day % 7) as f64 / 10.0 - 0.25);
        world.window(Window::of("BTC", &start, posts, (day != 12).then_some(mean))).await;
        xs.push((day != 12).then_some((posts - 1) as f64 * mean));
    }
    world.sql("UPDATE stored_windows SET unique_posts = posts - 1").await;
    let path = format!(
        "/v1/assets/BTC/series?interval=1d&metrics=weighted_sentiment&from={}&to={}",
        at(20 * 1440),
        at(46 * 1440)
    );
    let scores = column(&world.json(&path).await, "weighted_sentiment");
    let mut known_scores = 0;
    for day in 20..44_usize {
        let mut population = Vec::new();
        for x in &xs[day.saturating_sub(29)..=day] {
            population.extend(*x);
        }
        let mean = population.iter().sum::<f64>() / population.len() as f64;
        let variance = population.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / population.len() as f64;
        let expected = xs[day].map(|x| (x - mean) / variance.sqrt());
        match (scores[day - 20].as_f64(), expected) {
            (Some(score), Some(expected)) => assert!((score - expected).abs() < 1e-9, "{day}: {score} {expected}"),
            (score, expected) => assert_eq!(score, expected, "{day}"),
        }
        known_scores += usize::from(expected.is_some());
    }
    assert!(known_scores > 15);
    // The last day is not over: the data ends at 10:05.
    assert_eq!(scores[44 - 20], Value::Null);
}

#[tokio::test]
async fn several_assets_in_one_call_are_their_series_from_one_state() {
    let (world, _) = three_weeks().await;
    let range = format!("interval=1d&from={}&to={}", at(0), at(5 * 1440));
    let all = world.json(&format!("/v1/series?assets=ETH,bitcoin,*,eth&{range}")).await;
    let names: Vec<&str> = all["series"].as_array().unwrap().iter().map(|s| s["asset"].as_str().unwrap()).collect();
    assert_eq!(names, ["ETH", "BTC", "*"], "in the order of the question, none twice");
    for series in all["series"].as_array().unwrap() {
        let path = format!("/v1/assets/{}/series?{range}", series["asset"].as_str().unwrap());
        assert_eq!(*series, world.json(&path).await);
    }
    let csv = world.get(&format!("/v1/series?assets=BTC,ETH&metrics=posts&format=csv&{range}")).await.text();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines.len(), lines[0]), (11, "asset,start,end,posts,windows,revision,final,complete,computed_at,runs"));
    assert!(lines[1].starts_with("BTC,2022-05-09T00:00:00Z,") && lines[6].starts_with("ETH,2022-05-09T00:00:00Z,"));
    world.get("/v1/series?assets=BTC,NOPE").await.problem(404);
    let many = vec!["BTC"; 51].join(",");
    for bad in ["", "?assets=", &format!("?assets={many}"), "?assets=BTC,ETH&interval=5m&from=2022-05-01&to=2022-05-20"]
    {
        world.get(&format!("/v1/series{bad}")).await.problem(400);
    }
}

#[tokio::test]
async fn an_asset_answers_to_its_names() {
    let world = World::new().await;
    for asset in ["BTC", "USDT", "NEW", "*"] {
        world.window(Window::of(asset, MONDAY, 3, None)).await;
    }
    for name in ["BTC", "btc", "bitcoin", "Bitcoin", "XBT"] {
        for path in ["series", "posts"] {
            assert_eq!(world.json(&format!("/v1/assets/{name}/{path}")).await["asset"], "BTC", "{name}");
        }
        world.json(&format!("/v1/alerts?asset={name}")).await;
    }
    world.get("/v1/assets/tether-usd/posts").await.problem(404);
}

#[tokio::test]
async fn assets_are_listed_with_names_and_categories() {
    let world = World::new().await;
    for asset in ["BTC", "USDT", "NEW", "*"] {
        world.window(Window::of(asset, MONDAY, 3, None)).await;
    }
    let answer = world.json("/v1/assets").await;
    let listed: Vec<_> = answer["assets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| {
            (
                a["asset"].as_str().unwrap(),
                a["name"].clone(),
                a["slug"].clone(),
                a["aliases"].clone(),
                a["categories"].clone(),
            )
        })
        .collect();
    let null = Value::Null;
    assert_eq!(
        listed,
        [
            ("*", null.clone(), null.clone(), json!([]), json!([])),
            ("BTC", json!("Bitcoin"), json!("bitcoin"), json!(["xbt"]), json!([])),
            ("NEW", null.clone(), null, json!([]), json!([])),
            ("USDT", json!("Tether"), json!("tether"), json!(["tether usd"]), json!(["stablecoin"])),
        ]
    );
}

#[tokio::test]
async fn sources_split_a_point_and_say_when_it_was_computed() {
    let world = World::new().await;
    for (minute, sources, emitted) in [(0, "1:3 2:1", at(30)), (5, "2:4", at(20)), (70, "1:1", at(90))] {
        let start = at(minute);
        for asset in ["BTC", "*"] {
            world.window(Window { emitted: &emitted, ..Window::of(asset, &start, 4, None) }).await;
        }
        world.sql(&format!("UPDATE stored_windows SET sources = '{sources}' WHERE window_start = '{start}'")).await;
    }
    world.sql("INSERT INTO sources VALUES (1, 'hn'), (2, 'blog')").await;
    let series =
        world.json(&format!("/v1/assets/BTC/series?interval=1h&sources=true&from={}&to={}", at(0), at(120))).await;
    assert_eq!(column(&series, "sources"), [json!({"hn": 3, "blog": 5}), json!({"hn": 1})]);
    assert_eq!(column(&series, "computed_at"), [json!(at(30)), json!(at(90))]);
    assert!(points(&series)[0].get("lineage").is_none());
    let board = world.json(&format!("/v1/trends?at={}", at(60))).await;
    assert_eq!(board["trends"][0]["computed_at"], at(30));
}

#[tokio::test]
async fn dominance_has_one_denominator() {
    let (world, rows) = three_weeks().await;
    let end = 14 * 1440;
    let board = world.json(&format!("/v1/trends?window=24h&posts=0&at={}", at(end))).await;
    let (mut own, mut all) = (0, 0);
    for (asset, minute, labels, _) in &rows {
        if (end - 1440..end).contains(minute) {
            let posts = labels.iter().sum::<i64>() + 1;
            match *asset {
                "BTC" => own += posts,
                "*" => all += posts,
                _ => {}
            }
        }
    }
    assert!(own > 0, "{rows:?}");
    let is_expected = |value: &Value| (value.as_f64().unwrap() - own as f64 / all as f64).abs() < 1e-12;
    let btc = board["trends"].as_array().unwrap().iter().find(|t| t["asset"] == "BTC").unwrap();
    assert!(is_expected(&btc["dominance"]), "{btc}");
    let day = format!("interval=1d&metrics=dominance&from={}&to={}", at(end - 1440), at(end));
    let series = world.json(&format!("/v1/assets/BTC/series?{day}")).await;
    assert!(is_expected(&points(&series)[0]["dominance"]), "{series}");
    assert_eq!(column(&world.json(&format!("/v1/assets/*/series?{day}")).await, "dominance"), [1.0]);
}

#[tokio::test]
async fn the_catalogue_tells_every_metric_that_a_series_has() {
    let (world, _) = three_weeks().await;
    let answer = world.json("/v1/metrics").await;
    let metrics = answer["metrics"].as_array().unwrap();
    let name = |metric: &Value| metric["metric"].as_str().unwrap().to_owned();
    for metric in metrics {
        for field in ["unit", "meaning", "rollup"] {
            assert!(!metric[field].as_str().unwrap().is_empty(), "{field} of {metric}");
        }
    }
    let all: Vec<String> = metrics.iter().map(name).collect();
    let by_default: BTreeSet<String> = metrics.iter().filter(|metric| metric["by_default"] == true).map(name).collect();
    let doc: Value = serde_json::from_str(&vigie_api::openapi_json()).unwrap();
    let documented = &doc["components"]["schemas"]["Metric"]["enum"];
    assert_eq!(*documented, json!(all));
    let keys = |point: &Value| {
        point.as_object().unwrap().keys().filter(|key| all.contains(key)).cloned().collect::<BTreeSet<_>>()
    };
    let series = world.json("/v1/assets/BTC/series?interval=1d").await;
    assert_eq!(keys(&points(&series)[0]), by_default);
    let series = world.json(&format!("/v1/assets/BTC/series?interval=1d&metrics={}", all.join(","))).await;
    assert_eq!(keys(&points(&series)[0]).len(), all.len());
}

#[tokio::test]
async fn every_list_comes_as_csv() {
    let (world, _) = three_weeks().await;
    for (n, text) in ["plain", "with, comma and \"quotes\"", "two\nlines"].iter().enumerate() {
        let (id, published) = (format!("p{n}"), at(n as i64));
        world.post(Post { text, ..Post::of("BTC", &id, &published) }).await;
    }
    let json_accepted = [("accept", "text/csv")];
    for (path, head) in [
        ("/v1/assets", "asset,name,slug,aliases,categories,first_window,latest_window.start,"),
        ("/v1/trends?window=7d", "rank,asset,posts,unique_posts,"),
        ("/v1/market-trends?window=7d", "asset,direction,confidence,net,probabilities.bullish,"),
        ("/v1/alerts", "alert_id,run_id,asset,kind,"),
        ("/v1/terms", "term,kind,window_start,"),
        ("/v1/assets/BTC/posts", "post_id,source,kind,url,"),
        ("/v1/metrics", "metric,unit,meaning,rollup,by_default"),
        ("/v1/sources", "source,kind,url,health,"),
        ("/v1/runs", "run_id,topic,from_time,"),
        ("/v1/series?assets=BTC&interval=1d", "asset,start,end,posts,"),
    ] {
        let answer = world.get_with(path, &json_accepted).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/csv; charset=utf-8"), "{path}");
        assert!(answer.text().starts_with(head), "{path}: {}", answer.text());
        let sign = if path.contains('?') { '&' } else { '?' };
        assert_eq!(world.get(&format!("{path}{sign}format=csv")).await.text(), answer.text(), "{path}");
    }
    let page = world.get("/v1/assets/BTC/posts?limit=2&format=csv").await.text();
    assert!(page.contains("\"two\nlines\"") && page.contains("\"with, comma and \"\"quotes\"\"\""), "{page}");
    let cursor = page.trim_end().rsplit(',').next().unwrap();
    let rest = world.json(&format!("/v1/assets/BTC/posts?limit=2&cursor={cursor}")).await;
    assert_eq!((&rest["posts"][0]["post_id"], rest["posts"].as_array().unwrap().len()), (&json!("p0"), 1));
}
