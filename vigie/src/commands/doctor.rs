//! `vigie doctor`.

use clap::Args;
use vigie_daemon::ServiceError;
use vigie_processors::inference::find_library;

use crate::commands::topics::blocking;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) stack: vigie_stack::StackConfig,
    #[command(flatten)]
    pub(crate) model: vigie_processors::inference::ModelConfig,
}

pub(crate) async fn run(args: DoctorArgs, output: Output) -> Result<(), ServiceError> {
    let mut checks: Vec<(&'static str, Result<String, String>)> = vigie_stack::check(&args.stack).await;
    let library = find_library(args.model.library.as_deref());
    checks.push(("onnxruntime", library.map(|path| path.display().to_string()).map_err(|e| e.to_string())));
    let model = blocking(move || {
        let loaded = args.model.load().map_err(ServiceError::failed)?;
        let info = loaded.info();
        Ok(format!("{} {} in {}", info.name, info.version, args.model.dir.display()))
    });
    checks.push(("model", model.await.map_err(|e| e.chain())));

    let missing = checks.iter().filter(|(_, found)| found.is_err()).count();
    for (what, found) in &checks {
        let (ok, detail) = match found {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        let value = serde_json::json!({"check": what, "ok": ok, "detail": detail});
        output.result(&value, || format!("{} {what:<12} {detail}", if ok { "ok     " } else { "MISSING" }))?;
    }
    if missing > 0 {
        return Err(ServiceError::unavailable("this machine", format!("{missing} things are missing")));
    }
    Ok(())
}
