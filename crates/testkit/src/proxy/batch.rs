//! Batches of which a part stays unprocessed, as DynamoDB's do under load.

use serde_json::{Map, Value, json};

use super::message::{Answer, Seen, with_json};
use crate::generate::random::Random;

/// A batch cut in two: what is sent on, and what is told to be unprocessed.
#[derive(Debug)]
pub(super) struct Cut {
    /// The request without what is left out; `None` where that is everything.
    pub(super) sent: Option<Seen>,
    left: Value,
    answered_as: &'static str,
}

/// Leaves out about half of a batch, and one item at least; nothing where it is no batch.
pub(super) fn cut(seen: &Seen, random: &mut Random) -> Option<Cut> {
    let answered_as = match seen.operation.as_str() {
        "BatchWriteItem" => "UnprocessedItems",
        "BatchGetItem" => "UnprocessedKeys",
        _ => return None,
    };
    let mut request = seen.json()?;
    let tables = request.get_mut("RequestItems")?.as_object_mut()?;
    let mut left = Map::new();
    let mut is_first = true;
    for (table, asked) in tables.iter_mut() {
        let mut unprocessed = asked.clone();
        let items = list(asked)?;
        let (out, kept): (Vec<Value>, Vec<Value>) =
            items.drain(..).partition(|_| std::mem::take(&mut is_first) || random.once_in(2));
        *items = kept;
        if !out.is_empty() {
            *list(&mut unprocessed)? = out;
            left.insert(table.clone(), unprocessed);
        }
    }
    let names: Vec<String> = tables.keys().cloned().collect();
    for name in names {
        let is_empty = tables.get_mut(&name).and_then(list).is_none_or(|items| items.is_empty());
        if is_empty {
            tables.remove(&name);
        }
    }
    let sent =
        (!tables.is_empty()).then(|| Seen { body: request.to_string().into(), ..seen.clone() });
    Some(Cut { sent, left: left.into(), answered_as })
}

/// The list of a table's items: of writes it is the value itself, of reads its keys.
fn list(asked: &mut Value) -> Option<&mut Vec<Value>> {
    match asked {
        Value::Array(items) => Some(items),
        other => other.get_mut("Keys")?.as_array_mut(),
    }
}

impl Cut {
    /// What is said of a batch of which nothing was sent on.
    pub(super) fn nothing(&self) -> Value {
        let mut body = json!({});
        if self.answered_as == "UnprocessedKeys" {
            body["Responses"] = json!({});
        }
        body[self.answered_as] = self.left.clone();
        body
    }

    /// Adds what was left out to what the server left out by itself.
    pub(super) fn told(&self, answer: Answer) -> Answer {
        if !answer.status().is_success() {
            return answer;
        }
        let Ok(mut body) = serde_json::from_slice::<Value>(answer.body()) else { return answer };
        let Some(left) = self.left.as_object() else { return answer };
        for (table, ours) in left {
            let mut ours = ours.clone();
            let theirs = body[self.answered_as].get_mut(table).and_then(list);
            let theirs = theirs.map(std::mem::take).unwrap_or_default();
            if let Some(items) = list(&mut ours) {
                items.extend(theirs);
            }
            body[self.answered_as][table] = ours;
        }
        with_json(answer, &body)
    }
}
