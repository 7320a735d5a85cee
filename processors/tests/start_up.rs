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

#[test]
fn every_mistake_is_named_before_anything_is_contacted() {
    let dir = tempfile::tempdir().unwrap();
    let assets = dir.path().join("assets.toml");
    std::fs::write(&assets, "version = 1").unwrap();
    let config: sentiment::Config = config(&["--model", "/no/such/model", "--assets", &assets.display().to_string()]);
    let mistakes = config.check().err().unwrap();
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    let expected = [
        "--model (VIGIE_MODEL): cannot read",
        "--assets (VIGIE_ASSETS): asset table",
        "--author-key (VIGIE_AUTHOR_KEY): not given, expected",
    ];
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.to_string().starts_with(expected), "{mistake}");
    }
    assert_eq!(ServiceError::from(mistakes).exit_code(), 64);
}

#[test]
fn trends_mistakes_are_named_together() {
    let config: trends::Config = config(&["--window", "0s", "--alert-score", "7"]);
    let message = ServiceError::from(config.check().err().unwrap()).to_string();
    let score = "--alert-score (VIGIE_ALERT_SCORE): 7, expected 0 to 1";
    assert!(message.contains("--window") && message.contains(score), "{message}");
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_named_with_its_address() {
    let config: trends::Config = config(&["--schema-registry-url", "http://127.0.0.1:1"]);
    let checked = config.check().map_err(ServiceError::Config).unwrap();
    let error = trends::run(checked, Context::system()).await.unwrap_err();
    assert_eq!(error.exit_code(), 69);
    assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");
}
