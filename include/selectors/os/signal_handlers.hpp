// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if !SELECTORS_HAS_WINSOCK

#include <selectors/detail/signal_numbers.hpp>
#include <selectors/error.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/os/process_lock.hpp>

#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

// The signal handlers of the library: one function for all signals, and a list of those that it reports to.
//
// The handler takes no lock. It walks the list, whose links are atomic, and increments a count in `running_`
// while it does. A subscriber that unsubscribes is unlinked first, then waits until each of two counts has
// been zero: a handler that may still use the subscriber was counted before. Later handlers use the count
// that is not being waited for, so that a storm of signals does not prolong the wait (as in sleepable RCU).
//
// A child process inherits the handlers and the list by fork(2). Its handlers report nothing, because the
// subscribers belong to the parent. When the child itself subscribes, it starts with an empty list.
namespace SELECTORS_NAMESPACE::detail {

class signal_handlers;

// Receives the signals in `numbers` while it is subscribed, when it is linked into the list and must not be
// moved.
struct signal_subscriber {
  // Called in a signal handler, with all signals blocked, perhaps by several threads at once.
  using callback = void (*)(signal_subscriber& self, int number) noexcept;

  // Whether the library's handler replaces the program's or calls it as well.
  enum class previous_handler : bool { is_replaced, is_called };

  signal_subscriber(callback to_call, previous_handler of_before) noexcept
      : on_signal(to_call), before(of_before) {}
  signal_subscriber(const signal_subscriber&) = delete;
  signal_subscriber& operator=(const signal_subscriber&) = delete;

  // Whether the parent process subscribed it: in a child it receives nothing.
  bool is_inherited() const noexcept { return !process.is_current(); }

  callback on_signal;
  previous_handler before;
  signal_mask numbers;
  process_stamp process;  // the process that subscribed it
  signal_handlers* home =
      nullptr;  // where it is subscribed: its module's, though another module may unsubscribe it
  std::atomic<signal_subscriber*> next{nullptr};
  signal_subscriber* previous = nullptr;

 protected:
  ~signal_subscriber() = default;
};

inline void handle_signal(int number, siginfo_t* info, void* context);

// Guards against recursion: a handler that the program sets later may call the handler that it replaced,
// which is the library's, and the library's handler may call the program's. With this TLS model the variable
// is allocated when its thread starts, so that a handler may use it even in a library that was loaded later.
#if SELECTORS_HAS_EPOLL
[[gnu::tls_model("initial-exec")]]
#endif
inline constinit thread_local bool is_calling_previous_handler = false;

class signal_handlers {
 public:
  constexpr signal_handlers() noexcept = default;

  // From now on reports the signals in `who.numbers` to `who`. All or nothing: EINVAL if one of them cannot
  // be caught, sigaction(2).
  failure subscribe(signal_subscriber& who) noexcept {
    for (const int number : who.numbers)
      if (!can_be_caught(number)) return failure::system("sigaction", EINVAL);
    if (const failure failed = who.process.set()) return failed;
    const process_lock_guard guard(lock_);
    start_anew_in_child(who.process);
    who.home = this;
    link(who);
    signal_mask claimed;
    for (const int number : who.numbers) {
      if (const failure failed = claim(number, who.before)) {
        for (const int done : claimed) release(done, who.before);
        unlink(who);
        wait_for_running_handlers();
        return failed;
      }
      claimed.insert(number);
    }
    return {};
  }

  // When it returns, no handler uses `who`. In a child, subscriptions of the parent do not count: the former
  // handlers are restored unless the child itself has subscribed.
  void unsubscribe(signal_subscriber& who) noexcept {
    const int kept = errno;
    {
      const process_lock_guard guard(lock_);
      if (who.is_inherited()) {
        const bool is_without = !has_subscribers_of_this_process();
        for (const int number : who.numbers)
          if (is_without || entries_[number].users == 0) put_back(number);
      } else {
        unlink(who);
        for (const int number : who.numbers) release(number, who.before);
        wait_for_running_handlers();
      }
    }
    errno = kept;
  }

