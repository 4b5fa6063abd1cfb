//! Writing: transactions on what was seen, batches of what nobody else writes, counters.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, ConditionCheck, Delete, DeleteRequest, KeySchemaElement,
    KeyType, Put, PutRequest, ReturnConsumedCapacity, ReturnValue, ScalarAttributeType,
    TableStatus, TransactWriteItem, WriteRequest,
};
use backon::BlockingRetryable as _;
use restow_store::{Error, ErrorKind, Result};

use super::table::is_stuck;
use super::{Item, KeyNames, Place, Table, item_size, number_of, text};

/// How many operations a batch may hold, and how many bytes.
const BATCH_ITEMS_MAX: usize = 25;
const BATCH_BYTES_MAX: usize = 8 << 20;
/// How many operations a transaction may hold.
pub const TRANSACTION_ITEMS_MAX: usize = 100;
/// How many bytes a transaction may hold.
pub const TRANSACTION_BYTES_MAX: usize = 4_000_000;

/// What has to hold of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Anything.
    Any,
    /// It has this attribute, with this text.
    Is(&'static str, String),
    /// It has this attribute, with this number.
    Counts(&'static str, i64),
    /// It does not have this attribute, or is not there.
    Without(&'static str),
    /// An entry of a map, `MAP.ENTRY`, has this text; without one, the entry is not there.
    Entry(&'static str, Option<String>),
}

/// One operation of a transaction.
#[derive(Clone, Debug)]
pub enum Write {
    /// Writes an item.
    Put(Item, Check),
    /// Removes an item.
    Delete(Place, Check),
    /// Only looks.
    Look(Place, Check),
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transacted {
    /// All was done, now or by an earlier attempt.
    Done,
    /// A check did not hold; nothing was done.
    Lost,
}

type Condition = (Option<String>, Option<Item>, Option<(String, String)>);

impl Check {
    fn condition(&self) -> Condition {
        let name = |name: &str| Some(("#c".to_owned(), name.to_owned()));
        match self {
            Self::Any => (None, None, None),
            Self::Is(attribute, value) => {
                let values = Item::from([(":c".to_owned(), text(value))]);
                (Some("#c = :c".to_owned()), Some(values), name(attribute))
            }
            Self::Counts(attribute, value) => {
                let values = Item::from([(":c".to_owned(), super::number(value))]);
                (Some("#c = :c".to_owned()), Some(values), name(attribute))
            }
            Self::Without(attribute) => {
                (Some("attribute_not_exists(#c)".to_owned()), None, name(attribute))
            }
            Self::Entry(path, Some(value)) => {
                let values = Item::from([(":c".to_owned(), text(value))]);
                (Some(format!("{path} = :c")), Some(values), None)
            }
            Self::Entry(path, None) => (Some(format!("attribute_not_exists({path})")), None, None),
        }
    }
}

/// Gives a request its table and its condition: AWS's builders have these methods in common, and
/// no trait.
macro_rules! on_condition {
    ($builder:expr, $table:expr, $check:expr) => {{
        let (condition, values, name) = $check.condition();
        $builder
            .table_name($table)
            .set_condition_expression(condition)
            .set_expression_attribute_values(values)
            .set_expression_attribute_names(name.map(|name| [name].into()))
    }};
}

impl Write {
    /// Returns how many bytes it has of those that a transaction may hold.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put(item, _) => item_size(item),
            Self::Delete(place, _) | Self::Look(place, _) => place.0.len() + place.1.len() + 64,
        }
    }

    fn build(
        &self,
        table: &str,
        keys: KeyNames,
    ) -> Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError> {
        let all = TransactWriteItem::builder();
        Ok(match self {
            Self::Put(item, check) => {
                let put = Put::builder().set_item(Some(item.clone()));
                all.put(on_condition!(put, table, check).build()?)
            }
            Self::Delete(place, check) => {
                let delete = Delete::builder().set_key(Some(keys.at(place)));
                all.delete(on_condition!(delete, table, check).build()?)
            }
            Self::Look(place, check) => {
                let look = ConditionCheck::builder().set_key(Some(keys.at(place)));
                all.condition_check(on_condition!(look, table, check).build()?)
            }
        }
        .build())
    }
}

impl Table {
    /// Does all or nothing.
    ///
    /// The client asks again for an answer that got lost, and nothing is done twice; where it gives
    /// up, the caller has to read back.
    pub fn transact(&self, writes: &[Write]) -> Result<Transacted> {
        const OPERATION: &str = "write items together";
        let table = &self.settings.table;
        let items: Result<Vec<_>, _> =
            writes.iter().map(|write| write.build(table, self.keys)).collect();
        let items = items.map_err(|error| {
            Error::new(ErrorKind::Failed, OPERATION, "the request makes no sense").because(error)
        })?;
        let once = || {
            let request = self.client.transact_write_items();
            let request = request.set_transact_items(Some(items.clone()));
            let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
            match self.wait(request.send()) {
                Ok(answer) => {
                    self.meter.write(answer.consumed_capacity());
                    Ok(Transacted::Done)
                }
                Err(error) => match reason(error.as_service_error()) {
                    Reason::Check => Ok(Transacted::Lost),
                    Reason::Conflict => Err(self.conflict(OPERATION)),
                    Reason::Other => Err(self.failed(OPERATION, error)),
                },
            }
        };
        once.retry(self.backoff()).when(is_conflict).call()
    }

    fn conflict(&self, operation: &'static str) -> Error {
        let message = "others write the same items all the time; try again";
        let error = Error::new(ErrorKind::Unavailable, operation, message);
        error.with("table", self.settings.shown()).with("code", CONFLICT)
    }

    /// Writes an item if a check holds; says whether it did.
    pub fn put_if(&self, item: Item, check: &Check) -> Result<bool> {
        let request = self.client.put_item().set_item(Some(item));
        let request = on_condition!(request, &self.settings.table, check);
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        match self.wait(request.send()) {
            Ok(answer) => {
                self.meter.write(&answer.consumed_capacity);
                Ok(true)
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(self.failed("write an item", error)),
            },
        }
    }

    /// Removes an item if a check holds; says whether it did.
    pub fn delete_if(&self, place: &Place, check: &Check) -> Result<bool> {
        let request = self.client.delete_item().set_key(Some(self.keys.at(place)));
        let request = on_condition!(request, &self.settings.table, check);
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        match self.wait(request.send()) {
            Ok(answer) => {
                self.meter.write(&answer.consumed_capacity);
                Ok(true)
            }
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(self.failed("remove an item", error)),
            },
        }
    }

    /// Writes items that nobody else writes, in any order.
    pub fn put_all(&self, items: Vec<Item>) -> Result<()> {
        let puts = items.into_iter().map(|item| {
            let size = item_size(&item);
            let put = PutRequest::builder().set_item(Some(item)).build();
            put.map(|put| (WriteRequest::builder().put_request(put).build(), size))
        });
        self.batches(puts.collect::<Result<_, _>>())
    }

    /// Removes items, in any order; those that are not there are no error.
    pub fn delete_all(&self, places: &[Place]) -> Result<()> {
        let deletes = places.iter().map(|place| {
            let delete = DeleteRequest::builder().set_key(Some(self.keys.at(place))).build();
            delete.map(|delete| (WriteRequest::builder().delete_request(delete).build(), 64))
        });
        self.batches(deletes.collect::<Result<_, _>>())
    }

    fn batches(
        &self,
        requests: Result<Vec<(WriteRequest, usize)>, aws_sdk_dynamodb::error::BuildError>,
    ) -> Result<()> {
        const OPERATION: &str = "write items";
        let requests = requests.map_err(|error| {
            Error::new(ErrorKind::Failed, OPERATION, "the request makes no sense").because(error)
        })?;
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let (mut left, mut bytes) = (Vec::new(), 0);
            while let Some((request, size)) = requests.next_if(|(_, size)| {
                left.len() < BATCH_ITEMS_MAX && (left.is_empty() || bytes + size < BATCH_BYTES_MAX)
            }) {
                bytes += size;
                left.push(request);
            }
            while !left.is_empty() {
                let some = (|| self.batch(OPERATION, &left)).retry(self.backoff()).when(is_stuck);
                left = some.call()?;
            }
        }
        Ok(())
    }

    /// Writes a batch; returns what is left of it, an error where that is all.
    fn batch(&self, operation: &'static str, some: &[WriteRequest]) -> Result<Vec<WriteRequest>> {
        let table = &self.settings.table;
        let request = self.client.batch_write_item().request_items(table, some.to_vec());
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = self.wait(request.send()).map_err(|e| self.failed(operation, e))?;
        self.meter.write(answer.consumed_capacity());
        let left = answer.unprocessed_items.and_then(|mut all| all.remove(table));
        let left = left.unwrap_or_default();
        match left.len() == some.len() {
            true => Err(self.stuck(operation)),
            false => Ok(left),
        }
    }

    /// Adds one to a counter and returns it; after a lost answer a number may be left out.
    pub fn count(&self, place: &Place) -> Result<i64> {
        const OPERATION: &str = "count";
        let request = self.client.update_item().table_name(&self.settings.table);
        let request = request.set_key(Some(self.keys.at(place))).update_expression("ADD #n :n");
        let request = request.expression_attribute_names("#n", "count");
        let request = request.expression_attribute_values(":n", super::number(1));
        let request = request.return_values(ReturnValue::UpdatedNew);
        let answer = self.wait(request.send()).map_err(|e| self.failed(OPERATION, e))?;
        let count = answer.attributes.as_ref().and_then(|item| number_of(item, "count"));
        count.ok_or_else(|| Error::new(ErrorKind::Damaged, OPERATION, "the counter is no number"))
    }

    /// Makes the table where it is missing, paid by request, and waits until it is there.
    pub fn create(&self) -> Result<()> {
        const OPERATION: &str = "make a table";
        let table = &self.settings.table;
        let found = self.wait(self.client.describe_table().table_name(table).send());
        match found {
            Ok(_) => return Ok(()),
            Err(error) if is(&error, "ResourceNotFoundException") => {}
            Err(error) => return Err(self.failed("describe a table", error)),
        }
        let mut request = self.client.create_table().table_name(table);
        for (name, role) in [(self.keys.partition, KeyType::Hash), (self.keys.sort, KeyType::Range)]
        {
            let key = KeySchemaElement::builder().attribute_name(name).key_type(role);
            let attribute = AttributeDefinition::builder().attribute_name(name);
            let attribute = attribute.attribute_type(ScalarAttributeType::S).build();
            // Both have all that they need.
            if let (Ok(key), Ok(attribute)) = (key.build(), attribute) {
                request = request.key_schema(key).attribute_definitions(attribute);
            }
        }
        match self.wait(request.billing_mode(BillingMode::PayPerRequest).send()) {
            Ok(_) => {}
            // Another made it at the same time.
            Err(error) if is(&error, "ResourceInUseException") => {}
            Err(error) => return Err(self.failed(OPERATION, error)),
        }
        let there = || match self.wait(self.client.describe_table().table_name(table).send()) {
            Ok(found) if status(&found) == Some(&TableStatus::Active) => Ok(()),
            Ok(_) => Err(self.stuck(OPERATION)),
            Err(error) => Err(self.failed(OPERATION, error)),
        };
        there.retry(self.backoff()).when(is_stuck).call()
    }
}

