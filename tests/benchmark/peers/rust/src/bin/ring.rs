// SPDX-License-Identifier: BSL-1.0

//! The ring of ring.cpp: `ring mio|polling|by_hand_edge PAIRS ACTIVE EVENTS`.

use rust_peers::*;

struct Ring {
    pairs: usize,
    active: usize,
    events: usize,
}

impl Workload for Ring {
    fn run<P: Peer>(self, mut peer: P) {
        let count = self.pairs;
        let pairs: Vec<_> = (0..count).map(|_| socket_pair()).collect();
        let hops: Vec<_> = (0..count).map(|i| (pairs[i][0], pairs[(i + 1) % count][1])).collect();
        for (key, &(fd, _)) in hops.iter().enumerate() {
            peer.registry().add(fd, key);
        }
        for i in 0..self.active {
            assert!(write(pairs[i * count / self.active][1], b"!"));
        }
        take_turns(|| {
            let events = self.events as i64;
            let mut left = events;
            let start = processor_time();
            peer.run(|registry, key, readable, _| {
                let (fd, next) = hops[key];
                let mut bytes = std::mem::MaybeUninit::<[u8; 64]>::uninit();
                // Written to by the kernel before it is read; less than all of it has drained the socket.
                let bytes = unsafe { &mut *bytes.as_mut_ptr() };
                let size = if readable { read(fd, bytes).unwrap_or(0) } else { 0 };
                if size == 0 || !write(next, &bytes[..size]) {
                    std::process::abort();
                }
                registry.rearm(fd, key);
                left -= size as i64;
                left > 0
            });
            [(processor_time() - start) / (events - left) as f64]
        });
    }
}

fn main() {
    let (peer, given) = arguments("ring PEER PAIRS ACTIVE EVENTS", 3);
    with_peer(&peer, Ring { pairs: given[0], active: given[1], events: given[2] });
}
