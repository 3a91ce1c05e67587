// SPDX-License-Identifier: BSL-1.0

// Regular files, directories and devices that epoll refuses are always ready, on every backend.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <fcntl.h>
#include <poll.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

using namespace selectors;
using namespace support;

namespace {

constexpr auto read_write = event::read | event::write;

descriptor open_file(const char* path, int flags) {
  return descriptor(checked(::open(path, flags | O_CLOEXEC), "open"));
}
descriptor null_device() { return open_file("/dev/null", O_RDWR); }
descriptor temporary_file() {
  char path[] = "/tmp/selectors-test-XXXXXX";
  descriptor file = prepared(checked(::mkstemp(path), "mkstemp"));
  ::unlink(path);
  return file;
}

}  // namespace

BACKEND_TEST_CASE("files are always ready for what was asked for", "[files]", backends) {
  selector<void, TestType> sel;
  const descriptor files[] = {null_device(), temporary_file(), open_file("/", O_RDONLY | O_DIRECTORY)};
  readiness both, writing;
  for (const descriptor& file : files) {
    sel.register_(file, read_write);
    both[file.get()] = read_write;
    writing[file.get()] = event::write;
  }
  for (int i = 0; i != 2; ++i) expect_ready(sel, both);
  for (auto& key : sel) sel.modify(key, event::write);
  expect_ready(sel, writing);
  sel.reopen();
  expect_ready(sel, writing);
  for (auto& key : sel) sel.unregister(key);
  expect_idle_for(sel, 10ms);
}

BACKEND_TEST_CASE("files are told together with the kernel's events, in one call", "[files]", backends) {
  selector<void, TestType> sel;
  const descriptor file = temporary_file();
  auto pipe = make_pipe();
  sel.register_(file, event::read);
  sel.register_(pipe.reader, event::read);
  expect_ready(sel, {{file.get(), event::read}});
  write_byte(pipe.writer);
  errno = EINTR;
  expect_ready(sel, {{file.get(), event::read}, {pipe.reader.get(), event::read}});
  sel.unregister(pipe.reader);
  for (int i = 0; i != 2; ++i) expect_ready(sel, {{file.get(), event::read}});
}

BACKEND_TEST_CASE("a file has nothing exceptional, and delays nobody who waits for that", "[files]",
                  backends) {
  if (!has_priority<TestType>) return;
  selector<void, TestType> sel;
  const descriptor file = temporary_file();
  sel.register_(file, event::priority);
  expect_idle_for(sel, 10ms);
  sel.modify(file, event::priority | event::read);
  expect_ready(sel, {{file.get(), event::read}});
  const descriptor others[] = {temporary_file(), temporary_file()};
  sel.register_(others[0], event::priority);
  expect_ready(sel, {{file.get(), event::read}});
  sel.modify(others[0], event::read);
  sel.modify(file, event::priority);
  sel.register_(others[1], event::priority);
  expect_ready(sel, {{others[0].get(), event::read}});
}

BACKEND_TEST_CASE("a paused file is silent", "[files]", backends) {
  selector<void, TestType> sel;
  const descriptor file = null_device();
  sel.register_(file, read_write);
  sel.modify(file, {});
  expect_idle_for(sel, 10ms);
  sel.modify(file, event::read);
  expect_ready(sel, {{file.get(), event::read}});
}

BACKEND_TEST_CASE("a one-shot file is told once for each register_ and modify", "[files]", backends) {
  selector<void, TestType> sel;
  const descriptor file = null_device();
  sel.register_(file, oneshot(event::read));
  for (int i = 0; i != 2; ++i) {
    expect_ready(sel, {{file.get(), event::read}});
    expect_idle_for(sel, 5ms);
    sel.reopen();
    expect_idle_for(sel, 5ms);
    sel.modify(file, oneshot(event::read));
  }
  if constexpr (supports<TestType, trigger::edge>) {
    sel.modify(file, edge(event::write));
    for (int i = 0; i != 2; ++i) {
      expect_ready(sel, {{file.get(), event::write}});
      expect_idle_for(sel, 5ms);
      sel.reopen();  // after which an edge is told again
    }
  }
}

BACKEND_TEST_CASE("a file that was closed is told once, as an error", "[files]", backends) {
  selector<void, TestType> sel;
  descriptor file = temporary_file();
  const auto number = file.get();
  sel.register_(file, event::write);
  expect_ready(sel, {{number, event::write}});
  file.close();
  std::error_code error;
  sel.modify(number, event::read, error);
  CHECK(error.value() == (has_object<TestType> ? EBADF : 0));
  const event_mask asked = sel.at(number).events();
  CHECK(asked == (has_object<TestType> ? event::write : event::read));
  expect_ready(sel, {{number, asked | event::error}});
  expect_idle_for(sel, 10ms);
  sel.unregister(number);
}