  // Called by the handler.
  void report(int number) noexcept {
    if (!has_subscribers_of_this_process()) return;
    std::atomic<std::uint32_t>& running = running_[phase_.load()];
    running.fetch_add(1);
    for (signal_subscriber* one = first_.load(); one != nullptr; one = one->next.load())
      if (one->numbers.contains(number)) one->on_signal(*one, number);
    running.fetch_sub(1);
  }
  void call_previous(int number, siginfo_t* info, void* context) const noexcept {
    if (is_calling_previous_handler) return;
    is_calling_previous_handler = true;
    const entry& which = entries_[number];
    if (const auto with_info = which.with_info.load())
      with_info(number, info, context);
    else if (const auto simple = which.simple.load())
      simple(number);
    is_calling_previous_handler = false;
  }

 private:
  using previous_handler = signal_subscriber::previous_handler;

  struct entry {
    struct sigaction before;      // the action that the library's handler replaced
    std::uint32_t users = 0;      // subscribers in this process
    std::uint32_t replacing = 0;  // those that replace the program's handler
    bool is_installed = false;
    std::atomic<void (*)(int)> simple{
        nullptr};  // the program's handler to call as well; at most one of the two
    std::atomic<void (*)(int, siginfo_t*, void*)> with_info{nullptr};
  };

