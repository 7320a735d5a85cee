//! `vigie replay diff`: what the API says of two runs, in words.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use url::Url;
use vigie_daemon::{Mistake, SecretArg, ServiceError};
use vigie_schemas::LIVE_RUN;

use crate::api_client::Api;
use crate::commands::verify::ApiToken;
use crate::output::{Output, duration};

/// Two long runs are compared post by post.
const PATIENCE: Duration = Duration::from_secs(70);

#[derive(Args, Debug)]
#[command(after_help = "What the numbers are, and how intervals are computed: docs/replay.md")]
pub(crate) struct DiffArgs {
    /// Id of the run
    run: String,
    /// The run that it is compared with
    #[arg(default_value = LIVE_RUN)]
    with: String,
    /// Assets, examples and alerts to show at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Where the API is
    #[arg(long, env = "VIGIE_API_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api_url: Url,
    #[command(flatten)]
    token: SecretArg<ApiToken>,
}

pub(crate) async fn run(args: DiffArgs, output: Output) -> Result<(), ServiceError> {
    let token = args.token.read()?;
    let token = token.as_ref().map(ApiToken::reveal);
    let api = Api::new(&args.api_url, token, "read:posts", PATIENCE)?;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("with", &args.with)
        .append_pair("limit", &args.limit.to_string())
        .finish();
    let mut path = args.api_url.clone();
    path.path_segments_mut()
        .map_err(|()| Mistake::new("--api-url", "no address of a server", "http:// or https://"))?
        .clear()
        .extend(["v1", "runs", &args.run, "diff"]);
    let diff = api.json(&format!("{}?{query}", path.path().trim_start_matches('/'))).await?;
    if diff.is_null() || diff["status"].is_number() {
        let detail = diff["detail"].as_str().unwrap_or("no such run").to_owned();
        return Err(ServiceError::failed(format!("{} and {} cannot be compared: {detail}", args.run, args.with)));
    }
    output.result(&diff, || text(&diff))
}

fn text(diff: &Value) -> String {
    let (run, with) = (word(&diff["run"]), word(&diff["with"]));
    let mut lines = vec![
        format!("{run} beside {with}: posts of {} to {}", word(&diff["from"]), word(&diff["to"])),
        format!(
            "posts: {} beside {}, {} in both, {} only in {run}, {} only in {with}",
            number(&diff["posts"]["run"]),
            number(&diff["posts"]["with"]),
            number(&diff["posts"]["both"]),
            number(&diff["posts"]["only_run"]),
            number(&diff["posts"]["only_with"])
        ),
        String::new(),
        format!("{:<12} {:>8} {:>8} {:>6} {:>6}  mood    was     shift (95 %)", "asset", "posts", "was", "rank", "was"),
    ];
    for asset in items(&diff["assets"]) {
        lines.push(format!(
            "{:<12} {:>8} {:>8} {:>6} {:>6}  {} {} {} ({} to {})",
            word(&asset["asset"]),
            number(&asset["posts"]),
            number(&asset["posts_with"]),
            number(&asset["rank"]),
            number(&asset["rank_with"]),
            score(&asset["mean_score"]),
            score(&asset["mean_score_with"]),
            score(&asset["shift"]),
            score(&asset["shift_low"]),
            score(&asset["shift_high"])
        ));
    }
    lines.push(String::new());
    lines.extend(items(&diff["flips"]).map(|flip| {
        format!("{} posts from {} to {}", number(&flip["posts"]), word(&flip["label_with"]), word(&flip["label"]))
    }));
    for post in items(&diff["examples"]) {
        lines.push(format!(
            "  {} {} -> {} {}: {} ({})",
            word(&post["label_with"]),
            score(&post["score_with"]),
            word(&post["label"]),
            score(&post["score"]),
            word(&post["text"]),
            word(&post["post_id"])
        ));
    }
    lines.push(String::new());
    lines.extend(alert_lines(&diff["alerts"], &run, &with));
    lines.join("\n")
}

fn alert_lines(alerts: &Value, run: &str, with: &str) -> Vec<String> {
    if alerts.is_null() {
        return vec!["alerts: not compared, as a run is not finished or of a version that raised none".to_owned()];
    }
    let of = |name: &str| number(&alerts[name]);
    let mut lines = vec![
        format!(
            "alerts: {} of {run} and {} of {with}; {} in both ({} of the same window), {} only in {run}, {} only in {with}",
            of("run"),
            of("with"),
            of("both"),
            of("same"),
            of("only_run"),
            of("only_with")
        ),
        format!(
            "judged windows: {} of {} in {run}, {} of {} in {with}; others raise no alert, whatever happened",
            of("judged_run"),
            of("windows_run"),
            of("judged_with"),
            of("windows_with")
        ),
    ];
    lines.extend(items(&alerts["changes"]).map(|alert| {
        let only = if alert["fires_in_run"] == true { run } else { with };
        let amount = |value: &Value| match value.as_f64() {
            Some(value) if alert["kind"] == "sentiment_drop" => format!("mood {value:+.3}"),
            Some(value) => format!("{value:.1} posts"),
            None => "-".to_owned(),
        };
        format!(
            "  only in {only}: {} {} at {}, in {}: {} beside {}",
            word(&alert["asset"]),
            word(&alert["kind"]),
            word(&alert["window_start"]),
            duration(alert["scale_seconds"].as_f64().unwrap_or_default()),
            amount(&alert["value"]),
            amount(&alert["expected"])
        )
    }));
    lines
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn number(value: &Value) -> String {
    value.as_i64().map_or("-".to_owned(), |number| number.to_string())
}

fn score(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |score| format!("{score:+.3}"))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
