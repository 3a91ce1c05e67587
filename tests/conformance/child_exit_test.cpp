// SPDX-License-Identifier: BSL-1.0

// The end of child processes as events: once each, with the status, by whatever the system has for it, and no
// zombie.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/child_exit.hpp>
#include <selectors/signal_set.hpp>

#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#if SELECTORS_HAS_EPOLL
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#endif

using namespace selectors;
using namespace support;

namespace {

// The best way that the system has, and the one without anything but SIGCHLD, which may be the same.
using sigchld_exit = basic_child_exit<detail::sigchld_watch>;
using ways = std::conditional_t<std::is_same_v<child_exit, sigchld_exit>, std::tuple<child_exit>,
                                std::tuple<child_exit, sigchld_exit>>;

template <class Child, class Backend>
struct combined {
  using child = Child;
  using backend = Backend;
  static std::string test_name() {
    return std::string(Backend::name) + (std::is_same_v<Child, child_exit> ? "" : ", SIGCHLD alone");
  }
};
template <class Child, class... Backend>
auto with_each(std::tuple<Backend...>*) -> std::tuple<combined<Child, Backend>...>;
template <class... Child>
auto all_of(std::tuple<Child...>*)
    -> decltype(std::tuple_cat(with_each<Child>(static_cast<backends*>(nullptr))...));
using ways_and_backends = decltype(all_of(static_cast<ways*>(nullptr)));

// A child that ends by `body`, whose result is its exit code, once it is released.
class held_child {
 public:
  template <class Body>
  explicit held_child(Body body) {
    pid_ = checked(::fork(), "fork");
    if (pid_ != 0) return;
    ::alarm(60);
    becomes_ready(gate_.reader, POLLIN, -1);
    end_child(body());
  }
  held_child() : held_child([] { return 0; }) {}
  held_child(const held_child&) = delete;
  ~held_child() {
    if (pid_ == 0) return;
    release();
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  pid_t pid() const { return pid_; }
  // Not by closing the pipe: children that were made later have it open, too.
  void release() {
    if (!std::exchange(is_released_, true)) write_byte(gate_.writer);
  }

 private:
  pipe_ends gate_ = make_pipe();
  pid_t pid_ = 0;
  bool is_released_ = false;
};

pid_t ended_child(int code = 0) {
  const pid_t pid = checked(::fork(), "fork");
  if (pid == 0) ::_exit(code);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  return pid;
}

bool is_child(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}
bool has_children() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// SIGCHLD interrupts a wait, and select reports then what it knows, perhaps nothing.
template <class Selector>
readiness ready_in_the_end(Selector& sel) {
  readiness found;
  for (int tries = 0; tries != 5 && found.empty(); ++tries) found = ready(sel, 2s);
  return found;
}

struct sigaction action_of(int number) {
  struct sigaction action{};
  checked(::sigaction(number, nullptr, &action), "sigaction");
  return action;
}

class handler {
 public:
  explicit handler(void (*function)(int), int flags = 0) {
    struct sigaction action{};
    action.sa_handler = function;
    action.sa_flags = flags;
    checked(::sigaction(SIGCHLD, &action, &before_), "sigaction");
  }
  handler(const handler&) = delete;
  ~handler() { ::sigaction(SIGCHLD, &before_, nullptr); }
  const struct sigaction& before() const { return before_; }