  // The kernel refuses SIGKILL and SIGSTOP: sigaction(2). A handler of the others returns to the instruction
  // that raised the signal, which raises it again.
  static bool can_be_caught(int number) noexcept {
    for (const int never : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
      if (number == never) return false;
    return true;
  }

  static bool is_handled_here(const struct sigaction& action) noexcept {
    return (flags_of(action) & info_flag) != 0 && action.sa_sigaction == &handle_signal;
  }
  static bool is_function(const struct sigaction& action) noexcept {
    return (flags_of(action) & info_flag) != 0 ||
           (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
  }

  // ---- under the lock -----------------------------------------------------------------------------------

  bool has_subscribers_of_this_process() const noexcept { return processes_[process_.load()].is_current(); }

  // There are two stamps, because a handler in another thread of the child may read one while the other is
  // written.
  void start_anew_in_child(const process_stamp& own) noexcept {
    if (has_subscribers_of_this_process()) return;
    first_.store(nullptr);
    for (auto& running : running_) running.store(0);
    for (entry& one : entries_) one.users = one.replacing = 0;
    const std::uint32_t other = 1 - process_.load();
    processes_[other] = own;
    process_.store(other);
  }

  void link(signal_subscriber& who) noexcept {
    signal_subscriber* const first = first_.load();
    who.previous = nullptr;
    who.next.store(first);
    if (first != nullptr) first->previous = &who;
    first_.store(&who);
  }
  // `who.next` stays set for a handler that is at `who`.
  void unlink(signal_subscriber& who) noexcept {
    signal_subscriber* const next = who.next.load();
    (who.previous != nullptr ? who.previous->next : first_).store(next);
    if (next != nullptr) next->previous = who.previous;
  }

  void wait_for_running_handlers() noexcept {
    int tries = 0;
    for (int times = 0; times != 2; ++times) {
      const std::uint32_t old = phase_.load();
      phase_.store(1 - old);
      while (running_[old].load() != 0) wait_a_moment(tries);
    }
  }

  failure claim(int number, previous_handler before) noexcept {
    entry& which = entries_[number];
    struct sigaction current;
    if (::sigaction(number, nullptr, &current) != 0) return failure::system("sigaction", errno);
    const bool is_here = is_handled_here(current);
    const bool replaces = before == previous_handler::is_replaced;
    if (!is_here)
      which.before = current;
    else if (!which
                  .is_installed)  // another thread forked between sigaction(2) and the assignment of `before`
      which.before = {};
    if (!is_here || (replaces && which.replacing == 0)) {
      if (!install(which, number, replaces || which.replacing != 0))
        return failure::system("sigaction", errno);
    }
    which.is_installed = true;
    ++which.users;
    which.replacing += replaces;
    return {};
  }

  void release(int number, previous_handler before) noexcept {
    entry& which = entries_[number];
    const bool replaces = before == previous_handler::is_replaced;
    which.replacing -= replaces;
    if (--which.users == 0)
      put_back(number);
    else if (replaces && which.replacing == 0 && is_installed_still(number))
      install(which, number, false);
  }

  // Restores the former action, unless the program has set another since. The handlers to call stay set, for
  // a signal that is being delivered.
  void put_back(int number) noexcept {
    entry& which = entries_[number];
    if (which.is_installed && is_installed_still(number)) ::sigaction(number, &which.before, nullptr);
    which.is_installed = false;
  }
  static bool is_installed_still(int number) noexcept {
    struct sigaction current;
    return ::sigaction(number, nullptr, &current) == 0 && is_handled_here(current);
  }

  static bool install(entry& which, int number, bool replaces) noexcept {
    set_previous(which, replaces);
    struct sigaction action{};
    action.sa_sigaction = &handle_signal;
    // So that no handler of the program interrupts this one and leaves it by siglongjmp(3).
    sigfillset(&action.sa_mask);  // a macro in some systems
    const unsigned flags = info_flag | (replaces ? restart_flag | stack_flag : flags_beside(which.before));
    action.sa_flags = static_cast<decltype(action.sa_flags)>(flags);
    return ::sigaction(number, &action, nullptr) == 0;
  }

  static void set_previous(entry& which, bool replaces) noexcept {
    const struct sigaction& before = which.before;
    const bool is_called = !replaces && is_function(before);
    const bool takes_info = (flags_of(before) & info_flag) != 0;
    which.simple.store(is_called && !takes_info ? before.sa_handler : nullptr);
    which.with_info.store(is_called && takes_info ? before.sa_sigaction : nullptr);
  }

  // Keeps the program's flags: whether system calls are restarted, and whether stopped children raise
  // SIGCHLD. If the program ignores SIGCHLD, children leave no zombies, and SA_NOCLDWAIT keeps it so (POSIX,
  // sigaction).
  static unsigned flags_beside(const struct sigaction& before) noexcept {
    const bool is_ignored = (flags_of(before) & info_flag) == 0 && before.sa_handler == SIG_IGN;
    const unsigned kept = is_function(before) ? flags_of(before) : restart_flag | stack_flag | no_stop_flag;
    const unsigned waits = is_ignored ? no_zombie_flag : flags_of(before) & no_zombie_flag;
    return (kept & (restart_flag | stack_flag | no_stop_flag)) | waits;
  }

  // sa_flags and its constants are of type int on some systems, unsigned on others.
  static constexpr unsigned info_flag = SA_SIGINFO, restart_flag = SA_RESTART, stack_flag = SA_ONSTACK,
                            no_stop_flag = SA_NOCLDSTOP, no_zombie_flag = SA_NOCLDWAIT;
  static unsigned flags_of(const struct sigaction& action) noexcept {
    return static_cast<unsigned>(action.sa_flags);
  }

  process_lock lock_;
  process_stamp processes_[2];  // the process whose subscribers are in the list; the other slot is free
  std::atomic<std::uint32_t> process_{0};  // index of the current one
  std::atomic<signal_subscriber*> first_{nullptr};
  std::atomic<std::uint32_t> running_[2] = {};
  std::atomic<std::uint32_t> phase_{0};
  entry entries_[signal_numbers::limit] = {};
};

static_assert(std::atomic<signal_subscriber*>::is_always_lock_free);

inline constinit signal_handlers all_signal_handlers;

inline void handle_signal(int number, siginfo_t* info, void* context) {
  const int kept = errno;
  all_signal_handlers.report(number);
  errno = kept;
  all_signal_handlers.call_previous(number, info, context);
}

}  // namespace SELECTORS_NAMESPACE::detail

#endif
