// SPDX-License-Identifier: BSL-1.0

// The examples of the reference pages, each between two marks with its name, `header` or `header.function`. A
// test runs all of them.

#include <selectors/child_exit.hpp>
#include <selectors/config.hpp>
#include <selectors/mailbox.hpp>
#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>
#include <selectors/testing.hpp>
#include <selectors/timer_queue.hpp>
#if SELECTORS_HAS_COROUTINES
#include <selectors/coroutine.hpp>
#endif

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cassert>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#undef assert
#define assert(condition) \
  if (!(condition)) std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition), std::exit(1)

namespace {

using namespace std::chrono_literals;

struct pair {
  pair() { assert(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0); }
  ~pair() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  pair(const pair&) = delete;
  pair& operator=(const pair&) = delete;
  void fill() { assert(::write(ends[1], "hello", 5) == 5); }
  int ends[2];
};

void overview(int fd) {
  int calls = 0;
  auto serve = [&](int) { ++calls; };
  //! [overview]
  using selectors::event;
  selectors::selector<std::function<void(int)>> sel;
  sel.register_(fd, event::read, serve);
  for (auto [key, events] : sel.select(5s)) key.data()(key.handle());
  //! [overview]
  assert(calls == 1);
}

void selecting(int fd, int other) {
  using selectors::event;
  //! [selector]
  selectors::selector<std::string> sel;                     // the platform's default backend
  selectors::selector<int, selectors::poll_backend> polls;  // poll(2)
  selectors::selector<> plain;                              // keys without data
  //! [selector]
  //! [selector.register_]
  auto& key = sel.register_(fd, event::read, "a socket");
  std::error_code error;
  if (sel.register_(other, selectors::edge(event::read | event::write), "another", error) == nullptr)
    std::cerr << error.message() << '\n';
  //! [selector.register_]
  assert(!error && key.data() == "a socket" && sel.size() == 2);
  //! [selector.modify]
  sel.modify(fd, event::read | event::write);        // by handle
  sel.modify(key, selectors::oneshot(event::read));  // by key, which is faster
  sel.modify(key, {});                               // paused: nothing is reported
  //! [selector.modify]
  sel.modify(key, event::read);
  //! [selector.watch]
  sel.watch(fd, event::read, "new");  // `fd` may have been closed and opened anew since
  //! [selector.watch]
  assert(key.data() == "a socket");
  //! [selector.mark_ready]
  sel.mark_ready(key, event::read);  // bytes of it are in a buffer of ours
  //! [selector.mark_ready]
  //! [selector.select]
  for (auto [ready, events] : sel.select(100ms)) {
    if (events.contains(event::read)) std::cout << ready.data() << " can be read\n";
  }
  //! [selector.select]
  //! [selector.select_until]
  const auto deadline = std::chrono::steady_clock::now() + 10ms;
  const auto found = sel.select_until(deadline);
  //! [selector.select_until]
  //! [ready_range.interrupted]
  if (found.interrupted()) std::cout << "a signal ended the wait\n";
  //! [ready_range.interrupted]
  //! [ready_range.empty]
  if (found.empty()) std::cout << "nothing was ready in time\n";
  //! [ready_range.empty]
  //! [selector.find]
  if (auto* known = sel.find(fd)) known->data() += ", seen";
  //! [selector.find]
  //! [selector.at]
  std::string& name = sel.at(fd).data();  // throws if `fd` is not registered
  //! [selector.at]
  assert(name == "a socket, seen");
  //! [selector.contains]
  if (!sel.contains(fd)) sel.register_(fd, event::read);
  //! [selector.contains]
  //! [selector.begin]
  for (auto& each : sel) std::cout << each.handle() << ": " << to_string(each.events()) << '\n';
  //! [selector.begin]
  //! [selector.native_handle]
  selectors::selector<> outer;
  outer.register_(sel, event::read);  // ready whenever `sel` has something to report
  //! [selector.native_handle]
  //! [selector.unregister]
  auto& gone = sel.unregister(fd);
  ::close(std::exchange(fd, -1));             // unregister before closing
  std::string data = std::move(gone.data());  // alive until the next select
  //! [selector.unregister]
  assert(data == "a socket, seen");
  //! [selector.reopen]
  if (const pid_t child = ::fork(); child == 0) {
    sel.reopen();  // the child's own kernel object, with the same keys
    std::_Exit(sel.size() == 1 ? 0 : 1);
  }
  //! [selector.reopen]
  int status = 1;
  assert(::wait(&status) > 0 && status == 0);
  //! [selector.clear]
  sel.clear();
  //! [selector.clear]
  //! [selector.close]
  sel.close();
  assert(!sel.is_open());
  //! [selector.close]
}

void events() {
  using selectors::event;
  //! [event.contains]
  selectors::event_mask mask = event::read | event::write;
  mask -= event::write;
  assert(mask.contains(event::read) && mask == event::read);
  //! [event.contains]
  //! [event.to_string]
  std::cout << to_string(event::read | event::hangup) << '\n';  // read|hangup
  //! [event.to_string]
#if SELECTORS_HAS_EPOLL  // poll and select have no edges, and kqueue nothing exclusive
  pair sockets;
  const int fd = sockets.ends[0], listener = sockets.ends[1];
  selectors::epoll_selector<> sel;
  //! [event.edge]
  sel.register_(fd, selectors::edge(event::read));  // then read until it would block
  //! [event.edge]
  sel.unregister(fd);
  //! [event.oneshot]
  sel.register_(fd, selectors::oneshot(event::read));  // modify it to have the next report
  //! [event.oneshot]
  //! [event.exclusive]
  sel.register_(listener, selectors::exclusive(event::read));
  //! [event.exclusive]
#endif
}

void handles(int fd) {
  //! [handle.handle_of]
  struct connection {
    int fd;
    int native_handle() const noexcept { return fd; }
  };
  const connection one{fd};
  assert(selectors::handle_of(one) == fd && selectors::handle_of(&one) == fd);
  //! [handle.handle_of]
}

void errors() {
  //! [error.errc]
  selectors::selector<> sel;
  std::error_code error;
  sel.unregister(0, error);
  assert(error == selectors::errc::not_registered);
  assert(error == std::errc::no_such_file_or_directory);
  //! [error.errc]
}

void keys(int fd) {
  //! [key.data]
  selectors::selector<std::string> sel;
  auto& key = sel.register_(fd, selectors::event::read);
  key.data() = "what belongs to this handle";
  //! [key.data]
  //! [key.handle]
  std::cout << key.handle() << " is registered for " << to_string(key.events()) << '\n';
  //! [key.handle]
}

void wakeups() {
  //! [wakeup]
  selectors::selector<> sel;
  selectors::wakeup wake;
  sel.register_(wake, selectors::event::read);
  std::thread worker([&] { wake.notify(); });
  sel.select();
  wake.reset();
  worker.join();
  //! [wakeup]
  //! [wakeup.notify]
  wake.notify();  // from any thread, or from a signal handler
  wake.notify();  // one with the first
  //! [wakeup.notify]
  //! [wakeup.reset]
  if (wake.reset()) std::cout << "look into the queue that it announces\n";
  //! [wakeup.reset]
  //! [wakeup.reopen]
  if (::fork() == 0) {
    wake.reopen();  // the child's own, on the same number
    sel.reopen();   // watches that
    std::_Exit(0);
  }
  //! [wakeup.reopen]
  assert(::wait(nullptr) > 0);
}

void counting() {
  //! [counters.counters]
  selectors::selector<void, selectors::counting<selectors::default_backend>> sel;
  sel.select(0s);
  assert(sel.backend().counters().waits == 1);
  //! [counters.counters]
}

void timers() {
  //! [timer_queue]
  selectors::timer_queue<std::function<void()>> timers;
  selectors::selector<> sel;
  bool done = false;
  timers.add(10ms, [&] { done = true; });
  while (!done) {
    sel.select_until(timers.next());
    for (auto& timer : timers.expired()) timer.data()();
  }
  //! [timer_queue]
  selectors::timer_queue<int> queue;
  //! [timer_queue.add]
  auto& timer = queue.add(5s, 1);
  const auto id = queue.add(std::chrono::steady_clock::now() + 1h, 2).id();
  //! [timer_queue.add]
  //! [timer_queue.move]
  queue.move(timer, 10s);
  queue.move(id, 1min);  // false if it has expired meanwhile
  //! [timer_queue.move]
  //! [timer_queue.find]
  if (auto* known = queue.find(id)) known->data() = 3;
  //! [timer_queue.find]
  //! [timer_queue.cancel]
  queue.cancel(timer);
  //! [timer_queue.cancel]
  //! [timer_queue.next]
  const auto due = queue.next();
  //! [timer_queue.next]
  //! [timer_queue.expired]
  for (auto& each : queue.expired(due)) {
    assert(each.data() == 3);
    queue.move(each, 1min);  // again in a minute
  }
  //! [timer_queue.expired]
  assert(queue.size() == 1);
}

void mailboxes() {
  //! [mailbox]
  selectors::mailbox<std::string> box;
  selectors::selector<> sel;
  sel.register_(box, selectors::event::read);
  std::thread worker([&] { box.post("done"); });
  sel.select();
  for (std::string& one : box.take()) std::cout << one << '\n';
  worker.join();
  //! [mailbox]
  //! [mailbox.post]
  std::error_code error;
  if (!box.post("again", error)) std::cerr << error.message() << '\n';
  //! [mailbox.post]
  //! [mailbox.take]
  for (std::string& one : box.take()) std::cout << std::move(one) << '\n';
  //! [mailbox.take]
}

void signals() {
  //! [signal_set]
  selectors::signal_set signals{SIGINT, SIGTERM};
  selectors::selector<> sel;
  sel.register_(signals, selectors::event::read);
  ::raise(SIGTERM);
  sel.select();
  //! [signal_set]
  //! [signal_set.take]
  if (signals.take().contains(SIGTERM)) std::cout << "asked to end\n";
  //! [signal_set.take]
  //! [signal_set.reopen]
  if (::fork() == 0) {
    signals.reopen();  // hears the child's signals from now on
    sel.reopen();
    std::_Exit(0);
  }
  //! [signal_set.reopen]
  assert(::wait(nullptr) > 0);
}

void children() {
  //! [child_exit.reap]
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(7);
  selectors::child_exit child(pid);
  selectors::selector<> sel;
  sel.register_(child, selectors::event::read);
  std::optional<int> status;
  while (!status) {
    sel.select();
    status = child.reap();
  }
  assert(WEXITSTATUS(*status) == 7);
  //! [child_exit.reap]
  const pid_t other = ::fork();
  if (other == 0) ::pause();
  selectors::child_exit sleeper(other);
  //! [child_exit.kill]
  if (!sleeper.kill(SIGTERM)) std::cout << "it has ended already\n";
  //! [child_exit.kill]
  assert(::waitpid(other, nullptr, 0) == other);
}

#if SELECTORS_HAS_COROUTINES
//! [coroutine.ready]
struct task {
  struct promise_type {
    task get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

using selector_of_coroutines = selectors::selector<selectors::coroutine_waiter>;
using timers_of_coroutines = selectors::timer_queue<selectors::coroutine_waiter>;

task read_once(selector_of_coroutines& sel, timers_of_coroutines& timers, int fd, std::string& text) {
  char data[64];
  if (co_await ready(sel, fd, selectors::event::read, timers, 5s))  // empty when 5 s have passed
    text.assign(data, static_cast<std::size_t>(::read(fd, data, sizeof data)));
}
//! [coroutine.ready]

//! [coroutine.elapsed]
task wait_a_moment(timers_of_coroutines& timers, bool& done) {
  co_await elapsed(timers, 10ms);
  done = true;
}
//! [coroutine.elapsed]

void coroutines() {
  pair sockets;
  sockets.fill();
  std::string text;
  bool done = false;
  selector_of_coroutines sel;
  timers_of_coroutines timers;
  read_once(sel, timers, sockets.ends[0], text);
  wait_a_moment(timers, done);
  //! [coroutine.resume]
  while (!done || text.empty()) {
    resume(sel.select_until(timers.next()));
    resume(timers.expired());
  }
  //! [coroutine.resume]
  assert(text == "hello");
}
#else
void coroutines() {}
#endif

void scripts() {
  using selectors::event;
  //! [testing.set_ready]
  selectors::selector<int, selectors::testing::scripted_backend> sel;
  sel.register_(7, event::read, 1);
  sel.backend().set_ready(7, event::read);
  for (auto [key, events] : sel.select()) assert(key.handle() == 7);
  //! [testing.set_ready]
  sel.backend().set_ready(7, {});
  //! [testing.after]
  sel.backend().after(1h, [&] { sel.backend().set_ready(7, event::read); });
  assert(!sel.select(2h).empty());  // at once: the hour is virtual
  //! [testing.after]
  //! [testing.refuse]
  std::error_code error;
  sel.backend().refuse(selectors::testing::operation::add, ENOSPC);
  sel.register_(8, event::read, 2, error);
  assert(error == std::errc::no_space_on_device);
  //! [testing.refuse]
  //! [testing.interrupt]
  sel.backend().interrupt();
  assert(sel.select().interrupted());
  //! [testing.interrupt]
  //! [testing.set_closed]
  sel.backend().set_closed(7);
  for (auto [key, events] : sel.select()) assert(events.contains(event::error));
  //! [testing.set_closed]
}

}  // namespace

int main() {
  for (void (*const one)(int) : {overview, handles, keys}) {
    pair sockets;
    sockets.fill();
    one(sockets.ends[0]);
  }
  int ends[2];
  assert(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  selecting(ends[0], ends[1]);
  ::close(ends[1]);
  for (void (*const one)() :
       {events, errors, wakeups, counting, timers, mailboxes, signals, children, coroutines, scripts})
    one();
}
