//! The ONNX Runtime library: found at run time, loaded once per process.

use std::path::{Path, PathBuf};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use parking_lot::Mutex;

use super::ModelError;

/// File name of the library without a version.
const LIBRARY: &str = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };

/// ONNX Runtime allows one environment per process; it lives until the process ends.
static ENVIRONMENT: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// The library to use: `given`, else `ORT_DYLIB_PATH`, else beside the program (in its folder, `lib` or `../lib`).
pub fn find_library(given: Option<&Path>) -> Result<PathBuf, ModelError> {
    let from_env = std::env::var_os("ORT_DYLIB_PATH").filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = given.map(Path::to_owned).or(from_env) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(ModelError::LibraryNotFound { looked_at: path.display().to_string() })
        };
    }
    let program = std::env::current_exe().unwrap_or_default();
    let folder = program.parent().unwrap_or(Path::new("."));
    let places = ["", "lib", "../lib", "../lib/vigie"].map(|place| folder.join(place).join(LIBRARY));
    match places.iter().find(|place| place.is_file()) {
        Some(found) => Ok(found.clone()),
        None => {
            let looked_at = places.map(|place| place.display().to_string()).join(", ");
            Err(ModelError::LibraryNotFound { looked_at })
        }
    }
}

/// The process-wide environment, made from `library` on the first call. A later call with another library gets the
/// first one, with a warning: two copies cannot be loaded.
pub(crate) fn environment(library: &Path) -> Result<Environment, ModelError> {
    let mut slot = ENVIRONMENT.lock();
    if let Some((loaded, environment)) = slot.as_ref() {
        if loaded != library {
            tracing::warn!(loaded = %loaded.display(), asked = %library.display(), "onnx runtime is already loaded");
        }
        return Ok(environment.clone());
    }
    let failed = |detail: String| ModelError::Library { path: library.to_owned(), detail };
    let environment = ort::init_from(library)
        .map_err(|error| failed(error.to_string()))?
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    *slot = Some((library.to_owned(), environment.clone()));
    Ok(environment)
}

/// A session on the calling thread: no thread pool of its own, no memory kept per input length.
pub(crate) fn open_session(environment: &Environment, model: &[u8]) -> Result<Session, ModelError> {
    let open = || {
        Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_memory_pattern(false)?
            .commit_from_memory(model)
    };
    open().map_err(|error: ort::Error| ModelError::Runtime { action: "load the model", detail: error.to_string() })
}

/// The error of a run.
pub(super) fn failed(detail: impl ToString) -> ModelError {
    ModelError::Runtime { action: "run the model", detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_library_that_is_missing_is_named_in_the_error() {
        let error = find_library(Some(Path::new("/nowhere/libonnxruntime.so"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/libonnxruntime.so"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LIBRARY);
        std::fs::write(&path, "not a library").unwrap();
        // Once another test has loaded the real one, this process cannot load a second and must not try.
        match environment(&path) {
            Err(ModelError::Library { path: named, .. }) => assert_eq!(named, path),
            Err(other) => panic!("unexpected error {other}"),
            Ok(_) => assert!(ENVIRONMENT.lock().as_ref().is_some_and(|(loaded, _)| *loaded != path)),
        }
    }
}
