// SPDX-License-Identifier: BSL-1.0

//! TCP on the loopback address, as in net.hpp.

use super::checked;
use std::mem::size_of;
use std::os::unix::io::RawFd;

fn loopback(port: u16) -> libc::sockaddr_in {
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as u16;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    address
}

fn set_option<T>(socket: RawFd, level: i32, name: i32, value: T) {
    let size = size_of::<T>() as u32;
    let set = unsafe { libc::setsockopt(socket, level, name, (&value as *const T).cast(), size) };
    checked(set, "setsockopt");
}

pub fn listen_on_loopback() -> RawFd {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let listener = checked(unsafe { libc::socket(libc::AF_INET, kind, 0) }, "socket");
    let address = loopback(0);
    let size = size_of::<libc::sockaddr_in>() as u32;
    checked(unsafe { libc::bind(listener, (&address as *const libc::sockaddr_in).cast(), size) }, "bind");
    checked(unsafe { libc::listen(listener, 4096) }, "listen");
    listener
}

pub fn port_of(listener: RawFd) -> u16 {
    let mut address = loopback(0);
    let mut size = size_of::<libc::sockaddr_in>() as u32;
    let to = (&mut address as *mut libc::sockaddr_in).cast();
    checked(unsafe { libc::getsockname(listener, to, &mut size) }, "getsockname");
    u16::from_be(address.sin_port)
}

pub fn send_at_once(connection: RawFd) {
    set_option(connection, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1i32);
}

pub fn connect_to(port: u16) -> RawFd {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    let client = checked(unsafe { libc::socket(libc::AF_INET, kind, 0) }, "socket");
    let address = loopback(port);
    let size = size_of::<libc::sockaddr_in>() as u32;
    let to = (&address as *const libc::sockaddr_in).cast();
    checked(unsafe { libc::connect(client, to, size) }, "connect");
    send_at_once(client);
    client
}

/// The next connection, or None.
#[inline]
pub fn accept(listener: RawFd) -> Option<RawFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let null = std::ptr::null_mut();
    let accepted = unsafe { libc::accept4(listener, null, std::ptr::null_mut(), flags) };
    (accepted >= 0).then_some(accepted)
}

#[inline]
pub fn close(fd: RawFd) {
    unsafe { libc::close(fd) };
}

/// Closes so that no TIME_WAIT remains.
pub fn reset(client: RawFd) {
    set_option(client, libc::SOL_SOCKET, libc::SO_LINGER, libc::linger { l_onoff: 1, l_linger: 0 });
    close(client);
}
