//! What a store is and what it can do, as plain numbers and flags.

/// What a store is; known without I/O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// The address, secrets masked.
    pub address: String,
    /// How the application arranges its state (`langgraph`, `parts`).
    pub layout: &'static str,
    /// How bytes are kept (`sqlite`, `memory`).
    pub engine: &'static str,
    /// Whose state the layout holds, where the layout tells (`LangGraph`).
    pub application: Option<&'static str>,
    /// What the store can do.
    pub capabilities: Capabilities,
}

impl StoreInfo {
    /// Returns `layout+engine`, as addresses and residues write it.
    pub fn name(&self) -> String {
        format!("{}+{}", self.layout, self.engine)
    }
}

/// What a store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How many bytes of records one unit may put in one apply; more goes through staging.
    pub apply_bytes_max: usize,
    /// About how many bytes of records are best applied at once, of one unit or of several.
    pub batch_bytes: usize,
    /// How many records one unit may put in one apply; more goes through staging.
    pub apply_records_max: usize,
    /// Whether units can be staged and promoted.
    pub staging: bool,
    /// Whether a read sees one moment of the store; without, a reader compares control records.
    pub snapshot_reads: bool,
    /// Whether the store keeps each unit's digest, so that [`crate::Content::Nothing`] is cheap.
    pub keeps_digests: bool,
    /// Whether control records, journals and live guards work.
    pub live: bool,
    /// Whether several applies to different units run at once with profit.
    pub parallel_applies: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            apply_bytes_max: 32 << 20,
            batch_bytes: 2 << 20,
            apply_records_max: 100_000,
            staging: true,
            snapshot_reads: true,
            keeps_digests: false,
            live: false,
            parallel_applies: false,
        }
    }
}