 private:
  struct sigaction before_{};
};

}  // namespace

BACKEND_TEST_CASE("the end of a child is reported once, with its status", "[child_exit]", ways_and_backends) {
  using child_type = typename TestType::child;
  selector<void, typename TestType::backend> sel;
  held_child held([] { return 7; }), other;
  child_type child(held.pid()), bystander(other.pid());
  CHECK(child.pid() == held.pid());
  CHECK(is_close_on_exec(child.native_handle()));
  sel.register_(child, event::read);
  sel.register_(bystander, event::read);
  expect_idle(sel);
  CHECK_FALSE(child.reap());
  held.release();
  for (int i = 0; i != 2; ++i) {
    readiness found = ready_in_the_end(sel);
    REQUIRE(found.size() == 1);
    CHECK(found[child.native_handle()].contains(event::read));
  }
  const std::optional<int> status = child.reap();
  REQUIRE(status);
  CHECK(WIFEXITED(*status));
  CHECK(WEXITSTATUS(*status) == 7);
  CHECK_FALSE(is_child(held.pid()));
  expect_idle(sel);
  CHECK_FALSE(child.reap());
  sel.reopen();
  expect_idle(sel);
  CHECK(child.pid() == held.pid());
}

BACKEND_TEST_CASE("a child that has ended before is reported at once", "[child_exit]", ways_and_backends) {
  selector<void, typename TestType::backend> sel;
  typename TestType::child child(ended_child(3));
  sel.register_(child, event::read);
  CHECK(ready_in_the_end(sel).size() == 1);
  const int status = child.reap().value();
  CHECK(WEXITSTATUS(status) == 3);
  expect_idle(sel);
  CHECK_FALSE(has_children());
}

BACKEND_TEST_CASE("a child that somebody else has waited for is reported once, as an error", "[child_exit]",
                  ways_and_backends) {
  using child_type = typename TestType::child;
  selector<void, typename TestType::backend> sel;
  for (const bool throws : {false, true}) {
    held_child held;
    child_type child(held.pid());
    sel.register_(child, event::read);
    held.release();
    while (::waitpid(held.pid(), nullptr, 0) < 0 && errno == EINTR) {
    }
    CHECK(ready_in_the_end(sel).count(child.native_handle()) == 1);
    if (throws) {
      try {
        (void)child.reap();
        FAIL("no error");
      } catch (const std::system_error& lost) {
        CHECK(lost.code() == std::errc::no_child_process);
        CHECK_THAT(lost.what(), contains("reap") && contains("waitid"));
      }
    } else {
      std::error_code error;
      CHECK_FALSE(child.reap(error));
      CHECK(error == std::errc::no_child_process);
    }
    std::error_code error = std::make_error_code(std::errc::timed_out);
    CHECK_FALSE(child.reap(error));
    CHECK_FALSE(error);
    expect_idle(sel);
    CHECK_FALSE(child.kill(0));
    sel.unregister(child);
  }
}

BACKEND_TEST_CASE("where SIGCHLD is ignored, the end is reported without a status", "[child_exit][native]",
                  ways_and_backends) {
  const handler ignored(SIG_IGN);
  selector<void, typename TestType::backend> sel;
  {
    held_child held, unwatched;
    typename TestType::child child(held.pid());
    sel.register_(child, event::read);
    expect_idle(sel);
    held.release();
    CHECK(ready_in_the_end(sel).size() == 1);
    std::error_code error;
    CHECK_FALSE(child.reap(error));
    CHECK(error == std::errc::no_child_process);
    expect_idle(sel);
    unwatched.release();  // and leaves no zombie
    while (is_child(unwatched.pid())) std::this_thread::yield();
    sel.unregister(child);
  }
  CHECK(action_of(SIGCHLD).sa_handler == SIG_IGN);
}

BACKEND_TEST_CASE("hundreds of children are each reported once, and leave no zombie", "[child_exit]",
                  ways_and_backends) {
  using child_type = typename TestType::child;
  constexpr int count = 300;
  selector<child_type, typename TestType::backend> sel;
  for (int i = 0; i != count; ++i) {
    const pid_t pid = checked(::fork(), "fork");
    if (pid == 0) ::_exit(i % 100);
    sel.register_(event::read, child_type(pid));
  }
  int sum = 0, expected = 0, ended = 0, rounds = 0;
  for (int i = 0; i != count; ++i) expected += i % 100;
  while (!sel.empty() && ++rounds != 100'000) {
    for (auto [key, events] : sel.select(10s)) {
      const std::optional<int> status = key.data().reap();
      if (!status) continue;
      sum += WEXITSTATUS(*status);
      ++ended;
      sel.unregister(key);
    }
  }
  CHECK(ended == count);
  CHECK(sum == expected);
  CHECK_FALSE(has_children());
}

TEMPLATE_TEST_CASE("a child's signal, and its core, are in the status", "[child_exit]", child_exit,
                   sigchld_exit) {
  for (const int number : {SIGKILL, SIGHUP, SIGUSR1}) {
    held_child held;
    TestType child(held.pid());
    CHECK(child.kill(0));
    CHECK(child.kill(number));
    std::optional<int> status;
    while (!status) status = child.reap();
    CHECK(WIFSIGNALED(*status));
    CHECK(WTERMSIG(*status) == number);
    CHECK_FALSE(child.kill(0));
  }
  // Whatever this machine does with cores, the status is what waitpid(2) says.
  const auto crash = [] {
    ::signal(SIGABRT, SIG_DFL);  // not the test framework's handler
    ::abort();
    return 0;
  };
  held_child one(crash), other(crash);
  TestType child(one.pid());
  one.release();
  other.release();
  int expected = 0;
  while (::waitpid(other.pid(), &expected, 0) < 0 && errno == EINTR) {
  }
  std::optional<int> status;
  while (!status) status = child.reap();
  CHECK(*status == expected);
}

BACKEND_TEST_CASE("a child that stops and goes on has not ended", "[child_exit]", ways_and_backends) {
  selector<void, typename TestType::backend> sel;
  held_child held;
  typename TestType::child child(held.pid());
  sel.register_(child, event::read);
  for (const int number : {SIGSTOP, SIGCONT}) {
    CHECK(child.kill(number));
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(held.pid()), &info, WSTOPPED | WCONTINUED) < 0 &&
           errno == EINTR) {
    }
    expect_idle(sel);
    CHECK_FALSE(child.reap());
  }
  held.release();
  CHECK(ready_in_the_end(sel).size() == 1);
  const int status = child.reap().value();
  CHECK(WIFEXITED(status));
}

