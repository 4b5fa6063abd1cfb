//! Cases of `Store::register_read` and `Store::register_swap`.

use bytes::Bytes;
use futures::future;

use super::Fixture;
use crate::{Etag, RegisterName, Result, Swap};

fn name(text: &str) -> RegisterName {
    RegisterName(text.into())
}

async fn swapped(
    f: &Fixture,
    register: &str,
    was: Option<Etag>,
    now: &'static [u8],
) -> Result<Etag> {
    let swap = f.store.register_swap(name(register), was, Bytes::from_static(now)).await?;
    let etag = match &swap {
        Swap::Swapped(etag) => Some(etag.clone()),
        Swap::Lost(_) => None,
    };
    assert!(etag.is_some(), "{swap:?}");
    Ok(etag.unwrap_or(Etag(Bytes::new())))
}

/// A register that was never written is absent; written, it holds just those bytes.
pub async fn a_register_begins_absent(f: &Fixture) -> Result<()> {
    f.ready().await?;
    assert_eq!(f.store.register_read(name("a")).await?, None);
    let etag = swapped(f, "a", None, b"\0one\xff").await?;
    let held = f.store.register_read(name("a")).await?;
    assert_eq!(held, Some((etag, Bytes::from_static(b"\0one\xff"))));
    Ok(())
}

/// A swap from another version than the present one is lost, and tells what is there.
pub async fn a_swap_needs_the_version_it_saw(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let first = swapped(f, "a", None, b"1").await?;
    let second = swapped(f, "a", Some(first.clone()), b"2").await?;
    // The same bytes again are another version.
    let third = swapped(f, "a", Some(second), b"1").await?;
    let held = Some((third, Bytes::from_static(b"1")));
    for was in [None, Some(first)] {
        let swap = f.store.register_swap(name("a"), was, Bytes::from_static(b"x")).await?;
        assert_eq!(swap, Swap::Lost(held.clone()));
    }
    let absent = held.as_ref().map(|(etag, _)| etag.clone());
    let swap = f.store.register_swap(name("b"), absent, Bytes::from_static(b"x")).await?;
    assert_eq!(swap, Swap::Lost(None));
    Ok(())
}

/// Of two that swap from the same version exactly one wins.
pub async fn of_two_swaps_one_wins(f: &Fixture) -> Result<()> {
    f.ready().await?;
    for was in [None, Some(swapped(f, "b", None, b"0").await?)] {
        let register = if was.is_none() { "a" } else { "b" };
        let swap =
            |now| f.store.register_swap(name(register), was.clone(), Bytes::from_static(now));
        let swaps = future::try_join_all([swap(b"1"), swap(b"2")]).await?;
        let won = swaps.iter().filter(|s| matches!(s, Swap::Swapped(_))).count();
        assert_eq!(won, 1, "{swaps:?}");
    }
    Ok(())
}

/// Registers of different names do not touch each other, nor do units.
pub async fn registers_are_apart(f: &Fixture) -> Result<()> {
    f.ready().await?;
    swapped(f, "a", None, b"1").await?;
    swapped(f, "b", None, b"2").await?;
    let held = f.store.register_read(name("a")).await?.map(|(_, bytes)| bytes);
    assert_eq!(held.as_deref(), Some(&b"1"[..]));
    let segments = f.store.segments(1, crate::Enumeration::Units).await?;
    for segment in segments {
        assert_eq!(super::fixture::seen(&f.scan(segment, None).await?), []);
    }
    Ok(())
}
