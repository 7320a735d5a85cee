//! `vigie model`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use clap::Subcommand;
use vigie_daemon::{Mistake, ServiceError};
use vigie_processors::assets::AssetsConfig;
use vigie_processors::forecast::detect_csv;
use vigie_processors::inference::ModelConfig;
use vigie_processors::text::analysis::Analyser;
use vigie_processors::text::score_lines::score_lines;

use crate::commands::topics::blocking;

#[derive(Subcommand, Debug)]
pub(crate) enum ModelCommand {
    /// Score texts: one per line in, one JSON object per line out
    Score {
        /// A text file; standard input if absent
        file: Option<PathBuf>,
        #[command(flatten)]
        model: vigie_processors::inference::ModelConfig,
        #[command(flatten)]
        assets: vigie_processors::assets::AssetsConfig,
    },
    /// Score a series: timestamp,value in, timestamp,value,anomaly_score,p10,p50,p90,tail_probability,alarm out
    Detect {
        /// A CSV file with a header; standard input if absent
        file: Option<PathBuf>,
        /// Anomaly score from which on an alarm is raised, once per event
        #[arg(long, value_name = "SCORE", env = "VIGIE_ALERT_SCORE", default_value_t = 0.5)]
        alert_score: f64,
        #[command(flatten)]
        forecast: vigie_processors::forecast::ForecasterConfig,
    },
}

pub(crate) async fn run(command: ModelCommand) -> Result<(), ServiceError> {
    blocking(move || match command {
        ModelCommand::Score { file, model, assets } => {
            let mut analyser = analyser(&model, &assets)?;
            let input = open(file)?;
            let mut output = BufWriter::new(io::stdout().lock());
            score_lines(&mut analyser, input, &mut output).map_err(ServiceError::failed)?;
            output.flush().map_err(ServiceError::failed)
        }
        ModelCommand::Detect { file, alert_score, forecast } => {
            let forecaster = forecast.load(None).map_err(ServiceError::failed)?;
            let input = open(file)?;
            let mut output = BufWriter::new(io::stdout().lock());
            detect_csv(input, &mut output, forecaster, alert_score).map_err(ServiceError::failed)?;
            output.flush().map_err(ServiceError::failed)
        }
    })
    .await
}

fn analyser(model: &ModelConfig, assets: &AssetsConfig) -> Result<Analyser, ServiceError> {
    let matcher = assets.load()?;
    let model = model.load().map_err(ServiceError::failed)?;
    Ok(Analyser::new(Box::new(model), matcher))
}

fn open(file: Option<PathBuf>) -> Result<Box<dyn BufRead>, ServiceError> {
    let Some(path) = file else { return Ok(Box::new(io::stdin().lock())) };
    match File::open(&path) {
        Ok(file) => Ok(Box::new(BufReader::new(file))),
        Err(e) => Err(Mistake::new(path.display().to_string(), e, "a readable file").into()),
    }
}