TEMPLATE_TEST_CASE("what is no child of this process is refused", "[child_exit]", child_exit, sigchld_exit) {
  const pid_t gone = ended_child();
  while (::waitpid(gone, nullptr, 0) < 0 && errno == EINTR) {
  }
  const auto open = open_descriptors();
  for (const pid_t stranger : {::getpid(), ::getppid(), pid_t{1}, gone, pid_t{0x7ffffffe}}) {
    INFO("process " << stranger);
    std::error_code error;
    TestType child(stranger, error);
    CHECK(error == std::error_code(ECHILD, std::system_category()));
    CHECK(child.native_handle() == -1);
    CHECK(child.pid() == 0);
    CHECK_FALSE(child.kill(0));
    CHECK_FALSE(child.reap(error));
    CHECK_FALSE(error);
  }
#if SELECTORS_HAS_EPOLL
  std::atomic<pid_t> thread_id{0};
  std::thread other([&] {
    thread_id = static_cast<pid_t>(::syscall(SYS_gettid));
    while (thread_id != 0) std::this_thread::yield();
  });
  while (thread_id == 0) std::this_thread::yield();
  std::error_code no_child;
  TestType of_a_thread(thread_id, no_child);
  CHECK(no_child == std::errc::no_child_process);
  thread_id = 0;
  other.join();
#endif
  for (const pid_t none : {0, -1, -1000}) {
    std::error_code error;
    TestType child(none, error);
    CHECK(error == std::errc::invalid_argument);
  }
  CHECK_THROWS_AS(TestType(::getpid()), std::system_error);
  CHECK(open_descriptors() == open);
}

BACKEND_TEST_CASE("a child that is moved keeps its handle", "[child_exit]", ways_and_backends) {
  using child_type = typename TestType::child;
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<child_type>);
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<child_type>);
  STATIC_REQUIRE(std::is_nothrow_move_assignable_v<child_type>);
  const auto open = open_descriptors().size();
  {
    selector<void, typename TestType::backend> sel;
    held_child first, second([] { return 5; });
    child_type child(second.pid());
    const int handle = child.native_handle();
    sel.register_(child, event::read);
    child_type moved(std::move(child));
    CHECK(moved.native_handle() == handle);
    CHECK(child.native_handle() == -1);
    CHECK(child.pid() == 0);
    CHECK_FALSE(child.kill(0));
    CHECK_FALSE(child.reap());
    child_type assigned(first.pid());
    assigned = std::move(moved);
    CHECK(assigned.native_handle() == handle);
    CHECK(assigned.pid() == second.pid());
    CHECK(moved.native_handle() == -1);
    child_type& itself = assigned;
    assigned = std::move(itself);
    CHECK(assigned.native_handle() == handle);
    second.release();
    CHECK(ready_in_the_end(sel).size() == 1);
    const int status = assigned.reap().value();
    CHECK(WEXITSTATUS(status) == 5);
    CHECK(is_child(first.pid()));
  }
  CHECK(open_descriptors().size() == open);
}

