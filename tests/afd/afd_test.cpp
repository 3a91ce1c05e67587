// SPDX-License-Identifier: BSL-1.0

// What is the afd_backend's alone; all else is in the conformance suite.

#include "support/allocations.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/backend/afd.hpp>
#include <selectors/selectors.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;
namespace afd = selectors::detail::afd;

namespace {

// Takes the place of a call of ntdll until the end of the scope.
template <class Call>
class in_place_of {
 public:
  in_place_of(std::atomic<Call>& call, Call other) : call_(call), before_(call.exchange(other)) {}
  in_place_of(const in_place_of&) = delete;
  ~in_place_of() { call_ = before_; }

 private:
  std::atomic<Call>& call_;
  Call before_;
};

// A cancellation that takes as long as it likes.
afd::nt_status NTAPI cancel_nothing(HANDLE, afd::io_status*, afd::io_status*) { return 0; }

afd::nt_calls::device_control real_control = nullptr;
int polls = 0;
int shortages = 0;
afd::nt_status NTAPI count_polls(HANDLE device, HANDLE event, void* apc, void* context,
                                 afd::io_status* status, ULONG code, const void* in, ULONG in_size, void* out,
                                 ULONG out_size) {
  ++polls;
  if (shortages != 0) {
    --shortages;
    return static_cast<afd::nt_status>(0xc000009a);
  }
  return real_control(device, event, apc, context, status, code, in, in_size, out, out_size);
}

afd::nt_calls::create_file real_create = nullptr;
std::vector<SOCKET> opened;
afd::nt_status NTAPI note_devices(HANDLE* device, ULONG access, const afd::nt_name* name,
                                  afd::io_status* status, std::int64_t* allocation, ULONG attributes,
                                  ULONG share, ULONG disposition, ULONG options, void* ea, ULONG ea_size) {
  const auto result = real_create(device, access, name, status, allocation, attributes, share, disposition,
                                  options, ea, ea_size);
  opened.push_back(reinterpret_cast<SOCKET>(*device));
  return result;
}

// All of them are under way in the kernel then.
template <class Selector>
void start(Selector& sel) {
  expect_idle(sel);
}

}  // namespace

TEST_CASE("afd: it is chosen by its name, and is nobody's default") {
  STATIC_REQUIRE(afd_backend::name == "afd");
  STATIC_REQUIRE_FALSE(std::is_same_v<default_backend, afd_backend>);
  STATIC_REQUIRE(std::is_same_v<afd_selector<int>, selector<int, afd_backend>>);
  STATIC_REQUIRE_FALSE(supports<afd_backend, trigger::edge>);
  STATIC_REQUIRE_FALSE(supports<afd_backend, trigger::level, true>);
}

TEST_CASE("afd: a late answer is nobody's") {
  auto pipes = make_pipes(2);
  afd_selector<int> sel;
  sel.register_(pipes[0].reader, event::read, 1);
  start(sel);
  {
    in_place_of late(afd::calls.cancel, &cancel_nothing);
    sel.unregister(pipes[0].reader);
    SECTION("whoever is registered meanwhile") { sel.register_(pipes[1].reader, event::read, 2); }
    SECTION("not the same handle's, registered again for something else") {
      sel.register_(pipes[0].reader, event::priority, 3);
    }
    SECTION("not the same handle's, though it is told that it is ready") {
      sel.register_(pipes[0].reader, event::read, 4);
      write_byte(pipes[0].writer);
      expect_ready(sel, {{pipes[0].reader.get(), event::read}});
      read_byte(pipes[0].reader);
    }
    SECTION("and there is nobody else") {}
    expect_idle(sel);
    write_byte(pipes[0].writer);
    if (sel.contains(pipes[0].reader) && sel.at(pipes[0].reader).data() == 4)
      expect_ready(sel, {{pipes[0].reader.get(), event::read}});
    else
      expect_idle_for(sel, 20ms);
  }
  sel.clear();
  sel.register_(pipes[0].reader, event::read, 5);
  expect_ready(sel, {{pipes[0].reader.get(), event::read}});
}

TEST_CASE("afd: what was ready before the wait, and is no more, is not told") {
  auto pipes = make_pipes(2);
  afd_selector<> sel;
  for (auto& one : pipes) sel.register_(one.reader, event::read);
  start(sel);
  for (auto& one : pipes) write_byte(one.writer);
  read_byte(pipes[0].reader);
  expect_ready(sel, {{pipes[1].reader.get(), event::read}});
  read_byte(pipes[1].reader);
  expect_idle_for(sel, 20ms);
}

