//! What the services are called, wherever they have a name.

/// A service of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Scrapes sources.
    Producers,
    /// Scores posts.
    Sentiment,
    /// Counts mentions.
    Trends,
    /// Writes the history.
    SinkPostgres,
    /// Writes live events.
    SinkRedis,
    /// Writes the archive, where there is one.
    SinkArchive,
    /// Answers.
    Api,
}

impl Service {
    /// In the order of the stages.
    pub const ALL: [Self; 7] = [
        Self::Producers,
        Self::Sentiment,
        Self::Trends,
        Self::SinkPostgres,
        Self::SinkRedis,
        Self::SinkArchive,
        Self::Api,
    ];

    /// Its name in health reports, logs, metrics and dead letters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Producers => "producers",
            Self::Sentiment => "sentiment",
            Self::Trends => "trends",
            Self::SinkPostgres => "sink-postgres",
            Self::SinkRedis => "sink-redis",
            Self::SinkArchive => "sink-archive",
            Self::Api => "api",
        }
    }

    /// The subcommand that runs it.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Producers => "produce",
            Self::Sentiment => "process sentiment",
            Self::Trends => "process trends",
            Self::SinkPostgres => "sink postgres",
            Self::SinkRedis => "sink redis",
            Self::SinkArchive => "sink archive",
            Self::Api => "api",
        }
    }

    /// Its name as a deployment, after its subcommand: in compose and Kubernetes, and as a principal in Kafka.
    pub const fn deployment(self) -> &'static str {
        match self {
            Self::Producers | Self::Api => self.command(),
            Self::Sentiment => "process-sentiment",
            Self::Trends => "process-trends",
            Self::SinkPostgres | Self::SinkRedis | Self::SinkArchive => self.name(),
        }
    }

    /// Its consumer group or application id, without prefix; that of a service that joins no group is its name.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Producers => "vigie-producers",
            Self::Sentiment => "vigie-sentiment",
            Self::Trends => "vigie-trends",
            _ => self.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_named_after_its_subcommand_and_a_group_after_its_service() {
        for service in Service::ALL {
            assert_eq!(service.deployment(), service.command().replace(' ', "-"));
            assert!(service.group().ends_with(service.name()), "{service:?}");
        }
    }
}
