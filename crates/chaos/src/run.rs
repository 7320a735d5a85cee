//! One run: start, break, drain, close the windows, be late, drain, check.

use std::collections::HashMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use rand::seq::SliceRandom;
use tokio::signal::unix::{SignalKind, signal};
use vigie_clock::{Clock, SystemClock, Timestamp};
use vigie_schemas::{RawPost, Topic};

use crate::check::oracle::{self, WINDOW_MS};
use crate::check::{blocking, ledger, stores, windows};
use crate::error::ChaosError;
use crate::evidence::Evidence;
use crate::fault::{FaultKind, Fired};
use crate::faults::members;
use crate::options::Options;
use crate::posts::feeder::Feeder;
use crate::posts::{Fate, GRACE_HOURS, Generator, MINUTE, SPAN};
use crate::replay;
use crate::report::{Progress, Report};
use crate::world::World;
use crate::world::busy::{Busy, Patience};
use crate::world::drain::drain;

/// Seconds that a fault takes, roughly: the posts are spread over that time.
const SECONDS_PER_FAULT: u64 = 12;
/// Entries of the feed that appear with each fault.
const ENTRIES_PER_FAULT: usize = 10;
const LATE: u64 = 50;
/// How often the last checks may find that a sink is not yet done.
const TRIES: u32 = 10;

/// What is to be broken next.
#[derive(Clone, Copy)]
enum Step {
    Kill,
    Fault(FaultKind),
}

/// Breaks a pipeline on servers of its own and checks its promises. What is broken is in the report.
///
/// # Errors
/// If the run could not be carried through, or if a fault had no effect: then nothing is proven either way. On SIGTERM and SIGINT: what
/// was started has then been stopped, and what was written is gone.
pub async fn run(options: Options, progress: Progress) -> Result<Report, ChaosError> {
    let evidence = Evidence::new()?;
    let (seed, sabotage) = (options.seed, options.sabotage);
    let outcome = attempt(options, evidence.path(), &progress).await;
    if let Err(ChaosError::Interrupted) = outcome {
        return outcome;
    }
    // A sabotaged run is to break promises.
    if outcome.as_ref().is_ok_and(|report| report.passed() || sabotage) {
        return outcome;
    }
    progress("keeping what was written");
    let (dir, dumped) = evidence.keep().await;
    if let Err(error) = dumped {
        progress(&format!("the brokers' logs are not dumped: {error}"));
    }
    let evidence = dir.display().to_string();
    match outcome {
        Ok(report) => Ok(Report { evidence: Some(evidence), ..report }),
        Err(error) => Err(ChaosError::GaveUp { seed, why: Box::new(error), evidence }),
    }
}

/// A run, all that it writes in `dir`. Afterwards nothing runs any more.
async fn attempt(options: Options, dir: &Path, progress: &Progress) -> Result<Report, ChaosError> {
    let clock = SystemClock::default();
    let mut interrupted = pin!(interrupted()?);
    let mut report = Report {
        seed: options.seed,
        state_backend: options.state_backend.clone(),
        spread_market: options.spread_market,
        ..Report::default()
    };
    let patience = Patience::of(options.busy);
    let _busy = Busy::start(options.busy)?;
    progress(&format!("seed {}: starting {} brokers and the services", options.seed, options.kafka_nodes));
    let mut world = tokio::select! {
        world = World::start(options, dir, patience, clock) => world?,
        () = &mut interrupted => return Err(ChaosError::Interrupted),
    };
    let ended = tokio::select! {
        ended = async {
            match world.options.replay.clone() {
                Some(options) => replay::go(&mut world, &options, &mut report, progress).await,
                None => go(&mut world, &mut report, progress).await,
            }
        } => ended,
        () = &mut interrupted => Err(ChaosError::Interrupted),
    };
    report.seconds = clock.monotonic().as_secs_f64();
    let World { mut fleet, stack, .. } = world;
    report.unavailable = fleet.unavailable;
    for service in &fleet.services {
        report.peak_memory_mib.insert(service.spec.name.clone(), service.peak_memory >> 20);
    }
    if ended.is_ok() {
        progress("stopping the services in order");
        report.violations.extend(fleet.stop().await?);
    }
    drop(fleet);
    stack.stop().await;
    match ended {
        Ok(()) => Ok(report),
        // That no service ends by itself is promised.
        Err(died @ ChaosError::Died { .. }) => {
            report.violations.push(died.to_string());
            Ok(report)
        }
        Err(error) => Err(error),
    }
}

