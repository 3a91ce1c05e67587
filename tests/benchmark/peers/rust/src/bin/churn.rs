// SPDX-License-Identifier: BSL-1.0

//! The short connections of churn.cpp: `churn mio|polling|by_hand_edge CONNECTIONS`. A descriptor is its own
//! key.

use rust_peers::*;

struct Churn {
    connections: usize,
}

impl Workload for Churn {
    fn run<P: Peer>(self, mut peer: P) {
        const AT_ONCE: usize = 100;
        let listener = net::listen_on_loopback();
        peer.registry().add(listener, listener as usize);
        take_turns(|| {
            let start = processor_time();
            for _ in 0..self.connections / AT_ONCE {
                let clients = [(); AT_ONCE].map(|_| net::connect_to(net::port_of(listener)));
                for client in clients {
                    assert!(write(client, b"!"));
                }
                let mut left = AT_ONCE;
                peer.run(|registry, key, _, _| {
                    let fd = key as i32;
                    if fd == listener {
                        // An edge: until there are no more.
                        while let Some(accepted) = net::accept(listener) {
                            registry.add(accepted, accepted as usize);
                        }
                        registry.rearm(listener, key);
                        return true;
                    }
                    let mut byte = [0; 1];
                    if read(fd, &mut byte) != Some(1) || !write(fd, &byte) {
                        std::process::abort();
                    }
                    registry.remove(fd);
                    net::close(fd);
                    left -= 1;
                    left != 0
                });
                for client in clients {
                    assert_eq!(read(client, &mut [0; 1]), Some(1));
                    net::reset(client);
                }
            }
            [(processor_time() - start) / self.connections as f64]
        });
    }
}

fn main() {
    let (peer, given) = arguments("churn PEER CONNECTIONS", 1);
    with_peer(&peer, Churn { connections: given[0] });
}
