//! Replays beside live posts: a history is published, and three runs replay it, with the live model, with another and with another asset
//! table, while live posts go on. They are killed, compared, promoted and rolled back, and at each moment everything served is held against
//! the oracle.

mod live;
mod runs;
mod served;
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use serde_json::{Value, json};
use vigie_clock::{Clock, Timestamp};
use vigie_processors::inference::ModelConfig;
use vigie_schemas::{RawPost, Topic};

use self::live::{Live, Seen};
use self::served::Served;
use self::stream::Subscriber;
use crate::check::oracle::{self, Expected, WINDOW_MS};
use crate::check::{Violations, blocking, stores};
use crate::error::ChaosError;
use crate::options::ReplayOptions;
use crate::posts::feeder::Feeder;
use crate::posts::{Fate, Generator, SPAN};
use crate::report::{Progress, ReplayReport, Report};
use crate::world::World;
use crate::world::drain::drain;

/// A coin less, and one that half of the English posts are said to name.
const ASSETS: &str =
    "[[asset]]\nid = \"DOGE\"\nremove = true\n\n[[asset]]\nid = \"NOTED\"\nname = \"Noted\"\nnames = [\"note\"]\n";
/// Live, with the live model, with another, with another asset table.
const RUNS: [&str; 4] = ["live", "same", "model", "assets"];

/// What the runs are made with.
struct Variants {
    model: ModelConfig,
    assets: PathBuf,
}

/// What is under way once live posts are published.
struct Stage<'a> {
    world: &'a mut World,
    options: &'a ReplayOptions,
    progress: &'a Progress,
    served: Served,
    subscriber: Subscriber,
    seen: Seen,
    api: u16,
    findings: ReplayReport,
    violations: Vec<String>,
}

/// A run of replays, from the first post to the last check.
pub(crate) async fn go(
    world: &mut World,
    options: &ReplayOptions,
    report: &mut Report,
    progress: &Progress,
) -> Result<(), ChaosError> {
    world.fleet.until_all_ready().await?;
    let mut findings = ReplayReport::default();
    let range = world.from.as_millis()..world.from.as_millis() + SPAN;
    let variants = Variants::make(&world.options.model, &world.dir)?;
    let (url, redis) = (world.stack.endpoints().postgres_url.clone(), world.stack.endpoints().redis_url.clone());

    progress(&format!("publishing {} records of history", world.options.posts));
    let since = world.clock.monotonic();
    let generator = Generator::new(world.options.seed, world.from, world.options.posts);
    let mut generator = Feeder::start(world.writer.clone(), generator, 1, world.options.posts).finish().await?;
    let posts = Arc::new(scored(world, 0));
    findings.history = posts.len();
    drain(world, "the history").await?;
    findings.history_seconds = world.clock.monotonic().saturating_sub(since).as_secs_f64();
    progress(&format!("{} posts stored in {:.0} s; closing their windows", posts.len(), findings.history_seconds));
    let before_live = world.writer.count();
    let advancers = generator.advancers(world.clock.now(), world.clock.now(), Topic::PostsRaw.partitions());
    world.writer.write(advancers).await?;
    let closed = async |_: &mut _| {
        Ok(stores::open_windows(&url, range.end).await? == 0 && stores::announced(&url, &redis).await?.is_empty())
    };
    world.fleet.until("the history's windows are closed", closed).await?;
    progress("counting the posts for the oracle");
    let served = Served { range, runs: variants.expect(world, &posts).await?, promoted: Vec::new() };

    let (api, seen) = (world.fleet.get("api")?.port, Seen::default());
    let subscriber = Subscriber::connect(api, &seen).await?;
    let live = Live::start(world.writer.clone(), generator, options.live, api, &seen);
    let violations = Vec::new();
    let mut stage = Stage { world, options, progress, served, subscriber, seen, api, findings, violations };
    stage.rows("live").await?;
    stage.alone("alone, before").await?;
    let kills_left = stage.replay(&variants).await?;
    stage.alone("alone, after").await?;
    stage.switches().await?;
    live.stop().await?;
    drain(stage.world, "the live posts").await?;
    stage.check_live(before_live).await?;
    if kills_left > 0 {
        return Err(ChaosError::DidNotFire(format!("the replays ended {kills_left} kills too early")));
    }
    let Stage { world, served, findings, violations, .. } = stage;
    report.violations.extend(violations);
    report.published = world.writer.count();
    report.published_again = world.writer.retries();
    report.posts = (findings.history + findings.live) as u64;
    report.windows = served.runs.values().map(|expected| expected.windows.len() as u64).sum();
    report.replay = Some(findings);
    Ok(())
}

