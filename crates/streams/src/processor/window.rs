//! Windows of event time: epoch-aligned, half-open, all of one length.

use std::time::Duration;

use vigie_clock::Timestamp;

/// A stretch of event time: `start` belongs to it, `end` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first millisecond.
    pub start: Timestamp,
    /// The first millisecond after it.
    pub end: Timestamp,
}

impl Window {
    /// Whether `time` lies in it.
    pub fn contains(self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }
}

/// How time is cut into windows, and for how long each stays open for records that come late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TumblingWindows {
    /// The length of each window.
    pub size: Duration,
    /// How far the watermark must pass a window's end before the window is final.
    pub grace: Duration,
}

impl TumblingWindows {
    /// The window that holds `time`.
    ///
    /// # Panics
    /// If windows are shorter than a millisecond.
    pub fn window_of(&self, time: Timestamp) -> Window {
        self.starting_at(time.window_start(self.size))
    }

    /// The window that begins at `start`.
    pub fn starting_at(&self, start: Timestamp) -> Window {
        Window { start, end: start.saturating_add(self.size) }
    }

    /// Whether `window` is closed: a record for it is late, its value is final.
    pub fn is_closed(&self, window: Window, watermark: Option<Timestamp>) -> bool {
        watermark.is_some_and(|watermark| window.end.saturating_add(self.grace) <= watermark)
    }

    /// Windows that begin before this are closed; `None` while none is.
    pub fn closed_before(&self, watermark: Option<Timestamp>) -> Option<Timestamp> {
        let first_open_end = watermark?.saturating_sub(self.grace);
        Some(first_open_end.window_start(self.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: TumblingWindows =
        TumblingWindows { size: Duration::from_millis(10), grace: Duration::from_millis(3) };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn windows_are_half_open() {
        let window = WINDOWS.window_of(at(19));
        assert_eq!(window, Window { start: at(10), end: at(20) });
        assert!(window.contains(at(10)) && !window.contains(at(20)));
        assert_eq!(WINDOWS.window_of(at(-1)).start, at(-10));
    }

    #[test]
    fn window_closes_when_the_watermark_reaches_end_plus_grace() {
        let window = WINDOWS.starting_at(at(10));
        assert!(!WINDOWS.is_closed(window, None));
        assert!(!WINDOWS.is_closed(window, Some(at(22))));
        assert!(WINDOWS.is_closed(window, Some(at(23))));
    }

    #[test]
    fn closed_before_agrees_with_is_closed() {
        for watermark in -30..60 {
            let closed_before = WINDOWS.closed_before(Some(at(watermark))).unwrap();
            for start in (-50..60).step_by(10) {
                let window = WINDOWS.starting_at(at(start));
                assert_eq!(
                    window.start < closed_before,
                    WINDOWS.is_closed(window, Some(at(watermark))),
                    "{start} at {watermark}"
                );
            }
        }
        assert_eq!(WINDOWS.closed_before(None), None);
    }
}
