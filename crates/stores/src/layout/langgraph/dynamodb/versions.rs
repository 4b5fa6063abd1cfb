//! Versions of channels: the official saver counts in integers, and fails at anything else.
//!
//! The other savers write `{n:032}.{fraction}`. So integers are read as versions of that form, and
//! versions of that form are written as integers. The fraction is made from the channel's value:
//! forks share an integer and not the value, and a version must not name two values. What an
//! integer cannot say stays in the record's page (see [`super::item`]).

use restow_model::{Body, Digest, Map};

use crate::layout::langgraph::record::Channel;

/// The entry of a checkpoint that says which versions each node has seen.
const SEEN: &str = "versions_seen";
/// How many digits a fraction has.
const FRACTION: u64 = 10_u64.pow(16);

/// Makes the versions of channels integers; says which cannot be.
pub(super) fn narrowed(head: &Map, channels: &Map) -> Result<(Map, Map), String> {
    let pair = |(name, channel): &(Body, Body)| {
        let entries = channel.as_list().unwrap_or_default();
        let (Some(version), Some(rest)) = (entries.first(), entries.get(1..)) else {
            return Ok((name.clone(), channel.clone()));
        };
        let version = integer(version).ok_or_else(|| {
            let name = name.as_text().unwrap_or_default();
            format!("the version of channel {name:?} is no number to count on from")
        })?;
        Ok((name.clone(), Body::List([&[version], rest].concat())))
    };
    let channels = channels.iter().map(pair).collect::<Result<Vec<_>, String>>()?;
    let seen = each_seen(head, |_, version| integer(version));
    let seen = seen.ok_or("a version that a node has seen is no number to count on from")?;
    Ok((seen, Map::from_pairs(channels)))
}

/// Makes integers versions as the other savers write them.
pub(super) fn widened(head: Map, channels: &mut [Channel]) -> Map {
    let mut names = Vec::new();
    for channel in channels {
        if let Some(n) = count(&channel.version) {
            let digest = channel.value.as_ref().map(|value| value.name.digest);
            let text = Body::text(text(n, &channel.name, digest));
            names.push((channel.name.clone(), n, text.clone()));
            channel.version = text;
        }
    }
    let version = |name: &str, version: &Body| {
        let Some(n) = count(version) else { return Some(version.clone()) };
        // Names of bumps are a node's and a channel's.
        let is = |channel: &str| {
            let rest = name.strip_suffix(channel);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(['|', ':']))
        };
        let now = names.iter().find(|(channel, at, _)| *at == n && is(channel));
        Some(now.map_or_else(|| Body::text(text(n, name, None)), |(_, _, now)| now.clone()))
    };
    each_seen(&head, version).unwrap_or(head)
}

/// Returns the integer that a version is, or begins with.
fn integer(version: &Body) -> Option<Body> {
    match version {
        Body::Text(text) => {
            let digits = text.split('.').next().filter(|digits| !digits.is_empty())?;
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| digits.parse::<i64>().ok().map(Body::int))?
        }
        Body::Int(_) | Body::Null => Some(version.clone()),
        _ => None,
    }
}

fn count(version: &Body) -> Option<i64> {
    match version {
        Body::Int(n) => n.to_i64().filter(|n| *n >= 0),
        _ => None,
    }
}

fn text(n: i64, channel: &str, value: Option<Digest>) -> String {
    let value = value.map_or([0; 32], |digest| *digest.as_bytes());
    let fraction = Digest::of(&[channel.as_bytes(), &[0], &value].concat()).short() % FRACTION;
    format!("{n:032}.0.{fraction:016}")
}

/// Changes each version that a node has seen; nothing where one cannot be.
fn each_seen(head: &Map, change: impl Fn(&str, &Body) -> Option<Body>) -> Option<Map> {
    let entry = |(name, entry): &(Body, Body)| {
        let Some(nodes) = entry.as_map().filter(|_| name.as_text() == Some(SEEN)) else {
            return Some((name.clone(), entry.clone()));
        };
        let node = |(node, seen): &(Body, Body)| {
            let Some(seen) = seen.as_map() else { return Some((node.clone(), seen.clone())) };
            let pair = |(channel, version): &(Body, Body)| {
                let name = channel.as_text().unwrap_or_default();
                Some((channel.clone(), change(name, version)?))
            };
            let seen = seen.iter().map(pair).collect::<Option<Vec<_>>>()?;
            Some((node.clone(), Body::Map(Map::from_pairs(seen))))
        };
        let nodes = nodes.iter().map(node).collect::<Option<Vec<_>>>()?;
        Some((name.clone(), Body::Map(Map::from_pairs(nodes))))
    };
    Some(Map::from_pairs(head.iter().map(entry).collect::<Option<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use restow_model::{Form, Value};

    use super::*;
    use crate::layout::langgraph::record::channel_map;

    fn channel(name: &str, value: &'static [u8]) -> Channel {
        let value = Some(Value::new(Form::Msgpack, value.into()));
        Channel { name: name.into(), version: Body::int(3), value, tag: None }
    }

    #[test]
    fn integers_become_versions_of_their_values_and_integers_again() {
        let seen = Map::from([("a", Body::int(3)), ("b", Body::int(2))]);
        let bumps = Map::from([("node|a", Body::int(3))]);
        let nodes =
            Map::from([("node", Body::Map(seen)), ("__snapshot_bumps__", Body::Map(bumps))]);
        let head = Map::from([("v", Body::int(4)), ("versions_seen", Body::Map(nodes))]);
        let (mut one, mut fork) = ([channel("a", b"\x01")], [channel("a", b"\x02")]);
        let before = channel_map(&one);
        let wide = widened(head.clone(), &mut one);
        widened(head.clone(), &mut fork);
        let version = one[0].version.as_text().expect("text").to_owned();
        assert!(version.starts_with("00000000000000000000000000000003.0."), "{version}");
        assert_eq!(version.len(), 32 + 3 + 16);
        assert_ne!(one[0].version, fork[0].version);
        let nodes = wide.get("versions_seen").expect("an entry");
        let seen = |node, name| nodes.get(node).and_then(|n| n.get(name)).cloned();
        assert_eq!(seen("node", "a"), Some(one[0].version.clone()));
        assert_eq!(seen("__snapshot_bumps__", "node|a"), Some(one[0].version.clone()));
        assert_ne!(seen("node", "b"), Some(one[0].version.clone()));
        assert_eq!(narrowed(&wide, &channel_map(&one)), Ok((head, before)));
    }

    #[test]
    fn what_cannot_be_counted_on_from_is_refused() {
        let head = Map::default();
        for version in [Body::text("abc"), Body::text(""), Body::text("99999999999999999999")] {
            let channels = Map::from([("a", Body::List(vec![version, Body::Null]))]);
            assert!(narrowed(&head, &channels).is_err());
        }
    }
}
