//! Units: what moves as one.

use std::fmt;
use std::sync::Arc;

/// The name of a unit, as the application writes it (a LangGraph thread id, a URL, a session id).
///
/// Any text is allowed, NUL and the empty text included. Ordered by its UTF-8 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(Arc<str>);

impl UnitId {
    /// Names a unit.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// Returns the name as the application writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnitId {
    /// Shows the name on one line: control characters are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\"\"");
        }
        for c in self.0.chars() {
            match c.is_control() {
                true => write!(f, "{}", c.escape_default())?,
                false => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnitId({:?})", &*self.0)
    }
}

/// The language whose objects a unit's payloads hold; moves across dialects are refused by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// The application has only one, or the unit holds nothing that tells.
    #[default]
    Any,
    /// LangGraph for Python: msgpack payloads, versions as text.
    Python,
    /// LangGraph for JavaScript: JSON payloads, versions as numbers.
    JavaScript,
}

impl Dialect {
    /// Returns the stored number of the dialect.
    pub fn code(self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Python => 1,
            Self::JavaScript => 2,
        }
    }

    /// Returns the dialect of a stored number.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Any, Self::Python, Self::JavaScript].into_iter().find(|d| d.code() == code)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_on_one_line() {
        assert_eq!(UnitId::new("a\0b\nc").to_string(), "a\\u{0}b\\nc");
        assert_eq!(UnitId::new("").to_string(), "\"\"");
        assert_eq!(UnitId::new("grüße").to_string(), "grüße");
    }
}
