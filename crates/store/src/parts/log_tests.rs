//! What a log stores for lists that grow, change and slide, and that every value comes back.

use bytes::Bytes;
use proptest::prelude::*;
use restow_model::{Form, ValueRef};

use super::*;
use crate::parts::part::Codec;
use crate::parts::{Fetch, Joiner, Part, Torn};

/// The parts that a log gave out, by number.
#[derive(Default)]
struct Shelf(Vec<Part>);

impl Sink for Shelf {
    type Error = Torn;

    fn take(&mut self, first: u64, lens: &[u32], bytes: &[u8]) -> Result<(), Torn> {
        self.0.retain(|part| part.first != first);
        self.0.push(Part::seal(first, lens, bytes, &mut codec())?);
        Ok(())
    }
}

impl Fetch for Shelf {
    fn part_with(&mut self, element: u64) -> Result<Option<Part>, Torn> {
        let holds = |p: &&Part| (p.first..p.first + p.count).contains(&element);
        Ok(self.0.iter().find(holds).cloned())
    }
}

fn codec() -> Codec {
    Codec::new().expect("memory for zstd")
}

/// A list of texts as msgpack.
fn list(items: &[String]) -> Value {
    let mut bytes = vec![0xdd];
    bytes.extend((items.len() as u32).to_be_bytes());
    for item in items {
        bytes.push(0xda);
        bytes.extend((item.len() as u16).to_be_bytes());
        bytes.extend(item.as_bytes());
    }
    Value::new(Form::Msgpack, Bytes::from(bytes))
}

fn message(n: usize) -> String {
    // Different bytes all along, as text has.
    (0..24)
        .map(|i| format!("{:07x} ", (n * 31 + i).wrapping_mul(2_654_435_761) & 0xfff_ffff))
        .collect()
}

struct Run {
    log: Log,
    shelf: Shelf,
    stored: Vec<(Pointer, ValueRef)>,
    pointer_bytes_max: usize,
}

impl Run {
    fn new() -> Self {
        Self { log: Log::new(0), shelf: Shelf::default(), stored: Vec::new(), pointer_bytes_max: 0 }
    }

    fn put(&mut self, value: &Value) {
        let pointer = self.log.put(value, 0, &mut self.shelf).expect("stored");
        self.pointer_bytes_max = self.pointer_bytes_max.max(pointer.to_bytes().len());
        self.stored.push((pointer, value.name));
    }

    /// Joins every value again and returns the raw bytes of all elements.
    fn check(mut self) -> u64 {
        self.log.flush(&mut self.shelf).expect("sealed");
        let mut joiner = Joiner::new().expect("a joiner");
        for (pointer, name) in &self.stored {
            joiner.join(pointer, name, &mut self.shelf).expect("the value, whole");
            joiner.check(pointer, name, &mut self.shelf).expect("the same");
        }
        self.shelf.0.iter().map(|p| p.raw_len as u64).sum()
    }
}

#[test]
fn a_list_that_grows_by_a_message_adds_a_message() {
    let bytes = |turns: usize| {
        let mut run = Run::new();
        let mut items = Vec::new();
        for n in 0..turns {
            items.push(message(n));
            run.put(&list(&items));
        }
        assert!(run.pointer_bytes_max < 64, "{} bytes of pointer", run.pointer_bytes_max);
        run.check()
    };
    let (half, whole) = (bytes(300), bytes(600));
    assert!(whole < half * 21 / 10, "{half} bytes for 300 turns, {whole} for 600");
    assert!(whole < 600 * 230, "{whole} bytes for 600 messages of 192");
}

#[test]
fn a_list_edited_at_many_places_keeps_small_pointers() {
    let bytes = |edits: usize| {
        let mut run = Run::new();
        let mut items: Vec<_> = (0..4000).map(message).collect();
        run.put(&list(&items));
        for edit in 0..edits {
            items[(edit * 1237) % 4000] = message(10_000 + edit);
            run.put(&list(&items));
        }
        let pointer = run.pointer_bytes_max;
        assert!(pointer <= POINTER_BYTES_MAX + 40, "{pointer} bytes of pointer");
        run.check()
    };
    let base = bytes(0);
    let (half, whole) = (bytes(500) - base, bytes(1000) - base);
    assert!(whole < half * 22 / 10, "{half} bytes for 500 edits, {whole} for 1000");
    assert!(whole / 1000 < 3000, "{} bytes an edit", whole / 1000);
}

#[test]
fn a_window_that_slides_adds_what_comes_in() {
    let mut run = Run::new();
    for turn in 0..400 {
        let items: Vec<_> = (turn..turn + 40).map(message).collect();
        run.put(&list(&items));
    }
    assert!(run.pointer_bytes_max < 64);
    assert!(run.check() < 440 * 230);
}

#[test]
fn a_list_that_doubles_does_not_double_its_pointer() {
    let mut run = Run::new();
    let mut items = vec![message(1), message(2), message(3)];
    for _ in 0..14 {
        run.put(&list(&items));
        items.extend(items.clone());
    }
    assert!(run.pointer_bytes_max <= POINTER_BYTES_MAX + 40, "{}", run.pointer_bytes_max);
    run.check();
}

#[test]
fn a_reopened_log_points_at_what_it_learned() {
    let items: Vec<_> = (0..20).map(message).collect();
    let mut log = Log::new(0);
    let mut shelf = Shelf::default();
    log.put(&list(&items), 0, &mut shelf).expect("stored");
    log.flush(&mut shelf).expect("sealed");
    let tail = shelf.0.pop().expect("a part");
    let opened = tail.open(&mut codec()).expect("opened");

    let mut again = Log::new(log.next());
    again.learn(&opened);
    again.reopen(&opened);
    let more: Vec<_> = (0..21).map(message).collect();
    let value = list(&more);
    let pointer = again.put(&value, 0, &mut shelf).expect("stored");
    assert_eq!(again.next(), log.next() + 1);
    again.flush(&mut shelf).expect("sealed");
    let grown = shelf.0.pop().expect("a part");
    assert_eq!((grown.first, grown.count), (tail.first, tail.count + 1));
    let mut joiner = Joiner::new().expect("a joiner");
    let joined = joiner.join(&pointer, &value.name, &mut Shelf(vec![grown])).expect("joined");
    assert_eq!(joined, value.bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_values_come_back_and_any_damage_is_named(
        values in prop::collection::vec(
            (0u8..3, prop::collection::vec(any::<u8>(), 0..2000)),
            1..12,
        ),
        at: usize,
        flip in 1u8..,
    ) {
        let mut run = Run::new();
        for (form, bytes) in &values {
            let form = Form::from_code(*form).expect("a form");
            run.put(&Value::new(form, Bytes::copy_from_slice(bytes)));
        }
        let stored = run.stored.clone();
        run.log.flush(&mut run.shelf).expect("sealed");
        let mut shelf = Shelf(run.shelf.0.clone());
        run.check();
        if let Some(part) = shelf.0.first_mut() {
            let at = at % part.stored.len();
            part.stored[at] ^= flip;
        }
        let mut joiner = Joiner::new().expect("a joiner");
        for ((pointer, name), (_, bytes)) in stored.iter().zip(&values) {
            let joined = joiner.join(pointer, name, &mut shelf);
            prop_assert_eq!(joiner.check(pointer, name, &mut shelf).is_ok(), joined.is_ok());
            if let Ok(joined) = joined {
                prop_assert_eq!(&joined[..], &bytes[..]);
            }
        }
    }
}