TEST_CASE("afd: what is asked for now counts, whatever was asked of the kernel") {
  auto pair = make_tcp_pair();
  const auto handle = pair.first.get();
  afd_selector<> sel;
  sel.register_(handle, event::read);
  start(sel);
  sel.modify(handle, event::write);
  expect_ready(sel, {{handle, event::write}});
  sel.modify(handle, event::read | event::write);
  sel.modify(handle, event::read);
  expect_idle(sel);
  sel.modify(handle, oneshot(event::read | event::write));
  expect_ready(sel, {{handle, event::write}});
  expect_idle(sel);
  write_byte(pair.second);
  expect_idle(sel);
  sel.modify(handle, event::priority);
  expect_idle_for(sel, 20ms);
  sel.modify(handle, event_mask());
  sel.modify(handle, event::read);
  expect_ready(sel, {{handle, event::read}});
}

TEST_CASE("afd: pausing and asking again, however often, needs no memory") {
  auto pair = make_tcp_pair();
  const auto handle = pair.first.get();
  afd_selector<> sel;
  sel.register_(handle, event::read);
  const bool is_late = GENERATE(false, true);
  std::optional<in_place_of<afd::nt_calls::cancel_io>> late;
  if (is_late) late.emplace(afd::calls.cancel, &cancel_nothing);
  std::size_t told = 0;
  const std::size_t before = allocations();
  for (int round = 0; round != 10; ++round) {
    told += sel.select(0s).empty() ? 0u : 1u;
    for (int i = 0; i != 20; ++i) {
      sel.modify(handle, event_mask());
      sel.modify(handle, event::read);
    }
  }
  const std::size_t after = allocations();
  CHECK(after == before);
  CHECK(told == 0);
  late.reset();
  write_byte(pair.second);
  expect_ready(sel, {{handle, event::read}});
}

TEST_CASE("afd: a wait costs system calls for what was ready, not for what is registered") {
  auto pipes = make_pipes(100);
  afd_selector<> sel;
  for (auto& one : pipes) sel.register_(one.reader, event::read);
  start(sel);
  real_control = afd::calls.control;
  in_place_of counted(afd::calls.control, &count_polls);
  polls = 0;
  expect_idle(sel);
  CHECK(polls == 0);
  write_byte(pipes[50].writer);
  write_byte(pipes[70].writer);
  CHECK(ready(sel).size() == 2);
  CHECK(polls == 2);  // the answers were there before, so they are asked again
  polls = 0;
  CHECK(ready(sel).size() == 2);
  CHECK(polls == 2);
  read_byte(pipes[50].reader);
  read_byte(pipes[70].reader);
  expect_idle(sel);
  polls = 0;
  expect_idle(sel);
  CHECK(polls == 0);
}

TEST_CASE("afd: a socket that the system cannot poll now is polled by the next wait") {
  auto pipes = make_pipes(2);
  afd_selector<> sel;
  sel.register_(pipes[0].reader, event::read);
  write_byte(pipes[0].writer);
  expect_ready(sel, {{pipes[0].reader.get(), event::read}});
  read_byte(pipes[0].reader);
  start(sel);
  sel.register_(pipes[1].reader, event::read);
  write_byte(pipes[1].writer);
  real_control = afd::calls.control;
  in_place_of counted(afd::calls.control, &count_polls);
  SECTION("it is an error where nothing else is ready") {
    shortages = 1;
    std::error_code error;
    CHECK(sel.select(error).empty());
    CHECK(error == std::errc::not_enough_memory);
  }
  SECTION("others are told") {
    sel.modify(pipes[0].reader, oneshot(event::write));
    expect_ready(sel, {{pipes[0].reader.get(), event::write}, {pipes[1].reader.get(), event::read}});
    shortages = 1;  // of pipes[1], which was reported before
    sel.modify(pipes[0].reader, oneshot(event::write));
    expect_ready(sel, {{pipes[0].reader.get(), event::write}});
  }
  CHECK(shortages == 0);
  expect_ready(sel, {{pipes[1].reader.get(), event::read}});
}

