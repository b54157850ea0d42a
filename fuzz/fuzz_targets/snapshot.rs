//! Any bytes: read or refused, never a panic. What is read must estimate, and write back what was read.
//! The checksum is put right first, else nearly nothing would get past it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plumb::model::{Model, read_snapshot, write_snapshot};
use plumb::policy::Rules;

fuzz_target!(|data: &[u8]| {
    let model = Model::default();
    let mut crc = flate2::Crc::new();
    crc.update(data);
    let mut pack = b"PLMB\x01".to_vec();
    pack.extend_from_slice(&crc.sum().to_le_bytes());
    pack.extend_from_slice(data);
    drop(read_snapshot(data));
    if let Ok(mut series) = read_snapshot(&pack) {
        let again = write_snapshot(&series.iter().collect::<Vec<_>>());
        assert!(read_snapshot(&again).is_ok());
        let prices = Rules::default().prices();
        for one in &mut series {
            let need = one.estimate(&prices, &model);
            assert!(need.cpu.is_none_or(|cpu| cpu.target.is_finite()));
        }
    }
});
