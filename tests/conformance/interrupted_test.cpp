// SPDX-License-Identifier: BSL-1.0

// Signals: an early, empty result, and never an error.

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <sys/time.h>

#include <atomic>
#include <csignal>
#include <thread>

#include <pthread.h>

using namespace selectors;
using namespace support;

namespace {

// A handler that does nothing, without SA_RESTART, until the end of the scope.
class ignored_signal {
 public:
  explicit ignored_signal(int number) : number_(number) {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    checked(::sigaction(number, &action, &before_), "sigaction");
  }
  ignored_signal(const ignored_signal&) = delete;
  ~ignored_signal() { ::sigaction(number_, &before_, nullptr); }

 private:
  int number_;
  struct sigaction before_{};
};

// Sends a thread SIGUSR1, over and over, until it has left its wait.
class pestering {
 public:
  pestering()
      : victim_(::pthread_self()), thread_([this] {
          while (!left_.load()) {
            ::pthread_kill(victim_, SIGUSR1);
            std::this_thread::yield();
          }
        }) {}
  void stop() {
    left_ = true;
    if (thread_.joinable()) thread_.join();
  }
  ~pestering() { stop(); }

 private:
  ignored_signal ignored_{SIGUSR1};
  std::atomic<bool> left_ = false;
  pthread_t victim_;
  std::thread thread_;
};

}  // namespace

BACKEND_TEST_CASE("a signal ends a wait early, empty and without an error", "[signals]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  const auto start = std::chrono::steady_clock::now();
  {
    pestering signals;
    std::error_code error = errc::closed;
    CHECK(sel.select(error).empty());
    CHECK_FALSE(error);
    CHECK(sel.select(60s).empty());
    CHECK(sel.select_until(std::chrono::steady_clock::now() + 60s).empty());
    CHECK(sel.select().interrupted());
    const auto range = sel.select(60s);
    CHECK(range.empty());
    CHECK(range.interrupted());
    CHECK(sel.select_until(std::chrono::steady_clock::now() + 60s).interrupted());
    signals.stop();
  }
  CHECK_FALSE(sel.select(0s).interrupted());
  CHECK_FALSE(sel.select(2ms).interrupted());
  CHECK_FALSE(typename selector<void, TestType>::ready_range().interrupted());
  CHECK(std::chrono::steady_clock::now() - start < 60s);
  write_byte(pipe.writer);
  CHECK_FALSE(sel.select().interrupted());
  expect_ready(sel, {{pipe.reader.get(), event::read}});
  sel.close();
  std::error_code error;
  CHECK_FALSE(sel.select(error).interrupted());
}

BACKEND_TEST_CASE("a storm of signals loses no event", "[signals]", backends) {
  selector<void, TestType> sel;
  auto [first, second] = make_socket_pair();
  sel.register_(first, event::read);
  const ignored_signal ignored(SIGALRM);
  const itimerval storm{{0, 500}, {0, 500}};
  const itimerval calm{};
  checked(::setitimer(ITIMER_REAL, &storm, nullptr), "setitimer");
  constexpr int bytes = 2000;
  std::thread other([&other_end = second] {
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    ::pthread_sigmask(SIG_BLOCK, &alarm, nullptr);
    for (int i = 0; i != bytes; ++i) {
      while (::write(other_end.get(), "x", 1) != 1) std::this_thread::yield();
    }
  });
  int received = 0;
  while (received != bytes) {
    for ([[maybe_unused]] auto one : sel.select(10s)) {
      char byte;
      if (::read(first.get(), &byte, 1) == 1) ++received;
    }
  }
  checked(::setitimer(ITIMER_REAL, &calm, nullptr), "setitimer");
  other.join();
  CHECK(received == bytes);
}

BACKEND_TEST_CASE("in a storm of signals a wait ends early only when one arrived, and is never an error",
                  "[signals]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  static std::atomic<int> arrived;
  struct sigaction action{}, before{};
  action.sa_handler = [](int) { ++arrived; };
  checked(::sigaction(SIGALRM, &action, &before), "sigaction");
  const itimerval storm{{0, 1000}, {0, 1000}};
  const itimerval calm{};
  checked(::setitimer(ITIMER_REAL, &storm, nullptr), "setitimer");
  int early = 0, full = 0;
  for (int round = 0; round != 300; ++round) {
    const auto timeout = round % 2 == 0 ? 200us : 5000us;
    const int arrived_before = arrived;
    const auto start = std::chrono::steady_clock::now();
    std::error_code error = errc::closed;
    const bool is_empty = sel.select(timeout, error).empty();
    const auto passed = std::chrono::steady_clock::now() - start;
    REQUIRE_FALSE(error);
    REQUIRE(is_empty);
    if (passed >= timeout) {
      ++full;
    } else {
      ++early;
      REQUIRE(arrived != arrived_before);
    }
  }
  checked(::setitimer(ITIMER_REAL, &calm, nullptr), "setitimer");
  ::sigaction(SIGALRM, &before, nullptr);
  CHECK(early > 0);
  CHECK(full > 0);
}

BACKEND_TEST_CASE("a stopped and continued process waits on, or returns empty", "[signals][native]",
                  backends) {
  auto pipe = make_pipe();
  auto ready_to_stop = make_pipe();
  auto in_select = [&] {
    std::error_code error;
    selector<void, TestType> sel(error);
    if (error) return 1;
    sel.register_(pipe.reader, event::read, error);
    if (error) return 2;
    (void)!::write(ready_to_stop.writer.get(), "x", 1);
    for (;;) {
      auto range = sel.select(error);
      if (error) return 3;
      if (!range.empty()) return 0;
    }
  };
  const pid_t child = checked(::fork(), "fork");
  if (child == 0) {
    ::alarm(10);
    ::_exit(in_select());
  }
  selector<void, TestType> started;
  started.register_(ready_to_stop.reader, event::read);
  expect_ready(started, {{ready_to_stop.reader.get(), event::read}});
  int status = 0;
  checked(::kill(child, SIGSTOP), "kill");
  checked(::waitpid(child, &status, WUNTRACED), "waitpid");
  CHECK(WIFSTOPPED(status));
  checked(::kill(child, SIGCONT), "kill");
  write_byte(pipe.writer);
  checked(::waitpid(child, &status, 0), "waitpid");
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
