//! The one explicit list: address to opened store.
