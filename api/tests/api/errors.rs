use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Post, Window, World, checked, send};

#[tokio::test]
async fn a_400_lists_every_wrong_parameter() {
    let world = World::new().await;
    let answer = world.get("/v1/assets/BTC/series?metrics=posts,likes&from=2022-05-10&to=2022-05-09&interval=2h&lineage=maybe&colour=red").await;
    let problem = answer.problem(400);
    assert_eq!(problem["type"], "/docs#problem-invalid-parameters");
    assert_eq!(problem["instance"], "/v1/assets/BTC/series");
    let mut names: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["parameter"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["colour", "from", "interval", "lineage", "metrics"]);
    for path in [
        "/v1/assets/BTC/posts?limit=0",
        "/v1/assets/BTC/posts?limit=201",
        "/v1/assets/BTC/posts?cursor=xyz",
        "/v1/assets/BTC/posts?label=angry",
        "/v1/trends?window=2h",
        "/v1/trends?at=0000-01-01",
        "/v1/alerts?asset=",
        "/v1/alerts?kind=rumour",
        "/v1/market-trends?min_voices=0",
        "/v1/sources?x=1",
        "/v1/stream?type=like",
        "/v1/assets?run=a&run=b",
    ] {
        world.get(path).await.problem(400);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_a_404_and_too_many_points_are_refused() {
    let world = World::new().await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    for path in [
        "/nothing",
        "/v1/nothing",
        "/assets/../Cargo.toml",
        "/v1/assets/NOPE/series",
        "/v1/assets/NOPE/posts",
        "/v1/assets?run=nope",
        "/v1/alerts?asset=NOPE",
        "/v1/alerts?run=nope",
    ] {
        world.get(path).await.problem(404);
    }
    let problem = world.get("/v1/assets/BTC/series?from=2020-01-01").await.problem(400);
    assert_eq!(problem["errors"][0]["parameter"], "from");
    world.json("/v1/assets/BTC/series?from=2020-01-01&interval=1d").await;
}

#[tokio::test]
async fn what_is_no_text_is_a_400() {
    let world = World::new().await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    for bad in ["%00", "BTC%00", "%FF", "%C3%28"] {
        for path in [
            format!("/v1/assets/{bad}/series"),
            format!("/v1/assets/{bad}/posts"),
            format!("/assets/{bad}"),
            format!("/v1/assets?run={bad}"),
            format!("/v1/alerts?asset={bad}"),
            format!("/v1/trends?run={bad}"),
            format!("/v1/stream?asset={bad}"),
            format!("/v1/assets?{bad}=1"),
        ] {
            world.get(&path).await.problem(400);
        }
    }
}

#[tokio::test]
async fn wrong_methods_formats_and_bodies_are_refused() {
    let world = World::new().await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    let answer = world.send("POST", "/v1/assets", &[]).await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), "GET,HEAD");
    world.send("DELETE", "/livez", &[]).await.problem(405);
    for path in ["/v1/assets", "/v1/trends", "/v1/assets/BTC/series", "/v1/assets/BTC/posts", "/v1/sources"] {
        world.get_with(path, &[("accept", "image/png")]).await.problem(406);
    }
    world.get_with("/v1/assets", &[("content-length", "1000000000")]).await.problem(413);
    world.get_with("/v1/assets", &[("content-length", "-1")]).await.problem(413);
    let head = world.send("HEAD", "/v1/assets", &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn without_a_database_requests_are_answered_503_and_probes_go_on() {
    let config = checked(&["--postgres-url=postgres://vigie@127.0.0.1:1/vigie", "--redis-url=redis://127.0.0.1:1"]);
    let ctx = vigie_daemon::Context::system();
    let router = vigie_api::router(&config, &ctx).unwrap();
    for path in
        ["/v1/assets", "/v1/assets/BTC/series", "/v1/assets/BTC/posts", "/v1/trends", "/v1/sources", "/v1/stream"]
    {
        let answer = send(router.clone(), "GET", path, &[]).await;
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), "2");
    }
    assert_eq!(send(router.clone(), "GET", "/livez", &[]).await.status, 200);
    assert_eq!(send(router, "GET", "/", &[]).await.status, 200);
}

#[tokio::test]
async fn a_restart_of_the_database_is_not_noticed_by_the_next_request() {
    let world = World::new().await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    for _ in 0..3 {
        world.json("/v1/assets/BTC/series").await;
        // As a restart does: the server ends every session.
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vigie-api' AND datname = current_database()";
        assert!(!world.db.query(ended, &[]).await.unwrap().is_empty());
    }
    world.json("/v1/assets/BTC/series").await;
}

#[tokio::test]
async fn a_known_answer_is_not_sent_again() {
    let world = World::new().await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    for path in ["/v1/assets/BTC/series", "/v1/assets", "/", "/assets/app.js", "/openapi.json"] {
        let first = world.get(path).await;
        let etag = first.header("etag").to_owned();
        let again = world.get_with(path, &[("if-none-match", &format!("\"x\", {etag}"))]).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), etag);
        assert_eq!(again.header("cache-control"), "private, no-cache");
    }
    let path = "/v1/assets/BTC/series";
    let etag = world.get(path).await.header("etag").to_owned();
    world.window(Window { revision: 2, ..Window::of("BTC", "2022-05-09T12:00:00Z", 2, None) }).await;
    assert_eq!(world.get_with(path, &[("if-none-match", &etag)]).await.status, 200);
}

