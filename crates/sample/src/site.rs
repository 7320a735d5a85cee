//! The sample site: a web site on the loopback interface that the real scrapers read, so that the whole product runs without internet.
//!
//! Two modes. *Sample*: posts written by this program from templates of its own, the same for the same seed and time, some hours of backlog at the start
//! and new ones as time goes on, as RSS, Algolia-shaped and Reddit-shaped JSON and HTML. *Archive*: recorded Reddit posts and comments,
//! released in the order of their times, at a steady rate, as Reddit-shaped listings. All of it is marked as sample data.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;
use vigie_clock::SharedClock;
use vigie_daemon::{Check, Mistake, ServiceError};
use vigie_producers::{Kind, SourceConfig};

use crate::archive::{Archive, Progress};
use crate::generator::{self, Generator};
use crate::release::Release;
use crate::state::State;
use crate::{algolia_view, news_view, opening, reddit_view};

/// The oldest part of the backlog, which is shown first.
const PRELUDE: Duration = Duration::from_secs(3600);

/// Configures the sample site.
#[derive(clap::Args, Clone, Debug)]
pub struct SiteConfig {
    /// Seed of the sample posts: the same seed gives the same posts at the same times
    #[arg(long, env = "VIGIE_SAMPLE_SEED", default_value_t = 7, value_name = "N")]
    pub sample_seed: u64,
    /// Sample posts per minute, outside bursts
    #[arg(long, env = "VIGIE_SAMPLE_RATE", default_value_t = 12.0, value_name = "PER_MINUTE")]
    pub sample_rate: f64,
    /// How much of the past there are sample posts of at the start
    #[arg(long = "sample-backlog", alias = "sample-backlog-hours", env = "VIGIE_SAMPLE_BACKLOG", default_value = "6h", value_name = "DURATION", value_parser = vigie_daemon::units::hours(1..=48_u32))]
    pub sample_backlog_hours: u32,
    /// Folder with recorded Reddit archives (reddit_*.tar.gz) to serve instead of sample posts
    #[arg(long, env = "VIGIE_ARCHIVE", value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// Archived posts and comments released per second
    #[arg(long, env = "VIGIE_ARCHIVE_RATE", default_value_t = 300.0, value_name = "PER_SECOND")]
    pub archive_rate: f64,
    /// Where the site keeps its address and the time of its opening; without it each start is a first one.
    #[arg(skip)]
    pub file: Option<PathBuf>,
}

impl Default for SiteConfig {
    fn default() -> Self {
        Self {
            sample_seed: 7,
            sample_rate: 12.0,
            sample_backlog_hours: 6,
            archive: None,
            archive_rate: 300.0,
            file: None,
        }
    }
}

impl SiteConfig {
    fn backlog(&self) -> Duration {
        Duration::from_secs(3600 * u64::from(self.sample_backlog_hours))
    }

    /// The oldest part of the backlog.
    fn prelude(&self) -> Duration {
        PRELUDE.min(self.backlog() / 2)
    }

    /// How long windows over the sample posts have to wait for late ones: as long as the rest of the backlog, and some time to process it.
    /// So the oldest windows are final from the start.
    pub fn grace(&self) -> Duration {
        self.backlog() - self.prelude() / 2
    }

    /// Checks what clap cannot.
    ///
    /// # Errors
    /// With every mistake.
    pub fn check(&self) -> Result<(), Vec<Mistake>> {
        let mut check = Check::<Self>::default();
        let (rate, archive_rate) = (self.sample_rate, self.archive_rate);
        check.option("sample-rate", (0.1..=6000.0).contains(&rate), rate, "0.1 to 6000 per minute");
        let is_rate = (0.1..=1_000_000.0).contains(&archive_rate);
        check.option("archive-rate", is_rate, archive_rate, "0.1 to 1000000 per second");
        if let Some(folder) = &self.archive {
            check.option("archive", folder.is_dir(), folder.display(), "a folder with reddit_*.tar.gz");
        }
        check.finish(Some(()))
    }
}

/// A running sample site.
#[derive(Clone, Debug)]
pub struct Site {
    base: Url,
    state: State,
}

