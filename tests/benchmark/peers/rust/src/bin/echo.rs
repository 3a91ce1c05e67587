// SPDX-License-Identifier: BSL-1.0

//! The echo server of echo.cpp: `echo mio|polling|by_hand_edge`. Prints its port. A descriptor is its own
//! key.

use rust_peers::*;
use std::io::Write;

struct Echo;

impl Workload for Echo {
    fn run<P: Peer>(self, mut peer: P) {
        let listener = net::listen_on_loopback();
        println!("{}", net::port_of(listener));
        std::io::stdout().flush().unwrap();
        peer.registry().add(listener, listener as usize);
        let mut bytes = [0u8; 4096];
        peer.run(|registry, key, _, _| {
            let fd = key as i32;
            if fd == listener {
                while let Some(accepted) = net::accept(listener) {
                    net::send_at_once(accepted);
                    registry.add(accepted, accepted as usize);
                }
                registry.rearm(listener, key);
                return true;
            }
            // Less than there is room for has drained the socket.
            loop {
                match read(fd, &mut bytes) {
                    Some(size) if size != 0 && write(fd, &bytes[..size]) => {
                        if size < bytes.len() {
                            registry.rearm(fd, key);
                            return true;
                        }
                    }
                    None if std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN) => {
                        registry.rearm(fd, key);
                        return true;
                    }
                    _ => {
                        registry.remove(fd);
                        net::close(fd);
                        return true;
                    }
                }
            }
        });
    }
}

fn main() {
    let (peer, _) = arguments("echo PEER", 0);
    with_peer(&peer, Echo);
}
