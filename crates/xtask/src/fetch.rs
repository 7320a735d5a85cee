//! What is downloaded: pinned, checked, and kept in the cache folder.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run::{Failed, Result, is_installed, output_of, program, run, succeeds};

const KAFKA: &str = "crates/stack/kafka-jars.txt";
const KAFKA_STREAMS: &str = "benches/peers/kafka-streams/jars.txt";
const ONNXRUNTIME: &str = "docker/onnxruntime.txt";
const MAVEN_CENTRAL: &str = "https://repo.maven.apache.org/maven2";

/// Variables for a program.
type Variables = Vec<(&'static str, PathBuf)>;

pub(crate) struct Fetch {
    cache: PathBuf,
}

/// A folder that goes with this value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Fetch {
    pub(crate) fn new() -> Result<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).map(|dir| dir.join("vigie"));
        let cache = set("VIGIE_CACHE_DIR").or_else(home);
        let cache = cache.ok_or_else(|| Failed::because("neither VIGIE_CACHE_DIR nor HOME is set"))?;
        fs::create_dir_all(&cache).map_err(cannot("create", &cache))?;
        Ok(Self { cache })
    }

    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// A folder for this task, below the folder for temporary files. PostgreSQL may run as another user, so others may pass through it.
    pub(crate) fn scratch(&self, name: &str) -> Result<Scratch> {
        let folder = std::env::temp_dir().join(format!("vigie-{name}-{}", std::process::id()));
        fs::create_dir(&folder).map_err(cannot("create", &folder))?;
        let scratch = Scratch(folder);
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711))
            .map_err(cannot("open", scratch.path()))?;
        Ok(scratch)
    }

    /// What programs need that start Kafka or run a model.
    pub(crate) fn servers(&self) -> Result<Variables> {
        let mut variables = self.kafka()?;
        variables.push(("ORT_DYLIB_PATH", self.onnxruntime()?));
        Ok(variables)
    }

    pub(crate) fn kafka(&self) -> Result<Variables> {
        Ok(vec![("VIGIE_KAFKA_JARS", self.jars(KAFKA, "kafka", "Apache Kafka")?)])
    }

    pub(crate) fn kafka_streams(&self) -> Result<Variables> {
        Ok(vec![("VIGIE_KAFKA_STREAMS_JARS", self.jars(KAFKA_STREAMS, "peer-kafka-streams", "Kafka Streams")?)])
    }

    /// The folder with the jars of a list.
    fn jars(&self, list: &str, name: &str, title: &str) -> Result<PathBuf> {
        let jars = Jars::read(list)?;
        let digest = sha256(&[], &fs::read(list).map_err(cannot("read", Path::new(list)))?)?;
        let digest = digest.get(..8).unwrap_or_default();
        let folder = self.cache.join(format!("{name}-{}-{digest}", jars.version()));
        if folder.is_dir() {
            return Ok(folder);
        }
        let repository = std::env::var("MAVEN_REPO").ok().filter(|url| !url.is_empty());
        let repository = repository.as_deref().unwrap_or(MAVEN_CENTRAL);
        eprintln!("dev: fetching {title} {} from {repository}", jars.version());
        let fresh = self.fresh(&folder)?;
        let mut curl = program("curl");
        curl.args(["-fsSL", "--no-progress-meter", "--fail-early", "--retry", "3", "--parallel", "--remote-name-all"]);
        curl.arg("--output-dir").arg(&fresh).args(jars.paths().map(|path| format!("{repository}/{path}")));
        if run(curl).is_err() {
            if !is_installed("mvn") {
                let advice = "set MAVEN_REPO to a mirror, or install maven if its settings know one";
                return Err(Failed::because(format!("cannot fetch {title} from {repository}: {advice}")));
            }
            eprintln!("dev: that failed, asking mvn, which may know a mirror");
            self.jars_by_maven(&jars, &fresh)?;
        }
        sha256(&["-c", "--status"], jars.checksums(&fresh).as_bytes())
            .map_err(|_| Failed::because(format!("the jars in {} differ from {list}", fresh.display())))?;
        keep(&fresh, &folder);
        Ok(folder)
    }

    /// Maven takes what the list names, and nothing that those jars in turn name.
    fn jars_by_maven(&self, jars: &Jars, folder: &Path) -> Result {
        let scratch = self.scratch("maven")?;
        let pom = scratch.path().join("pom.xml");
        fs::write(&pom, jars.pom()).map_err(cannot("write", &pom))?;
        let mut maven = program("mvn");
        maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
        maven.arg(format!("-DoutputDirectory={}", folder.display()));
        run(maven)
    }

    /// A Python of its own, with the packages of a requirements file.
    pub(crate) fn python(&self, name: &str, requirements: &str) -> Result<PathBuf> {
        let home = self.cache.join(name);
        let (python, stamp) = (home.join("bin/python"), home.join("requirements.txt"));
        let wanted = fs::read(requirements).map_err(cannot("read", Path::new(requirements)))?;
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        eprintln!("dev: installing Python packages of {requirements}");
        let _ = fs::remove_dir_all(&home);
        run(program("python3").args(["-m", "venv"]).arg(&home))?;
        run(pip(&python, "install").args(["-r", requirements]))?;
        fs::write(&stamp, wanted).map_err(cannot("write", &stamp))?;
        Ok(python)
    }

    /// The library of the pinned wheel from PyPI: the same one for every Python here, so that its digest is known.
    pub(crate) fn onnxruntime(&self) -> Result<PathBuf> {
        if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        let pins = fs::read_to_string(ONNXRUNTIME).map_err(cannot("read", Path::new(ONNXRUNTIME)))?;
        let pin = pins.lines().find_map(|line| line.strip_prefix("onnxruntime==")).unwrap_or_default();
        let version = pin.split([' ', '\\']).next().unwrap_or_default();
        let (platform, library) = match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => ("manylinux_2_28_x86_64", "libonnxruntime.so"),
            ("linux", "aarch64") => ("manylinux_2_28_aarch64", "libonnxruntime.so"),
            ("macos", "aarch64") => ("macosx_14_0_arm64", "libonnxruntime.dylib"),
            (system, machine) => {
                let advice = format!("set ORT_DYLIB_PATH to a libonnxruntime of {version}");
                return Err(Failed::because(format!("no ONNX Runtime for {system} on {machine}: {advice}")));
            }
        };
        let folder = self.cache.join(format!("onnxruntime-{version}"));
        let path = folder.join(library);
        if path.is_file() {
            return Ok(path);
        }
        eprintln!("dev: fetching ONNX Runtime {version} from PyPI");
        let fresh = self.fresh(&folder)?;
        let python = fresh.join("venv/bin/python");
        run(program("python3").args(["-m", "venv"]).arg(fresh.join("venv")))?;
        let mut download = pip(&python, "download");
        download.args(["--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation", "cp"]);
        download.args(["--python-version", "3.12", "--platform", platform, "-r", ONNXRUNTIME, "--dest"]).arg(&fresh);
        run(download)?;
        let wheel = entry_of(&fresh, "onnxruntime-")?;
        run(program(python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(fresh.join("wheel")))?;
        let stem = library.rsplit_once('.').map_or(library, |(stem, _)| stem);
        let unpacked = entry_of(&fresh.join("wheel/onnxruntime/capi"), &format!("{stem}."))?;
        fs::create_dir_all(&folder).map_err(cannot("create", &folder))?;
        fs::rename(&unpacked, &path).map_err(cannot("move", &unpacked))?;
        let _ = fs::remove_dir_all(&fresh);
        Ok(path)
    }

    /// A folder beside `folder`, to be renamed when it is complete.
    fn fresh(&self, folder: &Path) -> Result<PathBuf> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let fresh = self.cache.join(format!("{name}.{}", std::process::id()));
        let _ = fs::remove_dir_all(&fresh);
        fs::create_dir_all(&fresh).map_err(cannot("create", &fresh))?;
        Ok(fresh)
    }
}

