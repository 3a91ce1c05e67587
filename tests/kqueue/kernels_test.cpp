// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/child/kqueue.hpp>
#include <selectors/child_exit.hpp>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/event.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <string>

// Where kernels differ: each case holds over every setting of the double (settings.cpp).
namespace {

using namespace selectors;
using namespace support;

using tested = selector<void, kqueue_backend>;

constexpr auto failed = event::error | event::hangup | event::read_hangup;

// What one select reports; a second one must report it again, since it was not handled.
event_mask lasting(tested& sel) {
  const readiness first = ready(sel);
  CHECK(ready(sel) == first);
  return first.empty() ? event_mask() : first.begin()->second;
}

// A wait with nothing to report lasts as long as it should, and uses hardly any processor time.
void expect_no_spin(tested& sel) {
  const auto used = [] {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  const auto before = used();
  expect_idle_for(sel, 60ms);
  CHECK(used() - before < 30ms);
}

// A FIFO that has been unlinked, opened at both ends.
struct fifo {
  std::string name = [] {
    char folder[] = "/tmp/selectors-fifo-XXXXXX";
    return std::string(::mkdtemp(folder) != nullptr ? folder : "") + "/fifo";
  }();
  descriptor reader, writer;

  fifo() {
    checked(::mkfifo(name.c_str(), 0600), "mkfifo");
    reader = open(O_RDONLY);
    writer = open(O_WRONLY);
  }
  ~fifo() {
    ::unlink(name.c_str());
    ::rmdir(name.substr(0, name.rfind('/')).c_str());
  }
  descriptor open(int access) const {
    return descriptor(checked(::open(name.c_str(), access | O_NONBLOCK | O_CLOEXEC), "open"));
  }
};

struct terminal {
  descriptor master = descriptor(checked(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), "posix_openpt"));
  descriptor slave;
  terminal() {
    checked(::grantpt(master.get()), "grantpt");
    checked(::unlockpt(master.get()), "unlockpt");
    slave = descriptor(
        checked(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), "open"));
  }
  void type_line() { checked(static_cast<int>(::write(master.get(), "line\n", 5)), "write"); }
};

}  // namespace

// ---- pipes ------------------------------------------------------------------------------------------------

TEST_CASE("the writer of a full pipe hears that the reader closes", "[kernels]") {
  tested sel;
  auto pipe = make_pipe();
  fill(pipe.writer);
  sel.register_(pipe.writer, event::write);
  expect_no_spin(sel);
  pipe.reader.close();
  const event_mask events = lasting(sel);
  CHECK(events.contains(event::write));
  CHECK_FALSE((events & failed).empty());
}

TEST_CASE("the reader of a pipe that is registered for write hears that the writer closes", "[kernels]") {
  tested sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::write);
  for (int i = 0; i != 3; ++i) {
    if (pipes_are_one_way())
      expect_no_spin(sel);
    else
      expect_ready(sel, {{pipe.reader.get(), event::write}});
    write_byte(pipe.writer);  // is not requested
  }
  pipe.writer.close();
  const event_mask events = lasting(sel);
  CHECK(events.contains(event::write));
  CHECK_FALSE(events.contains(event::read));
  CHECK(events.contains(event::hangup));
}

TEST_CASE("the writer of a pipe that is registered for read hears that the reader closes", "[kernels]") {
  tested sel;
  auto pipe = make_pipe();
  sel.register_(pipe.writer, event::read);
  expect_no_spin(sel);
  pipe.reader.close();
  const event_mask events = lasting(sel);
  CHECK(events.contains(event::read));
  CHECK_FALSE(events.contains(event::write));
}

TEST_CASE("a pipe's edge reports the end once, and again when it is armed again", "[kernels]") {
  tested sel;
  auto pipe = make_pipe();
  fill(pipe.writer);
  sel.register_(pipe.writer, edge(event::write));
  expect_no_spin(sel);
  pipe.reader.close();
  CHECK(ready(sel).size() == 1);
  while (!ready(sel, 0s).empty()) {
  }
  expect_no_spin(sel);
  sel.modify(pipe.writer, edge(event::write));
  CHECK(ready(sel).size() == 1);
  expect_no_spin(sel);
}

