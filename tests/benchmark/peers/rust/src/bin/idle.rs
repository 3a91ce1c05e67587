// SPDX-License-Identifier: BSL-1.0

//! Ten that are always ready among many that never are, as in idle.cpp: `idle polling REGISTERED WAITS`. mio
//! reports changes, of which there are none here.

use rust_peers::*;

struct Idle {
    registered: usize,
    waits: usize,
}

impl Workload for Idle {
    fn run<P: Peer>(self, mut peer: P) {
        const ACTIVE: usize = 10;
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        let watched: Vec<_> = (0..self.registered)
            .map(|i| u32::from(i % (self.registered / ACTIVE) == 0))
            .map(|ready| checked(unsafe { libc::eventfd(ready, flags) }, "eventfd"))
            .collect();
        for (key, &fd) in watched.iter().enumerate() {
            peer.registry().add(fd, key);
        }
        take_turns(|| {
            let mut left = self.waits * ACTIVE;
            let start = processor_time();
            peer.run(|registry, key, _, _| {
                registry.rearm(watched[key], key);
                left -= 1;
                left != 0
            });
            [(processor_time() - start) / self.waits as f64]
        });
    }
}

fn main() {
    let (peer, given) = arguments("idle PEER REGISTERED WAITS", 2);
    if peer != "polling" {
        eprintln!("{peer}: reports no level");
        std::process::exit(2);
    }
    with_peer(&peer, Idle { registered: given[0], waits: given[1] });
}
