//! Variables of the environment, as a parameter: nothing below the command line reads them itself.

use std::collections::BTreeMap;
use std::fmt;

/// The variables that whoever started the program set for it, secrets included.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Returns the value of a variable; one that is empty counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_never_shown() {
        let environment = Environment::from([("PGPASSWORD", "hunter2"), ("PGUSER", "")]);
        assert_eq!(environment.get("PGPASSWORD"), Some("hunter2"));
        assert_eq!(environment.get("PGUSER"), None);
        assert_eq!(format!("{environment:?}"), r#"{"PGPASSWORD", "PGUSER"}"#);
    }
}
