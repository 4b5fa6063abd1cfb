//! JSON read and written as Python does.

use proptest::prelude::*;

use super::super::json_text;
use super::super::order::Orders;
use super::*;

fn round(text: &str) -> Option<String> {
    let mut log = OrderLog::default();
    let body = read(text.as_bytes(), &mut log).ok()?;
    let mut out = String::new();
    json_text::write(&body, &mut Orders::new(&log.encode()?), &mut out).expect("came from JSON");
    Some(out)
}

#[test]
fn what_python_writes_comes_back_to_the_byte() {
    // Written by CPython 3.11: json.dumps(value, ensure_ascii=False).
    for text in [
        r#"{"source": "loop", "step": -1, "parents": {"b": "1", "a": "2"}}"#,
        r#"{"zz": NaN, "step": 1, "a": Infinity, "b": -Infinity, "c": -0.0, "d": 1e+22}"#,
        r#"[1e-05, 0.0001, 1e+16, 1234567890123456.0, 1.5e+300, 5e-324, 0.1, 100.0]"#,
        r#"[123456789012345678901234567890, -7, 0, [], {}, null, true, false]"#,
        r#"["\u0000\u001f\b\f\n\r\t\"\\/", "größe 😀 ", "\ud800", "a\udfffb"]"#,
        r#""\ud800 alone""#,
    ] {
        assert_eq!(round(text).as_deref(), Some(text), "{text}");
    }
}

#[test]
fn what_is_written_otherwise_is_read_and_not_the_same() {
    for (text, canonical) in [
        ("{\"a\":1}", "{\"a\": 1}"),
        ("1E5", "100000.0"),
        ("-0", "0"),
        ("\"\\u00e9\"", "\"é\""),
        ("\"\\ud83d\\ude00\"", "\"😀\""),
        ("1e999", "Infinity"),
    ] {
        assert_eq!(round(text).as_deref(), Some(canonical), "{text}");
    }
    assert_eq!(round("{\"a\": 1, \"a\": 2}"), None, "a key twice has no order");
}

#[test]
fn what_is_no_json_is_refused() {
    for text in ["", "{", "[1,]", "{\"a\"}", "01", "1.", "+1", "\"", "\"\\x\"", "nul", "1 2", "-"] {
        assert!(read(text.as_bytes(), &mut OrderLog::default()).is_err(), "{text}");
    }
    assert!(read(b"\"\xff\"", &mut OrderLog::default()).is_err());
    assert!(read("[".repeat(100_000).as_bytes(), &mut OrderLog::default()).is_err());
}

proptest! {
    #[test]
    fn floats_are_written_in_their_shortest_form(bits: u64) {
        let f = Float::new(f64::from_bits(bits));
        let mut out = String::new();
        json_text::write(&Body::Float(f), &mut Orders::none(), &mut out).expect("a float");
        let back = read(out.as_bytes(), &mut OrderLog::default());
        prop_assert_eq!(back, Ok(Body::Float(f)));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}\",:\\\\ud8091eE.\\-NaIn ]{0,24}") {
        let mut log = OrderLog::default();
        if let Ok(body) = read(text.as_bytes(), &mut log) {
            let mut out = String::new();
            json_text::write(&body, &mut Orders::none(), &mut out).expect("came from JSON");
            prop_assert_eq!(read(out.as_bytes(), &mut OrderLog::default()), Ok(body));
        }
    }
}