impl Stage<'_> {
    /// PostgreSQL has what a run should have of the history.
    async fn rows(&mut self, run: &str) -> Result<(), ChaosError> {
        let url = &self.world.stack.endpoints().postgres_url;
        let found = stores::postgres(url, run, self.served.range.clone(), &self.served.runs[run], None).await?;
        self.violations.extend(found.into_vec());
        Ok(())
    }

    /// Notes how long the live posts took since then.
    fn timed(&mut self, beside: &str, since: Duration) {
        let latencies = self.seen.report(beside, since, self.seen.now());
        latencies.iter().for_each(|latency| (self.progress)(&format!("  {latency}")));
        self.findings.latencies.extend(latencies);
    }

    /// Lets live posts be alone.
    async fn alone(&mut self, name: &str) -> Result<(), ChaosError> {
        (self.progress)(&format!("{} live posts a second, {name}", self.options.live));
        let since = self.seen.now();
        self.world.pass(Duration::from_secs(self.options.alone)).await?;
        self.timed(name, since);
        Ok(())
    }

    /// All runs, one after the other. How many kills are left.
    async fn replay(&mut self, variants: &Variants) -> Result<u32, ChaosError> {
        let Range { start, end } = self.served.range;
        let range = format!("--from {} --to {}", Timestamp::from_millis(start), Timestamp::from_millis(end));
        let mut kills = self.world.options.kills;
        for (run, left) in RUNS[1..].iter().zip((1..RUNS.len() as u32).rev()) {
            let wanted = kills.div_ceil(left);
            (self.progress)(&format!("replay {run}, to be killed {wanted} times"));
            let since = self.seen.now();
            let args = variants.args(run, self.options);
            let ran =
                runs::run(self.world, run, (&range, &args), (wanted, left > 1 && wanted > 0), self.progress).await?;
            self.timed(run, since);
            (self.progress)(&format!("  {ran}"));
            kills -= ran.kills;
            self.findings.runs.push(ran);
            self.rows(run).await?;
            let diff = format!("--json replay diff {run} -n 200 --api-url http://127.0.0.1:{}", self.api);
            match self.world.fleet.job(&diff).await {
                Ok(diff) => {
                    let diff: Value = serde_json::from_str(&diff).unwrap_or_default();
                    self.violations.extend(self.served.judge_diff(&diff, run).into_vec());
                }
                Err(error) => self.violations.push(error.to_string()),
            }
            self.moment(&format!("{run} has run")).await?;
        }
        Ok(kills)
    }

    /// The API serves what it should, and each run by its name, and the subscriber has heard what Redis has.
    async fn moment(&mut self, name: &str) -> Result<(), ChaosError> {
        let done = self.findings.runs.iter().map(|run| Some(run.run.as_str()));
        let mut found = Violations::default();
        for run in [None, Some("live")].into_iter().chain(done) {
            found.extend(self.served.check(self.api, run, &mut self.world.rng).await);
        }
        found.extend(self.subscriber.equals_redis(&self.world.stack.endpoints().redis_url).await?);
        let equal = if found.is_empty() { "equal" } else { "NOT equal" };
        (self.progress)(&format!("  {name}: {equal} to the oracle"));
        self.findings.moments.push(name.to_owned());
        self.violations.extend(found.into_vec().into_iter().map(|violation| format!("{name}: {violation}")));
        Ok(())
    }

    /// Promotes all runs, one of them for a part of the range, and rolls them back in another order.
    async fn switches(&mut self) -> Result<(), ChaosError> {
        let since = self.seen.now();
        let range = self.served.range.clone();
        let mut border = |from: i64| from + self.world.rng.random_range(1..SPAN / WINDOW_MS / 2) * WINDOW_MS;
        let part = border(range.start)..border(range.start + SPAN / 2);
        let mut after = self.served.clone();
        let mut steps = Vec::new();
        for (run, range) in [("same", range.clone()), ("model", part), ("assets", range)] {
            let (from, to) = (Timestamp::from_millis(range.start), Timestamp::from_millis(range.end));
            after.promoted.push((run, range));
            steps.push((format!("promote {run} --from {from} --to {to} --reason chaos"), after.clone()));
        }
        for run in ["model", "assets", "same"] {
            after.promoted.retain(|(promoted, _)| *promoted != run);
            steps.push((format!("rollback {run}"), after.clone()));
        }
        for (command, after) in steps {
            self.switch(&command, after).await?;
            self.moment(&command).await?;
        }
        self.timed("switches", since);
        Ok(())
    }

    /// Switches what is served. Until subscribers are notified, each answer is wholly from before or wholly from after, and once from after for good.
    async fn switch(&mut self, command: &str, after: Served) -> Result<(), ChaosError> {
        (self.progress)(command);
        let before = std::mem::replace(&mut self.served, after);
        let heard = self.subscriber.switches().len();
        let mut found = Violations::default();
        let (mut answers, mut is_after) = (0, false);
        let (world, after) = (&*self.world, &self.served);
        let mut ask = async || {
            let Some(answer) = after.answer(self.api, "*,BTC,ETH,DOGE", None).await else { return };
            answers += 1;
            let new = after.judge(&answer, None);
            if new.is_empty() {
                is_after = true;
            } else if is_after || !before.judge(&answer, None).is_empty() {
                found.extend(new);
            }
        };
        let command_line = format!("replay {command}");
        let mut job = std::pin::pin!(world.fleet.job(&command_line));
        let done = loop {
            tokio::select! {
                biased;
                done = &mut job => break done,
                () = ask() => {}
            }
        };
        done?;
        let since = world.clock.monotonic();
        let patience = world.fleet.patience;
        while self.subscriber.switches().len() == heard {
            ask().await;
            if world.clock.monotonic().saturating_sub(since) > patience {
                return Err(ChaosError::TooLong { what: format!("subscribers hear of {command}"), patience });
            }
        }
        ask().await;
        if !is_after {
            found.add("the subscriber was notified, and answers are still from before");
        }
        let switches = self.subscriber.switches();
        if switches.len() != heard + 1 || !after.is_announced(&switches[heard]) {
            found.add(format!("the subscriber heard {:?}", &switches[heard..]));
        }
        self.findings.answers_during_switches += answers;
        self.violations.extend(found.into_vec().into_iter().map(|violation| format!("{command}: {violation}")));
        Ok(())
    }

    /// Everything that was published after the nth record, against the oracle.
    async fn check_live(&mut self, before: u64) -> Result<(), ChaosError> {
        (self.progress)("checking the live posts");
        let (model, posts) = (self.world.options.model.clone(), scored(self.world, before));
        let expected = blocking(move || oracle::expect(&model, None, &posts)).await?;
        let servers = self.world.stack.endpoints();
        let (url, redis) = (&servers.postgres_url, &servers.redis_url);
        let mut found = stores::postgres(url, "live", self.served.range.end..i64::MAX, &expected, None).await?;
        found.extend(stores::announced(url, redis).await?);
        found.extend(self.subscriber.equals(&self.seen.ids(), &expected));
        found.extend(self.subscriber.equals_redis(redis).await?);
        self.violations.extend(found.into_vec());
        (self.findings.live, self.findings.events) = (expected.posts.len(), self.subscriber.events());
        Ok(())
    }
}

