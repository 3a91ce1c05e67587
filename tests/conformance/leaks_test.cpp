// SPDX-License-Identifier: BSL-1.0

// What leaks, never costs a wrong report, an early end of a wait, or the fast path of the keys that come
// later. What it costs in system calls is counted in tests/failures.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/nested.hpp"
#include "support/skip.hpp"

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#if SELECTORS_HAS_EPOLL

using namespace selectors;
using namespace support;

namespace {

// Pipes that are registered and quiet, and files of which a duplicate lives.
struct crowd {
  explicit crowd(std::size_t count) : quiet(make_pipes(count)) {
    for (auto& [reader, writer] : quiet) sel.register_(reader, event::read);
  }

  selector<void, counting<epoll_backend>> sel;
  std::vector<pipe_ends> quiet;
};

}  // namespace

TEST_CASE("a leak does not disturb waits, long after it happened", "[leaks]") {
  const std::size_t keys = GENERATE(1U, 20U, 100U);
  crowd all(keys);
  std::vector<leaked> left;
  for (int i = 0; i != 5; ++i) left.push_back(leak(all.sel));
  for (int i = 0; i != 4; ++i) expect_idle(all.sel);
  const auto before = all.sel.backend().counters();
  for (int i = 0; i != 5; ++i) expect_idle_for(all.sel, 3ms);
  CHECK(all.sel.backend().counters().waits <= before.waits + 6);
  for (int i = 0; i != 5; ++i) {
    for (auto& one : left) write_byte(one.pipe.writer);
    const auto waits = all.sel.backend().counters().waits;
    expect_idle_for(all.sel, 3ms);
    CHECK(all.sel.backend().counters().waits <= waits + 5);
  }
}

TEST_CASE("what is registered after a leak is reported at the usual price", "[leaks]") {
  const std::size_t keys = GENERATE(10U, 100U);
  crowd all(keys);
  leaked left = leak(all.sel);
  for (int i = 0; i != 4; ++i) expect_idle(all.sel);
  auto late = make_pipes(100);
  for (auto& [reader, writer] : late) all.sel.register_(reader, event::read);
  auto& counted = all.sel.backend().counters();
  counted = {};
  for (int round = 0; round != 100; ++round) {
    auto& [reader, writer] = late[static_cast<std::size_t>(round)];
    write_byte(writer);
    expect_ready(all.sel, {{reader.get(), event::read}});
    drain(reader);
    expect_idle(all.sel);
  }
  CHECK(counted.waits == 200);
  CHECK(counted.heals <= 1);
  CHECK(counted.stale <= 2);
}

// Were the timeout to start anew with each, the wait would not end before the writing does.
BACKEND_TEST_CASE("wake-ups that are stale neither stretch a wait nor cut it short", "[leaks]", backends) {
  const std::size_t keys = GENERATE(1U, 100U);
  const bool has_met_it = GENERATE(false, true);
  selector<void, TestType> sel;
  auto quiet = make_pipes(keys);
  for (auto& [reader, writer] : quiet) sel.register_(reader, event::read);
  std::vector<leaked> left;
  for (int i = 0; i != 3; ++i) left.push_back(leak(sel));
  if (has_met_it) expect_idle(sel);
  std::atomic<bool> is_over = false;
  std::thread writing([&] {
    for (int i = 0; i != 5000 && !is_over; ++i) {
      for (auto& one : left) (void)!::write(one.pipe.writer.get(), "x", 1);
      std::this_thread::sleep_for(2ms);
    }
  });
  for (const auto time : {20ms, 35ms}) {
    const auto start = std::chrono::steady_clock::now();
    const auto range = sel.select(time);
    CHECK(range.empty());
    CHECK_FALSE(range.interrupted());
    CHECK(std::chrono::steady_clock::now() - start >= time);
    CHECK(std::chrono::steady_clock::now() - start < 8s);
    const auto until = std::chrono::steady_clock::now() + time;
    CHECK(sel.select_until(until).empty());
    CHECK(std::chrono::steady_clock::now() >= until);
    CHECK(std::chrono::steady_clock::now() < until + 8s);
  }
  is_over = true;
  writing.join();
}

