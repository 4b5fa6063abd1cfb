//! Lists of two stores, made into one: newest first, and what both have once.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::pin::Pin;

use futures::stream::Peekable;
use futures::{Stream, StreamExt, stream};
use restow_model::KeyPart;
use restow_store::query::langgraph::{CheckpointTuple, Checkpoints};
use restow_store::{ErrorKind, Result};

use super::Place;

struct Merge {
    lists: [Pin<Box<Peekable<Lists>>>; 2],
    /// What was given of the newest id.
    given: HashSet<Place>,
}

type Lists = Pin<Box<dyn Stream<Item = Result<Place>> + Send>>;

/// Joins two lists that are newest first; a store that is retired has nothing to tell.
pub(super) fn candidates(
    source: Checkpoints,
    target: Checkpoints,
) -> impl Stream<Item = Result<Place>> + Send {
    let lists = [source, target].map(|list| Box::pin(places(list).peekable()));
    let start = Merge { lists, given: HashSet::new() };
    stream::try_unfold(start, |mut merge| async move {
        Ok(merge.next().await?.map(|place| (place, merge)))
    })
}

fn places(list: Checkpoints) -> Lists {
    let place = |found: Result<CheckpointTuple>| async {
        match found {
            Err(error) if error.kind() == ErrorKind::Retired => None,
            found => found.map(place).transpose(),
        }
    };
    Box::pin(list.filter_map(place))
}

fn place(found: CheckpointTuple) -> Option<Place> {
    let mut parts = found.checkpoint.key.parts().into_iter();
    match (parts.next(), parts.next()) {
        (Some(KeyPart::Text(namespace)), Some(KeyPart::Text(id))) => {
            Some(Place { thread: found.unit, namespace: namespace.into(), id: id.into() })
        }
        _ => None,
    }
}

impl Merge {
    async fn next(&mut self) -> Result<Option<Place>> {
        loop {
            let [source, target] = &mut self.lists;
            let order = match (source.as_mut().peek().await, target.as_mut().peek().await) {
                (None, None) => return Ok(None),
                // An error comes first, and ends the list.
                (Some(Err(_)), _) | (_, None) => Ordering::Greater,
                (_, Some(Err(_))) | (None, _) => Ordering::Less,
                (Some(Ok(source)), Some(Ok(target))) => source.id.cmp(&target.id),
            };
            let list = if order.is_ge() { source } else { target };
            let Some(next) = list.next().await.transpose()? else { continue };
            if self.given.iter().next().is_some_and(|given| given.id != next.id) {
                self.given.clear();
            }
            if self.given.insert(next.clone()) {
                return Ok(Some(next));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use restow_model::{Body, Record, UnitId};
    use restow_store::Error;

    use super::*;

    fn list(found: &[(&str, &str)]) -> Vec<Result<CheckpointTuple>> {
        let tuple = |(thread, id): &(&str, &str)| {
            let place = Place::new(thread, "", id);
            let checkpoint = Record::new(place.key(), Body::Null);
            Ok(CheckpointTuple { unit: UnitId::new(*thread), checkpoint, writes: Vec::new() })
        };
        found.iter().map(tuple).collect()
    }

    async fn joined(lists: [Vec<Result<CheckpointTuple>>; 2]) -> Vec<String> {
        let [source, target] = lists.map(|list| -> Checkpoints { Box::pin(stream::iter(list)) });
        let told = |place: Result<Place>| match place {
            Ok(place) => format!("{} {}", place.thread, place.id),
            Err(error) => error.message().to_owned(),
        };
        candidates(source, target).map(told).collect().await
    }

    #[tokio::test]
    async fn what_both_have_comes_once_whatever_the_order_of_one_id() {
        let source = list(&[("a", "3"), ("b", "2"), ("a", "2"), ("a", "1")]);
        let target = list(&[("a", "2"), ("b", "2"), ("c", "2"), ("b", "0")]);
        let found = joined([source, target]).await;
        assert_eq!(found[0], "a 3");
        let mut second = found[1..4].to_vec();
        second.sort();
        assert_eq!(second, ["a 2", "b 2", "c 2"]);
        assert_eq!(found[4..], ["a 1", "b 0"]);
    }

    #[tokio::test]
    async fn a_retired_store_tells_nothing_and_an_error_ends_the_list() {
        let fails = |kind| Error::new(kind, "list checkpoints", "it fails");
        let mut source = list(&[("a", "3")]);
        source.push(Err(fails(ErrorKind::Retired)));
        let found = joined([source, list(&[("b", "2")])]).await;
        assert_eq!(found, ["a 3", "b 2"]);
        let mut source = list(&[("a", "3")]);
        source.push(Err(fails(ErrorKind::Failed)));
        let found = joined([source, list(&[("b", "4"), ("b", "2")])]).await;
        assert_eq!(found, ["b 4", "a 3", "it fails"]);
    }
}
