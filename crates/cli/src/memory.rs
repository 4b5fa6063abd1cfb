//! The allocator, and how little of what was freed it keeps.
//!
//! Records are made by one thread and freed by another. The GNU allocator has an arena for each
//! thread, and every one of them keeps what the others could use; with one arena for all of them
//! they wait for each other. jemalloc does neither, and gives back what lies idle.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Two arenas; what is idle for 0.03 s goes back; threads keep blocks up to 4 KiB for themselves.
const SETTINGS: &[u8; 61] = b"narenas:2,dirty_decay_ms:30,muzzy_decay_ms:0,tcache_max:4096\0";

/// What jemalloc reads when the process begins.
#[expect(unsafe_code, reason = "jemalloc looks for a symbol of this name, and nothing else has it")]
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: &[u8; 61] = SETTINGS;
