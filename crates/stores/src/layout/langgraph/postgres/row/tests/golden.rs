//! The bytes of stored formats, which stay readable.

use super::super::adjust::Changes;
use super::super::residue::Difference;
use super::super::shape::{Inline, Row, Shape};
use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shape(inline: Inline, row: Row, has_null_version: bool) -> Shape {
    Shape { inline, row, has_null_version }
}

#[test]
fn golden_residue_of_format_1() {
    let bytes = Some(Bytes::from_static(b"\xff"));
    let difference = Difference {
        flags: 17,
        tag: Some("json".into()),
        channels: vec![
            (0, shape(Inline::Value, Row::Absent, false)),
            (1, shape(Inline::True, Row::Value(None), false)),
            (4, shape(Inline::Other("[1]".into()), Row::Value(Some("bytes".into())), false)),
            (5, shape(Inline::Absent, Row::Cells("empty".into(), None), false)),
            (6, shape(Inline::Absent, Row::Cells("empty".into(), bytes), false)),
            (7, shape(Inline::Absent, Row::Absent, true)),
        ],
        checkpoint: Some("{\"x\": 1.10}".into()),
        metadata: Some("[1.0, 2.50]".into()),
        sends: Some(Body::text("2")),
    };
    let mut record = checkpoint("1", vec![]);
    difference.attach(&mut record);
    assert_eq!(Difference::of(&record), Some(difference));
    let golden = "01011102046a736f6e032400010006020b035b315d056279746573000c05656d707479001c05656d\
        70747901ff0020040b7b2278223a20312e31307d050b5b312e302c20322e35305d0603060132";
    assert_eq!(hex(&record.residue[0].bytes), golden);
}

#[test]
fn golden_adjustment_of_format_1() {
    let changes = Changes {
        versions: vec![("c".into(), version(1).into())],
        head: vec![(Body::text("x"), Body::Bytes(Bytes::from_static(b"\xff")))],
        metadata: Some(Body::Null),
        is_without_sends: true,
    };
    let adjustment = changes.clone().encode("{}", "{}").expect("something to undo");
    assert_eq!(Changes::decode(&adjustment.bytes), Some(changes));
    let golden = "01090406046865616409010601780701ff060573656e64730006086d657461646174610006087665\
        7273696f6e7309010601630633303030303030303030303030303030303030303030303030303030\
        30303030312e302e30303030303037383131373939343133";
    assert_eq!(hex(&adjustment.bytes), golden);
    let golden = "b25978ac2e8b3d33278653f63958437bda6471497c1a9a955c7573f48f62a3cd";
    assert_eq!(hex(&adjustment.row_digest), golden);
}

#[test]
fn golden_versions_made_anew() {
    let make = |id, bytes| checkpoint(id, vec![channel("c", Body::text("odd"), msgpack(bytes))]);
    let (mut tables, mut known) = (Tables::default(), Known::complete());
    for record in [make("1", b"\x90"), make("2", b"\x91\x00"), make("3", b"\x05")] {
        assert_eq!(tables.put(&record, &mut known), Ok(true));
    }
    let versions = ["2", "3"].map(|id| {
        let json = tables.json(id);
        let version = json.get("channel_versions").and_then(|v| v.get("c"));
        version.and_then(Body::as_text).expect("a version").to_owned()
    });
    assert_eq!(versions, ["odd.0.773216445827949270", "odd.0.132170291149628153"]);
}