TEMPLATE_TEST_CASE("the destructor leaves the child to its parent", "[child_exit]", child_exit,
                   sigchld_exit) {
  held_child held([] { return 9; });
  {
    TestType child(held.pid());
  }
  CHECK(is_child(held.pid()));
  held.release();
  int status = 0;
  while (::waitpid(held.pid(), &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(WEXITSTATUS(status) == 9);
}

TEMPLATE_TEST_CASE("without a free descriptor opening fails, reaping does not", "[child_exit]", child_exit,
                   sigchld_exit) {
  held_child held([] { return 4; });
  TestType child(held.pid());
  selector<> sel;
  sel.register_(child, event::read);
  const exhausted_descriptors none;
  std::error_code error;
  {
    TestType refused(held.pid(), error);
    CHECK(refused.native_handle() == -1);
  }
  CHECK(error == std::error_code(EMFILE, std::system_category()));
  held.release();
  CHECK(ready_in_the_end(sel).size() == 1);
  const int status = child.reap().value();
  CHECK(WEXITSTATUS(status) == 4);
  expect_idle(sel);
}

TEST_CASE("a child is watched without memory, but for SIGCHLD's sake", "[child_exit]") {
  held_child held;
  const auto before = allocations();
  {
    child_exit child(held.pid());
    CHECK_FALSE(child.reap());
  }
  if (SELECTORS_HAS_PIDFD || SELECTORS_HAS_KQUEUE) CHECK(allocations() == before);
  const auto open = open_descriptors();
  std::error_code error;
  {
    allocation_budget none(0);
    const sigchld_exit refused(held.pid(), error);
    none.lift();
    CHECK(none.was_exceeded());
  }
  CHECK(error == std::errc::not_enough_memory);
  CHECK(open_descriptors() == open);
  CHECK(action_of(SIGCHLD).sa_handler == SIG_DFL);
}

// ---- SIGCHLD
// --------------------------------------------------------------------------------------------------------

namespace {

std::atomic<int> calls{0};
std::atomic<pid_t> reported_pid{0};
void (*replaced)(int, siginfo_t*, void*) = nullptr;

void count_call(int) { ++calls; }

std::optional<int> reaped(sigchld_exit& child) {
  selector<> sel;
  sel.register_(child, event::read);
  return ready_in_the_end(sel).empty() ? std::nullopt : child.reap();
}

}  // namespace

TEST_CASE("SIGCHLD: the program's own handler is called as before, and put back", "[child_exit]") {
  calls = 0;
  const handler own(&count_call);
  {
    held_child first, second;
    sigchld_exit one(first.pid()), two(second.pid());
    CHECK((action_of(SIGCHLD).sa_flags & SA_RESTART) == 0);  // as the program has it
    first.release();
    CHECK(reaped(one));
    CHECK(calls >= 1);
    {
      const sigchld_exit moved(std::move(one));
    }
    calls = 0;
    second.release();
    CHECK(reaped(two));
    CHECK(calls >= 1);
  }
  CHECK(action_of(SIGCHLD).sa_handler == &count_call);
}

TEST_CASE("SIGCHLD: the program's own handler is given what the kernel says", "[child_exit]") {
  struct sigaction action{}, before{};
  reported_pid = 0;
  action.sa_sigaction = [](int, siginfo_t* info, void*) { reported_pid = info->si_pid; };
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  checked(::sigaction(SIGCHLD, &action, &before), "sigaction");
  {
    held_child held;
    sigchld_exit child(held.pid());
    held.release();
    CHECK(reaped(child));
    CHECK(reported_pid == held.pid());
  }
  CHECK(action_of(SIGCHLD).sa_sigaction == action.sa_sigaction);
  ::sigaction(SIGCHLD, &before, nullptr);
}

TEST_CASE("SIGCHLD: a handler that is set later, and calls the one it replaces, calls it once",
          "[child_exit]") {
  // Of the two handlers that were replaced, the library puts back the later one.
  struct restored {
    struct sigaction before = action_of(SIGCHLD);
    ~restored() { ::sigaction(SIGCHLD, &before, nullptr); }
  } const restored_at_the_end;
  held_child first, second;
  sigchld_exit one(first.pid());
  struct sigaction action{}, before{};
  calls = 0;
  action.sa_sigaction = [](int number, siginfo_t* info, void* context) {
    ++calls;
    replaced(number, info, context);
  };
  action.sa_flags = SA_SIGINFO;
  replaced = action_of(SIGCHLD).sa_sigaction;
  checked(::sigaction(SIGCHLD, &action, &before), "sigaction");
  first.release();
  CHECK(reaped(one));
  CHECK(calls == 1);
  {
    sigchld_exit two(second.pid());  // which calls that one, and is called by it
    second.release();
    CHECK(reaped(two));
    CHECK(calls == 2);
  }
  ::sigaction(SIGCHLD, &before, nullptr);
}

TEST_CASE("SIGCHLD: beside a signal set, and the program's handler returns when that has gone",
          "[child_exit]") {
  calls = 0;
  const handler own(&count_call);
  held_child first, second, third;
  sigchld_exit one(first.pid()), two(second.pid());
  {
    signal_set set{SIGCHLD};
    sigchld_exit three(third.pid());
    first.release();
    CHECK(reaped(one));
    CHECK(set.take().contains(SIGCHLD));
    CHECK(calls == 0);  // the set has replaced it
    third.release();
    CHECK(reaped(three));
  }
  second.release();
  CHECK(reaped(two));
  CHECK(calls >= 1);
}

TEST_CASE("SIGCHLD: children end while others are watched and forgotten in other threads",
          "[child_exit][signals]") {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t != 3; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i != 100; ++i) {
        const pid_t pid = ::fork();
        if (pid == 0) ::_exit(i % 50);
        std::error_code error;
        sigchld_exit child(pid, error);
        if (error) ++wrong;
        pollfd asked{child.native_handle(), POLLIN, 0};
        while (::poll(&asked, 1, 10'000) < 0 && errno == EINTR) {
        }
        const std::optional<int> status = child.reap(error);
        if (!status || WEXITSTATUS(*status) != i % 50) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

// ---- fork
// -----------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("a child process has none of its parent's children", "[child_exit][fork]", child_exit,
                   sigchld_exit) {
  selector<> sel;
  held_child held([] { return 6; });
  auto child = std::make_unique<TestType>(held.pid());
  sel.register_(*child, event::read);
  CHECK(in_child([&] {
          if (child->kill(SIGKILL)) return 1;
          std::error_code error;
          if (child->reap(error) || error != std::errc::no_child_process) return 2;
          if (child->reap(error) || error) return 3;
          TestType again(held.pid(), error);
          if (error != std::errc::no_child_process) return 4;
          child.reset();
          // Its own are watched as anywhere.
          const pid_t own = ::fork();
          if (own == 0) ::_exit(2);
          TestType grandchild(own, error);
          if (error) return 5;
          pollfd asked{grandchild.native_handle(), POLLIN, 0};
          while (::poll(&asked, 1, 5000) < 0 && errno == EINTR) {
          }
          const std::optional<int> status = grandchild.reap(error);
          return status && WEXITSTATUS(*status) == 2 ? 0 : 6;
        }) == 0);
  expect_idle(sel);
  held.release();
  CHECK(ready_in_the_end(sel).size() == 1);
  const int status = child->reap().value();
  CHECK(WEXITSTATUS(status) == 6);
}

// fork(2) copies the descriptors by which a child is watched, so that the kernel does not forget them.
BACKEND_TEST_CASE("a reaped child is silent while another process has a copy", "[child_exit][fork]",
                  ways_and_backends) {
  using child_type = typename TestType::child;
  selector<void, typename TestType::backend> sel;
  held_child held([] { return 6; });
  child_type child(held.pid());
  sel.register_(child, event::read);
  const held_child has_a_copy;
  held.release();
  CHECK(ready_in_the_end(sel).size() == 1);
  const int status = child.reap().value();
  CHECK(WEXITSTATUS(status) == 6);
  for (int i = 0; i != 3; ++i) expect_idle(sel);
}

TEMPLATE_TEST_CASE("a process that has closed all descriptors watches its own children as any",
                   "[child_exit][fork]", child_exit, sigchld_exit) {
  held_child held([] { return 6; });
  TestType inherited(held.pid());
  const bool is_copy_reaped = GENERATE(false, true);
  CHECK(in_child([&] {
          for (int number = 3; number != 200; ++number) ::close(number);
          const pid_t own = ::fork();
          if (own == 0) ::_exit(42);
          std::error_code error;
          TestType child(own, error);
          if (error) return 1;
          selector<> sel(error);
          sel.register_(child, event::read, error);
          if (error) return 2;
          if (ready_in_the_end(sel).size() != 1) return 3;
          if (is_copy_reaped && (inherited.reap(error) || error != std::errc::no_child_process)) return 4;
          const std::optional<int> status = child.reap(error);
          if (!status || WEXITSTATUS(*status) != 42) return 5;
          for (int i = 0; i != 3; ++i)
            if (!sel.select(std::chrono::milliseconds(5), error).empty()) return 6;
          return 0;
        }) == 0);
  held.release();
  selector<> sel;
  sel.register_(inherited, event::read);
  CHECK(ready_in_the_end(sel).size() == 1);
  const int status = inherited.reap().value();
  CHECK(WEXITSTATUS(status) == 6);
}

TEST_CASE("a child is reaped and signalled by its id once the program has closed all descriptors",
          "[child_exit][fork]") {
  CHECK(in_child([] {
          const pid_t own = ::fork();
          if (own == 0)
            for (;;) ::pause();
          std::error_code error;
          child_exit child(own, error);
          if (error) return 1;
          for (int number = 3; number != 200; ++number) ::close(number);
          if (child.reap(error) || error) return 2;
          if (!child.kill(SIGKILL)) return 3;
          std::optional<int> status;
          for (int tries = 0; tries != 1000 && !status; ++tries) {
            ::usleep(2000);
            status = child.reap(error);
          }
          return status && WTERMSIG(*status) == SIGKILL ? 0 : 4;
        }) == 0);
}

TEMPLATE_TEST_CASE("a reaped child is silent even if its handle is beyond the limit by then", "[child_exit]",
                   child_exit, sigchld_exit) {
  held_child held([] { return 3; });
  const auto pipe = make_pipe();
  std::vector<descriptor> fillers;
  while (fillers.empty() || fillers.back().get() < 100) fillers.push_back(dup_of(pipe.reader));
  TestType child(held.pid());
  selector<> sel;
  sel.register_(child, event::read);
  fillers.clear();
  REQUIRE(child.native_handle() >= 100);
  const descriptor_limit limit(60);
  held.release();
  CHECK(ready_in_the_end(sel).size() == 1);
  const int status = child.reap().value();
  CHECK(WEXITSTATUS(status) == 3);
  for (int i = 0; i != 3; ++i) expect_idle(sel);
}

// ---- sandboxes and old kernels
// --------------------------------------------------------------------------------------

#if SELECTORS_HAS_EPOLL
namespace {

// From now on a call is refused, if its first argument is `first` or that is -1.
void refuse(unsigned call, int error, int first = -1) {
  sock_filter by_number[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                             BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
                             BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
                             BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(first), 0, 1),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  if (first < 0) by_number[3].jf = 0;
  const sock_fprog program{6, by_number};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(100);
}

// Ends a child by a signal, and one by itself, before and after they are watched; the step at which that went
// wrong.
int use_children() {
  for (const bool is_early : {false, true}) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (is_early) ::_exit(8);
      for (;;) ::pause();
    }
    if (is_early) {
      siginfo_t info{};
      while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) < 0) {
      }
    }
    std::error_code error;
    child_exit child(pid, error);
    if (error) return 1;
    selector<> sel(error);
    sel.register_(child, event::read, error);
    if (error) return 2;
    if (!is_early && !sel.select(std::chrono::milliseconds(1), error).empty()) return 3;
    if (!is_early && !child.kill(SIGHUP)) return 4;
    bool is_reported = false;
    for (int tries = 0; tries != 100 && !is_reported; ++tries) is_reported = !sel.select(5s, error).empty();
    if (!is_reported) return 5;
    const std::optional<int> status = child.reap(error);
    if (!status || error) return 6;
    if (is_early ? WEXITSTATUS(*status) != 8 : WTERMSIG(*status) != SIGHUP) return 7;
    if (!sel.select(std::chrono::milliseconds(1), error).empty()) return 8;
    if (child.kill(0) || child.reap(error)) return 9;
  }
  return 0;
}

}  // namespace

TEST_CASE("a system call of pidfds that is forbidden, or unknown, is replaced", "[child_exit][native]") {
  for (const int error : {ENOSYS, EPERM, EACCES, EOPNOTSUPP}) {
    INFO("error " << error);
    for (const unsigned call : {434U, 424U, unsigned{SYS_dup3}}) {
      INFO("system call " << call);
      CHECK(in_child([&] {
              refuse(call, error);
              return use_children();
            }) == 0);
    }
  }
  INFO("waitid of a pidfd, before Linux 5.4");
  CHECK(in_child([] {
          refuse(SYS_waitid, EINVAL, 3);
          return use_children();
        }) == 0);
}
#endif
