//! What is said when a service cannot start.

use clap::Parser;
use vigie_daemon::{Context, ServiceError};
use vigie_processors::{sentiment, trends};

#[derive(Parser)]
struct Cli<C: clap::Args> {
    #[command(flatten)]
    config: C,
}

fn config<C: clap::Args>(args: &[&str]) -> C {
    Cli::<C>::try_parse_from([&["test"], args].concat()).unwrap_or_else(|error| panic!("{error}")).config
}

#[tokio::test]
async fn every_mistake_is_named_before_anything_is_contacted() {
    let dir = tempfile::tempdir().unwrap();
    let assets = dir.path().join("assets.toml");
    std::fs::write(&assets, "version = 1").unwrap();
    let config: sentiment::Config = config(&["--model", "/no/such/model", "--assets", &assets.display().to_string()]);
    let error = sentiment::run(config, Context::system()).await.unwrap_err();
    let ServiceError::Config(mistakes) = &error else { panic!("{error}") };
    assert_eq!((error.exit_code(), mistakes.len()), (64, 3), "{mistakes:?}");
    for (mistake, expected) in mistakes.iter().zip(["--model: cannot read", "--assets: asset table", "no author key"]) {
        assert!(mistake.starts_with(expected), "{mistake}");
    }
}

#[tokio::test]
async fn trends_mistakes_are_named_together() {
    let config: trends::Config = config(&["--window", "0s", "--alert-score", "7"]);
    let error = trends::run(config, Context::system()).await.unwrap_err();
    assert_eq!(error.exit_code(), 64);
    let message = error.to_string();
    assert!(message.contains("--window") && message.contains("--alert-score: 7, expected 0 to 1"), "{message}");
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_named_with_its_address() {
    let config: trends::Config = config(&["--schema-registry-url", "http://127.0.0.1:1"]);
    let error = trends::run(config, Context::system()).await.unwrap_err();
    assert_eq!(error.exit_code(), 69);
    assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");
}
