//! How far event time has come: per input partition, and for the task as a whole.
//!
//! *Stream time* is the highest event time seen. The *watermark* is the task's claim that earlier events are late: the minimum,
//! over the input partitions that are not idle, of the highest event time each has shown. Neither ever goes back, also not over a
//! restart: both are written beside the consumed offsets, in the same transaction.
//!
//! One absurd timestamp must not close windows: a time more than [`MAX_AHEAD`](Watermark::MAX_AHEAD) after the wall clock is refused.

use std::time::Duration;

use vigie_clock::Timestamp;

/// Tracks the event time of one task.
#[derive(Clone, Debug)]
pub struct Watermark {
    inputs: Vec<Input>,
    idle_after: Duration,
    watermark: Option<Timestamp>,
    stream_time: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Input {
    highest: Option<Timestamp>,
    /// On the monotonic clock: when a record last came.
    active_at: Duration,
}

impl Watermark {
    /// Event times further ahead of the wall clock than this are refused.
    pub const MAX_AHEAD: Duration = Duration::from_secs(3600);

    /// For `inputs` partitions at the monotonic time `now`; one that is silent for `idle_after` no longer holds the rest back.
    pub fn new(inputs: usize, idle_after: Duration, now: Duration) -> Self {
        Self {
            inputs: vec![Input { highest: None, active_at: now }; inputs],
            idle_after,
            watermark: None,
            stream_time: None,
        }
    }

    /// Notes that a record came from `input`, whatever its time.
    pub fn active(&mut self, input: usize, now: Duration) {
        self.inputs[input].active_at = now;
    }

    /// Notes an event time from `input`; `false` if it is refused for being too far ahead of `wall_clock`.
    pub fn observe(&mut self, input: usize, time: Timestamp, wall_clock: Timestamp) -> bool {
        if time > wall_clock.saturating_add(Self::MAX_AHEAD) {
            return false;
        }
        let input = &mut self.inputs[input];
        input.highest = input.highest.max(Some(time));
        self.stream_time = self.stream_time.max(Some(time));
        true
    }

    /// Moves the watermark as far as the inputs allow at the monotonic time `now`.
    pub fn advance(&mut self, now: Duration) -> Option<Timestamp> {
        let idle_after = self.idle_after;
        let mut active = self.inputs.iter().filter(|input| now.saturating_sub(input.active_at) < idle_after).peekable();
        if active.peek().is_some() {
            // `None`, of a partition that showed nothing yet, is the minimum.
            let lowest = active.map(|input| input.highest).min().flatten();
            self.watermark = self.watermark.max(lowest);
        } else {
            // All are silent: nothing that one could still wait for is on its way.
            self.watermark = self.watermark.max(self.inputs.iter().filter_map(|input| input.highest).max());
        }
        self.watermark
    }

    /// The watermark as last advanced.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermark
    }

    /// The highest event time seen.
    pub fn stream_time(&self) -> Option<Timestamp> {
        self.stream_time
    }

    /// What is stored beside the offset of `input`.
    pub(crate) fn encode(&self, input: usize) -> String {
        let word = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.as_millis().to_string());
        format!("{} {} {}", word(self.inputs[input].highest), word(self.watermark), word(self.stream_time))
    }

    /// Takes up what was stored beside the offset of `input`. Text that was not written by [`encode`](Self::encode) is passed over.
    pub(crate) fn restore(&mut self, input: usize, times: &str) {
        let times: Vec<Option<Timestamp>> =
            times.split(' ').map(|word| word.parse().ok().map(Timestamp::from_millis)).collect();
        if let [highest, watermark, stream_time] = times[..] {
            self.inputs[input].highest = highest;
            self.watermark = self.watermark.max(watermark);
            self.stream_time = self.stream_time.max(stream_time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);
    const WALL: Timestamp = Timestamp::from_millis(1_000_000_000);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn watermark_is_the_minimum_over_partitions_and_never_goes_back() {
        let mut watermark = Watermark::new(2, IDLE, Duration::ZERO);
        assert!(watermark.observe(0, at(500), WALL));
        assert_eq!(watermark.advance(Duration::ZERO), None, "partition 1 showed nothing yet");
        watermark.observe(1, at(300), WALL);
        assert_eq!(watermark.advance(Duration::ZERO), Some(at(300)));
        watermark.observe(1, at(100), WALL);
        assert_eq!(watermark.advance(Duration::ZERO), Some(at(300)));
        assert_eq!(watermark.stream_time(), Some(at(500)));
    }

    #[test]
    fn idle_partition_does_not_hold_the_watermark_back() {
        let mut watermark = Watermark::new(2, IDLE, Duration::ZERO);
        watermark.observe(0, at(500), WALL);
        watermark.observe(1, at(300), WALL);
        watermark.active(0, Duration::from_secs(31));
        assert_eq!(watermark.advance(Duration::from_secs(31)), Some(at(500)));
        watermark.active(1, Duration::from_secs(32));
        assert_eq!(
            watermark.advance(Duration::from_secs(32)),
            Some(at(500)),
            "it does not go back when the partition wakes"
        );
    }

    #[test]
    fn absurd_future_time_does_not_move_the_watermark() {
        let mut watermark = Watermark::new(1, IDLE, Duration::ZERO);
        watermark.observe(0, at(500), WALL);
        assert!(!watermark.observe(0, WALL.saturating_add(Duration::from_secs(3601)), WALL));
        assert_eq!(watermark.advance(Duration::ZERO), Some(at(500)));
        assert_eq!(watermark.stream_time(), Some(at(500)));
    }

    #[test]
    fn restored_watermark_continues_where_it_was() {
        let mut before = Watermark::new(1, IDLE, Duration::ZERO);
        before.observe(0, at(700), WALL);
        before.advance(Duration::ZERO);
        let mut after = Watermark::new(1, IDLE, Duration::ZERO);
        after.restore(0, &before.encode(0));
        assert_eq!((after.watermark(), after.stream_time()), (Some(at(700)), Some(at(700))));
        let mut empty = Watermark::new(1, IDLE, Duration::ZERO);
        empty.restore(0, &Watermark::new(1, IDLE, Duration::ZERO).encode(0));
        empty.restore(0, "something else");
        assert_eq!((empty.watermark(), empty.stream_time()), (None, None));
    }
}
