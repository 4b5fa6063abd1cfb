//! Which units a command is about.

use std::collections::BTreeSet;

use restow_model::UnitId;

/// Which units a command is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UnitFilter {
    /// Every unit.
    #[default]
    All,
    /// These units.
    List(BTreeSet<UnitId>),
    /// Units whose names match: `*` stands for any text, `?` for one character.
    Glob(String),
}

impl UnitFilter {
    /// Says whether a unit belongs to it.
    pub fn matches(&self, unit: &UnitId) -> bool {
        match self {
            Self::All => true,
            Self::List(units) => units.contains(unit),
            Self::Glob(pattern) => glob(pattern, unit.as_str()),
        }
    }

    /// Says whether it is every unit.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// Matches with one place to go back to: the last star.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, covered)) = star else { return false };
                star = Some((at, covered + 1));
                (p, t) = (at + 1, covered + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        let yes = [("*", ""), ("a*", "a"), ("*-1", "thread-1"), ("?", "ü"), ("a*b*c", "axxbybc")];
        let no = [("", "a"), ("?", ""), ("a*b", "ac"), ("a?c", "abbc"), ("*.x", "x")];
        for (pattern, text) in yes {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in no {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
