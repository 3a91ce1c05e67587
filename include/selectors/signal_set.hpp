// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/detail/signal_numbers.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/console_events.hpp>
#include <selectors/os/signal_handlers.hpp>
#include <selectors/wakeup.hpp>

#include <cerrno>
#include <initializer_list>
#include <system_error>

namespace SELECTORS_NAMESPACE {

/// Signals as events: a pollable that is readable once one of its signals has come.
///
///     selectors::signal_set signals{SIGINT, SIGTERM};
///     sel.register_(signals, event::read);
///     …
///     if (key.handle() == signals.native_handle() && signals.take().contains(SIGINT)) return;
///
/// While a set exists, the library handles its signals (SA_RESTART, sigaction(2)): its handler replaces the
/// program's, and the default action does not take place. Unlike with signalfd(2), signal masks do not
/// change, so threads and the programs that a child executes are not affected; a signal that every thread
/// blocks does not arrive. Several sets, in any threads, may contain the same signal, and each of them
/// receives it. The destructor of the last of them restores the former handler, unless the program has set
/// another since. (If the program sets a handler of its own while a set exists, the set no longer receives
/// the signal, until the next set with this signal is made.)
///
/// A signal interrupts the wait of the thread that runs its handler: that select may be empty
/// (ready_range::interrupted), and the next one reports the set.
///
/// After fork(2) the handlers are in the child too, until it executes a program. A signal that arrives there
/// is lost: neither the parent's set nor the child's copy, which stays empty, receives it. A child that does
/// not execute a program calls `reopen`, or makes a set of its own, or destroys its copy, which restores the
/// handlers. (Until `reopen`, the copy's handle names the same object as the parent's, so it becomes readable
/// when the parent receives a signal. Before the child reopens a selector in which the copy is registered, it
/// unregisters or reopens the copy.) A child made by vfork(2) shares its parent's memory and cannot be
/// recognized: a signal that arrives there before it executes a program reaches the parent's set.
/// posix_spawn(3) blocks signals meanwhile.
///
/// The library's handler takes no lock and keeps errno. Modules of a program that hide their symbols from
/// each other each have handlers of their own: a signal reaches the module that made a set with it last.
///
/// Windows: the console's events. Ctrl-C is SIGINT, Ctrl-Break is SIGBREAK; closing the console, logging off
/// and shutting down are SIGTERM, and other numbers are invalid_argument. Windows ends the process a few
/// seconds after it has reported one of the latter three, or at once when all handlers have returned: the
/// library's does not return before all sets with SIGTERM are destroyed. (A process that was started in a
/// process group of its own does not receive Ctrl-C.)
class signal_set {
 public:
  /// The signals that have arrived: a value, and a range of int in ascending order, with `contains(int)` and
  /// `empty()`.
  using numbers = detail::signal_numbers;

#if SELECTORS_EXCEPTIONS
  /// Catches these signals from now on, all of them or none. Real-time signals can be caught too. A repeated
  /// number counts once.
  ///
  /// Throws std::system_error. invalid_argument: the list is empty, or a number is not a signal, or one that
  /// the C library reserves, or SIGKILL or SIGSTOP, which cannot be caught, or SIGSEGV, SIGBUS, SIGFPE or
  /// SIGILL, from whose handlers a program cannot return. EMFILE, ENFILE, ENOMEM as `wakeup`. One system
  /// call, and two or three a signal.
  template <class = void>
  signal_set(std::initializer_list<int> wanted) {
    if (const failure failed = subscribe(wanted)) detail::raise(failed, "signal_set");
  }
#endif
  /// The same, reported to `error`. A set that failed to open receives nothing; it may have a handle.
  signal_set(std::initializer_list<int> wanted, std::error_code& error) noexcept : listener_(error) {
    if (!error) error = subscribe(wanted).code();
  }

  signal_set(const signal_set&) = delete;
  signal_set& operator=(const signal_set&) = delete;

  /// Restores the handlers that no other set needs. Waits for handlers that are running in other threads (a
  /// few microseconds), but not in a child of the process that made the set. Must not run in a signal
  /// handler.
  ~signal_set() {
    if (is_subscribed_) listener_.home->unsubscribe(listener_);
  }

  /// The signals that have arrived since the last call, each once, however often it arrived. Empty if none
  /// has, and in a child of the process that made the set. The handle is not readable afterwards, until the
  /// next signal. One thread at a time. A signal that arrives meanwhile is in this result or makes the handle
  /// readable again. One system call.
  [[nodiscard]] numbers take() noexcept {
    if (!is_subscribed_ || listener_.is_inherited()) return {};
    listener_.bell.reset();
    return listener_.pending.take();
  }

#if SELECTORS_EXCEPTIONS
  /// In a child after fork(2): makes the copy the child's own, with the same signals and, if possible, the
  /// same handle. It is empty: signals that the parent received belong to the parent. Selectors in which it
  /// is registered are reopened afterwards. Does nothing in the process that made the set.
  ///
  /// Throws std::system_error as the constructor does; errc::closed if the constructor failed. The set
  /// receives nothing then.
  template <class = void>
  void reopen() {
    if (listener_.is_inherited() && is_subscribed_) listener_.bell.reopen();
    if (const failure failed = resubscribe()) detail::raise(failed, "signal_set::reopen");
  }
#endif
  /// The same, reported to `error`.
  void reopen(std::error_code& error) noexcept {
    error.clear();
    if (listener_.is_inherited() && is_subscribed_) listener_.bell.reopen(error);
    if (!error) error = resubscribe().code();
  }

  [[nodiscard]] native_handle_type native_handle() const noexcept { return listener_.bell.native_handle(); }

 private:
  struct listener final : detail::signal_subscriber {
#if SELECTORS_EXCEPTIONS
    listener() : signal_subscriber(&hear, previous_handler::is_replaced) {}
#endif
    explicit listener(std::error_code& error) noexcept
        : signal_subscriber(&hear, previous_handler::is_replaced), bell(error) {}

    // The handler that adds a number first notifies; others rely on that.
    static void hear(signal_subscriber& self, int number) noexcept {
      auto& me = static_cast<listener&>(self);
      if (me.pending.add(number)) me.bell.notify();
    }

    wakeup bell;
    detail::pending_signals pending;
  };

  failure subscribe(std::initializer_list<int> wanted) noexcept {
    if (wanted.size() == 0) return failure::system("sigaction", EINVAL);
    for (const int number : wanted) {
      if (number <= 0 || number >= numbers::limit) return failure::system("sigaction", EINVAL);
      listener_.numbers.insert(number);
    }
    const failure failed = detail::all_signal_handlers.subscribe(listener_);
    is_subscribed_ = !failed;
    return failed;
  }

  failure resubscribe() noexcept {
    if (!is_subscribed_) return errc::closed;
    if (!listener_.is_inherited()) return {};
    listener_.pending.take();
    const failure failed = detail::all_signal_handlers.subscribe(listener_);
    is_subscribed_ = !failed;
    return failed;
  }

  listener listener_;
  bool is_subscribed_ = false;
};

}  // namespace SELECTORS_NAMESPACE