impl Site {
    /// Serves on the loopback interface until `shutdown`, where it was before or on a free port.
    ///
    /// # Errors
    /// [`ServiceError::Config`] with every mistake, [`ServiceError::Failed`] if the archive is unreadable or no port can be had.
    pub async fn start(
        config: &SiteConfig,
        clock: SharedClock,
        shutdown: CancellationToken,
    ) -> Result<Self, ServiceError> {
        config.check()?;
        let archive = match config.archive.clone() {
            Some(folder) => {
                let rate = config.archive_rate;
                let loading = tokio::task::spawn_blocking(move || Archive::load(&folder, rate));
                Some(Arc::new(loading.await.map_err(ServiceError::failed)?.map_err(ServiceError::failed)?))
            }
            None => None,
        };
        let now = clock.now();
        let (listener, opening) = opening::open(config.file.as_deref(), now).await.map_err(ServiceError::failed)?;
        let base = Url::parse(&format!("http://{}/", opening.address)).map_err(ServiceError::failed)?;
        let from = now.saturating_sub(config.backlog());
        let generator = Generator::new(config.sample_seed, config.sample_rate, from).opened_at(opening.opened_at);
        let held_from = from.saturating_add(config.prelude());
        let release = Release::new(held_from, sample_sources(&base).len(), clock.monotonic());
        let state =
            State { base: base.clone(), clock, generator: Arc::new(generator), release: Arc::new(release), archive };
        let app = router(state.clone());
        tokio::spawn(async move {
            let serving = axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned());
            if let Err(error) = serving.await {
                warn!(%error, "sample site ended");
            }
        });
        let site = Self { base, state };
        info!(url = %site.base, archived = site.progress().map(|p| p.total), "sample site started");
        Ok(site)
    }

    /// The sources to scrape it with.
    pub fn sources(&self) -> Vec<SourceConfig> {
        match &self.state.archive {
            Some(archive) => archive_sources(&self.base, &archive.subreddits()),
            None => sample_sources(&self.base),
        }
    }

    /// Whether all but the oldest part of the backlog is held back, even when all sources have asked for more.
    pub fn hold(&self, held: bool) {
        self.state.release.hold(held);
    }

    /// Whether all sources have published the oldest part.
    pub fn is_asked(&self) -> bool {
        self.state.release.is_asked()
    }

    /// How far the archive is; `None` without one.
    pub fn progress(&self) -> Option<Progress> {
        self.state.archive.as_ref().map(|archive| archive.progress(self.state.clock.monotonic()))
    }
}

fn router(state: State) -> Router {
    let router = Router::new()
        .route("/robots.txt", get(|| async { "User-agent: *\nAllow: /\n" }))
        .route("/progress", get(reddit_view::progress))
        .route("/r/{subs}/new.json", get(reddit_view::posts))
        .route("/r/{subs}/comments.json", get(reddit_view::comments));
    let router = if state.archive.is_some() {
        router
    } else {
        router
            .route("/", get(news_view::index))
            .route("/rss/{feed}", get(news_view::feed))
            .route("/post/{id}", get(news_view::article))
            .route("/api/v1/search_by_date", get(algolia_view::search))
    };
    router.with_state(state)
}

/// The sources of the sample posts.
pub fn sample_sources(base: &Url) -> Vec<SourceConfig> {
    let source = |id: &str, kind, path: &str, language: &str| local(base, id, kind, path, Some(language), 60);
    let mut sources: Vec<SourceConfig> = generator::FEEDS
        .iter()
        .map(|(feed, _, language)| source(&format!("sample-{feed}"), Kind::Rss, &format!("rss/{feed}.xml"), language))
        .collect();
    for (sub, language) in generator::SUBREDDITS {
        let id = sub.to_ascii_lowercase();
        sources.push(source(&format!("sample-reddit-{id}"), Kind::Reddit, &format!("r/{sub}/new.json"), language));
        sources.push(source(
            &format!("sample-reddit-{id}-comments"),
            Kind::Reddit,
            &format!("r/{sub}/comments.json"),
            language,
        ));
    }
    sources.push(source("sample-hackernews", Kind::HackerNews, "api/v1/search_by_date?tags=(story,comment)", "en"));
    sources
}

/// The sources of an archive: one for all posts and one for all comments, so that what is read stays near the order of time.
fn archive_sources(base: &Url, subreddits: &[String]) -> Vec<SourceConfig> {
    let subs = subreddits.join("+");
    vec![
        local(base, "archive-reddit-posts", Kind::Reddit, &format!("r/{subs}/new.json"), None, 100),
        local(base, "archive-reddit-comments", Kind::Reddit, &format!("r/{subs}/comments.json"), None, 100),
    ]
}

fn local(base: &Url, id: &str, kind: Kind, path: &str, language: Option<&str>, max_pages: u32) -> SourceConfig {
    let url = base.join(path).unwrap_or_else(|_| base.clone());
    SourceConfig {
        every: Duration::from_secs(1),
        language: language.map(str::to_owned),
        local: true,
        sample: true,
        backlog: true,
        max_pages,
        ..SourceConfig::new(id, kind, url)
    }
}
