//! What most clusters run on: a request that was set once and never again.

use crate::policy::ContainerSize;
use crate::replay::arm::{Arm, Observation, Size};

/// The arm: what people set, with the memory limit at the request.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    stated: ContainerSize,
    decided: bool,
}

impl Arm for Fixed {
    fn reset(&mut self) {
        *self = Self::default();
    }

    fn template(&mut self, stated: &ContainerSize) {
        self.stated = *stated;
    }

    fn step(&mut self, seen: &Observation) -> Option<Size> {
        if !seen.may_decide || self.decided {
            return None;
        }
        self.decided = true;
        let (cpu, memory) = (self.stated.cpu_request, self.stated.memory_request);
        Some(Size { cpu_request: cpu, memory_request: memory, memory_limit: memory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pure::{NOW, size};

    #[test]
    fn decides_once_by_what_people_set() {
        let mut fixed = Fixed::default();
        fixed.template(&size(4000, 100, 200));
        let see = |may_decide| Observation { at: NOW, cpu: None, memory: None, oom: None, may_decide };
        assert_eq!(fixed.step(&see(false)), None);
        let decided = fixed.step(&see(true)).unwrap();
        assert_eq!(decided.cpu_request, size(4000, 0, 0).cpu_request);
        assert_eq!((decided.memory_request, decided.memory_limit), {
            let memory = size(0, 100, 0).memory_request;
            (memory, memory)
        });
        assert_eq!(fixed.step(&see(true)), None);
    }
}