TEST_CASE("a pipe that has hung up already can be registered, modified, paused and taken back", "[kernels]") {
  tested sel;
  auto pipe = make_pipe();
  auto other = make_pipe();
  pipe.reader.close();
  sel.register_(pipe.writer, event::write);
  sel.register_(other.reader, event::read);
  CHECK(lasting(sel).contains(event::write));
  write_byte(other.writer);
  readiness found = ready(sel);
  CHECK(found.size() == 2);
  CHECK(found[other.reader.get()] == event::read);
  sel.modify(pipe.writer, event::read | event::write);
  CHECK(ready(sel).size() == 2);
  sel.modify(pipe.writer, oneshot(event::write));
  CHECK(ready(sel).size() == 2);
  CHECK(ready(sel).size() == 1);
  sel.modify(pipe.writer, event::write);
  CHECK(ready(sel).size() == 2);
  sel.modify(pipe.writer, event_mask());
  CHECK(ready(sel).size() == 1);
  sel.modify(pipe.writer, event::write);
  sel.unregister(pipe.writer);
  read_byte(other.reader);
  expect_no_spin(sel);
}

TEST_CASE("a pipe that can be read and written at both ends", "[kernels]") {
  if (pipes_are_one_way()) return;
  tested sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read | event::write);
  expect_ready(sel, {{pipe.reader.get(), event::write}});
  write_byte(pipe.writer);
  expect_ready(sel, {{pipe.reader.get(), event::read | event::write}});
  sel.modify(pipe.reader, event::read);
  read_byte(pipe.reader);
  expect_no_spin(sel);
  sel.modify(pipe.reader, edge(event::read | event::write));
  expect_ready(sel, {{pipe.reader.get(), event::write}});
  expect_no_spin(sel);
  pipe.writer.close();
  CHECK(ready(sel)[pipe.reader.get()].contains(event::read));
  sel.modify(pipe.reader, event::write);
  const event_mask events = lasting(sel);
  CHECK(events.contains(event::write));
  CHECK_FALSE((events & failed).empty());
}

// ---- FIFOs ------------------------------------------------------------------------------------------------

TEST_CASE("a FIFO's writer is writable while there is room, and has no false error", "[kernels]") {
  tested sel;
  fifo named;
  sel.register_(named.writer, event::write);
  expect_ready(sel, {{named.writer.get(), event::write}});
  fill(named.writer);
  expect_no_spin(sel);
  drain(named.reader);
  expect_ready(sel, {{named.writer.get(), event::write}});
  fill(named.writer);
  sel.modify(named.writer, event::read | event::write);
  expect_no_spin(sel);
  named.reader.close();
  const event_mask events = lasting(sel);
  CHECK(events.contains(event::read | event::write));
}

TEST_CASE("a FIFO's reader hears the end, and a new writer after it", "[kernels]") {
  tested sel;
  fifo named;
  sel.register_(named.reader, event::read);
  expect_no_spin(sel);
  named.writer.close();
  CHECK(lasting(sel).contains(event::read | event::hangup));
  named.writer = named.open(O_WRONLY);
  expect_no_spin(sel);
  write_byte(named.writer);
  expect_ready(sel, {{named.reader.get(), event::read}});
}

TEST_CASE("a FIFO's end that is waited for alone is over when it is opened anew", "[kernels]") {
  if (SELECTORS_KQUEUE_MISSES_FIFO_END) return;  // nothing tells the end from data there
  tested sel;
  fifo named;
  sel.register_(named.reader, event::write);
  named.writer.close();
  CHECK(lasting(sel).contains(event::write));
  named.writer = named.open(O_WRONLY);
  write_byte(named.writer);  // is not requested
  expect_no_spin(sel);
  named.writer.close();
  CHECK(lasting(sel).contains(event::write));
}

TEST_CASE("a FIFO's edge reports data once", "[kernels]") {
  tested sel;
  fifo named;
  sel.register_(named.reader, edge(event::read));
  write_byte(named.writer);
  expect_ready(sel, {{named.reader.get(), event::read}});
  expect_no_spin(sel);
  write_byte(named.writer);
  expect_ready(sel, {{named.reader.get(), event::read}});
  named.writer.close();
  if (!SELECTORS_KQUEUE_MISSES_FIFO_END) CHECK(ready(sel)[named.reader.get()].contains(event::hangup));
}

// ---- sockets ----------------------------------------------------------------------------------------------