// A key that is taken for one that its loop has reported already would be found by `empty`, and not by the
// loop.
TEST_CASE("empty and the entries agree, over as many loops as there are", "[leaks]") {
  const std::size_t keys = GENERATE(1U, 100U);
  crowd all(keys);
  std::vector<leaked> left;
  std::vector<pipe_ends> live = make_pipes(3);
  for (int loop = 1; loop != 3000; ++loop) {
    if (loop % 997 == 5) left.push_back(leak(all.sel));
    if (loop % 500 == 0)
      all.sel.register_(live[static_cast<std::size_t>(loop / 500 % 3)].reader, event::read);
    if (loop % 500 == 0) write_byte(live[static_cast<std::size_t>(loop / 500 % 3)].writer);
    if (loop % 500 == 499)
      for (auto& pipe : live)
        if (all.sel.contains(pipe.reader)) all.sel.unregister(pipe.reader);
    auto range = all.sel.select(0s);
    const bool is_empty = range.empty();
    std::size_t count = 0;
    for ([[maybe_unused]] auto one : range) ++count;
    REQUIRE(is_empty == (count == 0));
    const auto expected = static_cast<std::size_t>(loop >= 500 && loop % 500 != 499);
    REQUIRE(count == expected);
  }
}

TEST_CASE("a number that leaks again and again is reported for its last key alone", "[leaks]") {
  const std::size_t keys = GENERATE(2U, 60U);
  crowd all(keys);
  std::vector<pipe_ends> files;
  std::vector<descriptor> kept;
  const descriptor place = dup_of(make_pipe().reader);
  for (int i = 0; i != 40; ++i) {
    files.push_back(make_pipe());
    dup_onto(files.back().reader, place.get()).release();
    kept.push_back(dup_number_above(place.get(), 700));
    all.sel.register_(place, event::read);
    if (i % 3 == 0) write_byte(files.back().writer);
    if (i % 5 == 0) CHECK(ready(all.sel, 0s).size() == (i % 3 == 0 ? 1 : 0));
    dup_onto(make_pipe().reader, place.get()).release();
    all.sel.unregister(place);
    if (i % 7 == 0) expect_idle(all.sel);
  }
  for (auto& [reader, writer] : files) write_byte(writer);
  auto last = make_pipe();
  dup_onto(last.reader, place.get()).release();
  all.sel.register_(place, event::read);
  for (int i = 0; i != 3; ++i) expect_idle_for(all.sel, 3ms);
  write_byte(last.writer);
  for (int i = 0; i != 3; ++i) expect_ready(all.sel, {{place.get(), event::read}});
}

// The old file of a number comes back on it while another is registered for it, and both are in the kernel.
TEST_CASE("edges and one-shots are kept while leaks are isolated", "[leaks]") {
  crowd all(100);
  auto fired = make_pipe(), armed = make_pipe(), edgy = make_pipe();
  for (auto* pipe : {&fired, &edgy}) write_byte(pipe->writer);
  all.sel.register_(fired.reader, oneshot(event::read));
  all.sel.register_(edgy.reader, edge(event::read));
  CHECK(ready(all.sel).size() == 2);
  all.sel.register_(armed.reader, oneshot(event::read));
  std::vector<leaked> left;
  for (int i = 0; i != 50; ++i) {
    left.push_back(leak(all.sel));
    for (const auto& [handle, events] : ready(all.sel, 0s)) CHECK(handle == edgy.reader.get());
  }
  expect_idle(all.sel);
  write_byte(armed.writer);
  expect_ready(all.sel, {{armed.reader.get(), event::read}});
  expect_idle(all.sel);
  all.sel.modify(fired.reader, oneshot(event::read));
  expect_ready(all.sel, {{fired.reader.get(), event::read}});
  write_byte(edgy.writer);
  expect_ready(all.sel, {{edgy.reader.get(), event::read}});
  expect_idle(all.sel);
}

#endif
