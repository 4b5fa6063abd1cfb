//! Reading: single items, many by name, partitions and shares of a table, to their ends.

use aws_sdk_dynamodb::types::{
    KeysAndAttributes, ReturnConsumedCapacity, TimeToLiveDescription, TimeToLiveStatus,
};
use backon::BlockingRetryable as _;
use restow_store::{Error, ErrorKind, Result};

use super::{Item, Place, Table, text};

/// How many items one request may ask for by name.
const GET_ITEMS_MAX: usize = 100;

/// Which items of a partition, by their names there.
#[derive(Clone, Debug)]
pub enum Range {
    /// All.
    All,
    /// Those that begin so.
    Prefix(String),
    /// Those between two, both inclusive.
    Between(String, String),
}

/// Some items, and where to go on; nothing behind the last ones.
pub type Page = (Vec<Item>, Option<Place>);

impl Table {
    /// Reads an item.
    pub fn get(&self, place: &Place) -> Result<Option<Item>> {
        let request = self.client.get_item().table_name(&self.settings.table);
        let request = request.set_key(Some(self.keys.at(place))).consistent_read(true);
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = self.wait(request.send()).map_err(|e| self.failed("read an item", e))?;
        self.meter.read(&answer.consumed_capacity);
        Ok(answer.item)
    }

    /// Reads items by name, in any order; those that are not there are left out.
    pub fn get_many(&self, places: &[Place]) -> Result<Vec<Item>> {
        if let [place] = places {
            return Ok(self.get(place)?.into_iter().collect());
        }
        let mut found = Vec::with_capacity(places.len());
        for chunk in places.chunks(GET_ITEMS_MAX) {
            let mut left: Vec<Item> = chunk.iter().map(|place| self.keys.at(place)).collect();
            // Repeated only as long as nothing comes at all.
            while !left.is_empty() {
                let some = (|| self.get_some(&left)).retry(self.backoff()).when(is_stuck);
                let (items, rest) = some.call()?;
                found.extend(items);
                left = rest;
            }
        }
        Ok(found)
    }

    /// Reads as many of some items as one answer holds; an error where that is none.
    fn get_some(&self, keys: &[Item]) -> Result<(Vec<Item>, Vec<Item>)> {
        const OPERATION: &str = "read items";
        let table = &self.settings.table;
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys.to_vec()));
        let wanted = wanted.consistent_read(true).build().map_err(|error| {
            Error::new(ErrorKind::Failed, OPERATION, "the request makes no sense").because(error)
        })?;
        let request = self.client.batch_get_item().request_items(table, wanted);
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = self.wait(request.send()).map_err(|e| self.failed(OPERATION, e))?;
        self.meter.read(answer.consumed_capacity());
        let items = answer.responses.and_then(|mut all| all.remove(table)).unwrap_or_default();
        let left = answer.unprocessed_keys.and_then(|mut all| all.remove(table));
        let left = left.map_or_else(Vec::new, |left| left.keys);
        match items.is_empty() && !left.is_empty() {
            true => Err(self.stuck(OPERATION)),
            false => Ok((items, left)),
        }
    }

    /// Says that the table takes no more for now.
    pub(super) fn stuck(&self, operation: &'static str) -> Error {
        let message = "the table is throttled; slow down, or give it more capacity";
        let error = Error::new(ErrorKind::Unavailable, operation, message);
        error.with("table", self.settings.shown()).with("code", STUCK)
    }

    /// Reads a page of a partition.
    pub fn query(
        &self,
        partition: &str,
        range: &Range,
        is_descending: bool,
        from: Option<&Place>,
        limit: Option<i32>,
    ) -> Result<Page> {
        let request = self.client.query().table_name(&self.settings.table);
        let request = request.consistent_read(true).scan_index_forward(!is_descending);
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let request = request.expression_attribute_names("#p", self.keys.partition);
        let request = request.expression_attribute_values(":p", text(partition));
        let request = match range {
            Range::All => request.key_condition_expression("#p = :p"),
            Range::Prefix(prefix) => request
                .key_condition_expression("#p = :p AND begins_with(#s, :a)")
                .expression_attribute_names("#s", self.keys.sort)
                .expression_attribute_values(":a", text(prefix)),
            Range::Between(first, last) => request
                .key_condition_expression("#p = :p AND #s BETWEEN :a AND :b")
                .expression_attribute_names("#s", self.keys.sort)
                .expression_attribute_values(":a", text(first))
                .expression_attribute_values(":b", text(last)),
        };
        let request =
            request.set_exclusive_start_key(from.map(|place| self.keys.at(place))).set_limit(limit);
        let answer = self.wait(request.send()).map_err(|e| self.failed("read a partition", e))?;
        self.meter.read(&answer.consumed_capacity);
        let next = answer.last_evaluated_key.as_ref().and_then(|key| self.keys.place_of(key));
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// Reads all of a part of a partition, page by page, until `each` says `false`.
    pub fn query_all(
        &self,
        partition: &str,
        range: &Range,
        is_descending: bool,
        mut each: impl FnMut(Item) -> Result<bool>,
    ) -> Result<()> {
        let mut from = None;
        loop {
            let (items, next) = self.query(partition, range, is_descending, from.as_ref(), None)?;
            for item in items {
                if !each(item)? {
                    return Ok(());
                }
            }
            from = match next {
                None => return Ok(()),
                next => next,
            };
        }
    }

    /// Reads a page of a share of the table: of so many shares, that of a number.
    pub fn scan(
        &self,
        (number, shares): (u32, u32),
        from: Option<&Place>,
        attributes: Option<&[&str]>,
    ) -> Result<Page> {
        let mut request = self.client.scan().table_name(&self.settings.table);
        request = request
            .consistent_read(true)
            .set_exclusive_start_key(from.map(|place| self.keys.at(place)));
        request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        if shares > 1 {
            request = request.segment(number as i32).total_segments(shares as i32);
        }
        if let Some(attributes) = attributes {
            let names: Vec<String> = (0..attributes.len()).map(|n| format!("#a{n}")).collect();
            for (short, name) in names.iter().zip(attributes) {
                request = request.expression_attribute_names(short, *name);
            }
            request = request.projection_expression(names.join(", "));
        }
        let answer = self.wait(request.send()).map_err(|e| self.failed("walk a table", e))?;
        self.meter.read(&answer.consumed_capacity);
        let next = answer.last_evaluated_key.as_ref().and_then(|key| self.keys.place_of(key));
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// Returns the attribute by which items expire; nothing where none do.
    pub fn expires_by(&self) -> Result<Option<String>> {
        let request = self.client.describe_time_to_live().table_name(&self.settings.table);
        let answer = self.wait(request.send()).map_err(|e| self.failed("describe a table", e))?;
        let told = answer.time_to_live_description;
        let is_on = |told: &TimeToLiveDescription| {
            told.time_to_live_status() == Some(&TimeToLiveStatus::Enabled)
        };
        Ok(told.filter(is_on).and_then(|told| told.attribute_name))
    }
}

const STUCK: &str = "nothing was processed";

/// Says whether the table took nothing at all of a request.
pub(super) fn is_stuck(error: &Error) -> bool {
    error.context().iter().any(|(_, value)| value == STUCK)
}
