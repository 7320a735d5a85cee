-- What an alert looked at: this many seconds up to the end of its window. Null: the window, as before there were longer scales.
ALTER TABLE alerts ADD COLUMN scale_seconds bigint;
