//! How records are split: what the known applications' variables say of it.

use restow_store::{Environment, Error, ErrorKind, Result};

const OPERATION: &str = "read the settings of splitting";
/// What `CHECKPOINT_MAX_SIZE_THRESHOLD` may be, in bytes, and is by default.
pub(super) const THRESHOLD: (usize, usize, usize) = (100_000, 400_000, 358_400);
/// What `CHECKPOINT_MAX_CHUNK_SIZE` may be, in bytes, and is by default.
const OBJECT: (usize, usize, usize) = (50_000, 350_000, 307_200);
const PREFIX_BYTES_MAX: usize = 50;

/// How records are split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// What the names of parts begin with.
    pub(super) prefix: String,
    /// Records up to this size are written whole, where the known applications can read them.
    pub(super) threshold: usize,
    /// How many bytes an object holds.
    pub(super) object_bytes_max: usize,
    /// Whether the sizes of records that are split are logged.
    pub(super) is_monitored: bool,
}

impl Options {
    /// Reads the variables; those that are not set have the values of the known applications.
    pub(super) fn of(environment: &Environment) -> Result<Self> {
        let prefix = environment.get("CHECKPOINT_SPLIT_RECORD_PREFIX").unwrap_or("split");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if prefix.len() > PREFIX_BYTES_MAX || !prefix.chars().all(is_plain) {
            return Err(wrong(
                "CHECKPOINT_SPLIT_RECORD_PREFIX",
                prefix,
                "has up to 50 letters, digits, underscores or hyphens",
            ));
        }
        // There is one way of cutting, which serves both.
        const STRATEGY: &str = "CHECKPOINT_SPLITTING_STRATEGY";
        match environment.get(STRATEGY) {
            None | Some("message_level" | "content_level") => {}
            Some(other) => return Err(wrong(STRATEGY, other, "is message_level or content_level")),
        }
        let threshold = bytes(environment, "CHECKPOINT_MAX_SIZE_THRESHOLD", THRESHOLD)?;
        Ok(Self {
            prefix: prefix.to_owned(),
            threshold: match flag(environment, "CHECKPOINT_SPLITTING_ENABLED", true)? {
                true => threshold,
                false => THRESHOLD.1,
            },
            object_bytes_max: bytes(environment, "CHECKPOINT_MAX_CHUNK_SIZE", OBJECT)?,
            is_monitored: flag(environment, "CHECKPOINT_SIZE_MONITORING_ENABLED", false)?,
        })
    }
}

fn bytes(
    environment: &Environment,
    name: &'static str,
    (least, most, usual): (usize, usize, usize),
) -> Result<usize> {
    let Some(text) = environment.get(name) else { return Ok(usual) };
    let number = text.parse().ok().filter(|bytes| (least..=most).contains(bytes));
    number.ok_or_else(|| wrong(name, text, &format!("is between {least} and {most} bytes")))
}

fn flag(environment: &Environment, name: &'static str, usual: bool) -> Result<bool> {
    match environment.get(name) {
        None => Ok(usual),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(wrong(name, other, "is true or false")),
    }
}

fn wrong(name: &'static str, value: &str, rule: &str) -> Error {
    Error::new(ErrorKind::Invalid, OPERATION, format!("{name} {rule}")).with("value", value)
}

const _: () = assert!(OBJECT.1 < crate::engine::dynamodb::ITEM_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_those_of_the_known_applications() {
        let usual = Options::of(&Environment::default()).expect("options");
        assert_eq!((usual.threshold, usual.object_bytes_max), (358_400, 307_200));
        assert_eq!((&*usual.prefix, usual.is_monitored), ("split", false));
        let all = Environment::from([
            ("CHECKPOINT_SPLITTING_ENABLED", "true"),
            ("CHECKPOINT_MAX_SIZE_THRESHOLD", "200000"),
            ("CHECKPOINT_SPLITTING_STRATEGY", "content_level"),
            ("CHECKPOINT_MAX_CHUNK_SIZE", "100000"),
            ("CHECKPOINT_SIZE_MONITORING_ENABLED", "true"),
            ("CHECKPOINT_SPLIT_RECORD_PREFIX", "parts-of"),
        ]);
        let (prefix, threshold) = ("parts-of".to_owned(), 200_000);
        let read = Options { prefix, threshold, object_bytes_max: 100_000, is_monitored: true };
        assert_eq!(Options::of(&all).ok(), Some(read));
        let off = Environment::from([("CHECKPOINT_SPLITTING_ENABLED", "false")]);
        assert_eq!(Options::of(&off).map(|options| options.threshold).ok(), Some(400_000));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (name, value) in [
            ("CHECKPOINT_SPLITTING_ENABLED", "yes"),
            ("CHECKPOINT_MAX_SIZE_THRESHOLD", "99999"),
            ("CHECKPOINT_MAX_SIZE_THRESHOLD", "many"),
            ("CHECKPOINT_SPLITTING_STRATEGY", "word_level"),
            ("CHECKPOINT_MAX_CHUNK_SIZE", "350001"),
            ("CHECKPOINT_SIZE_MONITORING_ENABLED", "1"),
            ("CHECKPOINT_SPLIT_RECORD_PREFIX", "a#b"),
        ] {
            let error = Options::of(&Environment::from([(name, value)])).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains(name), "{error}");
            assert!(error.to_string().ends_with(&format!("value {value}")), "{error}");
        }
    }
}