/// The distinct posts that are to be scored, of what was written from the nth record on.
fn scored(world: &World, from: u64) -> Vec<(RawPost, Fate)> {
    let written = world.writer.written();
    let mut posts: HashMap<String, (RawPost, Fate)> = HashMap::new();
    for record in written.into_iter().skip(from as usize).filter(|record| record.fate == Fate::Counted) {
        if let Some(post) = record.post {
            posts.entry(record.key).or_insert((post, record.fate));
        }
    }
    posts.into_values().collect()
}

impl Variants {
    /// A model that answers after its first segment, and another asset table.
    fn make(model: &ModelConfig, dir: &Path) -> Result<Self, ChaosError> {
        let (folder, assets) = (dir.join("model"), dir.join("assets.toml"));
        let failed = |action: &str| ChaosError::io(format!("{action} of the other model"));
        std::fs::create_dir_all(&folder).map_err(failed("make the folder"))?;
        let manifest = std::fs::read(model.dir.join("model.json")).map_err(failed("read what is the pattern"))?;
        let mut manifest: Value =
            serde_json::from_slice(&manifest).map_err(|error| ChaosError::Other(error.to_string()))?;
        let mut first = manifest["segments"][0].take();
        first.as_object_mut().into_iter().for_each(|first| drop(first.remove("exit_at")));
        let file = first["file"].as_str().unwrap_or_default().to_owned();
        // A head needs two segments.
        (manifest["segments"], manifest["mood"], manifest["version"]) = (json!([first]), Value::Null, json!("0.0.1"));
        let [spam, turns] =
            ["spam", "turns"].map(|part| manifest[part]["file"].as_str().unwrap_or_default().to_owned());
        std::fs::write(folder.join("model.json"), manifest.to_string()).map_err(failed("write the manifest"))?;
        for file in ["tokenizer.json", &file, &spam, &turns] {
            std::fs::copy(model.dir.join(file), folder.join(file)).map_err(failed("copy a file"))?;
        }
        std::fs::write(&assets, ASSETS).map_err(ChaosError::io("write the other asset table"))?;
        Ok(Self { model: ModelConfig { dir: folder, ..model.clone() }, assets })
    }

    /// Options of `vigie replay run`.
    fn args(&self, run: &str, options: &ReplayOptions) -> String {
        let rate = options.replay_rate.map(|rate| format!(" --rate {rate}")).unwrap_or_default();
        match run {
            "model" => format!("--model {}{rate}", self.model.dir.display()),
            "assets" => format!("--assets {}{rate}", self.assets.display()),
            _ => rate,
        }
    }

    /// What each of [`RUNS`] should say.
    async fn expect(
        &self,
        world: &World,
        posts: &Arc<Vec<(RawPost, Fate)>>,
    ) -> Result<BTreeMap<&'static str, Arc<Expected>>, ChaosError> {
        let mut runs = BTreeMap::new();
        for (run, model, assets) in [
            ("live", &world.options.model, None),
            ("model", &self.model, None),
            ("assets", &world.options.model, Some(self.assets.clone())),
        ] {
            let (model, posts) = (model.clone(), Arc::clone(posts));
            let expected = blocking(move || oracle::expect(&model, assets.as_deref(), &posts)).await?;
            runs.insert(run, Arc::new(expected));
        }
        runs.insert("same", Arc::clone(&runs["live"]));
        Ok(runs)
    }
}
