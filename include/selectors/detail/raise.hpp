// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>

namespace selectors::detail {

// Whether the forms that throw exist: a constraint on each of them.
inline constexpr bool has_exceptions = SELECTORS_EXCEPTIONS;

}  // namespace selectors::detail

#if SELECTORS_EXCEPTIONS

#include <selectors/event.hpp>

#include <cstdint>
#include <cstdio>
#include <new>
#include <system_error>

namespace selectors::detail {

// What the library throws. It puts its text together without strings: those of std::system_error's own
// constructors would add two kibibytes to every program.
class selector_error final : public std::system_error {
 public:
  SELECTORS_COLD selector_error(failure what, const char* operation, const native_handle_type* handle)
      : std::system_error(what.code()) {
    describe(what, operation, handle);
  }

  // "selectors: register_(7): epoll_ctl: Bad file descriptor". Allocates nothing.
  SELECTORS_COLD void describe(failure what, const char* operation,
                               const native_handle_type* handle) noexcept {
    char subject[24] = "";
    if (handle != nullptr) std::snprintf(subject, sizeof subject, "(%lld)", static_cast<long long>(*handle));
    const bool is_of_kernel = what.call() != nullptr;
    const int size =
        std::snprintf(text_, sizeof text_, "selectors: %s%s%s%s: %s", operation, subject,
                      is_of_kernel ? ": " : "", is_of_kernel ? what.call() : "", std::system_error::what());
    append_events(what.events(), size);
  }

  const char* what() const noexcept override { return text_; }

 private:
  // As to_string(event_mask) names them.
  void append_events(event_mask events, int size) noexcept {
    static constexpr char names[][12] = {"read", "write", "priority", "error", "hangup", "read_hangup"};
    static constexpr event values[] = {event::read,  event::write,  event::priority,
                                       event::error, event::hangup, event::read_hangup};
    const char* before = ": ";
    for (int i = 0; i != 6; ++i) {
      if (!events.contains(values[i]) || size < 0 || size >= static_cast<int>(sizeof text_)) continue;
      size +=
          std::snprintf(text_ + size, sizeof text_ - static_cast<unsigned>(size), "%s%s", before, names[i]);
      before = "|";
    }
  }

  char text_[184];
};

// Made while there is memory, to be thrown when there is none: a copy of it allocates nothing. It is never
// destroyed, so it can be thrown after `main`, too.
template <class Error>
union spare_error {
  spare_error() : error(failure::memory(), "no memory", nullptr) {}
  ~spare_error() {}

  Error error;
};

template <class Error>
SELECTORS_COLD const Error& out_of_memory() {
  static const spare_error<Error> spare;
  return spare.error;
}

template <class Error>
SELECTORS_COLD bool prepare_out_of_memory() noexcept {
  try {
    out_of_memory<Error>();
    return true;
  } catch (const std::bad_alloc&) {
    return false;  // it is tried again when it is needed
  }
}

// Made before `main`, in those programs alone that can throw it. What is thrown earlier than that makes it.
template <class Error>
inline const bool is_out_of_memory_prepared = prepare_out_of_memory<Error>();

template <class Error>
[[noreturn]] SELECTORS_COLD void raise_about(failure what, const char* operation,
                                             const native_handle_type* handle) {
  if (!what.is_lack_of_memory()) {
    try {
      throw Error(what, operation, handle);
    } catch (const std::bad_alloc&) {
      what = failure::memory();
    }
  }
  static_cast<void>(is_out_of_memory_prepared<Error>);
  Error error = out_of_memory<Error>();
  error.describe(what, operation, handle);
  throw error;
}

// Every exception of the library leaves here. The text names the call, the handle if there is one, what
// refused it and why. std::bad_alloc is thrown in one case alone: no memory at all, and none since the
// program was started.
template <class Error = selector_error>
[[noreturn]] SELECTORS_COLD void raise(failure what, const char* operation) {
  raise_about<Error>(what, operation, nullptr);
}
template <class Error = selector_error>
[[noreturn]] SELECTORS_COLD void raise(failure what, const char* operation, native_handle_type handle) {
  raise_about<Error>(what, operation, &handle);
}

}  // namespace selectors::detail

#else

namespace selectors::detail {

// Only declared: what calls it is never instantiated.
[[noreturn]] void raise(failure what, const char* operation,
                        native_handle_type handle = invalid_handle) noexcept;

}  // namespace selectors::detail

#endif
