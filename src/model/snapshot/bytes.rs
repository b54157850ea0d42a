//! Numbers to bytes and back, with the place of what is wrong.

use super::SnapshotError;

/// Times further from 0 than this are absurd: 35 million years.
const LAST: i64 = 1 << 50;

/// Writes numbers.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(super) fn count(&mut self, value: usize) {
        self.unsigned(value as u64);
    }

    pub(super) fn signed(&mut self, value: i64) {
        let value = value.clamp(-LAST, LAST);
        self.unsigned((value.unsigned_abs() << 1) | u64::from(value < 0));
    }

    /// An amount that is not negative: the upper half of its float.
    pub(super) fn amount(&mut self, value: f32) {
        let half = (value.max(0.0).to_bits() >> 16) as u16;
        self.bytes.extend_from_slice(&half.to_le_bytes());
    }

    /// Codes of recent maxima, to a quarter of their resolution, upwards: each as a step from the one before.
    pub(super) fn codes<'a>(&mut self, codes: impl Iterator<Item = &'a u16>) {
        let mut before = 0_i64;
        for code in codes {
            let quarter = i64::from(code.div_ceil(4));
            self.signed(quarter - before);
            before = quarter;
        }
    }
}

/// Reads numbers.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The code before, within [`codes`](Self::codes).
    before: i64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, before: 0 }
    }

    pub(super) fn wrong(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Content { at: self.at, what }
    }

    pub(super) fn byte(&mut self) -> Result<u8, SnapshotError> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| self.wrong("it ends"))?;
        self.at += 1;
        Ok(byte)
    }

    fn unsigned(&mut self) -> Result<u64, SnapshotError> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                // The shortest form only, so that what is read writes the same bytes.
                return if byte == 0 && shift > 0 { Err(self.wrong("a padded number")) } else { Ok(value) };
            }
        }
        Err(self.wrong("a number too long"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, SnapshotError> {
        let value = self.unsigned()?;
        u32::try_from(value).map_err(|_| self.wrong("a number too large"))
    }

    pub(super) fn count(&mut self, most: usize) -> Result<usize, SnapshotError> {
        let value = self.unsigned()?;
        usize::try_from(value).ok().filter(|v| *v <= most).ok_or_else(|| self.wrong("a count too large"))
    }

    pub(super) fn time(&mut self) -> Result<i64, SnapshotError> {
        let value = self.unsigned()?;
        let size = i64::try_from(value >> 1).ok().filter(|size| *size <= LAST);
        let size = size.ok_or_else(|| self.wrong("an absurd time"))?;
        match (value & 1, size) {
            (0, _) => Ok(size),
            (_, 0) => Err(self.wrong("a negative zero")),
            _ => Ok(-size),
        }
    }

    pub(super) fn amount(&mut self) -> Result<f32, SnapshotError> {
        let half = u16::from_le_bytes([self.byte()?, self.byte()?]);
        let value = f32::from_bits(u32::from(half) << 16);
        if value.is_finite() && value.is_sign_positive() { Ok(value) } else { Err(self.wrong("no amount")) }
    }

    /// The next `N` of a run of codes; a run ends with a call for one.
    pub(super) fn codes<const N: usize>(&mut self) -> Result<[u16; N], SnapshotError> {
        let mut codes = [0; N];
        for code in &mut codes {
            self.before = self.before.saturating_add(self.time()?);
            let quarter = u16::try_from(self.before).ok().filter(|quarter| *quarter < 0x2000);
            *code = quarter.ok_or_else(|| self.wrong("no amount"))? * 4;
        }
        if N == 1 {
            self.before = 0;
        }
        Ok(codes)
    }

    pub(super) fn end(&self) -> Result<(), SnapshotError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.wrong("something follows the last series"))
        }
    }
}
