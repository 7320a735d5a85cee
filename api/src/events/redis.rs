//! Connections to Redis. It holds only what can be rebuilt, so that the API goes on without it.

use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::config::ReconnectPolicy;
use vigie_daemon::ServiceError;
use vigie_stores::RedisUrl;

/// Above this a command has failed. Blocking reads add their own time.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(500);

/// A client that connects in the background, and again whenever the connection is lost.
pub(crate) fn connect(url: &RedisUrl, command_timeout: Option<Duration>) -> Result<Client, ServiceError> {
    let mut redis = url.to_config();
    redis.fail_fast = false;
    let client = Builder::from_config(redis)
        .with_connection_config(|connection| {
            connection.connection_timeout = Duration::from_secs(3);
            connection.max_command_attempts = 1;
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = command_timeout.unwrap_or(COMMAND_TIMEOUT);
        })
        .set_policy(ReconnectPolicy::new_exponential(0, 100, 1000, 2))
        .build()
        .map_err(ServiceError::failed)?;
    // The handle only tells when the client has been asked to quit.
    drop(client.connect());
    Ok(client)
}
