// SPDX-License-Identifier: BSL-1.0

// In a child process a mailbox is empty and the child's own, and no lock is found held there.

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/mailbox.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

// What has come, as a number; 0 if nothing has, -1 if more than one.
template <class T>
int only_one_of(mailbox<T>& box) {
  int found = 0;
  for (T& one : box.take()) found = found == 0 ? static_cast<int>(one) : -1;
  return found;
}

struct destroyed_in {
  static inline int count = 0;
  explicit(false) destroyed_in(int n) : number(n) {}
  destroyed_in(destroyed_in&& other) noexcept : number(std::exchange(other.number, 0)) {}
  ~destroyed_in() { count += number != 0 ? 1 : 0; }
  explicit operator int() const { return number; }
  int number;
};

}  // namespace

// The child goes on within the post of its parent that it was made in.
TEST_CASE("a conversion that forks, and posts in the child, posts to the child's own mailbox",
          "[mailbox][fork]") {
  struct forks {
    mailbox<long>* box;
    pid_t* child;
    operator long() const {
      *child = ::fork();
      if (*child != 0) return 2;
      ::alarm(10);
      std::error_code error;
      box->post(1L, error);
      return error ? 3 : 2;
    }
  };
  mailbox<long> box;
  pid_t child = 0;
  box.post(forks{&box, &child});
  const auto all = [&] {
    std::vector<long> found;
    for (const long one : box.take()) found.push_back(one);
    return found;
  };
  if (child == 0) {
    std::vector<long> found = all();
    box.post(4L);
    for (const long one : all()) found.push_back(one);
    end_child(found == std::vector<long>{1, 2, 4} ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(status == 0);
  CHECK(all() == std::vector<long>{2});
}

namespace {

// Forks when it is moved for the first time, and posts in the child.
struct forks_when_moved {
  static inline mailbox<forks_when_moved>* box = nullptr;
  static inline pid_t child = -1;
  static inline std::error_code of_child;
  explicit forks_when_moved(int n) : number(n) {}
  forks_when_moved(forks_when_moved&& other) noexcept : number(other.number) {
    if (box == nullptr || child != -1) return;
    child = ::fork();
    if (child != 0) return;
    ::alarm(10);
    box->post(forks_when_moved(7), of_child);
  }
  ~forks_when_moved() = default;
  int number;
};

}  // namespace

TEST_CASE("a T that forks when it is moved cannot post in the child meanwhile", "[mailbox][fork]") {
  mailbox<forks_when_moved> box;
  forks_when_moved::box = &box;
  box.post(forks_when_moved(2));
  if (forks_when_moved::child == 0) {
    if (forks_when_moved::of_child != std::errc::resource_deadlock_would_occur) end_child(1);
    end_child(0);
  }
  int status = 0;
  while (::waitpid(forks_when_moved::child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(status == 0);
  int sum = 0;
  for (const forks_when_moved& one : box.take()) sum += one.number;
  CHECK(sum == 2);
  forks_when_moved::box = nullptr;
}

BACKEND_TEST_CASE("a child's mailbox is empty and its own", "[mailbox][fork]", backends) {
  selector<void, TestType> sel;
  mailbox<int> box;
  sel.register_(box, event::read);
  for (int n = 1; n != 4; ++n) box.post(n);
  const int first = GENERATE(0, 1, 2);  // what the child does first
  CHECK(in_child([&] {
          std::error_code error;
          if (first == 0 && !box.take().empty()) return 1;
          if (first == 1 && !is_open(box.native_handle())) return 2;
          if (first == 2 && !box.post(7, error)) return 3;
          selector<void, TestType> own(error);
          own.register_(box, event::read, error);
          if (error) return 4;
          if (first != 2) {
            if (!own.select(0s, error).empty()) return 5;
            if (!box.post(7, error)) return 6;
          }
          if (own.select(10s, error).empty()) return 7;
          if (only_one_of(box) != 7) return 8;
          return own.select(0s, error).empty() ? 0 : 9;
        }) == 0);
  expect_ready(sel, {{box.native_handle(), event::read}});
  int expected = 1;
  for (int& one : box.take()) CHECK(one == expected++);
  CHECK(expected == 4);
  expect_idle(sel);
}

BACKEND_TEST_CASE("a child that reopens its selector gets what is posted there, and nothing of its parent's",
                  "[mailbox][fork]", backends) {
  selector<void, TestType> sel;
  mailbox<int> box;
  sel.register_(box, event::read);
  auto pipe = make_pipe();
  auto told = make_pipe();
  const pid_t child = checked(::fork(), "fork");
  if (child == 0) {
    ::alarm(10);
    const auto run = [&] {
      std::error_code error;
      if (!box.take().empty()) return 1;
      sel.reopen(error);
      if (error) return 2;
      write_byte(told.writer);
      if (!becomes_ready(pipe.reader, POLLIN)) return 3;  // the parent has posted
      if (!sel.select(20ms, error).empty()) return 4;
      if (!box.post(8, error)) return 5;
      if (sel.select(10s, error).empty()) return 6;
      return only_one_of(box) == 8 ? 0 : 7;
    };
    ::_exit(run());
  }
  CHECK(becomes_ready(told.reader, POLLIN));
  box.post(1);
  write_byte(pipe.writer);
  int status = 0;
  checked(::waitpid(child, &status, 0), "waitpid");
  CHECK(status == 0);
  CHECK(only_one_of(box) == 1);
  expect_idle(sel);
}

TEST_CASE("a grandchild's mailbox is its own, whether its parent used it or not", "[mailbox][fork]") {
  mailbox<int> box;
  box.post(1);
  const bool uses = GENERATE(false, true);
  CHECK(in_child([&] {
          std::error_code error;
          if (uses && !box.post(2, error)) return 1;
          const int of_child = in_child([&] {
            if (only_one_of(box) != 0) return 2;
            if (!box.post(3, error)) return 3;
            return only_one_of(box) == 3 ? 0 : 4;
          });
          if (of_child != 0) return of_child;
          return only_one_of(box) == (uses ? 2 : 0) ? 0 : 5;
        }) == 0);
  CHECK(only_one_of(box) == 1);
}

TEST_CASE("a loop over a mailbox ends in a child at its next step, and destroys nothing there",
          "[mailbox][fork]") {
  mailbox<destroyed_in> box;
  for (int n = 1; n != 1000; ++n) box.post(n);
  int reached = 0;
  for ([[maybe_unused]] destroyed_in& one : box.take()) {
    if (++reached != 500) continue;
    destroyed_in::count = 0;
    const pid_t child = checked(::fork(), "fork");
    if (child != 0) {
      int status = 0;
      checked(::waitpid(child, &status, 0), "waitpid");
      CHECK(status == 0);
      destroyed_in::count = 0;
    } else {
      reached = -1000;
    }
  }
  if (reached < 0) ::_exit(reached == -1000 && destroyed_in::count == 0 && only_one_of(box) == 0 ? 0 : 1);
  CHECK(reached == 999);
}

TEST_CASE("a child destroys none of its parent's values with a mailbox", "[mailbox][fork]") {
  auto box = std::make_unique<mailbox<destroyed_in>>();
  box->post(1);
  destroyed_in::count = 0;
  CHECK(in_child([&] {
          box.reset();
          return destroyed_in::count;
        }) == 0);
  CHECK(in_child([&] {
          std::error_code error;
          if (!box->post(2, error)) return 1;
          destroyed_in::count = 0;
          box.reset();
          return destroyed_in::count == 1 ? 0 : 2;
        }) == 0);
  CHECK(destroyed_in::count == 0);
  CHECK(only_one_of(*box) == 1);
}

// The child's only thread would wait forever for a lock that a thread of its parent held.
TEST_CASE("no lock of a mailbox is held in a child, whatever other threads do", "[mailbox][fork][threads]") {
  mailbox<std::string> box;
  const std::string text(40, 'x');
  std::atomic<bool> is_over{false};
  std::atomic<int> pending{0};  // few, so that the parent's memory is soon copied
  std::array<std::thread, 2> posters;
  for (std::thread& poster : posters)
    poster = std::thread([&] {
      while (!is_over) {
        if (pending > 100) {
          std::this_thread::yield();
          continue;
        }
        pending += 2;
        box.post(text);
        box.post(std::string(text));
      }
    });
  int worst = 0;
  for (int round = 0; round != 1000 && worst == 0; ++round) {
    worst = in_child([&] {
      std::error_code error;
      if (!box.take().empty()) return 1;
      if (!box.post("the child's", error)) return 2;
      int count = 0;
      for (std::string& one : box.take()) count += one == "the child's" ? 1 : 100;
      return count == 1 ? 0 : 3;
    });
    for (std::string& one : box.take()) {
      worst = one == text ? worst : 4;
      --pending;
    }
  }
  is_over = true;
  for (std::thread& poster : posters) poster.join();
  CHECK(worst == 0);
}

namespace {

// Stays where it is moved, under the lock, until it may go on.
struct lingering {
  static inline std::atomic<bool> is_there{false}, may_go_on{true};
  explicit(false) lingering(int n) : number(n) {}
  lingering(lingering&& other) noexcept : number(other.number) {
    is_there = true;
    while (!may_go_on) std::this_thread::yield();
  }
  explicit operator int() const { return number; }
  int number;
};

}  // namespace

TEST_CASE("a lock that another thread holds at a fork is not held in the child", "[mailbox][fork][threads]") {
  mailbox<lingering> box;
  box.post(1);
  lingering::is_there = lingering::may_go_on = false;
  std::thread poster([&] { box.post(2); });
  while (!lingering::is_there) std::this_thread::yield();
  CHECK(in_child([&] {
          lingering::may_go_on = true;
          std::error_code error;
          if (only_one_of(box) != 0) return 1;
          if (!box.post(3, error)) return 2;
          return only_one_of(box) == 3 ? 0 : 3;
        }) == 0);
  lingering::may_go_on = true;
  poster.join();
  int expected = 1;
  for (lingering& one : box.take()) CHECK(one.number == expected++);
  CHECK(expected == 3);
}

TEST_CASE("the threads of a child that come first make a mailbox the child's once",
          "[mailbox][fork][threads]") {
  mailbox<std::size_t> box;
  box.post(1);
  for (int round = 0; round != 20; ++round)
    CHECK(in_child([&] {
            std::vector<std::thread> posters;
            std::atomic<bool> may_start{false};
            for (std::size_t t = 1; t != 5; ++t)
              posters.emplace_back([&, t] {
                while (!may_start) std::this_thread::yield();
                std::error_code error;
                for (std::size_t n = 0; n != 100; ++n) box.post(t, error);
              });
            may_start = true;
            for (std::thread& poster : posters) poster.join();
            std::size_t sum = 0;
            for (std::size_t one : box.take()) sum += one;
            return sum == 1000 ? 0 : 1;
          }) == 0);
}

TEST_CASE("a child without descriptors is refused a mailbox of its own, and has one later",
          "[mailbox][fork]") {
  mailbox<std::unique_ptr<int>> box;
  box.post(std::make_unique<int>(1));
  CHECK(in_child([&] {
          std::error_code error;
          auto value = std::make_unique<int>(2);
          {
            const exhausted_descriptors none;
            const bool was_posted = box.post(std::move(value), error);
            // Where the old number is given up first, there is always one.
            if (was_posted) return box.native_handle() >= 0 ? 0 : 1;
            if (error != std::error_code(EMFILE, std::system_category()) || value == nullptr) return 2;
            if (!box.take().empty() || box.native_handle() != -1) return 3;
          }
          if (!box.post(std::move(value), error) || error) return 4;
          int found = 0;
          for (auto& one : box.take()) found += *one;
          return found == 2 ? 0 : 5;
        }) == 0);
}

namespace {

struct forker {
  explicit(false) forker(int n) : number(n) {
    if (n == 100) child = ::fork();
  }
  explicit operator int() const { return number; }
  static inline pid_t child = -1;
  int number;
};

}  // namespace

TEST_CASE("a conversion may fork", "[mailbox][fork]") {
  mailbox<forker> box;
  box.post(1);
  box.post(100);
  if (forker::child == 0) ::_exit(only_one_of(box) == 100 ? 0 : 1);
  int status = 0;
  checked(::waitpid(forker::child, &status, 0), "waitpid");
  CHECK(status == 0);
  std::vector<int> found;
  for (forker& one : box.take()) found.push_back(one.number);
  CHECK(found == std::vector<int>{1, 100});
}
