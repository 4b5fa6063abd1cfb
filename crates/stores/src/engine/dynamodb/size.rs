//! How large an item is, counted as DynamoDB does.

use aws_sdk_dynamodb::types::AttributeValue;

use super::Item;

/// No item is larger.
pub const ITEM_BYTES_MAX: usize = 409_600;

/// Returns the size of an item: its names and its values.
pub fn item_size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::N(number) => number_size(number),
        AttributeValue::Bool(_) | AttributeValue::Null(_) => 1,
        AttributeValue::L(items) => {
            3 + items.iter().map(|item| 1 + value_size(item)).sum::<usize>()
        }
        AttributeValue::M(map) => {
            3 + map.iter().map(|(name, value)| 1 + name.len() + value_size(value)).sum::<usize>()
        }
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|n| number_size(n)).sum(),
        AttributeValue::Bs(blobs) => blobs.iter().map(|b| b.as_ref().len()).sum(),
        // What this version of the library does not know is taken for too large.
        _ => ITEM_BYTES_MAX,
    }
}

/// A byte for two significant digits, one for the exponent, one for a sign.
fn number_size(number: &str) -> usize {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let digits = mantissa.trim_start_matches(['-', '+']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let leading = all.len() - significant.len();
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return 1;
    }
    // Digits are paired at even powers of ten: an odd place costs half a byte more.
    let first = whole.len() as i64 + exponent - leading as i64;
    let odd = usize::from(first.rem_euclid(2) == 1);
    (significant.len() + odd).div_ceil(2) + 1 + usize::from(mantissa.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_documentation() {
        let size = |value| item_size(&Item::from([("ab".to_owned(), value)]));
        assert_eq!(size(AttributeValue::S("ü".into())), 4);
        assert_eq!(size(AttributeValue::B(Blob::new(vec![0; 7]))), 9);
        assert_eq!(size(AttributeValue::Bool(true)), 3);
        assert_eq!(size(AttributeValue::L(vec![AttributeValue::Null(true)])), 2 + 3 + 1 + 1);
        let map = [("x".to_owned(), AttributeValue::S("yy".into()))].into();
        assert_eq!(size(AttributeValue::M(map)), 2 + 3 + 1 + 1 + 2);
        for (number, bytes) in [("0", 1), ("27", 2), ("-27", 3), ("100", 2), ("1234567", 5)] {
            assert_eq!(number_size(number), bytes, "{number}");
        }
    }
}