TEST_CASE("a listener that was registered before it listens reports connections", "[kernels]") {
  tested sel;
  const descriptor early = make_socket();
  const sockaddr_in address = bound(early);
  sel.register_(early, event::read);
  const descriptor other = make_socket();
  sel.register_(other, event::read);
  expect_no_spin(sel);
  checked(::listen(early.get(), 4), "listen");
  expect_idle(sel);
  const descriptor client = make_socket();
  sockaddr_in to = address;
  if (::connect(client.get(), generic(to), sizeof to) < 0) CHECK(errno == EINPROGRESS);
  CHECK(ready(sel)[early.get()].contains(event::read));
  sel.unregister(other);
  CHECK(ready(sel)[early.get()].contains(event::read));
}

TEST_CASE("who is taken back before it listens is looked at no more", "[kernels]") {
  tested sel;
  for (int round = 0; round != 100; ++round) {
    const descriptor early = make_socket();
    sel.register_(early, event::read);
    sel.modify(early, edge(event::read));
    if (round % 2 == 0) expect_idle(sel);
    sel.unregister(early);
  }
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  expect_no_spin(sel);
}

TEST_CASE("a socket that one shuts down for writing stays writable, and has hung up with its peer's end",
          "[kernels]") {
  for (auto make : {+[] { return make_socket_pair(); }, +[] { return make_tcp_pair(); }}) {
    tested sel;
    auto pair = make();
    sel.register_(pair.first, event::read | event::write);
    ::shutdown(pair.first.get(), SHUT_WR);
    CHECK(lasting(sel) == event::write);
    sel.modify(pair.first, event::read);
    expect_no_spin(sel);
    write_byte(pair.second);
    CHECK(lasting(sel) == event::read);
    sel.modify(pair.first, event::read | event::write);
    ::shutdown(pair.second.get(), SHUT_WR);
    const event_mask both = event::read | event::write | event::read_hangup | event::hangup;
    CHECK(lasting(sel) == both);
  }
}

TEST_CASE("read_hangup by itself reports the peer's end, and no data", "[kernels]") {
  for (auto make : {+[] { return make_socket_pair(); }, +[] { return make_tcp_pair(); }}) {
    tested sel;
    auto pair = make();
    sel.register_(pair.first, event::read_hangup);
    expect_no_spin(sel);
    write_byte(pair.second);
    expect_no_spin(sel);
    write_byte(pair.second);
    expect_no_spin(sel);
    ::shutdown(pair.second.get(), SHUT_WR);
    CHECK(lasting(sel) == event::read_hangup);
    sel.modify(pair.first, event::read_hangup | event::write);
    CHECK(lasting(sel) == (event::read_hangup | event::write));
    sel.modify(pair.first, event::read);
    CHECK(lasting(sel) == (event::read_hangup | event::read));
    sel.modify(pair.first, oneshot(event::read_hangup));
    CHECK(ready(sel).size() == 1);
    expect_no_spin(sel);
    sel.modify(pair.first, event::read_hangup);
    drain(pair.first);
    CHECK(lasting(sel) == event::read_hangup);
  }
}

TEST_CASE("read_hangup by itself as an edge", "[kernels]") {
  tested sel;
  auto pair = make_tcp_pair();
  sel.register_(pair.first, edge(event::read_hangup));
  write_byte(pair.second);
  expect_no_spin(sel);
  pair.second.close();
  CHECK(ready(sel)[pair.first.get()].contains(event::read_hangup));
  expect_no_spin(sel);
}

TEST_CASE("read_hangup by itself of a pipe is its hangup", "[kernels]") {
  tested sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read_hangup);
  write_byte(pipe.writer);
  expect_no_spin(sel);
  pipe.writer.close();
  CHECK_FALSE((lasting(sel) & failed).empty());
}

// ---- terminals --------------------------------------------------------------------------------------------

TEST_CASE("a terminal is watched, whether a queue takes it or not", "[kernels]") {
  tested sel;
  terminal tty;
  auto pipe = make_pipe();
  sel.register_(tty.slave, event::read);
  sel.register_(pipe.reader, event::read);
  expect_no_spin(sel);
  tty.type_line();
  expect_ready(sel, {{tty.slave.get(), event::read}});
  write_byte(pipe.writer);
  expect_ready(sel, {{tty.slave.get(), event::read}, {pipe.reader.get(), event::read}});
  drain(tty.slave);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
  sel.modify(tty.slave, event::read | event::write);
  read_byte(pipe.reader);
  expect_ready(sel, {{tty.slave.get(), event::write}});
  sel.modify(tty.slave, oneshot(event::read));
  expect_no_spin(sel);
  tty.type_line();
  expect_ready(sel, {{tty.slave.get(), event::read}});
  expect_no_spin(sel);
  sel.modify(tty.slave, event::read);
  sel.reopen();
  expect_ready(sel, {{tty.slave.get(), event::read}});
  auto moved = std::move(sel);
  expect_ready(moved, {{tty.slave.get(), event::read}});
  moved.unregister(tty.slave);
  expect_no_spin(moved);
}

