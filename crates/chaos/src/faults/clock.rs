//! Steps of a service's wall clock.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::commits::until_commits_again;
use crate::check::stores;
use crate::error::ChaosError;
use crate::world::World;

const STEP_MS: i64 = 3_600_000;

/// The wall clock of a processor goes an hour ahead or behind, and is set right after a while.
///
/// Proof: PostgreSQL has records of it with a time that is half an hour off at least.
pub(crate) async fn step(world: &mut World) -> Result<String, ChaosError> {
    let steps = [
        ("sentiment-a", "posts", "scored_at"),
        ("sentiment-b", "posts", "scored_at"),
        ("trends-a", "trend_windows", "emitted_at"),
        ("trends-b", "trend_windows", "emitted_at"),
    ];
    let (name, table, column) = steps.choose(&mut world.rng).copied().unwrap_or(steps[0]);
    let ahead = world.rng.random_bool(0.5);
    let (millis, off) = match ahead {
        true => (STEP_MS, format!("{column} > now() + interval '30 minutes'")),
        false => (-STEP_MS, format!("{column} < now() - interval '30 minutes'")),
    };
    let file = world.clock_file(name);
    let write = |millis: i64| {
        std::fs::write(&file, millis.to_string()).map_err(ChaosError::io(format!("write {}", file.display())))
    };
    let query = format!("SELECT count(*) FROM {table} WHERE {off}");
    let url = world.stack.endpoints().postgres_url.clone();
    write(millis)?;
    let mut found = 0;
    let seen = world
        .fleet
        .until(&format!("records of {name} have a wrong time"), async |fleet| {
            fleet.revive(name)?;
            found = stores::connect(&url).await?.query_one(&query, &[]).await?.get::<_, i64>(0);
            Ok(found > 0)
        })
        .await;
    write(0)?;
    seen?;
    until_commits_again(world, name).await?;
    let way = if ahead { "ahead" } else { "behind" };
    Ok(format!("the clock of {name} was an hour {way}, and {found} of its records say so; then it was set right"))
}
