//! Numbers as people read and write them.

use std::time::Duration;

/// Shows a count with its thousands set apart.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Shows a count with its noun, in the singular for one.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Shows a number of bytes in decimal units.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} bytes");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 10.0 { 2 } else { 1 };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Shows an address, its path relative to the current folder where it lies below.
pub(crate) fn place(address: &str) -> String {
    let here = std::env::current_dir().map(|here| format!("{}/", here.display()));
    match (here, address.split_once(':')) {
        (Ok(here), Some((name, path))) => {
            format!("{name}:{}", path.strip_prefix(&here).unwrap_or(path))
        }
        _ => address.to_string(),
    }
}

/// Shows a time span.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=59 => format!("{:.1} s", time.as_secs_f64()),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Shows a moment, in milliseconds since 1970, as RFC 3339 writes it.
pub(crate) fn moment(ms: u64) -> String {
    let (days, second) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Howard Hinnant's `civil_from_days`: eras of 400 years that begin in March.
    let day = days + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let leaps = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads a number of bytes: `5000`, `64KB`, `50MB`, `1.5GB`, or binary `64KiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("unknown unit `{}`; use kB, MB or GB", unit.trim())),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a number of bytes"))?;
    match number * factor {
        n if (1.0..1e18).contains(&n) => Ok(n as u64),
        _ => Err(format!("`{text}` is out of range")),
    }
}

/// Reads a percentage with up to two decimals, as basis points.
pub(crate) fn parse_share(text: &str) -> Result<u16, String> {
    let wrong = || format!("`{text}` is no percentage from 0 to 100 with up to two decimals");
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    let fits = (1..=3).contains(&whole.len()) && (1..=2).contains(&decimals.len());
    if !fits || !is_number(whole) || !is_number(decimals) {
        return Err(wrong());
    }
    let share = format!("{whole}{decimals:0<2}").parse().map_err(|_| wrong())?;
    if share > 10_000 { Err(wrong()) } else { Ok(share) }
}

/// Reads a time span: `250ms`, `2s`, `1.5s`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time span such as 250ms or 1.5s");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, 1.0),
    };
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(wrong());
    }
    let seconds = number.parse::<f64>().map_err(|_| wrong())? * unit;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        assert_eq!(count(196_112), "196,112");
        assert_eq!([bytes(999), bytes(1000), bytes(999_960)], ["999 bytes", "1.00 kB", "1.00 MB"]);
        assert_eq!(counted(1, "thread", "threads"), "1 thread");
        assert_eq!(span(Duration::from_secs(61)), "1 min 1 s");
    }

    #[test]
    fn moments_are_shown_as_calendars_count() {
        for (ms, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_000, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(moment(ms), shown);
        }
    }

    #[test]
    fn shares_are_read_or_refused() {
        let read = ["0", "5", "37.5", "0.01", "100", "99.99%"].map(parse_share);
        assert_eq!(read, [Ok(0), Ok(500), Ok(3750), Ok(1), Ok(10_000), Ok(9999)]);
        for bad in ["", "-1", "100.01", "101", "1.234", "1e2", "a", "5."] {
            assert!(parse_share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn time_spans_are_read_or_refused() {
        let read = ["0ms", "250ms", "1.5s"].map(parse_span);
        assert_eq!(read, [0, 250, 1500].map(|ms| Ok(Duration::from_millis(ms))));
        for bad in ["", "s", "ms", "5", "-1s", "1e3s", "1..5s", "2 s", "2min"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_of_bytes_are_read_or_refused() {
        assert_eq!(parse_bytes("1.5MB"), Ok(1_500_000));
        assert_eq!(parse_bytes("64 KiB"), Ok(65_536));
        for bad in ["", "MB", "5 apples", "-1", "0", "1e99"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
