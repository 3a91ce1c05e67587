// SPDX-License-Identifier: BSL-1.0

//! Interest in writing on and off, as in flips.cpp: `flips mio|polling|by_hand_edge EVENTS`.

use rust_peers::*;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

static CONTROL_CALLS: AtomicI64 = AtomicI64::new(0);

/// The program's own function goes before the C library's.
///
/// # Safety
/// As epoll_ctl(2).
#[no_mangle]
pub unsafe extern "C" fn epoll_ctl(epoll: i32, what: i32, fd: i32, event: *mut libc::epoll_event) -> i32 {
    CONTROL_CALLS.store(CONTROL_CALLS.load(Relaxed) + 1, Relaxed);
    libc::syscall(libc::SYS_epoll_ctl, epoll, what, fd, event) as i32
}

struct Flips {
    events: usize,
}

impl Workload for Flips {
    fn run<P: Peer>(self, mut peer: P) {
        const COUNT: usize = 100;
        let pairs: Vec<_> = (0..COUNT).map(|_| socket_pair()).collect();
        let hops: Vec<_> = (0..COUNT).map(|i| (pairs[i][0], pairs[(i + 1) % COUNT][1])).collect();
        for (key, &(fd, _)) in hops.iter().enumerate() {
            peer.registry().add(fd, key);
            assert!(write(pairs[key][1], b"!"));
        }
        take_turns(|| {
            let mut left = self.events as i64;
            CONTROL_CALLS.store(0, Relaxed);
            let start = processor_time();
            peer.run(|registry, key, readable, writable| {
                let (fd, next) = hops[key];
                let mut byte = [b'!'; 1];
                if readable {
                    if read(fd, &mut byte) != Some(1) {
                        std::process::abort();
                    }
                    registry.watch_writing(fd, key, true);
                } else if writable {
                    if !write(next, &byte) {
                        std::process::abort();
                    }
                    registry.watch_writing(fd, key, false);
                }
                left -= 1;
                left > 0
            });
            let time = processor_time() - start;
            let done = (self.events as i64 - left) as f64;
            [time / done, CONTROL_CALLS.load(Relaxed) as f64 / done]
        });
    }
}

fn main() {
    let (peer, given) = arguments("flips PEER EVENTS", 1);
    with_peer(&peer, Flips { events: given[0] });
}