TEST_CASE("a terminal that cannot be watched for edges is refused as one, and stays what it was",
          "[kernels]") {
  tested sel;
  terminal tty;
  sel.register_(tty.slave, event::read);
  std::error_code error;
  sel.modify(tty.slave, edge(event::read), error);
  if (error) CHECK(error == std::errc::invalid_argument);
  expect_no_spin(sel);
  tty.type_line();
  expect_ready(sel, {{tty.slave.get(), event::read}});
  if (!error) return expect_no_spin(sel);
  expect_ready(sel, {{tty.slave.get(), event::read}});
  tested other;
  CHECK(error_of([&](auto& why) { other.register_(tty.slave, edge(event::read), why); }) ==
        std::errc::invalid_argument);
  CHECK(other.empty());
}

// ---- processes --------------------------------------------------------------------------------------------

TEST_CASE("the end of a child is an event of a queue of its own", "[kernels]") {
  tested sel;
  int ends[2];
  checked(::pipe(ends), "pipe");
  const pid_t pid = checked(::fork(), "fork");
  if (pid == 0) {
    ::close(ends[1]);
    char byte;
    ::_exit(::read(ends[0], &byte, 1) == 0 ? 7 : 1);
  }
  descriptor reader(ends[0]), writer(ends[1]);
  basic_child_exit<detail::kqueue_watch> child(pid);
  sel.register_(child, event::read);
  expect_no_spin(sel);
  CHECK(child.kill(0));
  writer.close();
  expect_ready(sel, {{child.native_handle(), event::read}});
  const auto status = child.reap();
  REQUIRE(status.has_value());
  CHECK(WEXITSTATUS(*status) == 7);
  expect_no_spin(sel);
}

// ---- numbers ----------------------------------------------------------------------------------------------

TEST_CASE("modify follows a number that was closed and is another file's", "[kernels]") {
  tested sel;
  auto first = make_pipe();
  auto second = make_pipe();
  sel.register_(first.reader, event::read);
  const int number = first.reader.get();
  first.reader.close();
  first.reader = dup_onto(second.writer, number);
  sel.modify(first.reader, event::read | event::write);
  expect_ready(sel, {{number, event::write}});

  auto pair = make_socket_pair();
  first.reader.close();
  first.reader = dup_onto(pair.first, number);
  sel.modify(first.reader, event::read);
  expect_no_spin(sel);
  write_byte(pair.second);
  expect_ready(sel, {{number, event::read}});
}

TEST_CASE("a queue's number that is another queue's is left alone", "[kernels]") {
  auto sel = std::make_unique<tested>();
  auto pipe = make_pipe();
  sel->register_(pipe.reader, event::read);
  const int number = sel->native_handle();
  ::close(number);
  tested stranger;
  REQUIRE(stranger.native_handle() == number);
  stranger.register_(pipe.reader, event::read);
  SECTION("closed") { sel->close(); }
  SECTION("destroyed") { sel.reset(); }
  SECTION("reopened") {
    sel->reopen();
    CHECK(sel->native_handle() != number);
    write_byte(pipe.writer);
    expect_ready(*sel, {{pipe.reader.get(), event::read}});
    read_byte(pipe.reader);
  }
  write_byte(pipe.writer);
  expect_ready(stranger, {{pipe.reader.get(), event::read}});
}

TEST_CASE("a queue's number that is another file's is left alone", "[kernels]") {
  tested sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  const int number = sel.native_handle();
  ::close(number);
  const descriptor stranger = dup_onto(pipe.writer, number);
  sel.reopen();
  CHECK(sel.native_handle() != number);
  write_byte(stranger);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
}

TEST_CASE("a queue's number that is free, or beyond a lowered limit", "[kernels]") {
  descriptor spare = dup_of(make_pipe().reader);
  auto pipe = make_pipe();
  tested sel;
  sel.register_(pipe.reader, event::read);
  const int number = sel.native_handle();
  SECTION("free") {
    ::close(number);
    sel.reopen();
  }
  SECTION("beyond the limit") {
    const descriptor_limit limit(static_cast<rlim_t>(number));
    spare.close();
    sel.reopen();
    CHECK(sel.native_handle() == number);  // emptied, not replaced
  }
  write_byte(pipe.writer);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
}
