// SPDX-License-Identifier: BSL-1.0

//! The edge-triggered loop of by_hand_epoll.hpp in Rust: what of a difference to C++ is the compiler's.

use super::{checked, Peer, Registry};
use std::os::unix::io::RawFd;

pub struct Epoll(RawFd);

impl Epoll {
    fn control(&self, operation: i32, fd: RawFd, key: usize, events: i32) {
        let mut event = libc::epoll_event { events: events as u32, u64: key as u64 };
        checked(unsafe { libc::epoll_ctl(self.0, operation, fd, &mut event) }, "epoll_ctl");
    }
}

impl Registry for Epoll {
    fn add(&self, fd: RawFd, key: usize) {
        self.control(libc::EPOLL_CTL_ADD, fd, key, libc::EPOLLIN | libc::EPOLLET);
    }
    fn watch_writing(&self, fd: RawFd, key: usize, wanted: bool) {
        let writing = if wanted { libc::EPOLLOUT } else { 0 };
        self.control(libc::EPOLL_CTL_MOD, fd, key, libc::EPOLLIN | writing | libc::EPOLLET);
    }
    fn rearm(&self, _: RawFd, _: usize) {}
    fn remove(&self, fd: RawFd) {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }
}

pub struct ByHand {
    epoll: Epoll,
    events: Vec<libc::epoll_event>,
}

impl Peer for ByHand {
    type Registry = Epoll;

    fn new() -> Self {
        let epoll = Epoll(checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }, "epoll_create1"));
        ByHand { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024] }
    }
    fn registry(&self) -> &Epoll {
        &self.epoll
    }
    fn run(&mut self, mut handle: impl FnMut(&Epoll, usize, bool, bool) -> bool) {
        let mut goes_on = true;
        while goes_on {
            let room = self.events.len() as i32;
            let count = unsafe { libc::epoll_wait(self.epoll.0, self.events.as_mut_ptr(), room, -1) };
            for event in &self.events[..count.max(0) as usize] {
                let found = event.events as i32;
                let readable = found & !libc::EPOLLOUT != 0;
                goes_on &= handle(&self.epoll, event.u64 as usize, readable, found & libc::EPOLLOUT != 0);
            }
        }
    }
}