/// The jars of a list: a line each of digest and path in a Maven repository; `#` begins a comment.
struct Jars(Vec<(String, String)>);

impl Jars {
    fn read(list: &str) -> Result<Self> {
        Ok(Self::parse(&fs::read_to_string(list).map_err(cannot("read", Path::new(list)))?))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(|line| line.split_once("  ")).map(|(sha, path)| (sha.into(), path.into())).collect())
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, path)| &**path)
    }

    /// Kafka's version, by the jar of the broker or of Kafka Streams.
    fn version(&self) -> &str {
        let of =
            |path| name_of(path).strip_suffix(".jar")?.strip_prefix("kafka")?.split_once('-')?.1.split('-').next_back();
        let broker = |path: &&str| name_of(path).starts_with("kafka_2") || name_of(path).starts_with("kafka-streams-");
        self.paths().find(broker).and_then(of).unwrap_or("unknown")
    }

    /// What `sha256sum -c` reads to check the jars in a folder.
    fn checksums(&self, folder: &Path) -> String {
        self.0.iter().fold(String::new(), |mut text, (digest, path)| {
            let _ = writeln!(text, "{digest}  {}", folder.join(name_of(path)).display());
            text
        })
    }

    fn pom(&self) -> String {
        let mut pom = String::from(
            "<project><modelVersion>4.0.0</modelVersion><groupId>vigie</groupId><artifactId>kafka</artifactId>\
             <version>1</version><dependencies>",
        );
        for path in self.paths() {
            let mut parts = path.rsplitn(4, '/').skip(1);
            let (Some(version), Some(artifact), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let group = group.replace('/', ".");
            let _ = write!(
                pom,
                "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>\
                 <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"
            );
        }
        pom + "</dependencies></project>"
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Renames what is complete; another task may have been quicker.
fn keep(fresh: &Path, folder: &Path) {
    if fs::rename(fresh, folder).is_err() {
        let _ = fs::remove_dir_all(fresh);
    }
}

/// The entry of a folder whose name begins so.
fn entry_of(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let mut entries = fs::read_dir(folder).map_err(cannot("read", folder))?.flatten();
    let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    found.map(|entry| entry.path()).ok_or_else(|| Failed::because(format!("no {prefix}* in {}", folder.display())))
}

fn pip(python: &Path, command: &str) -> Command {
    let mut pip = program(python);
    pip.args(["-m", "pip", command, "--quiet", "--disable-pip-version-check"]);
    pip
}

/// Runs `sha256sum`, or on macOS `shasum`, over `input`; returns what it prints.
fn sha256(arguments: &[&str], input: &[u8]) -> Result<String> {
    let mut command = match succeeds(program("sha256sum").arg("--version")) {
        true => program("sha256sum"),
        false => program("shasum"),
    };
    if command.get_program() == "shasum" {
        command.args(["-a", "256"]);
    }
    let (reader, mut writer) = std::io::pipe().map_err(cannot("feed", Path::new("sha256sum")))?;
    let input = input.to_vec();
    let feed = std::thread::spawn(move || writer.write_all(&input));
    let output = output_of(command.args(arguments).stdin(Stdio::from(reader)));
    let _ = feed.join();
    output
}

fn cannot<'a>(what: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> Failed + use<'a> {
    move |error| Failed::because(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# the broker and what it needs\n\
        aa  org/apache/kafka/kafka_2.13/4.2.2/kafka_2.13-4.2.2.jar\n\
        bb  org/apache/kafka/kafka-clients/4.2.2/kafka-clients-4.2.2.jar\n";

    #[test]
    fn lists_give_version_checksums_and_coordinates() {
        let jars = Jars::parse(LIST);
        assert_eq!(jars.version(), "4.2.2");
        assert_eq!(
            jars.checksums(Path::new("/jars")),
            "aa  /jars/kafka_2.13-4.2.2.jar\nbb  /jars/kafka-clients-4.2.2.jar\n"
        );
        assert!(jars.pom().contains(
            "<groupId>org.apache.kafka</groupId><artifactId>kafka-clients</artifactId><version>4.2.2</version>"
        ));
        assert_eq!(Jars::parse("aa  a/kafka-streams/4.3.1/kafka-streams-4.3.1.jar").version(), "4.3.1");
    }

    #[test]
    fn a_changed_file_does_not_pass_its_checksum() {
        let file = std::env::temp_dir().join(format!("vigie-xtask-sum-{}", std::process::id()));
        fs::write(&file, "as published").expect("a temporary file");
        let digest = sha256(&[], b"as published").ok().expect("sha256sum runs");
        let line = format!("{}  {}\n", &digest[..64], file.display());
        assert!(sha256(&["-c", "--status"], line.as_bytes()).is_ok());
        fs::write(&file, "changed").expect("a temporary file");
        assert!(sha256(&["-c", "--status"], line.as_bytes()).is_err());
        let _ = fs::remove_file(file);
    }
}
