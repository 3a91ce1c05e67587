// SPDX-License-Identifier: BSL-1.0

//! mio as its documentation has it: tokens that are indices, edges, so that whoever is ready is drained, and
//! sources that are deregistered before they are closed.

use super::{Peer, Registry};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::unix::io::RawFd;

impl Registry for mio::Registry {
    #[inline]
    fn add(&self, fd: RawFd, key: usize) {
        self.register(&mut SourceFd(&fd), Token(key), Interest::READABLE).unwrap();
    }
    #[inline]
    fn watch_writing(&self, fd: RawFd, key: usize, wanted: bool) {
        let writing = Interest::READABLE | Interest::WRITABLE;
        let interest = if wanted { writing } else { Interest::READABLE };
        self.reregister(&mut SourceFd(&fd), Token(key), interest).unwrap();
    }
    #[inline]
    fn rearm(&self, _: RawFd, _: usize) {}
    #[inline]
    fn remove(&self, fd: RawFd) {
        self.deregister(&mut SourceFd(&fd)).unwrap();
    }
}

pub struct Mio {
    poll: Poll,
    events: Events,
}

impl Peer for Mio {
    type Registry = mio::Registry;

    fn new() -> Self {
        Mio { poll: Poll::new().unwrap(), events: Events::with_capacity(1024) }
    }
    fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }
    fn run(&mut self, mut handle: impl FnMut(&mio::Registry, usize, bool, bool) -> bool) {
        let mut goes_on = true;
        while goes_on {
            self.poll.poll(&mut self.events, None).unwrap();
            for event in self.events.iter() {
                let registry = self.poll.registry();
                goes_on &= handle(registry, event.token().0, event.is_readable(), event.is_writable());
            }
        }
    }
}