#[tokio::test]
async fn answers_are_compressed_identified_and_locked_down() {
    let world = World::new().await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    let answer = world
        .get_with("/v1/assets/BTC/series", &[("accept-encoding", "gzip"), ("x-request-id", "from-the-caller.1")])
        .await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(answer.header("x-request-id"), "from-the-caller.1");
    let odd = world.get_with("/v1/assets", &[("x-request-id", "no spaces, please")]).await;
    assert_ne!(odd.header("x-request-id"), "no spaces, please");
    for path in ["/", "/docs", "/v1/assets", "/nothing", "/livez"] {
        let answer = world.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
    }
}

#[tokio::test]
async fn every_documented_path_is_served_and_counted() {
    let world = World::new().await;
    world.window(Window::of("BTC", "2022-05-09T12:00:00Z", 1, None)).await;
    world.post(Post::of("BTC", "one", "2022-05-09T12:00:00Z")).await;
    let doc: Value = serde_json::from_str(&vigie_api::openapi_json()).unwrap();
    for path in doc["paths"].as_object().unwrap().keys() {
        // The stream does not end.
        if path == "/v1/stream" {
            continue;
        }
        let query = if path.starts_with("/v1/search") { "?q=words" } else { "" };
        let url = format!("{path}{query}")
            .replace("{asset}", "BTC")
            .replace("{file}", "style.css")
            .replace("/v1/series", "/v1/series?assets=BTC");
        let status = world.get(&url).await.status.as_u16();
        let expected = match path.as_str() {
            "/readyz" => 503,
            // Closed where no tokens are asked for.
            "/v1/authors/{author_id}" | "/v1/keys" => 403,
            // Only revoked.
            "/v1/keys/{key_id}" => 405,
            // No letter and no replay is there, and nobody is named to ask for tokens.
            "/v1/dead-letters/{topic}/{letter}" | "/v1/runs/{run}/diff" | "/.well-known/oauth-protected-resource" => {
                404
            }
            // Nobody logs in.
            "/login" | "/login/callback" => 404,
            "/logout" => 405,
            _ => 200,
        };
        assert_eq!(status, expected, "{path}");
    }
    world.get("/v1/assets/NOPE/series").await;
    let metrics = world.get("/metrics").await.text();
    for line in [
        r#"vigie_api_requests_total{route="/v1/assets/{asset}/series",status="200"} 1"#,
        r#"vigie_api_requests_total{route="/v1/assets/{asset}/series",status="404"} 1"#,
        "vigie_api_request_seconds_bucket",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("NOPE"));
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere() {
    let world = World::new().await;
    for path in ["/", "/docs"] {
        let page = world.get(path).await.text();
        let quoted = page.split('"').skip(1).step_by(2);
        for link in quoted.filter(|text| text.starts_with('/') && text.contains('.')) {
            assert_eq!(world.get(link).await.status, 200, "{path} loads {link}");
        }
        assert!(
            !page.contains("http://")
                && !page.contains("https://")
                && !page.contains(" style=")
                && !page.contains("onclick")
        );
    }
    let modules = ["app", "client", "chart", "board", "posts", "panels", "format", "docs"];
    for module in modules {
        let text = world.get(&format!("/assets/{module}.js")).await.text();
        assert!(
            !text.contains("innerHTML") && !text.contains("insertAdjacentHTML") && !text.contains("eval("),
            "{module}"
        );
        for import in text.lines().filter_map(|line| line.split(" from \"./").nth(1)) {
            let name = import.trim_end_matches("\";");
            assert_eq!(world.get(&format!("/assets/{name}")).await.status, 200, "{module} imports {name}");
        }
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = vigie_api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = taken.local_addr().unwrap();
    let error = vigie_api::bind(addr).await.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().starts_with(&format!("address {addr} is in use")), "{error}");
}

#[tokio::test]
async fn a_client_that_dawdles_over_its_request_does_not_keep_the_others_waiting() {
    let world = World::with(&["--api-max-connections=2", "--api-max-streams=1"]).await;
    let (addr, service) = world.serve().await;
    let mut dawdler = TcpStream::connect(addr).await.unwrap();
    dawdler.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
    for _ in 0..3 {
        let mut quick = TcpStream::connect(addr).await.unwrap();
        quick.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        quick.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    let mut huge = TcpStream::connect(addr).await.unwrap();
    let head = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(100_000));
    let _ = huge.write_all(head.as_bytes()).await;
    let mut first = [0; 12];
    huge.read_exact(&mut first).await.unwrap();
    assert!(matches!(&first, b"HTTP/1.1 431" | b"HTTP/1.1 414"), "{}", String::from_utf8_lossy(&first));
    world.ctx.shutdown.cancel();
    service.await.unwrap().unwrap();
    let mut rest = Vec::new();
    assert_eq!(dawdler.read_to_end(&mut rest).await.unwrap_or(0), 0, "let go without an answer");
}
