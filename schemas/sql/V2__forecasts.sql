-- What is expected after a window, made from the windows up to it. NULL with a reason where there is no forecast; all NULL in
-- rows of before there were forecasts. Adding columns without a default rewrites no row.

ALTER TABLE trend_windows
    ADD COLUMN next_window_p10       double precision,
    ADD COLUMN next_window_p50       double precision,
    ADD COLUMN next_window_p90       double precision,
    ADD COLUMN next_hour_p10         double precision,
    ADD COLUMN next_hour_p50         double precision,
    ADD COLUMN next_hour_p90         double precision,
    ADD COLUMN doubling_probability  double precision,
    ADD COLUMN forecast_model        text,
    ADD COLUMN forecast_version      text,
    ADD COLUMN forecast_sha256       text,
    ADD COLUMN no_forecast_reason    text;

ALTER TABLE trend_window_revisions
    ADD COLUMN next_window_p10       double precision,
    ADD COLUMN next_window_p50       double precision,
    ADD COLUMN next_window_p90       double precision,
    ADD COLUMN next_hour_p10         double precision,
    ADD COLUMN next_hour_p50         double precision,
    ADD COLUMN next_hour_p90         double precision,
    ADD COLUMN doubling_probability  double precision,
    ADD COLUMN forecast_model        text,
    ADD COLUMN forecast_version      text,
    ADD COLUMN forecast_sha256       text,
    ADD COLUMN no_forecast_reason    text;
