//! How the system's allocator keeps what was freed.

/// Blocks from this size on go back to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES_MIN: libc::c_int = 512 << 10;

/// Makes the GNU allocator give large blocks back at once, and keep small ones in one place.
///
/// Records are made by one thread and freed by another. With an arena for each thread, every one of
/// them keeps what the others could use: copying 487 MB into PostgreSQL took 113 MB with them and
/// 44 MB with one, in the same time.
///
/// It raises its own limit with every large block that is freed, up to 32 MB, and keeps such blocks
/// in each thread's arena from then on; SQLite builds rows of many megabytes in them. Other
/// allocators are left as they are.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the settings that are no library's to make")]
pub(crate) fn keep_little() {
    // SAFETY: `mallopt` takes two integers and may be called at any time; this is the start of
    // `main`, before any other thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Does nothing: only the GNU allocator has to be told.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_little() {}
