//! Transcripts that stay the same: times, rates and moments become placeholders.

/// Replaces times (`[time]`), rates (`[rate]`) and moments (`[moment]`) in a text.
///
/// - a number with a unit of time, `3.2 s`, `17ms`, `1m 20s`, and a clock, `00:01:20`;
/// - a number with anything per second, `120 MB/s`, `35 units/s`;
/// - a moment of RFC 3339, `2026-11-21T05:53:53Z`, also with a blank;
/// - in JSON, the number of a key that ends with `seconds`, `_ms`, `elapsed` or `per_second`.
pub fn settled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inside = out.ends_with(|c: char| c.is_alphanumeric() || "._-/#$".contains(c));
        let found = match first.is_ascii_digit() && !inside {
            true => moment(rest).or_else(|| quantity(rest, &out)),
            false => None,
        };
        match found {
            Some((length, placeholder)) => {
                out.push_str(placeholder);
                rest = &rest[length..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    // One time may be told in several units.
    while out.contains("[time] [time]") {
        out = out.replace("[time] [time]", "[time]");
    }
    out.replace("[time][time]", "[time]")
}

type Found = Option<(usize, &'static str)>;

fn moment(text: &str) -> Found {
    let day = shaped(text, "0000-00-00")?;
    let clock = text[day..].strip_prefix(['T', ' ']).and_then(|rest| shaped(rest, "00:00:00"))?;
    let mut length = day + 1 + clock;
    if text[length..].starts_with('.') {
        length += 1 + digits(&text[length + 1..]);
    }
    let zone = &text[length..];
    length += match zone.strip_prefix(['+', '-']).and_then(|rest| shaped(rest, "00:00")) {
        Some(offset) => 1 + offset,
        None => usize::from(zone.starts_with('Z')),
    };
    Some((length, "[moment]"))
}

/// The length of a pattern of digits (`0`) and other characters, where the text begins with it.
fn shaped(text: &str, pattern: &str) -> Option<usize> {
    let fits = |(c, p): (u8, u8)| if p == b'0' { c.is_ascii_digit() } else { c == p };
    let long = text.len() >= pattern.len();
    (long && text.bytes().zip(pattern.bytes()).all(fits)).then_some(pattern.len())
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn quantity(text: &str, before: &str) -> Found {
    if let Some(clock) = shaped(text, "00:00:00").filter(|end| ends_a_word(&text[*end..])) {
        return Some((clock, "[time]"));
    }
    let mut number = text.bytes().take_while(|c| c.is_ascii_digit() || *c == b',').count();
    if text[..number].ends_with(',') {
        number -= 1;
    }
    let fraction = text[number..].strip_prefix('.').map_or(0, digits);
    if fraction > 0 {
        number += 1 + fraction;
    }
    if is_measured(before) {
        return Some((number, "\"[measured]\""));
    }
    let after = &text[number..];
    let blank = usize::from(after.starts_with(' '));
    let unit = &after[blank..];
    let name = unit.bytes().take_while(u8::is_ascii_alphabetic).count();
    let tail = &unit[name..];
    if tail.starts_with("/s") && ends_a_word(&tail[2..]) {
        return Some((number + blank + name + 2, "[rate]"));
    }
    if unit.starts_with("µs") {
        return Some((number + blank + "µs".len(), "[time]"));
    }
    let is_time = match &unit[..name] {
        "ns" | "us" | "ms" | "s" | "min" | "second" | "seconds" | "minutes" => true,
        "m" | "h" => blank == 0,
        _ => false,
    };
    (is_time && !tail.starts_with(['_', '/'])).then_some((number + blank + name, "[time]"))
}

fn ends_a_word(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
}

/// Whether the text ends with the key of a JSON object that holds a measured number.
fn is_measured(before: &str) -> bool {
    let Some(key) = before.trim_end().strip_suffix(':').and_then(|b| b.strip_suffix('"')) else {
        return false;
    };
    ["seconds", "_ms", "elapsed", "per_second"].iter().any(|end| key.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::settled;

    #[test]
    fn times_rates_and_moments_are_replaced() {
        for (text, expected) in [
            ("copied 12 units in 3.2 s (120.5 MB/s)", "copied 12 units in [time] ([rate])"),
            ("1m 20s left, 35 units/s, 7/s", "[time] left, [rate], [rate]"),
            ("1m20s, 15 µs, 2 ms.", "[time], [time], [time]."),
            ("at 2026-11-21T05:53:53.433274+00:00: ok", "at [moment]: ok"),
            ("2026-11-21 05:53:53Z 00:01:20", "[moment] [time]"),
            ("{\"seconds\":1.25,\"units\":3}", "{\"seconds\":\"[measured]\",\"units\":3}"),
        ] {
            assert_eq!(settled(text), expected);
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            "12 units, 1,284 records, 5.3 MB, 4 snapshots",
            "v1.2.3 a1s 2026-11-21 exit 3",
            "3 m, 17 stores and 00:01",
            "grüße 数据 7",
        ] {
            assert_eq!(settled(text), text);
        }
    }
}
