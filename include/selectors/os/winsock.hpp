// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK

#include <selectors/detail/chrono.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>

// <windows.h> includes <winsock.h>, which conflicts with <winsock2.h>, unless WIN32_LEAN_AND_MEAN is defined.
// It is defined here; a program that needs the rest of <windows.h> includes that first.
#if defined(WSADESCRIPTION_LEN) && !defined(_WINSOCK2API_)
#error "selectors: include <winsock2.h> before <windows.h>, or define WIN32_LEAN_AND_MEAN"
#endif

#if !defined(NOMINMAX)
#define NOMINMAX
#define SELECTORS_UNDEFINES_NOMINMAX
#endif
#if !defined(WIN32_LEAN_AND_MEAN)
#define WIN32_LEAN_AND_MEAN
#define SELECTORS_UNDEFINES_LEAN
#endif
#include <winsock2.h>
#if defined(SELECTORS_UNDEFINES_NOMINMAX)
#undef NOMINMAX
#undef SELECTORS_UNDEFINES_NOMINMAX
#endif
#if defined(SELECTORS_UNDEFINES_LEAN)
#undef WIN32_LEAN_AND_MEAN
#undef SELECTORS_UNDEFINES_LEAN
#endif

#include <atomic>
#include <concepts>
#include <cstdint>
#include <limits>

// What the backends of Windows share.
namespace SELECTORS_NAMESPACE::detail {

static_assert(std::same_as<native_handle_type, SOCKET>);
static_assert(invalid_handle == INVALID_SOCKET);

inline constinit std::atomic<bool> winsock_is_started{false};

// Calls WSAStartup once in the process, and never WSACleanup, which would close sockets that the program has
// opened meanwhile. Windows counts the calls, so those of the program itself do not interfere. It is harmless
// if two threads call it at once.
inline failure start_winsock() noexcept {
  if (winsock_is_started.load(std::memory_order_acquire)) return {};
  WSADATA about;
  if (const int error = ::WSAStartup(MAKEWORD(2, 2), &about)) return failure::system("WSAStartup", error);
  winsock_is_started.store(true, std::memory_order_release);
  return {};
}

// Whether a number is a socket: only a socket has SO_TYPE. Keeps WSAGetLastError.
inline bool is_open_socket(native_handle_type handle) noexcept {
  const int kept = ::WSAGetLastError();
  int type = 0;
  int size = sizeof type;
  const bool is_open = ::getsockopt(handle, SOL_SOCKET, SO_TYPE, reinterpret_cast<char*>(&type), &size) == 0;
  ::WSASetLastError(kept);
  return is_open;
}

// Whether it has a peer. Unlike SO_ERROR, this does not clear an error that the program would want to read.
inline bool is_connected_socket(native_handle_type handle) noexcept {
  SOCKADDR_STORAGE peer;
  int size = sizeof peer;
  return ::getpeername(handle, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
}

// What is left of a timeout, in milliseconds. Windows counts a wait in ticks of its clock and may end it up
// to one tick early (documentation of Sleep), so the clock is read after each wait.
class countdown {
 public:
  static constexpr int endless = -1;

  explicit countdown(std::chrono::nanoseconds timeout) noexcept : left_(timeout) {
    if (is_finite() && timeout.count() > 0) start_ = clock::now();
  }

  // For the next wait: rounded up, and at most what one call accepts.
  int milliseconds() const noexcept {
    if (!is_finite()) return endless;
    constexpr std::int64_t max_at_once = (std::numeric_limits<int>::max)() / 2;
    const std::int64_t whole = left_.count() / 1'000'000 + (left_.count() % 1'000'000 > 0 ? 1 : 0);
    return static_cast<int>(whole < max_at_once ? whole : max_at_once);
  }

  // After a wait that found nothing: whether the timeout has passed.
  bool is_over() noexcept {
    if (!is_finite()) return false;
    if (left_.count() <= 0) return true;
    const auto now = clock::now();
    left_ -= now - start_;
    start_ = now;
    return left_.count() <= 0;
  }

 private:
  using clock = std::chrono::steady_clock;

  bool is_finite() const noexcept { return left_ != (std::chrono::nanoseconds::max)(); }

  std::chrono::nanoseconds left_;
  clock::time_point start_;
};

// Before Windows 10 version 2004 (build 19041), WSAPoll never reports a failed connect (documentation of
// WSAPoll). The version is read once.
enum class answer : int { unknown, no, yes };
inline constinit std::atomic<answer> wsapoll_reports_failed_connects{answer::unknown};

inline bool is_build_at_least(unsigned long build) noexcept {
  using get_version =
      LONG(WINAPI*)(OSVERSIONINFOW*);  // GetVersionEx reports the version that the program's manifest names
  OSVERSIONINFOW about{};
  about.dwOSVersionInfoSize = sizeof about;
  const HMODULE ntdll = ::GetModuleHandleW(L"ntdll.dll");
  if (ntdll == nullptr) return false;
  const FARPROC found = ::GetProcAddress(ntdll, "RtlGetVersion");
  if (found == nullptr) return false;
  const auto call = reinterpret_cast<get_version>(reinterpret_cast<void*>(found));
  return call(&about) == 0 && about.dwBuildNumber >= build;
}

inline bool reports_failed_connects() noexcept {
  answer known = wsapoll_reports_failed_connects.load(std::memory_order_relaxed);
  if (known == answer::unknown) {
    known = is_build_at_least(19041) ? answer::yes : answer::no;
    wsapoll_reports_failed_connects.store(known, std::memory_order_relaxed);
  }
  return known == answer::yes;
}

}  // namespace SELECTORS_NAMESPACE::detail

#endif