/// Ends at the first SIGTERM or SIGINT from now on.
fn interrupted() -> Result<impl Future<Output = ()>, ChaosError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ChaosError::io("handle SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ChaosError::io("handle SIGINT"))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn go(world: &mut World, report: &mut Report, progress: &Progress) -> Result<(), ChaosError> {
    world.fleet.until_all_ready().await?;
    let options = world.options.clone();
    let steps = schedule(world);
    let generator = Generator::new(options.seed, world.from, options.posts);
    let seconds = steps.len().max(1) as u64 * SECONDS_PER_FAULT;
    let rate = options.rate.unwrap_or((options.posts / seconds).clamp(10, 400));
    progress(&format!("publishing {rate} records a second beside {} faults", steps.len()));
    let feeder = Feeder::start(world.writer.clone(), generator, rate, options.posts);
    for (number, step) in steps.iter().enumerate() {
        let name = match step {
            Step::Kill => "kill".to_owned(),
            Step::Fault(kind) => kind.name(),
        };
        progress(&format!("{}/{}: {name}, {} records published", number + 1, steps.len(), world.writer.count()));
        world.feed.grow(ENTRIES_PER_FAULT);
        let since = world.clock.monotonic();
        let fired = match step {
            Step::Kill => members::kill(world).await.map(Fired::Proof),
            Step::Fault(kind) => kind.fire(world).await,
        };
        let took = world.clock.monotonic().saturating_sub(since).as_secs_f64();
        match fired? {
            Fired::Proof(proof) => {
                progress(&format!("  {proof} ({took:.1} s)"));
                report.fired(&name, proof, took);
            }
            Fired::Skipped(why) => {
                progress(&format!("  skipped: {why}"));
                report.skipped(&name, why);
            }
        }
        if feeder.has_ended() {
            break;
        }
    }
    world.feed.grow_to_the_end();
    progress("publishing the rest");
    let generator = feeder.finish().await?;
    world.fleet.until_all_ready().await?;
    until_feed_is_read(world).await?;
    drain(world, "after the faults").await?;
    close(world, generator, report, progress).await?;
    check(world, report, progress).await
}

/// The faults and the kills in an order that the seed decides.
fn schedule(world: &mut World) -> Vec<Step> {
    let mut steps: Vec<Step> = world.wanted().into_iter().map(Step::Fault).collect();
    steps.extend((0..world.options.kills).map(|_| Step::Kill));
    steps.shuffle(&mut world.rng);
    steps
}

async fn until_feed_is_read(world: &mut World) -> Result<(), ChaosError> {
    let entries = world.feed.entries.len() as i64;
    let url = world.stack.endpoints().postgres_url.clone();
    world
        .fleet
        .until("the feed is read", async |_| {
            let client = stores::connect(&url).await?;
            let query = "SELECT count(*) FROM posts WHERE kind = 'rss'";
            Ok(client.query_one(query, &[]).await?.get::<_, i64>(0) >= entries)
        })
        .await
        .map(drop)
}

/// Moves event time past the grace, sees all windows closed, and then publishes posts that are late.
async fn close(
    world: &mut World,
    mut generator: Generator,
    report: &mut Report,
    progress: &Progress,
) -> Result<(), ChaosError> {
    const COUNTER: &str = "vigie_streams_late_records_total";
    progress("closing the windows");
    let early = world.fleet.metric("trends", COUNTER, &[]).await;
    if early != 0.0 {
        report.violations.push(format!("{early} mentions were counted as late before any was"));
    }
    let at = Timestamp::from_millis(world.from.as_millis() + SPAN + (GRACE_HOURS * 60 + 10) * MINUTE);
    let partitions = Topic::PostsRaw.partitions();
    world.writer.write(generator.advancers(at, world.clock.now(), partitions)).await?;
    let (url, end) = (world.stack.endpoints().postgres_url.clone(), closed_before(world));
    world.fleet.until("all windows are closed", async |_| Ok(stores::open_windows(&url, end).await? == 0)).await?;
    progress(&format!("publishing {LATE} late posts"));
    world.writer.write(generator.late(LATE, world.clock.now())).await?;
    drain(world, "after the late posts").await?;
    report.late_mentions = world.fleet.metric("trends", COUNTER, &[]).await as u64;
    Ok(())
}

fn closed_before(world: &World) -> i64 {
    world.from.as_millis() + SPAN + WINDOW_MS
}

