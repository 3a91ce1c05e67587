// SPDX-License-Identifier: BSL-1.0

// A loop that always leaves after the first N entries serves each of the R that are ready within ceil(R/N)+1
// loops, and loses none.

#include "support/catch.hpp"
#if !SELECTORS_HAS_WINSOCK
#include "support/child.hpp"
#endif
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"

#include <map>
#include <set>
#include <vector>

#if !SELECTORS_HAS_WINSOCK
#include <fcntl.h>
#endif
#if SELECTORS_HAS_EPOLL
#include <sched.h>
#include <sys/mount.h>
#endif

using namespace selectors;
using namespace support;

namespace {

enum class kind { level, edge, oneshot, marked, file, bell };

// Keys of several kinds that are ready, and stay so until somebody reaches them.
template <class Backend>
class crowd {
 public:
  void add(kind what) {
    switch (what) {
      case kind::level:
      case kind::oneshot:
      case kind::edge:
      case kind::marked: return add_pipe(what);
      case kind::bell:
        bell_.notify();
        sel.register_(bell_, event::read, what);
        break;
      case kind::file:
#if !SELECTORS_HAS_WINSOCK
        files_.emplace_back(checked(::open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
        sel.register_(files_.back(), event::write, what);
#endif
        break;
    }
  }

  // A loop that leaves after `budget` entries; returns what it reached.
  std::vector<native_handle_type> serve(std::size_t budget) {
    std::vector<native_handle_type> reached;
    for (auto [key, events] : sel.select(0s)) {
      reached.push_back(key.handle());
      if (reached.size() == budget) break;
    }
    return reached;
  }

  selector<kind, Backend> sel;

 private:
  void add_pipe(kind what) {
    pipes_.push_back(make_pipe());
    auto& [reader, writer] = pipes_.back();
    if (what != kind::marked) write_byte(writer);
    if (what == kind::oneshot) {
      sel.register_(reader, oneshot(event::read), what);
    } else if constexpr (supports<Backend, trigger::edge>) {
      if (what == kind::edge)
        sel.register_(reader, edge(event::read), what);
      else
        sel.register_(reader, event::read, what);
    } else {
      sel.register_(reader, event::read, what);
    }
    if (what == kind::marked) sel.mark_ready(reader, event::read);
  }

  std::vector<pipe_ends> pipes_;
  std::vector<descriptor> files_;
  wakeup bell_;
};

std::vector<kind> mixtures(std::size_t which, std::size_t count) {
  static const std::vector<std::vector<kind>> all{
      {kind::level},
      {kind::level, kind::oneshot},
      {kind::level, kind::edge},
      {kind::oneshot, kind::edge},
      {kind::level, kind::marked},
      {kind::level, kind::level, kind::oneshot, kind::edge, kind::marked},
#if !SELECTORS_HAS_WINSOCK
      {kind::file},
      {kind::file, kind::level, kind::level},
      {kind::file, kind::level, kind::oneshot, kind::edge, kind::marked},
#endif
  };
  const auto& mixture = all[which % all.size()];
  std::vector<kind> made;
  while (made.size() != count) made.push_back(mixture[made.size() % mixture.size()]);
  return made;
}

}  // namespace

BACKEND_TEST_CASE("a budget serves everybody within as many loops as it takes, and one", "[fairness]",
                  backends) {
  for (std::size_t mixture = 0; mixture != 9; ++mixture) {
    for (const std::size_t count : {2U, 7U, 20U, 61U}) {
      for (const std::size_t budget : {1U, 2U, 5U, 19U}) {
        INFO("mixture " << mixture << ", " << count << " ready, budget " << budget);
        crowd<TestType> all;
        for (const kind one : mixtures(mixture, count - 1)) all.add(one);
        all.add(kind::bell);
        std::set<native_handle_type> served;
        const std::size_t loops = (count + budget - 1) / budget + 1;
        for (std::size_t i = 0; i != loops; ++i)
          for (const auto handle : all.serve(budget)) served.insert(handle);
        CHECK(served.size() == count);
      }
    }
  }
}

BACKEND_TEST_CASE("among those that are always ready, nobody starves however long it goes on", "[fairness]",
                  backends) {
  constexpr std::size_t count = 23, budget = 4, rounds = 50;
  crowd<TestType> all;
  for (std::size_t i = 0; i != count - 1; ++i) all.add(i % 5 == 4 ? kind::file : kind::level);
  all.add(kind::bell);
  const std::size_t size = all.sel.size();
  std::map<native_handle_type, std::size_t> last;
  for (std::size_t loop = 1; loop != rounds * count; ++loop) {
    const auto reached = all.serve(budget);
    CHECK(std::set<native_handle_type>(reached.begin(), reached.end()).size() == reached.size());
    for (const auto handle : reached) last[handle] = loop;
    if (loop < 10) continue;
    REQUIRE(last.size() == size);
    for (const auto& [handle, served] : last) REQUIRE(loop - served <= (size + budget - 1) / budget + 1);
  }
}

BACKEND_TEST_CASE("what is reported once is reported once, whatever the budget", "[fairness]", backends) {
  for (const std::size_t budget : {1U, 2U, 3U, 8U}) {
    crowd<TestType> all;
    for (int i = 0; i != 10; ++i) all.add(i % 2 == 0 ? kind::oneshot : kind::marked);
    std::multiset<native_handle_type> served;
    for (int i = 0; i != 40; ++i)
      for (const auto handle : all.serve(budget)) served.insert(handle);
    CHECK(served.size() == 10);
    CHECK(std::set<native_handle_type>(served.begin(), served.end()).size() == 10);
  }
}

BACKEND_TEST_CASE("a newcomer comes behind those that wait, and those that have been served", "[fairness]",
                  backends) {
  crowd<TestType> all;
  for (int i = 0; i != 6; ++i) all.add(kind::level);
  auto served = all.serve(2);
  all.add(kind::level);
  all.add(kind::marked);
  std::set<native_handle_type> first_eight(served.begin(), served.end());
  for (int i = 0; i != 4; ++i)
    for (const auto handle : all.serve(2)) first_eight.insert(handle);
  CHECK(first_eight.size() == 8);
}

BACKEND_TEST_CASE("what a loop did not reach comes before everything else", "[fairness]", backends) {
  const bool is_level = GENERATE(true, false);
  selector<void, TestType> sel;
  auto pipes = make_pipes(8);
  std::set<native_handle_type> waiting;
  for (auto& [reader, writer] : pipes) {
    if (is_level)
      sel.register_(reader, event::read);
    else
      sel.register_(reader, oneshot(event::read));
    waiting.insert(reader.get());
    write_byte(writer);
  }
  int reached = 0;
  for (auto [key, events] : sel.select(0s)) {
    waiting.erase(key.handle());
    if (++reached == 3) break;
  }
  auto more = make_pipes(4);
  for (auto& [reader, writer] : more) {
    sel.register_(reader, event::read);
    write_byte(writer);
  }
  sel.mark_ready(more[0].reader, event::read);
  std::size_t position = 0;
  for (auto [key, events] : sel.select(0s)) CHECK((waiting.count(key.handle()) == 1) == (position++ < 5));
  CHECK(position == (is_level ? 12 : 9));
}

#if SELECTORS_HAS_EPOLL
namespace {

// Whether `priority` of /proc/self/mounts, which the kernel reports once to each open file
// (proc_pid_mounts(5)), is reported though loops leave after one entry: 0; 77 if nobody may mount.
template <class Backend>
int hears_of_mounts() {
  std::error_code error;
  if (::unshare(CLONE_NEWNS) != 0) return 77;
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
  const descriptor mounts(::open("/proc/self/mounts", O_RDONLY | O_CLOEXEC));
  auto pipes = make_pipes(5);
  selector<void, Backend> sel;
  for (auto& [reader, writer] : pipes) {
    sel.register_(reader, event::read, error);
    write_byte(writer);
  }
  sel.register_(mounts, event::priority, error);
  if (error) return 1;
  for (int i = 0; i != 3; ++i) (void)sel.select(0s, error).empty();
  if (::mount("none", "/tmp", "tmpfs", 0, nullptr) != 0) return 77;
  int heard = 0;
  for (int loops = 0; loops != 20; ++loops) {
    for (auto [key, events] : sel.select(0s, error)) {
      if (key.handle() == mounts.get() && events.contains(event::priority)) ++heard;
      break;
    }
    if (loops == 7 && heard != 1) return 2;  // ceil(6/1)+1 loops
  }
  return heard == 1 ? 0 : 3;
}

}  // namespace

BACKEND_TEST_CASE("a priority that the kernel reports once is not lost when it is not reached", "[fairness]",
                  backends) {
  if (is_kqueue<TestType>) return skip("kqueue reports `priority` of sockets alone");
  const int result = in_child([] { return hears_of_mounts<TestType>(); });
  if (result == 77) return skip("nothing can be mounted");
  CHECK(result == 0);
}
#endif
