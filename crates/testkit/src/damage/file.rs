//! Damage to the bytes of any SQLite file.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::{Damage, Hit};
use crate::generate::Random;

/// Ways to damage the bytes of any SQLite file.
pub const FILE: &[Damage] = &[
    Damage::bytes("file truncated", truncated),
    Damage::bytes("file truncated inside a page", truncated_inside),
    Damage::bytes("page wiped", page_wiped),
    Damage::bytes("page type altered", page_type_altered),
    Damage::bytes("header altered", header_altered),
    Damage::bytes("file emptied", emptied),
];

fn hit(place: String) -> Hit {
    Hit { unit: None, place }
}

/// The page's size and the number of pages, as the file's header tells the size.
fn pages(path: &Path) -> (u64, u64) {
    let bytes = read(path, 16, 2);
    let size = match u64::from(u16::from_be_bytes([bytes[0], bytes[1]])) {
        1 => 65536,
        size => size,
    };
    (size, fs::metadata(path).expect("the file to damage").len() / size)
}

fn read(path: &Path, at: u64, count: usize) -> Vec<u8> {
    let mut file = fs::File::open(path).expect("open the file to damage");
    let mut bytes = vec![0; count];
    file.seek(SeekFrom::Start(at)).expect("seek");
    file.read_exact(&mut bytes).expect("read a page");
    bytes
}

fn write(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).expect("open the file to damage");
    file.seek(SeekFrom::Start(at)).expect("seek");
    file.write_all(bytes).expect("overwrite bytes");
}

fn cut(path: &Path, length: u64) -> Hit {
    let file = OpenOptions::new().write(true).open(path).expect("open the file to damage");
    file.set_len(length).expect("cut the file");
    hit(format!("cut to {length} bytes"))
}

fn truncated(path: &Path, _: &mut Random) -> Hit {
    let (size, count) = pages(path);
    cut(path, (count * 3 / 4).max(1) * size)
}

fn truncated_inside(path: &Path, random: &mut Random) -> Hit {
    let (size, count) = pages(path);
    cut(path, (count - 1) * size + random.between(1, size - 1))
}

fn emptied(path: &Path, _: &mut Random) -> Hit {
    cut(path, 0)
}

fn page_wiped(path: &Path, random: &mut Random) -> Hit {
    let (size, _) = pages(path);
    let page = leaf(path, random);
    write(path, page * size, &vec![0; size as usize]);
    hit(format!("page {}", page + 1))
}

fn page_type_altered(path: &Path, random: &mut Random) -> Hit {
    let (size, _) = pages(path);
    let page = leaf(path, random);
    write(path, page * size, &[0xff]);
    hit(format!("page {}", page + 1))
}

fn header_altered(path: &Path, random: &mut Random) -> Hit {
    write(path, 0, &random.next().to_be_bytes());
    hit("header".to_owned())
}

/// Chooses a leaf of a table; such a page holds rows, so its loss is a loss.
fn leaf(path: &Path, random: &mut Random) -> u64 {
    const LEAF_OF_A_TABLE: u8 = 0x0d;
    let (size, count) = pages(path);
    let start = random.below(count);
    let found = (0..count)
        .map(|n| (start + n) % count)
        .find(|page| *page > 0 && read(path, page * size, 1)[0] == LEAF_OF_A_TABLE);
    found.expect("a page with rows")
}
