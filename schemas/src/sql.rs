//! The tables of PostgreSQL, as numbered migrations (`sql/`): what the sink writes and the API reads.

/// Name and statements of each migration, in order.
pub const MIGRATIONS: [(&str, &str); 19] = [
    ("V1__insights", include_str!("../sql/V1__insights.sql")),
    ("V2__forecasts", include_str!("../sql/V2__forecasts.sql")),
    ("V3__revisions", include_str!("../sql/V3__revisions.sql")),
    ("V4__authors", include_str!("../sql/V4__authors.sql")),
    ("V5__tables_by_time", include_str!("../sql/V5__tables_by_time.sql")),
    ("V6__search", include_str!("../sql/V6__search.sql")),
    ("V7__alert_scales", include_str!("../sql/V7__alert_scales.sql")),
    ("V8__replay_control", include_str!("../sql/V8__replay_control.sql")),
    ("V9__served_runs", include_str!("../sql/V9__served_runs.sql")),
    ("V10__api_keys", include_str!("../sql/V10__api_keys.sql")),
    ("V11__tail_probability", include_str!("../sql/V11__tail_probability.sql")),
    ("V12__terms", include_str!("../sql/V12__terms.sql")),
    ("V13__moods", include_str!("../sql/V13__moods.sql")),
    ("V14__narrow_posts", include_str!("../sql/V14__narrow_posts.sql")),
    ("V16__dead_letters", include_str!("../sql/V16__dead_letters.sql")),
    ("V17__redrive_attempts", include_str!("../sql/V17__redrive_attempts.sql")),
    ("V18__sessions", include_str!("../sql/V18__sessions.sql")),
    ("V20__hours", include_str!("../sql/V20__hours.sql")),
    ("V21__board_hours", include_str!("../sql/V21__board_hours.sql")),
];
