// SPDX-License-Identifier: BSL-1.0

// No error is missed, and nothing unasked is told: the kernel made to produce each row of the backends'
// tables.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"

#if !SELECTORS_HAS_WINSOCK
#include <fcntl.h>
#endif

#include <vector>

using namespace selectors;
using namespace support;

namespace {

constexpr auto read_write = event::read | event::write;
constexpr auto details = event::error | event::hangup | event::read_hangup;

// What a fresh selector reports of one handle, for each of the masks that can be asked for; checks what holds
// for all: nothing is raised but what was asked for, and read_hangup comes with read only.
template <class Backend>
event_mask seen(const descriptor& handle, event_mask asked) {
  selector<void, Backend> sel;
  sel.register_(handle, asked);
  const readiness found = ready(sel, 0s);
  const event_mask events = found.empty() ? event_mask() : found.begin()->second;
  CHECK((events & requestable - asked).empty());
  if (!asked.contains(event::read)) CHECK_FALSE(events.contains(event::read_hangup));
  CHECK(ready(sel, 0s) == found);  // level-triggered: as long as it lasts
  return events;
}

// The raised events for each mask are `raised` cut to the mask; select(2) knows no details.
template <class Backend>
void expect_seen(const descriptor& handle, event_mask raised, event_mask detail = {}) {
  for (const event_mask asked :
       {event_mask(event::read), event_mask(event::write), read_write, requestable}) {
    if (asked.contains(event::priority) && !has_priority<Backend>) continue;
    const event_mask events = seen<Backend>(handle, asked);
    INFO("asked " << asked << ", found " << events);
    CHECK((events & requestable) == (raised & asked));
    event_mask expected = is_select<Backend> ? event_mask() : detail;
    if (!asked.contains(event::read)) expected -= event::read_hangup;
    if (is_linux) CHECK((events & details) == expected);
  }
}

// FreeBSD's and OpenBSD's pipes go both ways, pipe(2), and so does the TCP connection that serves for one on
// Windows.
event_mask other_way([[maybe_unused]] const descriptor& reader) {
#if SELECTORS_HAS_WINSOCK
  return event::write;
#else
  const int flags = checked(::fcntl(reader.get(), F_GETFL), "fcntl");
  return (flags & O_ACCMODE) == O_RDWR ? event_mask(event::write) : event_mask();
#endif
}

}  // namespace

BACKEND_TEST_CASE("a pipe: data, room, and neither", "[events]", backends) {
  auto pipe = make_pipe();
  const event_mask both_ways = other_way(pipe.reader);
  expect_seen<TestType>(pipe.reader, both_ways);
  expect_seen<TestType>(pipe.writer, event::write);
  fill(pipe.writer);
  expect_seen<TestType>(pipe.reader, event::read | both_ways);
  expect_seen<TestType>(pipe.writer, {});
}

BACKEND_TEST_CASE("a pipe whose writer is gone hangs up", "[events]", backends) {
  if (SELECTORS_HAS_WINSOCK) return skip("there are no pipes; a TCP peer that closed is tried below");
  auto pipe = make_pipe();
  pipe.writer.close();
  // Raises priority too; but select(2) shows it as readiness to read alone.
  for (const event_mask asked : {event_mask(event::read), event::read | event::priority}) {
    if (asked.contains(event::priority) && !has_priority<TestType>) continue;
    const event_mask events = seen<TestType>(pipe.reader, asked);
    CHECK((events & requestable) == (is_select<TestType> ? event_mask(event::read) : asked));
    CHECK(events.contains(event::hangup) == !is_select<TestType>);
  }
}

BACKEND_TEST_CASE("a pipe whose reader is gone is an error, and raises what was asked for", "[events]",
                  backends) {
  auto pipe = make_pipe();
  pipe.reader.close();
  for (const event_mask asked : {event_mask(event::read), event_mask(event::write), read_write}) {
    const event_mask events = seen<TestType>(pipe.writer, asked);
    CHECK((events & requestable) == asked);
    if (is_kqueue<TestType>)  // which may refuse to watch this end for more than its hangup
      CHECK_FALSE((events & (event::error | event::hangup)).empty());
    else if (is_linux)
      CHECK(events.contains(event::error) == !is_select<TestType>);
  }
}

BACKEND_TEST_CASE("a socket pair: data, room, and both", "[events]", backends) {
  auto [first, second] = make_socket_pair();
  expect_seen<TestType>(first, event::write);
  write_byte(second);
  expect_seen<TestType>(first, read_write);
  fill(first);
  expect_seen<TestType>(first, event::read);
}

BACKEND_TEST_CASE("a half-closed peer is readable, and wakes no writer whose buffer is full", "[events]",
                  backends) {
  auto [client, server] = make_tcp_pair();
  fill_for_good(server);
  checked(::shutdown(client.get(), SHUT_WR), "shutdown");
  REQUIRE(becomes_ready(server, POLLIN));
  fill_for_good(server);  // what comes with the end of the stream may make room
  selector<void, TestType> sel;
  sel.register_(server, event::read);
  const readiness found = ready(sel);
  REQUIRE(found.size() == 1);
  const event_mask events = found.at(server.get());
  CHECK((events & requestable) == event::read);
  if (is_linux) CHECK(events.contains(event::read_hangup) == !is_select<TestType>);
  sel.modify(server, event::write);
  expect_idle_for(sel, 20ms);
  CHECK(seen<TestType>(server, event::write).empty());
}