fn status(
    found: &aws_sdk_dynamodb::operation::describe_table::DescribeTableOutput,
) -> Option<&TableStatus> {
    found.table()?.table_status()
}

fn is<E: aws_sdk_dynamodb::error::ProvideErrorMetadata>(error: &E, code: &str) -> bool {
    error.code() == Some(code)
}

enum Reason {
    Check,
    Conflict,
    Other,
}

/// Says why a transaction was not done.
fn reason(error: Option<&TransactWriteItemsError>) -> Reason {
    let Some(error) = error else { return Reason::Other };
    match error {
        TransactWriteItemsError::TransactionCanceledException(canceled) => {
            let has = |code| {
                canceled.cancellation_reasons().iter().any(|reason| reason.code() == Some(code))
            };
            // Where one check failed, trying again would fail too.
            match (has("ConditionalCheckFailed"), has("TransactionConflict")) {
                (true, _) => Reason::Check,
                (false, true) => Reason::Conflict,
                _ if has("ThrottlingError") || has("ProvisionedThroughputExceeded") => {
                    Reason::Conflict
                }
                _ => Reason::Other,
            }
        }
        TransactWriteItemsError::TransactionInProgressException(_) => Reason::Conflict,
        _ => Reason::Other,
    }
}

const CONFLICT: &str = "conflict";

fn is_conflict(error: &Error) -> bool {
    error.context().iter().any(|(_, value)| value == CONFLICT)
}
