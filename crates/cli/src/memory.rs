//! How the system's allocator treats large blocks.

/// Blocks from this size on go back to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES_MIN: libc::c_int = 512 << 10;

/// Makes the GNU allocator give large blocks back at once.
///
/// It raises its own limit with every large block that is freed, up to 32 MB, and keeps such blocks
/// in each thread's arena from then on; SQLite builds rows of many megabytes in them. Other
/// allocators are left as they are.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the one setting that is no library's to make")]
pub(crate) fn give_back_large_blocks() {
    // SAFETY: `mallopt` takes two integers and may be called at any time; this is the start of
    // `main`, before any other thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    }
}

/// Does nothing: only the GNU allocator has to be told.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_large_blocks() {}