TEST_CASE("afd: moving takes along what is under way") {
  auto pipes = make_pipes(3);
  std::optional<afd_selector<int>> first(std::in_place);
  for (int i = 0; i != 3; ++i) first->register_(pipes[static_cast<std::size_t>(i)].reader, event::read, i);
  start(*first);
  afd_selector<int> second(std::move(*first));
  first.reset();
  afd_selector<int> third;
  third.register_(pipes[0].reader, event::read, 7);
  start(third);
  third = std::move(second);
  write_byte(pipes[1].writer);
  expect_ready(third, {{pipes[1].reader.get(), event::read}});
  CHECK(third.size() == 3);
}

TEST_CASE("afd: closing takes back what is under way") {
  auto pipes = make_pipes(100);
  std::size_t told = 0;
  const std::ptrdiff_t before = live_allocations();
  {
    afd_selector<> sel;
    for (auto& one : pipes) sel.register_(one.reader, event::read);
    (void)sel.select(0s);
    sel.reopen();
    (void)sel.select(0s);
    write_byte(pipes[3].writer);
    for ([[maybe_unused]] auto one : sel.select(10s)) ++told;
    sel.close();
    sel.reopen();
    sel.register_(pipes[3].reader, event::read);
    sel.register_(pipes[4].reader, event::read);
    for ([[maybe_unused]] auto one : sel.select(10s)) ++told;
  }
  const std::ptrdiff_t after = live_allocations();
  CHECK(after == before);
  CHECK(told == 2);
}

TEST_CASE("afd: what does not come back keeps its memory, since the kernel will write there") {
  auto pipe = make_pipe();
  const auto start_of_it = std::chrono::steady_clock::now();
  const std::ptrdiff_t before = live_allocations();
  {
    in_place_of late(afd::calls.cancel, &cancel_nothing);
    afd_selector<> sel;
    sel.register_(pipe.reader, event::read);
    (void)sel.select(0s);
  }
  const std::ptrdiff_t after = live_allocations();
  CHECK(after == before + 1);
  CHECK(std::chrono::steady_clock::now() - start_of_it < 10s);
  write_byte(pipe.writer);
}

TEST_CASE("afd: a socket that this process closes while it is waited for is told once") {
  auto pair = make_tcp_pair();
  const auto handle = pair.first.get();
  afd_selector<> sel;
  sel.register_(handle, event::read);
  std::thread closer([&] {
    ::Sleep(30);
    pair.first.close();
  });
  expect_ready(sel, {{handle, event::read | event::error}});
  closer.join();
  expect_idle_for(sel, 20ms);
  sel.modify(handle, event::write);
  expect_ready(sel, {{handle, event::write | event::error}});
  sel.unregister(handle);
}

TEST_CASE("afd: another thread may wait when the one that registered is gone") {
  auto pipes = make_pipes(2);
  afd_selector<> sel;
  std::thread([&] {
    for (auto& one : pipes) sel.register_(one.reader, event::read);
    start(sel);
  }).join();
  expect_idle_for(sel, 20ms);
  write_byte(pipes[1].writer);
  expect_ready(sel, {{pipes[1].reader.get(), event::read}});
}

// It was polled as if it was a socket, and never told; it even ended wine's server.
TEST_CASE("afd: a closed socket whose number a device has taken is told") {
  auto pipes = make_pipes(40);
  const auto handle = pipes[0].reader.get();
  afd_selector<> sel;
  sel.register_(handle, event::read);
  real_create = afd::calls.create;
  in_place_of noted(afd::calls.create, &note_devices);
  opened.clear();
  pipes[0].reader.close();
  for (std::size_t i = 1; i != pipes.size() && opened.empty(); ++i)
    sel.register_(pipes[i].reader, event::read);
  REQUIRE(opened == std::vector<SOCKET>{handle});
  expect_ready(sel, {{handle, event::read | event::error}});
  expect_idle_for(sel, 20ms);
  sel.unregister(handle);
}

TEST_CASE("afd: a thousand sockets, of which some are ready") {
  auto pipes = make_pipes(1000);
  afd_selector<> sel;
  for (auto& one : pipes) sel.register_(one.reader, event::read);
  start(sel);
  readiness expected;
  for (std::size_t i = 0; i < pipes.size(); i += 7) {
    write_byte(pipes[i].writer);
    expected[pipes[i].reader.get()] = event::read;
  }
  expect_ready(sel, expected);
  expect_ready(sel, expected);
  for (std::size_t i = 0; i < pipes.size(); i += 7) read_byte(pipes[i].reader);
  expect_idle(sel);
}
