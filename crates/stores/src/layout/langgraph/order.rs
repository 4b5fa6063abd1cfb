//! The order of map entries, kept apart from the maps themselves.
//!
//! Bodies know no order, but a row does, and most rows differ from the canonical ones only in it.
//! Maps of two entries and more are counted in the order in which a reader comes to them (a map
//! before what is in it). The encoding lists those that are not in their default order: how many
//! maps were passed since the last one listed, then for each entry its place in the default order;
//! all numbers are varints.

use restow_model::{read_varint, write_varint};

/// Collects the orders of maps while they are read.
#[derive(Clone, Debug, Default)]
pub struct OrderLog {
    slots: Vec<Slot>,
    is_lost: bool,
}

#[derive(Clone, Debug)]
enum Slot {
    /// A map that is not counted, because it has no order.
    Small,
    /// In its default order.
    Default,
    /// In another order.
    Places(Box<[u32]>),
}

impl OrderLog {
    /// Counts a map before its entries are read.
    pub fn open(&mut self) -> usize {
        self.slots.push(Slot::Small);
        self.slots.len() - 1
    }

    /// Notes in which order the entries of a map came; without two entries it is not counted.
    ///
    /// `compare` tells the default order of two entries by the places at which they came.
    pub fn close(
        &mut self,
        slot: usize,
        len: usize,
        mut compare: impl FnMut(usize, usize) -> std::cmp::Ordering,
    ) {
        if len < 2 {
            return;
        }
        self.slots[slot] = Slot::Default;
        if (1..len).all(|n| compare(n - 1, n).is_lt()) {
            return;
        }
        let mut sorted: Vec<usize> = (0..len).collect();
        sorted.sort_by(|a, b| compare(*a, *b));
        if sorted.windows(2).any(|w| compare(w[0], w[1]).is_eq()) {
            // A key twice: an order of the entries that stay would not tell where it was.
            self.is_lost = true;
            return;
        }
        let mut places = vec![0; len];
        for (place, came) in sorted.into_iter().enumerate() {
            places[came] = place as u32;
        }
        self.slots[slot] = Slot::Places(places.into());
    }

    /// Forgets every map counted from this one on.
    pub fn truncate(&mut self, slot: usize) {
        self.slots.truncate(slot);
    }

    /// Returns how many maps were counted.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Says whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns the encoding, empty where every map is in its default order; `None` where orders
    /// cannot tell how it was.
    pub fn encode(&self) -> Option<Vec<u8>> {
        if self.is_lost {
            return None;
        }
        let mut out = Vec::new();
        let mut gap = 0;
        for slot in &self.slots {
            let Slot::Places(places) = slot else {
                gap += u64::from(matches!(slot, Slot::Default));
                continue;
            };
            write_varint(&mut out, gap);
            gap = 0;
            places.iter().for_each(|place| write_varint(&mut out, u64::from(*place)));
        }
        Some(out)
    }
}

/// Gives the orders back, map by map, while maps are written.
#[derive(Clone, Debug)]
pub struct Orders<'b> {
    bytes: &'b [u8],
    at: usize,
    gap: Option<u64>,
    is_sound: bool,
}

impl<'b> Orders<'b> {
    /// Reads an encoding.
    pub fn new(bytes: &'b [u8]) -> Self {
        let mut orders = Self { bytes, at: 0, gap: None, is_sound: true };
        orders.next_gap();
        orders
    }

    /// Every map is in its default order.
    pub fn none() -> Self {
        Self::new(&[])
    }

    /// Returns the places of the entries of the next map; `None` is the default order.
    pub fn next(&mut self, len: usize) -> Option<Vec<u32>> {
        if len < 2 {
            return None;
        }
        match self.gap.as_mut()? {
            0 => {}
            gap => {
                *gap -= 1;
                return None;
            }
        }
        let places: Option<Vec<u32>> = (0..len).map(|_| self.place(len)).collect();
        let is_whole = places.as_ref().is_some_and(|places| {
            let mut seen = vec![false; len];
            places.iter().all(|p| !std::mem::replace(&mut seen[*p as usize], true))
        });
        if !is_whole {
            self.is_sound = false;
            self.gap = None;
            return None;
        }
        self.next_gap();
        places
    }

    /// Says whether the encoding spoke of exactly the maps that were asked for.
    pub fn is_spent(&self) -> bool {
        self.is_sound && self.gap.is_none() && self.at == self.bytes.len()
    }

    fn place(&mut self, len: usize) -> Option<u32> {
        let place = read_varint(self.bytes, &mut self.at).ok()?;
        (place < len as u64).then_some(place as u32)
    }

    fn next_gap(&mut self) {
        self.gap = match self.at == self.bytes.len() {
            true => None,
            false => read_varint(self.bytes, &mut self.at).ok(),
        };
        self.is_sound &= self.gap.is_some() || self.at == self.bytes.len();
    }
}

/// Lists `0..len` in the order that `orders` gives the next map.
pub fn arranged(orders: &mut Orders<'_>, len: usize) -> Vec<usize> {
    match orders.next(len) {
        Some(places) => places.into_iter().map(|p| p as usize).collect(),
        None => (0..len).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn maps() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let map = prop::collection::hash_set(any::<u8>(), 0..5);
        prop::collection::vec(map.prop_map(|map| map.into_iter().collect()), 0..6)
    }

    proptest! {
        #[test]
        fn orders_come_back(maps in maps()) {
            let mut log = OrderLog::default();
            for map in &maps {
                let slot = log.open();
                log.close(slot, map.len(), |a, b| map[a].cmp(&map[b]));
            }
            let bytes = log.encode().expect("no key twice");
            let mut orders = Orders::new(&bytes);
            for map in &maps {
                let mut sorted = map.clone();
                sorted.sort_unstable();
                let came: Vec<u8> =
                    arranged(&mut orders, map.len()).into_iter().map(|n| sorted[n]).collect();
                prop_assert_eq!(&came, map);
            }
            prop_assert!(orders.is_spent());
        }

        #[test]
        fn any_bytes_give_some_order(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut orders = Orders::new(&bytes);
            for len in [0, 3, 1, 2, 5] {
                let mut places = arranged(&mut orders, len);
                places.sort_unstable();
                prop_assert_eq!(places, (0..len).collect::<Vec<_>>());
            }
        }
    }
}
