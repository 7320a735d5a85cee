//! The names of the keys in Redis, below a prefix: what the sink writes and the API reads.

/// The prefix of every key, unless it is set otherwise.
pub const PREFIX: &str = "vigie:";

/// The newest events, a stream: field `type` is [`TREND`], [`ALERT`] or [`POST`], field `data` the insight as JSON.
pub const EVENTS: &str = "stream";

/// The type of an event with a revision of a window.
pub const TREND: &str = "trend";

/// The type of an event with an alert.
pub const ALERT: &str = "alert";

/// The type of an event with a scored post.
pub const POST: &str = "post";

/// The type of an event that says which runs are served. The API makes it: it is not in Redis.
pub const SWITCH: &str = "switch";

/// From where each partition is to be read on, a hash by `topic/partition`.
pub const OFFSETS: &str = "offsets";
