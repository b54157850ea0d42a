//! Reads a checkpoint that another process writes, and leaves it as it is.

use std::collections::HashMap;

use super::{CheckpointError, Checkpoints, Restored, pack};
use crate::units::Timestamp;

impl Checkpoints {
    /// The series whose keys are wanted, and when each was saved; of two savings the later one. What cannot be read is
    /// passed over, and neither set aside nor claimed: that is its owner's business.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn peek(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(Timestamp, Restored)>, CheckpointError> {
        let mut newest: HashMap<String, (Timestamp, Restored)> = HashMap::new();
        for stored in self.store.list().await?.into_iter().filter(|stored| !stored.aside) {
            let Ok(unpacked) = pack::unpack(&stored.bytes) else { continue };
            for restored in unpacked.series.into_iter().filter(|restored| wanted(&restored.key)) {
                let known = newest.get(&restored.key);
                if known.is_none_or(|(saved, _)| *saved < unpacked.saved) {
                    newest.insert(restored.key.clone(), (unpacked.saved, restored));
                }
            }
        }
        Ok(newest.into_values().collect())
    }
}
