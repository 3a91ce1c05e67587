// SPDX-License-Identifier: BSL-1.0

//! polling as its documentation has it: one-shot, so interest is set again after each event, and a vector of
//! events that is cleared and used again.

use super::{Peer, Registry};
use polling::{Event, Poller};
use std::os::unix::io::RawFd;

impl Registry for Poller {
    #[inline]
    fn add(&self, fd: RawFd, key: usize) {
        Poller::add(self, fd, Event::readable(key)).unwrap();
    }
    #[inline]
    fn watch_writing(&self, fd: RawFd, key: usize, wanted: bool) {
        self.modify(fd, if wanted { Event::all(key) } else { Event::readable(key) }).unwrap();
    }
    #[inline]
    fn rearm(&self, fd: RawFd, key: usize) {
        self.modify(fd, Event::readable(key)).unwrap();
    }
    #[inline]
    fn remove(&self, fd: RawFd) {
        self.delete(fd).unwrap();
    }
}

pub struct Polling {
    poller: Poller,
    events: Vec<Event>,
}

impl Peer for Polling {
    type Registry = Poller;

    fn new() -> Self {
        Polling { poller: Poller::new().unwrap(), events: Vec::with_capacity(1024) }
    }
    fn registry(&self) -> &Poller {
        &self.poller
    }
    fn run(&mut self, mut handle: impl FnMut(&Poller, usize, bool, bool) -> bool) {
        let mut goes_on = true;
        while goes_on {
            self.events.clear();
            self.poller.wait(&mut self.events, None).unwrap();
            for event in &self.events {
                goes_on &= handle(&self.poller, event.key, event.readable, event.writable);
            }
        }
    }
}