async fn check(world: &mut World, report: &mut Report, progress: &Progress) -> Result<(), ChaosError> {
    progress("checking every record");
    let written = world.writer.written();
    let fates: HashMap<String, Fate> = written.iter().map(|record| (record.key.clone(), record.fate)).collect();
    let (kafka, codec) = (world.kafka.clone(), world.codec.clone().sync(tokio::runtime::Handle::current()));
    let ledger = blocking(move || ledger::check(&kafka, &codec, &fates)).await?;
    report.published = world.writer.count();
    report.published_again = world.writer.retries();
    (report.dead_letters, report.duplicates) = (ledger.dead_letters, ledger.duplicates);
    for poison in ["poison", "duplicate"] {
        let count = if poison == "poison" { ledger.dead_letters } else { ledger.duplicates };
        if count == 0 {
            return Err(ChaosError::DidNotFire(format!("there was no {poison} record")));
        }
        report.fired(poison, format!("{count} records"), 0.0);
    }
    let posts = posts(world, &written, &ledger, report);
    report.violations.extend(ledger.violations.into_vec());

    let model = world.options.model.clone();
    let expected = Arc::new(blocking(move || oracle::expect(&model, None, &posts)).await?);
    (report.posts, report.windows) = (expected.posts.len() as u64, expected.windows.len() as u64);
    if report.late_mentions != expected.late_mentions {
        let (is, should) = (report.late_mentions, expected.late_mentions);
        report.violations.push(format!("{is} mentions were counted as late, expected {should}"));
    }
    report.fired("late", format!("{} mentions of {LATE} posts", report.late_mentions), 0.0);

    progress(&format!("checking {} windows", expected.windows.len()));
    let (kafka, codec) = (world.kafka.clone(), world.codec.clone().sync(tokio::runtime::Handle::current()));
    let (oracle, end) = (Arc::clone(&expected), closed_before(world));
    let (mentions, found, stable) = blocking(move || {
        let mentions = ledger::mentions(&kafka, &codec, &oracle.posts)?;
        Ok((mentions, windows::check(&kafka, &codec, &oracle, end)?, windows::stable(&kafka)?))
    })
    .await?;
    report.revisions = found.revisions;
    for violations in [mentions, found.violations, stable] {
        report.violations.extend(violations.into_vec());
    }
    check_stores(world, &expected, report).await?;
    check_services(world, report).await
}

/// The distinct posts that should be scored.
fn posts(
    world: &World,
    written: &[crate::posts::Planned],
    ledger: &ledger::Ledger,
    report: &mut Report,
) -> Vec<(RawPost, Fate)> {
    let mut posts: HashMap<&str, (RawPost, Fate)> = HashMap::new();
    for record in written.iter().filter(|record| !matches!(record.fate, Fate::Dead(_))) {
        if let Some(post) = &record.post {
            posts.entry(&record.key).or_insert_with(|| (post.clone(), record.fate));
        }
    }
    let mut posts: Vec<_> = posts.into_values().collect();
    for entry in world.feed.entries.iter() {
        let title = entry.title.clone().unwrap_or_default();
        match ledger.feed.get(&title) {
            Some(id) => posts.push((RawPost { post_id: id.clone(), ..entry.clone() }, Fate::Counted)),
            None => report.violations.push(format!("the producer never published {title:?}")),
        }
    }
    posts
}

async fn check_stores(world: &mut World, expected: &oracle::Expected, report: &mut Report) -> Result<(), ChaosError> {
    let servers = world.stack.endpoints().clone();
    let api = world.fleet.get("api")?.port;
    let mut found = Vec::new();
    // Where the topics are wrong already, nothing is to be waited for.
    let tries = if report.passed() { TRIES } else { 1 };
    for _ in 0..tries {
        let rows =
            stores::postgres(&servers.postgres_url, "live", 0..i64::MAX, expected, Some(report.revisions)).await?;
        let served = stores::served(api, (&servers.postgres_url, &servers.redis_url), expected, world.from).await?;
        let done = rows.is_empty() && served.is_empty();
        found = [rows.into_vec(), served.into_vec()].concat();
        if done {
            break;
        }
        world.pass(std::time::Duration::from_secs(1)).await?;
    }
    report.violations.extend(found);
    Ok(())
}

async fn check_services(world: &mut World, report: &mut Report) -> Result<(), ChaosError> {
    let most = world.options.max_memory_mib;
    for service in &mut world.fleet.services {
        let name = &service.spec.name;
        if !service.is_ready().await {
            report.violations.push(format!("{name} is not ready at the end"));
        }
        if service.peak_memory >> 20 > most {
            report.violations.push(format!("{name} held {} MiB, expected {most} at most", service.peak_memory >> 20));
        }
    }
    Ok(())
}
