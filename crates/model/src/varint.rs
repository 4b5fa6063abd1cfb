//! Variable-length unsigned integers: seven bits a byte, low bits first, shortest form only.

use crate::Malformed;

/// Appends `n` in its shortest form (one to ten bytes).
pub fn write_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Returns how many bytes [`write_varint`] uses for `n`.
pub fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads one integer at `*at` and moves `*at` behind it; refuses forms that are not the shortest.
pub fn read_varint(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    let start = *at;
    let mut n = 0u64;
    for shift in (0..).step_by(7) {
        let byte = *bytes.get(*at).ok_or(Malformed::new("number cut short", start))?;
        *at += 1;
        let low = u64::from(byte & 0x7f);
        if shift > 63 || (shift == 63 && low > 1) || (byte == 0 && shift > 0) {
            return Err(Malformed::new("number too long", start));
        }
        n |= low << shift;
        if byte < 0x80 {
            break;
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_it_writes(n: u64) {
            let mut out = Vec::new();
            write_varint(&mut out, n);
            prop_assert_eq!(out.len(), varint_len(n));
            let mut at = 0;
            prop_assert_eq!(read_varint(&out, &mut at), Ok(n));
            prop_assert_eq!(at, out.len());
        }
    }

    #[test]
    fn refuses_padding_and_overflow() {
        for bad in [&[0x80, 0x00][..], &[0xff; 10], &[0x80], &[]] {
            assert!(read_varint(bad, &mut 0).is_err(), "{bad:?}");
        }
    }
}
