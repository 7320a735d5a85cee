//! A replay as an operator runs it, which is killed at some moments and goes on each time.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::Rng;
use vigie_clock::Clock;

use crate::check::stores;
use crate::error::ChaosError;
use crate::report::{Progress, RunReport};
use crate::world::World;
use crate::world::service::{Service, signal_of};

const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The slowest that a replay may be, in records per second.
const SLOWEST: u64 = 15;

/// How far a run is.
struct Position {
    /// Share of the records that are scored; 1 where the windows are being counted.
    share: f64,
    records: i64,
}

/// Runs `vigie replay run` to its end; `range` is said at the first start only. Killed where the seed says, the last time
/// while windows are counted if `in_counting`; `kills` times at most, for one that has ended before cannot be killed.
pub(super) async fn run(
    world: &mut World,
    id: &str,
    (range, what): (&str, &str),
    (kills, in_counting): (u32, bool),
    progress: &Progress,
) -> Result<RunReport, ChaosError> {
    let mut moments: Vec<f64> = (0..kills).map(|_| world.rng.random_range(0.02..0.8)).collect();
    if in_counting {
        moments.pop();
        moments.push(1.0);
    }
    moments.sort_by(f64::total_cmp);
    let mut moments = moments.into_iter().peekable();
    let url = world.stack.endpoints().postgres_url.clone();
    let client = stores::connect(&url).await?;
    let mut process = start(world, id, &format!("{what} {range}"))?;
    let mut started = world.clock.now().as_millis();
    let since = world.clock.monotonic();
    let patience = world.fleet.patience * (kills + 1) + Duration::from_secs(world.writer.count() / SLOWEST);
    let mut report = RunReport { run: id.to_owned(), ..RunReport::default() };
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        if let Some(status) = process.ended() {
            // Killed after its last word: asked again it only cleans up, and says that it has ended.
            let ended = "SELECT state = 'finished' FROM runs WHERE run_id = $1";
            if !status.success() && !client.query_one(ended, &[&id]).await?.get::<_, bool>(0) {
                return Err(process.died(status));
            }
            break;
        }
        if world.clock.monotonic().saturating_sub(since) > patience {
            return Err(ChaosError::TooLong { what: format!("replay {id} ends"), patience });
        }
        let position = position(&client, id, started).await?;
        report.records = report.records.max(position.records);
        if moments.next_if(|moment| position.share >= *moment).is_some() {
            let delay = Duration::from_millis(world.rng.random_range(0..1_000));
            world.pass(delay).await?;
            process.signal(Signal::SIGKILL);
            let status = loop {
                tokio::time::sleep(LOOK_AGAIN).await;
                if let Some(status) = process.ended() {
                    break status;
                }
            };
            if status.success() {
                break;
            }
            if signal_of(status) != Some(Signal::SIGKILL as i32) {
                return Err(process.died(status));
            }
            report.kills += 1;
            progress(&format!("  {id}: killed at {:.0} % of the records", position.share * 100.0));
            process = start(world, id, what)?;
            started = world.clock.now().as_millis();
        }
    }
    report.seconds = world.clock.monotonic().saturating_sub(since).as_secs_f64();
    let ended = world.clock.monotonic();
    until_stored(world, &client, id).await?;
    report.stored_after_seconds = world.clock.monotonic().saturating_sub(ended).as_secs_f64();
    Ok(report)
}

fn start(world: &World, id: &str, options: &str) -> Result<Service, ChaosError> {
    let mut process = world.fleet.extra(&format!("replay-{id}"), &format!("replay run --run-id {id} {options}"))?;
    process.start(&[])?;
    Ok(process)
}

/// As the process that was started then has reported.
async fn position(client: &tokio_postgres::Client, id: &str, started: i64) -> Result<Position, ChaosError> {
    let query = "SELECT progress->>'phase', (progress->>'done')::bigint, (progress->>'of')::bigint FROM runs \
                 WHERE run_id = $1 AND progress IS NOT NULL AND extract(epoch FROM heard_at) * 1000 > $2::bigint";
    let Some(row) = client.query_opt(query, &[&id, &started]).await? else {
        return Ok(Position { share: 0.0, records: 0 });
    };
    let (phase, done, of): (Option<String>, Option<i64>, Option<i64>) = (row.get(0), row.get(1), row.get(2));
    Ok(match (phase.as_deref(), done, of) {
        (Some("counting"), ..) => Position { share: 1.0, records: 0 },
        (Some("scoring"), Some(done), Some(of)) if of > 0 => Position { share: done as f64 / of as f64, records: of },
        _ => Position { share: 0.0, records: 0 },
    })
}

/// Waits until PostgreSQL has as many posts, windows and alerts as the run wrote: each once, as their keys are.
async fn until_stored(world: &mut World, client: &tokio_postgres::Client, id: &str) -> Result<(), ChaosError> {
    let query = "SELECT posts = (SELECT count(*) FROM stored_posts p WHERE p.run_id = r.run_id) AND \
                 (detail->>'windows')::bigint = (SELECT count(*) FROM stored_windows w WHERE w.run_id = r.run_id) AND \
                 (detail->>'alerts')::bigint = (SELECT count(*) FROM alerts a WHERE a.run_id = r.run_id) \
                 FROM runs r WHERE run_id = $1 AND state = 'finished'";
    let since = world.clock.monotonic();
    let patience = world.fleet.patience + Duration::from_secs(world.writer.count() / SLOWEST);
    loop {
        // The sink reports its lag every second; counting rows is expensive.
        world.pass(Duration::from_secs(1)).await?;
        let lag = world.fleet.metric("sink-postgres", "vigie_sinks_lag_records", &["topic=\"replays."]).await;
        if lag == 0.0 && client.query_one(query, &[&id]).await?.get(0) {
            return Ok(());
        }
        if world.clock.monotonic().saturating_sub(since) > patience {
            return Err(ChaosError::TooLong { what: format!("replay {id} is in postgresql"), patience });
        }
    }
}
