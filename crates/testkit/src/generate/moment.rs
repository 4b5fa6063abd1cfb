//! Moments as LangGraph writes them: checkpoint ids (UUID version 6), times, channel versions.

use super::random::{Random, hyphenated};

/// From the start of the Gregorian calendar to 1970, in units of 100 ns.
const GREGORIAN_TO_UNIX: u64 = 0x01b2_1dd2_1381_4000;
const TICKS_A_SECOND: u64 = 10_000_000;

/// The time of one thread, which only the generator moves; in units of 100 ns since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(u64);

impl Moment {
    /// Starts on 2026-03-02, some seconds later for each part.
    pub(super) fn start(part: u64) -> Self {
        Self((1_772_438_400 + part * 7) * TICKS_A_SECOND)
    }

    /// Lets the time of one step pass: some milliseconds, more where a model was asked.
    pub(super) fn pass(&mut self, random: &mut Random) {
        self.0 += random.between(12_000, 9_000_000);
    }

    /// Lets a person think: some minutes.
    pub(super) fn pause(&mut self, random: &mut Random) {
        self.0 += random.between(20, 900) * TICKS_A_SECOND;
    }

    /// Returns the id of a checkpoint made now: time, step, and a random node.
    pub(super) fn checkpoint_id(self, step: i64, random: &mut Random) -> String {
        let ticks = self.0 + GREGORIAN_TO_UNIX;
        let high = ((ticks >> 12) << 16) | 0x6000 | (ticks & 0xfff);
        let clock = (step as u64) & 0x3fff;
        let low = (2 << 62) | (clock << 48) | (random.next() & 0xffff_ffff_ffff);
        hyphenated(high, low)
    }

    /// Returns the time as Python's `isoformat` writes it, in UTC.
    pub(super) fn iso(self) -> String {
        let seconds = self.0 / TICKS_A_SECOND;
        let micros = (self.0 % TICKS_A_SECOND) / 10;
        let (year, month, day) = date(seconds / 86400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        // Python leaves out a fraction of zero; one microsecond later none is zero.
        let micros = micros.max(1);
        format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+00:00")
    }
}

/// Returns the version of a channel: the number, and a random fraction as Python formats it.
pub(super) fn version(number: u64, random: &mut Random) -> String {
    let fraction = random.fraction();
    // Python turns to exponents below 1e-4, and writes them with two digits.
    let text = if fraction < 1e-4 && fraction > 0.0 {
        let text = format!("{fraction:e}");
        let (digits, exponent) = text.split_once("e-").unwrap_or((&text, "0"));
        format!("{digits}e-{exponent:0>2}")
    } else {
        format!("{fraction:?}")
    };
    format!("{number:032}.{text:0>16}")
}

/// Returns the civil date of a day since 1970.
fn date(day: u64) -> (u64, u64, u64) {
    // Eras of 400 years that begin on 1 March, so that the leap day is a year's last.
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_python_does() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(20_515), (2026, 3, 3));
        let moment = Moment(17_636_324_895_935_820);
        assert_eq!(moment.iso(), "2025-11-20T09:54:49.593582+00:00");
        let id = moment.checkpoint_id(-1, &mut Random::new(1));
        assert_eq!(&id[14..19], format!("6{:03x}-", (moment.0 + GREGORIAN_TO_UNIX) & 0xfff));
        assert_eq!(&id[19..23], "bfff");
    }

    #[test]
    fn a_version_has_a_number_and_a_fraction() {
        let version = version(12, &mut Random::new(3));
        assert!(version.starts_with("00000000000000000000000000000012.0."), "{version}");
        assert!(version.len() > 45 && version.len() < 60, "{version}");
    }
}
