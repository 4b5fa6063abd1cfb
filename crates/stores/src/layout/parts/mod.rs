//! The compact layout: records in pages, large values as parts.
