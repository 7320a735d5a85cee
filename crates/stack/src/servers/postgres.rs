//! PostgreSQL: one cluster with user and database `vigie`, trusted on the loopback address.
//!
//! PostgreSQL refuses to run as root. Under root it runs as the user `postgres` (or `nobody`); where that user cannot reach the data dir,
//! because a folder above it is closed, the cluster lives under `/var/lib/vigie` and the data dir holds a link to it.

pub(crate) mod wire;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use self::wire::Session;
use crate::environment;
use crate::ports::random_cluster_id;
use crate::servers::java::{in_path, sorted_entries};
use crate::servers::launch::LaunchSpec;
use crate::watchdog::Ending;
use crate::{ServerKind, StackError, TlsConfig};

/// User and database.
pub(crate) const NAME: &str = "vigie";
/// Where clusters live that another user could not reach in the data dir. The watchdog's script knows it too.
const ELSEWHERE: &str = "/var/lib/vigie";
const UNKNOWN_DATABASE: &str = "3D000";

#[derive(Debug)]
pub(crate) struct Postgres {
    /// Folder of `initdb` and `postgres`.
    pub(crate) binaries: PathBuf,
    /// The cluster's folder, or a link to it.
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
    pub(crate) user: Option<User>,
    /// Whether committed rows must survive a crash of the machine.
    pub(crate) durable: bool,
    pub(crate) tls: Option<TlsConfig>,
}

impl Postgres {
    /// The folder of the newest binaries, those in PATH first.
    pub(crate) fn find() -> Result<PathBuf, StackError> {
        let mut folders: Vec<PathBuf> =
            in_path("initdb").iter().filter_map(|file| file.parent().map(Path::to_owned)).collect();
        for family in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr"] {
            folders.extend(sorted_entries(Path::new(family)).iter().rev().map(|home| home.join("bin")));
        }
        let complete = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
        folders.into_iter().find(complete).ok_or(StackError::NoPostgres)
    }

    /// Whom to run it as: nobody else, unless this process is root's.
    pub(crate) fn user() -> Result<Option<User>, StackError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let known = |name| User::from_name(name).ok().flatten();
        known("postgres").or_else(|| known("nobody")).map(Some).ok_or(StackError::NoPostgresUser)
    }

    /// Creates the cluster if there is none. A crash half-way leaves only a folder that the next start deletes.
    pub(crate) async fn prepare(&self) -> Result<(), StackError> {
        let failed = |error: std::io::Error| StackError::prepare(ServerKind::Postgres, error);
        if self.dir.join("PG_VERSION").is_file() {
            return Ok(());
        }
        let home = self.home().map_err(failed)?;
        let fresh = home.with_extension("new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(failed)?;
        }
        fs::create_dir_all(&fresh).map_err(failed)?;
        if let Some(user) = &self.user {
            chown(&fresh, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(failed)?;
        }
        self.initdb(&fresh).await?;
        if let Some(tls) = &self.tls {
            self.prepare_tls(tls, &fresh).map_err(failed)?;
        }
        fs::rename(&fresh, &home).map_err(failed)?;
        if home != self.dir {
            symlink(&home, &self.dir).map_err(failed)?;
        }
        Ok(())
    }

    pub(crate) fn launch_spec(&self) -> LaunchSpec {
        // Without links: where there is one, PostgreSQL's user cannot follow it.
        let dir = fs::canonicalize(&self.dir).unwrap_or_else(|_| self.dir.clone());
        let mut args: Vec<OsString> = vec!["-D".into(), dir.into(), "-p".into(), self.port.to_string().into()];
        let mut settings = vec!["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
        if self.tls.is_some() {
            settings.extend(["ssl=on", "ssl_ca_file=root.crt"]);
        }
        if !self.durable {
            settings.extend(["fsync=off", "full_page_writes=off", "synchronous_commit=off"]);
        }
        for setting in settings {
            args.extend(["-c".into(), setting.into()]);
        }
        LaunchSpec {
            program: self.binaries.join("postgres"),
            args,
            current_dir: "/".into(),
            user: self.ids(),
            log: self.log.clone(),
            ending: Ending::Quit,
        }
    }

    /// Puts the certificates where PostgreSQL looks for them, its own user's, and says who needs them.
    fn prepare_tls(&self, tls: &TlsConfig, dir: &Path) -> std::io::Result<()> {
        for (from, name) in [(&tls.authority, "root.crt"), (&tls.certificate, "server.crt"), (&tls.key, "server.key")] {
            let file = dir.join(name);
            fs::copy(from, &file)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            if let Some((uid, gid)) = self.ids() {
                chown(&file, Some(uid), Some(gid))?;
            }
        }
        let rules = format!(
            "hostssl all certified 127.0.0.1/32 cert\n\
             hostssl all {user} 127.0.0.1/32 scram-sha-256\n\
             hostnossl all certified,{user} 127.0.0.1/32 reject\n\
             host all all 127.0.0.1/32 trust\n",
            user = tls.user,
        );
        fs::write(dir.join("pg_hba.conf"), rules)
    }

    /// Opens a session in the database, which the first probe creates.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        match Session::open(self.port, NAME, NAME).await {
            Ok(_) => Ok(()),
            Err(error) if error.code == UNKNOWN_DATABASE => {
                let mut session =
                    Session::open(self.port, NAME, "postgres").await.map_err(|error| error.to_string())?;
                session.execute(&format!("CREATE DATABASE {NAME}")).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn ids(&self) -> Option<(u32, u32)> {
        self.user.as_ref().map(|user| (user.uid.as_raw(), user.gid.as_raw()))
    }

    /// Where the cluster's files go.
    fn home(&self) -> std::io::Result<PathBuf> {
        let closed = |dir: &&Path| fs::metadata(dir).is_ok_and(|dir| dir.mode() & 0o001 == 0);
        let Some(closed) = self.dir.ancestors().skip(1).find(closed).filter(|_| self.user.is_some()) else {
            return Ok(self.dir.clone());
        };
        let elsewhere = Path::new(ELSEWHERE).join(format!("postgres-{}", random_cluster_id()));
        fs::create_dir_all(ELSEWHERE)?;
        fs::set_permissions(ELSEWHERE, fs::Permissions::from_mode(0o711))?;
        tracing::info!(closed = %closed.display(), home = %elsewhere.display(), "postgres cannot reach the data dir as another user");
        Ok(elsewhere)
    }

    async fn initdb(&self, dir: &Path) -> Result<(), StackError> {
        let mut command = tokio::process::Command::new(self.binaries.join("initdb"));
        command.arg("-D").arg(dir).args(["-U", NAME, "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        command.env_clear().envs(environment::kept()).env("LC_ALL", "C");
        command.current_dir("/").stdin(std::process::Stdio::null()).kill_on_drop(true);
        if !self.durable {
            command.arg("--no-sync");
        }
        if let Some((uid, gid)) = self.ids() {
            command.uid(uid).gid(gid);
        }
        let output = command.output().await.map_err(|error| StackError::prepare(ServerKind::Postgres, error))?;
        if output.status.success() {
            return Ok(());
        }
        let detail =
            format!("initdb failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
        Err(StackError::prepare(ServerKind::Postgres, detail))
    }
}
