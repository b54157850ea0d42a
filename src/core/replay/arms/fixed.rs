//! What most clusters run on: a request that was set once and never again.

use crate::replay::arm::{Arm, Observation, Size};
use crate::replay::trace::Allocation;
use crate::units::{Bytes, Cores};

/// A guess from the first day leaves so much room.
const ROOM: f64 = 1.3;

/// The arm: the request that the trace's table gives, else the first day's maximum x 1.3.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    given: Allocation,
    cpu_max: Option<f64>,
    memory_max: Option<f64>,
    decided: Option<Size>,
}

impl Arm for Fixed {
    fn reset(&mut self) {
        *self = Self::default();
    }

    fn allocated(&mut self, given: &Allocation) {
        self.given = *given;
    }

    fn step(&mut self, seen: &Observation) -> Option<Size> {
        // Each resource is set once, at the first chance after it was seen.
        let raise = |max: &mut Option<f64>, value: f64| *max = Some(max.map_or(value, |m| m.max(value)));
        if let Some(cpu) = seen.cpu {
            raise(&mut self.cpu_max, cpu.0);
        }
        if let Some(memory) = seen.memory {
            raise(&mut self.memory_max, memory.as_f64());
        }
        if !seen.may_decide {
            return None;
        }
        let before = self.decided;
        let cpu = before
            .and_then(|size| size.cpu_request)
            .or_else(|| self.cpu_max.map(|max| self.given.cpu.unwrap_or(Cores(max * ROOM))));
        let memory = before
            .and_then(|size| size.memory_request)
            .or_else(|| self.memory_max.map(|max| self.given.memory.unwrap_or(Bytes::from_f64(max * ROOM))));
        let size = Size { cpu_request: cpu, memory_request: memory, memory_limit: memory };
        self.decided = Some(size);
        (before != self.decided).then_some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Timestamp;

    fn see(at: i64, cpu: Option<f64>, memory: Option<u64>, may_decide: bool) -> Observation {
        Observation {
            at: Timestamp(at),
            cpu: cpu.map(Cores),
            memory: memory.map(Bytes),
            oom: None,
            may_decide,
        }
    }

    #[test]
    fn guesses_once_from_what_was_seen_before() {
        let mut fixed = Fixed::default();
        assert_eq!(fixed.step(&see(0, Some(2.0), Some(100), false)), None);
        let size = fixed.step(&see(1, Some(1.0), Some(50), true)).unwrap();
        assert_eq!(size.cpu_request, Some(Cores(2.6)));
        assert_eq!((size.memory_request, size.memory_limit), (Some(Bytes(130)), Some(Bytes(130))));
        assert_eq!(fixed.step(&see(2, Some(9.0), Some(900), true)), None);
    }

    #[test]
    fn the_table_wins_and_late_resources_are_set_when_seen() {
        let mut fixed = Fixed::default();
        fixed.allocated(&Allocation { cpu: Some(Cores(4.0)), memory: None });
        let size = fixed.step(&see(0, Some(1.0), None, true)).unwrap();
        assert_eq!((size.cpu_request, size.memory_request), (Some(Cores(4.0)), None));
        let size = fixed.step(&see(1, None, Some(10), true)).unwrap();
        assert_eq!((size.cpu_request, size.memory_request), (Some(Cores(4.0)), Some(Bytes(13))));
    }
}
