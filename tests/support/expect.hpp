// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "catch.hpp"
#include "descriptors.hpp"

#include <selectors/selectors.hpp>

#if SELECTORS_HAS_WINSOCK
#include <selectors/backend/afd.hpp>
#else
#include "poll_driven_backend.hpp"

#include <fcntl.h>
#endif

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace support {

using namespace std::chrono_literals;

// The backends of this system, and one more: on Windows the one that has a header of its own, elsewhere the
// scripted one. A test program about a single backend defines SELECTORS_TESTED_BACKEND.
#if defined(SELECTORS_TESTED_BACKEND)
using system_backends = std::tuple<selectors::SELECTORS_TESTED_BACKEND>;
using backends = system_backends;
#else
using system_backends = selectors::available_backends;
#if SELECTORS_HAS_WINSOCK
using backends = decltype(std::tuple_cat(system_backends(), std::tuple<selectors::afd_backend>()));
#else
using backends = decltype(std::tuple_cat(system_backends(), std::tuple<poll_driven_backend>()));
#endif
#endif

template <class Backend>
constexpr bool is_epoll = Backend::name == "epoll";
template <class Backend>
constexpr bool is_kqueue = Backend::name == "kqueue";
template <class Backend>
constexpr bool is_select = Backend::name == "select";
// A kernel object keeps the registrations, and forgets a descriptor that is closed.
template <class Backend>
constexpr bool has_object = is_epoll<Backend> || is_kqueue<Backend>;
// That object can be replaced on the same descriptor number.
template <class Backend>
constexpr bool keeps_number = !is_kqueue<Backend> || SELECTORS_HAS_KERNEL_KQUEUE;
// That object keeps the registration of a closed descriptor while a duplicate of it is open.
template <class Backend>
constexpr bool keeps_closed = is_epoll<Backend> || (is_kqueue<Backend> && !SELECTORS_HAS_KERNEL_KQUEUE);

// Whether `priority` can be requested.
template <class Backend>
constexpr bool has_priority = [] {
  if constexpr (requires { Backend::requestable; })
    return Backend::requestable.contains(selectors::event::priority);
  return true;
}();
// An event that is not `write`, for a test that requests two where it can.
template <class Backend>
constexpr selectors::event priority_or_read =
    has_priority<Backend> ? selectors::event::priority : selectors::event::read;

// When error, hangup and read_hangup are reported differs between kernels, and these tests know Linux's
// rules. On the others they compare only what can be requested.
constexpr bool is_linux = SELECTORS_HAS_EPOLL == 1;
// Whether the reading end of a pipe is never ready to write. It is always ready to write on FreeBSD, OpenBSD
// and DragonFly, and on Windows, where the tests' pipes are TCP connections.
inline bool pipes_are_one_way() {
#if SELECTORS_HAS_WINSOCK
  return false;
#else
  const auto pipe = make_pipe();
  return (::fcntl(pipe.reader.get(), F_GETFL) & O_ACCMODE) == O_RDONLY;
#endif
}

constexpr auto requestable = selectors::event::read | selectors::event::write | selectors::event::priority;

// A number as a handle, whatever the type of handles.
constexpr selectors::native_handle_type number_of(int number) noexcept {
  return static_cast<selectors::native_handle_type>(number);
}

using readiness = std::map<selectors::native_handle_type, selectors::event_mask>;

inline std::string text_of(const readiness& all) {
  std::string text = "{";
  for (const auto& [handle, events] : all) text += " " + std::to_string(handle) + ":" + to_string(events);
  return text + " }";
}

// What one select reports. The test fails if a handle is reported twice, or if a report comes only when the
// timeout has elapsed.
template <class Selector, class Timeout = std::chrono::seconds>
readiness ready(Selector& selector, Timeout timeout = std::chrono::seconds(10)) {
  readiness found;
  const auto start = std::chrono::steady_clock::now();
  for (auto [key, events] : selector.select(timeout)) {
    const bool is_first = found.emplace(key.handle(), events).second;
    CHECK(is_first);
    CHECK_FALSE(events.empty());
  }
  if (!found.empty() && timeout >= 1s) CHECK(std::chrono::steady_clock::now() - start < timeout);
  return found;
}

// Exactly these, with exactly these events.
template <class Selector>
void expect_ready(Selector& selector, const readiness& expected) {
  const readiness found = ready(selector);
  INFO("expected " << text_of(expected) << ", found " << text_of(found));
  CHECK(found == expected);
}

// Exactly these, compared by what can be requested: read, write and priority.
template <class Selector>
void expect_raised(Selector& selector, const readiness& expected) {
  readiness found = ready(selector);
  for (auto& [handle, events] : found) events &= requestable;
  INFO("expected " << text_of(expected) << ", found " << text_of(found));
  CHECK(found == expected);
}

template <class Selector>
void expect_idle(Selector& selector) {
  const readiness found = ready(selector, 0s);
  INFO("expected nothing, found " << text_of(found));
  CHECK(found.empty());
}

// Nothing is ready, and the wait takes as long as it should: it neither spins nor ends early.
template <class Selector>
void expect_idle_for(Selector& selector, std::chrono::milliseconds time) {
  const auto start = std::chrono::steady_clock::now();
  const readiness found = ready(selector, time);
  const auto passed = std::chrono::steady_clock::now() - start;
  INFO("expected nothing, found " << text_of(found));
  CHECK(found.empty());
  CHECK(passed >= time);
}

// The descriptor of a selector that is one; else the invalid handle.
template <class Selector>
selectors::native_handle_type object_of(const Selector& selector) {
  if constexpr (selectors::pollable<const Selector&>) return selector.native_handle();
  return selectors::detail::invalid_handle;
}

// The error that a call reports.
template <class Call>
std::error_code error_of(Call&& call) {
  std::error_code error;
  std::forward<Call>(call)(error);
  return error;
}

}  // namespace support
