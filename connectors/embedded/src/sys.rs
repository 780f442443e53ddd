//! What the operating system is asked: the kind of file system, a clock that never jumps, who is alive.

use std::path::Path;

/// Names the network file system that `path` is on, if it is on one: SQLite's write-ahead log shares memory between
/// processes, which such file systems cannot do.
#[cfg(target_os = "linux")]
pub(crate) fn network_file_system(path: &Path) -> Option<&'static str> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::uninit();
    #[expect(unsafe_code, reason = "the standard library has no statfs; the buffer is read only after success")]
    let kind = unsafe {
        if libc::statfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return None;
        }
        stat.assume_init().f_type
    };
    // linux/magic.h
    match kind as u64 & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => Some("SMB"),
        0x5346_414f => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x0102_1997 => Some("9P"),
        0x00c3_6400 => Some("Ceph"),
        0x0bd0_0bd0 => Some("Lustre"),
        _ => None,
    }
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

/// Milliseconds on a clock that all processes of one boot share and that nobody can set.
pub(crate) fn monotonic_ms() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "`Instant` cannot be compared between processes")]
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    debug_assert_eq!(answer, 0, "a monotonic clock");
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// The errno behind the last I/O error of a connection.
pub(crate) fn errno(conn: &rusqlite::Connection) -> i32 {
    #[expect(unsafe_code, reason = "rusqlite does not offer sqlite3_system_errno; the handle lives as long as `conn`")]
    unsafe {
        rusqlite::ffi::sqlite3_system_errno(conn.handle())
    }
}

/// Which boot of which machine, and which name space of process ids: only within one of them do ids say anything.
pub(crate) fn host() -> &'static str {
    static HOST: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    HOST.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        format!("{} {}", boot.trim(), space.display())
    })
}

/// When a process started, in clock ticks; ids are used again, pairs of id and start are not. `None`: it is gone, or
/// there is no `/proc`.
pub(crate) fn started(pid: u32) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may hold spaces and parentheses; the 22nd is the start.
    let rest = stat.rsplit_once(')')?.1;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_another_is_not() {
        let mine = started(std::process::id());
        assert!(mine.is_some_and(|ticks| ticks > 0));
        assert_eq!(mine, started(std::process::id()));
        assert_eq!(started(u32::MAX), None);
    }

    #[test]
    fn the_clock_goes_on() {
        let before = monotonic_ms();
        assert!(monotonic_ms() >= before);
    }
}
