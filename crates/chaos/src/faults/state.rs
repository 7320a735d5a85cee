//! Faults of a processor's local state, for programs that keep some.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use rand::seq::IndexedRandom;

use crate::error::ChaosError;
use crate::fault::{FaultKind, Fired};
use crate::world::{STATE_DIR, World};

/// The option that names the folder.
pub(crate) const OPTION: &str = "--state-dir";

const RESTORED: &str = "vigie_streams_restored_records_total";

pub(crate) async fn fire(kind: FaultKind, world: &mut World) -> Result<Fired, ChaosError> {
    if !world.has_option("process trends", OPTION)? {
        return Ok(Fired::Skipped("the processors keep no local state (no --state-dir)"));
    }
    let proof = match kind {
        FaultKind::DiskFull if !nix::unistd::geteuid().is_root() => {
            return Ok(Fired::Skipped("a small tmpfs can be mounted by root only"));
        }
        FaultKind::DiskFull => match full(world).await? {
            Some(proof) => proof,
            None => return Ok(Fired::Skipped("mount refuses a tmpfs here")),
        },
        FaultKind::StateDeleted => damaged(world, "deleted", |file| std::fs::remove_file(file)).await?,
        _ => damaged(world, "cut in half", halve).await?,
    };
    world.fleet.until_all_ready().await?;
    Ok(Fired::Proof(proof))
}

fn halve(file: &Path) -> std::io::Result<()> {
    let open = std::fs::OpenOptions::new().write(true).open(file)?;
    open.set_len(open.metadata()?.len() / 2)
}

/// Proof: there were files, they were damaged, and the instance read records back from its changelogs.
async fn damaged(
    world: &mut World,
    how: &str,
    damage: impl Fn(&Path) -> std::io::Result<()>,
) -> Result<String, ChaosError> {
    let name = ["sentiment-a", "trends-a"].choose(&mut world.rng).copied().unwrap_or("trends-a");
    let folder = world.state_dir(name);
    world.fleet.until(&format!("{name} has local state"), async |_| Ok(!files(&folder).is_empty())).await?;
    world.fleet.get(name)?.signal(Signal::SIGKILL);
    world.fleet.until_ended(name).await?;
    let found = files(&folder);
    for file in &found {
        damage(file).map_err(ChaosError::io(format!("damage {}", file.display())))?;
    }
    world.fleet.get(name)?.start(&[])?;
    world
        .fleet
        .until(&format!("{name} restores"), async |fleet| {
            fleet.revive(name)?;
            Ok(fleet.get(name)?.metric(RESTORED, &[]).await.unwrap_or(0.0) > 0.0)
        })
        .await?;
    Ok(format!("{} files of {name} were {how}, and it restored from its changelogs", found.len()))
}

/// Proof: the tmpfs has no room left.
async fn full(world: &mut World) -> Result<Option<String>, ChaosError> {
    let name = ["sentiment-b", "trends-b"].choose(&mut world.rng).copied().unwrap_or("trends-b");
    let folder = world.dir.join("small");
    std::fs::create_dir_all(&folder).map_err(ChaosError::io("make a folder"))?;
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&folder).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let outcome = fill(world, name, &folder).await;
    let _ = Command::new("umount").args(["-l"]).arg(&folder).status();
    outcome.map(Some)
}

async fn fill(world: &mut World, name: &str, folder: &Path) -> Result<String, ChaosError> {
    // What is not filled by this is filled by the state.
    std::fs::write(folder.join("ballast"), vec![0; 48 * 1024]).map_err(ChaosError::io("fill the tmpfs"))?;
    world.fleet.terminate(name).await?;
    let service = world.fleet.get(name)?;
    let log = service.log_length();
    service.start(&[(STATE_DIR, &folder.display().to_string())])?;
    world
        .fleet
        .until(&format!("{name} finds no room"), async |fleet| {
            fleet.revive(name)?;
            Ok(fleet.get(name)?.log_from(log).to_lowercase().contains("no space left"))
        })
        .await?;
    world.fleet.terminate(name).await?;
    world.fleet.get(name)?.start(&[])?;
    Ok(format!("{name} found no space left on its device and went on"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut waiting = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found
}
