// SPDX-License-Identifier: BSL-1.0

//! What the workloads have in common: the peers, and the rounds that they play. A workload gives each
//! descriptor a key, a small number, and keeps what it knows of it in a vector of its own.

pub mod by_hand;
pub mod mio_peer;
pub mod net;
pub mod polling_peer;

use std::io::{BufRead, Write};
use std::os::unix::io::RawFd;

/// What a handler may do to the registrations of the loop that runs it.
pub trait Registry {
    /// Watches `fd` for reading.
    fn add(&self, fd: RawFd, key: usize);
    /// From now on watches it for writing too, or not any more.
    fn watch_writing(&self, fd: RawFd, key: usize, wanted: bool);
    /// Called once an event was handled after which neither of the other two has been called.
    fn rearm(&self, fd: RawFd, key: usize);
    fn remove(&self, fd: RawFd);
}

/// A loop. `handle(registry, key, readable, writable)` returns whether it goes on.
pub trait Peer {
    type Registry: Registry;
    fn new() -> Self;
    fn registry(&self) -> &Self::Registry;
    fn run(&mut self, handle: impl FnMut(&Self::Registry, usize, bool, bool) -> bool);
}

/// Something to do with whichever peer the command line names.
pub trait Workload {
    fn run<P: Peer>(self, peer: P);
}

pub fn with_peer(name: &str, workload: impl Workload) {
    match name {
        "by_hand_edge" => workload.run(by_hand::ByHand::new()),
        "mio" => workload.run(mio_peer::Mio::new()),
        "polling" => workload.run(polling_peer::Polling::new()),
        _ => {
            eprintln!("there is no such peer");
            std::process::exit(2);
        }
    }
}

/// The processor time of this thread, in nanoseconds.
pub fn processor_time() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// Plays a round for each line of standard input, and prints what it measured.
pub fn take_turns<const N: usize>(mut round: impl FnMut() -> [f64; N]) {
    println!("ready");
    let stdin = std::io::stdin();
    for _ in stdin.lock().lines() {
        for figure in round() {
            print!("{figure:.3} ");
        }
        println!();
        std::io::stdout().flush().unwrap();
    }
}

/// The command line: the peer, and the numbers after it.
pub fn arguments(usage: &str, count: usize) -> (String, Vec<usize>) {
    let mut given = std::env::args().skip(1);
    let name = given.next().unwrap_or_default();
    let numbers: Vec<usize> = given.filter_map(|one| one.parse().ok()).collect();
    if numbers.len() != count {
        eprintln!("usage: {usage}");
        std::process::exit(2);
    }
    (name, numbers)
}

/// The result of a system call that must not fail: a workload that cannot be set up measures nothing.
pub fn checked(result: i32, call: &str) -> i32 {
    if result < 0 {
        eprintln!("{call}: {}", std::io::Error::last_os_error());
        std::process::exit(1);
    }
    result
}

pub fn socket_pair() -> [RawFd; 2] {
    let mut pair = [0; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
    checked(made, "socketpair");
    pair
}

/// Reads what fits; None is an error, or that nothing is there.
#[inline]
pub fn read(fd: RawFd, bytes: &mut [u8]) -> Option<usize> {
    usize::try_from(unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) }).ok()
}

/// Whether all was written.
#[inline]
pub fn write(fd: RawFd, bytes: &[u8]) -> bool {
    let size = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(size) == Ok(bytes.len())
}
