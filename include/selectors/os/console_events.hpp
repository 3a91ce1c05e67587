// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK

#include <selectors/detail/signal_numbers.hpp>
#include <selectors/error.hpp>
#include <selectors/os/winsock.hpp>

#include <windows.h>

#include <cerrno>
#include <csignal>

// Console events, which Windows reports to a handler in a new thread, as the signals that they are elsewhere.
// The names are those of os/signal_handlers.hpp.
namespace SELECTORS_NAMESPACE::detail {

class signal_handlers;

struct signal_subscriber {
  // Called in the thread of the event, under the lock.
  using callback = void (*)(signal_subscriber& self, int number) noexcept;
  enum class previous_handler : bool { is_replaced, is_called };

  signal_subscriber(callback to_call, previous_handler) noexcept : on_signal(to_call) {}
  signal_subscriber(const signal_subscriber&) = delete;
  signal_subscriber& operator=(const signal_subscriber&) = delete;

  static constexpr bool is_inherited() noexcept { return false; }

  callback on_signal;
  signal_mask numbers;
  signal_handlers* home = nullptr;
  signal_subscriber* next = nullptr;

 protected:
  ~signal_subscriber() = default;
};

inline BOOL WINAPI handle_console_event(DWORD event);

class signal_handlers {
 public:
  constexpr signal_handlers() noexcept = default;

  // Windows keeps a list of handlers and calls the last one first, and the same handler may be in it several
  // times: so each subscriber adds and removes one entry. SetConsoleCtrlHandler is called without the lock,
  // because Windows calls the handler under a lock of its own, and the handler takes this one.
  failure subscribe(signal_subscriber& who) noexcept {
    for (const int number : who.numbers)
      if (number != SIGINT && number != SIGBREAK && number != SIGTERM)
        return failure::system("SetConsoleCtrlHandler", EINVAL);
    who.home = this;
    ::AcquireSRWLockExclusive(&lock_);
    who.next = first_;
    first_ = &who;
    ::ReleaseSRWLockExclusive(&lock_);
    if (::SetConsoleCtrlHandler(&handle_console_event, TRUE)) return {};
    unlink(who);
    return failure::system("SetConsoleCtrlHandler", ENOMEM);
  }

  // When it returns, no handler uses `who`.
  void unsubscribe(signal_subscriber& who) noexcept {
    unlink(who);
    ::WakeAllConditionVariable(&changed_);
    ::SetConsoleCtrlHandler(&handle_console_event, FALSE);
  }

  // Returns whether the event was reported to a subscriber. When the console closes or the user logs off,
  // Windows ends the process as soon as its handlers have returned, so this one waits until its subscribers
  // have unsubscribed.
  bool report(DWORD event) noexcept {
    const int number = number_of(event);
    ::AcquireSRWLockExclusive(&lock_);
    bool is_reported = false;
    for (signal_subscriber* one = first_; one != nullptr; one = one->next) {
      if (!one->numbers.contains(number)) continue;
      one->on_signal(*one, number);
      is_reported = true;
    }
    if (is_reported && number == SIGTERM)
      while (has_subscriber(number)) ::SleepConditionVariableSRW(&changed_, &lock_, INFINITE, 0);
    ::ReleaseSRWLockExclusive(&lock_);
    return is_reported;
  }

 private:
  //   the console's event                            signal
  //   CTRL_C_EVENT                                   SIGINT
  //   CTRL_BREAK_EVENT                               SIGBREAK
  //   CTRL_CLOSE_EVENT, _LOGOFF_EVENT, _SHUTDOWN_EVENT   SIGTERM
  static int number_of(DWORD event) noexcept {
    return event == CTRL_C_EVENT ? SIGINT : event == CTRL_BREAK_EVENT ? SIGBREAK : SIGTERM;
  }

  bool has_subscriber(int number) const noexcept {
    for (const signal_subscriber* one = first_; one != nullptr; one = one->next)
      if (one->numbers.contains(number)) return true;
    return false;
  }

  void unlink(signal_subscriber& who) noexcept {
    ::AcquireSRWLockExclusive(&lock_);
    signal_subscriber** link = &first_;
    while (*link != &who) link = &(*link)->next;
    *link = who.next;
    ::ReleaseSRWLockExclusive(&lock_);
  }

  SRWLOCK lock_ = SRWLOCK_INIT;
  CONDITION_VARIABLE changed_ = CONDITION_VARIABLE_INIT;
  signal_subscriber* first_ = nullptr;
};

inline constinit signal_handlers all_signal_handlers;

inline BOOL WINAPI handle_console_event(DWORD event) {
  return all_signal_handlers.report(event) ? TRUE : FALSE;
}

}  // namespace SELECTORS_NAMESPACE::detail

#endif