BACKEND_TEST_CASE("a peer that closed is readable and writable", "[events]", backends) {
  auto [client, server] = make_tcp_pair();
  client.close();
  REQUIRE(becomes_ready(server, POLLIN));  // on some systems the end of a stream takes its time
  selector<void, TestType> sel;
  sel.register_(server, read_write);
  expect_raised(sel, {{server.get(), read_write}});
}

BACKEND_TEST_CASE("a reset is seen by readers and by writers", "[events]", backends) {
  auto [client, server] = make_tcp_pair();
  fill_for_good(server);
  const linger at_once{1, 0};
  set_option(client, SOL_SOCKET, SO_LINGER, at_once);
  client.close();
  REQUIRE(becomes_ready(server, POLLIN));
  selector<void, TestType> sel;
  sel.register_(server, event::write);
  expect_raised(sel, {{server.get(), event::write}});
  CHECK(seen<TestType>(server, event::read).contains(event::read));
  const event_mask both = seen<TestType>(server, read_write);
  CHECK((both & requestable) == read_write);
  if (is_linux) CHECK((both & event::error).empty() == is_select<TestType>);
}

BACKEND_TEST_CASE("a refused connect is seen by readers and by writers", "[events]", backends) {
  sockaddr_in address;
  {
    const descriptor nobody = make_socket();
    address = bound(nobody);
  }
  const descriptor client = make_socket();
  CHECK(::connect(client.get(), generic(address), sizeof address) < 0);
  selector<void, TestType> sel;
  sel.register_(client, event::write);
  expect_raised(sel, {{client.get(), event::write}});
  CHECK((seen<TestType>(client, event::read) & requestable) == event::read);
  const event_mask both = seen<TestType>(client, read_write);
  CHECK((both & requestable) == read_write);
  if (is_linux) CHECK((both & event::error).empty() == is_select<TestType>);
}

BACKEND_TEST_CASE("a UDP socket with a pending error is seen by readers and by writers", "[events]",
                  backends) {
  if (SELECTORS_HAS_WINSOCK) return skip("Windows gives it to the next call, and wine does not tell of it");
  sockaddr_in address;
  {
    const descriptor nobody = make_socket(SOCK_DGRAM);
    address = bound(nobody);
  }
  const descriptor socket = make_socket(SOCK_DGRAM);
  checked(::connect(socket.get(), generic(address), sizeof address), "connect");
  write_byte(socket);  // answered by ICMP, port unreachable
  selector<void, TestType> sel;
  sel.register_(socket, event::read);
  expect_raised(sel, {{socket.get(), event::read}});
  const event_mask both = seen<TestType>(socket, read_write);
  CHECK((both & requestable) == read_write);
  if (is_linux) CHECK((both & event::error).empty() == (is_select<TestType> || is_kqueue<TestType>));
}

BACKEND_TEST_CASE("out-of-band data is priority", "[events]", backends) {
  const auto pair = make_tcp_pair();
  const descriptor& server = pair.second;
  const char byte = 'u';
  checked(static_cast<int>(::send(pair.first.get(), &byte, 1, MSG_OOB)), "send");
  selector<void, TestType> sel;
  if (!has_priority<TestType>) {
    CHECK(error_of([&](auto& error) { sel.register_(server, event::priority, error); }) ==
          errc::invalid_events);
    sel.register_(server, event::read);
    CHECK(error_of([&](auto& error) { sel.modify(server, requestable, error); }) == errc::invalid_events);
    return expect_idle_for(sel, 10ms);
  }
  sel.register_(server, event::priority);
  expect_ready(sel, {{server.get(), event::priority}});
  sel.modify(server, event::priority | event::write);
  expect_ready(sel, {{server.get(), event::priority | event::write}});
  sel.modify(server, event::read);
  expect_idle_for(sel, 10ms);
  write_byte(pair.first);
  sel.modify(server, event::priority | event::read);
  expect_ready(sel, {{server.get(), event::priority | event::read}});
}

BACKEND_TEST_CASE("a listening socket is readable when a connection waits", "[events]", backends) {
  listener server;
  selector<void, TestType> sel;
  sel.register_(server.socket, read_write);
  expect_idle(sel);
  const descriptor client = server.connect();
  expect_ready(sel, {{server.socket.get(), event::read}});
}

// To the BSDs it is not ready for anything.
BACKEND_TEST_CASE("a socket that was never connected hangs up, which raises what was asked for", "[events]",
                  backends) {
  const descriptor socket = make_socket();
  if (!is_linux && !SELECTORS_HAS_KQUEUE && !SELECTORS_HAS_WINSOCK) return skip("other systems differ");
  if (!is_linux || (is_kqueue<TestType> && SELECTORS_HAS_KERNEL_KQUEUE)) {
    CHECK(seen<TestType>(socket, event::write).empty());
    return;
  }
  for (const event_mask asked : {event_mask(event::write), read_write}) {
    const event_mask events = seen<TestType>(socket, asked);
    CHECK((events & requestable) == asked);
    const bool knows = is_kqueue<TestType> ? asked == read_write : !is_select<TestType>;
    CHECK(events.contains(event::hangup) == knows);
  }
}
