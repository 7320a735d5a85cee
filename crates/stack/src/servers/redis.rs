//! Redis: a cache, so nothing is written to disk.

use std::ffi::OsString;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::servers::java::in_path;
use crate::servers::launch::LaunchSpec;
use crate::watchdog::Ending;
use crate::{ServerKind, StackError, TlsConfig};

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) binary: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
    /// With the port for it.
    pub(crate) tls: Option<(TlsConfig, u16)>,
}

impl Redis {
    pub(crate) fn find() -> Result<PathBuf, StackError> {
        let homebrew = ["/opt/homebrew/bin/redis-server", "/usr/local/bin/redis-server", "/usr/bin/redis-server"];
        let mut candidates = in_path("redis-server").into_iter().chain(homebrew.map(PathBuf::from));
        candidates.find(|file| file.is_file()).ok_or(StackError::NoRedis)
    }

    pub(crate) fn prepare(&self) -> Result<(), StackError> {
        let failed = |error| StackError::prepare(ServerKind::Redis, error);
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        let Some((tls, _)) = &self.tls else { return Ok(()) };
        let users = format!("user {} on >{} ~* &* +@all\n", tls.user, tls.password);
        std::fs::write(self.users_path(), users).map_err(failed)
    }

    fn users_path(&self) -> PathBuf {
        self.dir.join("users.conf")
    }

    pub(crate) fn launch_spec(&self) -> LaunchSpec {
        let port = self.port.to_string();
        let options = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--daemonize", "no"];
        let mut args: Vec<OsString> = options.iter().map(OsString::from).collect();
        if let Some((tls, port)) = &self.tls {
            // Not as an argument, which everybody on the machine can read.
            args.insert(0, self.users_path().into());
            args.extend(["--tls-port".into(), port.to_string().into()]);
            args.extend(["--tls-cert-file".into(), tls.certificate.clone().into()]);
            args.extend(["--tls-key-file".into(), tls.key.clone().into()]);
            args.extend(["--tls-ca-cert-file".into(), tls.authority.clone().into()]);
            args.extend(["--tls-auth-clients", "optional"].map(OsString::from));
        }
        LaunchSpec {
            program: self.binary.clone(),
            args,
            current_dir: self.dir.clone(),
            user: None,
            log: self.log.clone(),
            ending: Ending::Kill,
        }
    }

    /// PING, answered by PONG once it serves.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.write_all(b"PING\r\n").await?;
            let mut answer = [0; 64];
            let length = stream.read(&mut answer).await?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer[..length]).trim_end().to_owned())
        };
        match ask.await {
            Ok(answer) if answer == "+PONG" => Ok(()),
            Ok(answer) => Err(format!("it answered {answer:?}, expected \"+PONG\"")),
            Err(error) => Err(error.to_string()),
        }
    }
}