BACKEND_TEST_CASE("a file that was closed is told once, though an edge is told again by reopen", "[files]",
                  backends) {
  if constexpr (supports<TestType, trigger::edge>) {
    selector<void, TestType> sel;
    descriptor file = temporary_file();
    const auto number = file.get();
    sel.register_(file, edge(event::write));
    file.close();
    expect_ready(sel, {{number, event::write | event::error}});
    sel.reopen();
    expect_idle_for(sel, 10ms);
  }
}

BACKEND_TEST_CASE("what was a file is watched like what it is now", "[files]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  const descriptor file = null_device();
  sel.register_(file, event::read);
  sel.modify(file, {});
  dup_onto(pipe.reader, file.get()).release();
  sel.modify(file, event::read);
  expect_idle_for(sel, 10ms);
  write_byte(pipe.writer);
  expect_ready(sel, {{file.get(), event::read}});
}

BACKEND_TEST_CASE("a file's data is destroyed like any other", "[files]", backends) {
  const auto data = std::make_shared<int>(1);
  const descriptor file = null_device();
  selector<std::shared_ptr<int>, TestType> sel;
  sel.register_(file, event::read, data);
  sel.unregister(file);
  CHECK(data.use_count() == 2);
  expect_idle(sel);
  CHECK(data.use_count() == 1);
  sel.register_(file, event::read, data);
  sel.close();
  sel.reopen();
  CHECK(data.use_count() == 1);
}

BACKEND_TEST_CASE("a file whose data cannot be made is not registered, and the others are", "[files]",
                  backends) {
  struct throwing {
    explicit(false) throwing(bool throws) {
      if (throws) throw 1;
    }
  };
  selector<throwing, TestType> sel;
  const descriptor files[] = {null_device(), null_device(), null_device()};
  sel.register_(files[0], event::read, false);
  sel.register_(files[1], event::read, false);
  CHECK_THROWS_AS(sel.register_(files[2], event::read, true), int);
  expect_ready(sel, {{files[0].get(), event::read}, {files[1].get(), event::read}});
  sel.register_(files[2], event::write, false);
  CHECK(ready(sel).size() == 3);
}

BACKEND_TEST_CASE("many files, reached one by one, are all told again", "[files]", backends) {
  selector<void, TestType> sel;
  std::vector<descriptor> files;
  for (int i = 0; i != 50; ++i) {
    files.push_back(null_device());
    sel.register_(files.back(), event::read);
  }
  for (auto [key, events] : sel.select()) {
    sel.unregister(key);
    break;
  }
  CHECK(ready(sel).size() == 49);
}

BACKEND_TEST_CASE("a file unregistered and registered again in the loop is told by the next select",
                  "[files]", backends) {
  selector<int, TestType> sel;
  const descriptor file = null_device();
  sel.register_(file, event::read, 1);
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    ++reached;
    CHECK(key.data() == 1);
    sel.unregister(key);
    sel.register_(file, event::write, 2);
  }
  CHECK(reached == 1);
  expect_ready(sel, {{file.get(), event::write}});
  CHECK(sel.at(file).data() == 2);
}

#if SELECTORS_HAS_EPOLL  // sysfs, and O_PATH, are Linux's

BACKEND_TEST_CASE("a file of the kernel's own that has news is exceptional, as poll(2) says",
                  "[files][native]", backends) {
  const descriptor news(::open("/sys/kernel/uevent_seqnum", O_RDONLY | O_CLOEXEC));
  pollfd asked{news.get(), POLLPRI, 0};
  if (::poll(&asked, 1, 0) != 1 || (asked.revents & POLLPRI) == 0 || is_kqueue<TestType>) {
    WARN("left out: there is no such file, or kqueue(2) does not know of it");
    return;
  }
  selector<void, TestType> sel;
  sel.register_(news, event::priority);
  expect_raised(sel, {{news.get(), event::priority}});
}

BACKEND_TEST_CASE("a descriptor that can never be ready is refused", "[files]", backends) {
  selector<void, TestType> sel;
  const descriptor path = open_file("/", O_PATH);
  const std::error_code not_open(EBADF, std::system_category());
  for (const event_mask what : {event_mask(event::read), event_mask(), read_write}) {
    CHECK(error_of([&](auto& refused) { sel.register_(path, what, refused); }) == not_open);
    CHECK(error_of([&](auto& refused) { sel.watch(path, what, refused); }) == not_open);
    CHECK(error_of([&](auto& refused) { sel.register_(path, oneshot(what), refused); }) == not_open);
  }
  CHECK(sel.empty());
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  dup_onto(path, pipe.reader.get()).release();
  CHECK(error_of([&](auto& refused) { sel.watch(pipe.reader, event::read, refused); }) == not_open);
  CHECK(sel.at(pipe.reader).events() == event::read);
  sel.watch(pipe.reader, event_mask());
  expect_idle(sel);
}

#endif
