// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>

namespace SELECTORS_NAMESPACE::detail {

// Whether the throwing forms exist: a constraint on each of them.
inline constexpr bool has_exceptions = SELECTORS_EXCEPTIONS;

}  // namespace SELECTORS_NAMESPACE::detail

#if SELECTORS_EXCEPTIONS

#include <selectors/event.hpp>

#include <cstdint>
#include <cstdio>
#include <new>
#include <system_error>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// The exception that the library throws. It formats its text without std::string: std::system_error's own
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

  char text_[184];  // all that is said in English fits; a longer translation of the reason is cut
};

// An exception that is made while there is memory, to be thrown when there is none: copying it does not
// allocate. It does not exist before static objects are constructed, nor after they are destroyed or the
// module is unloaded. A template, so that only programs that can throw it contain it.
template <class Error>
class spare_error {
 public:
  SELECTORS_COLD spare_error() noexcept {
    try {
      made = ::new (static_cast<void*>(memory)) Error(failure::memory(), "no memory", nullptr);
    } catch (const std::bad_alloc&) {
    }
  }
  SELECTORS_COLD ~spare_error() {
    if (const Error* const last = std::exchange(made, nullptr)) last->~Error();
  }

  static const Error* get() noexcept { return made; }

 private:
  alignas(Error) static inline unsigned char memory[sizeof(Error)]{};
  static inline constinit const Error* made = nullptr;
};

template <class Error>
inline const spare_error<Error> the_spare_error;

template <class Error>
[[noreturn]] SELECTORS_COLD void raise_about(failure what, const char* operation,
                                             const native_handle_type* handle) {
  const Error* const spare = (&the_spare_error<Error>)->get();
  if (!what.is_lack_of_memory() || spare == nullptr) {
    try {
      throw Error(what, operation, handle);
    } catch (const std::bad_alloc&) {
      if (spare == nullptr) throw;
      what = failure::memory();
    }
  }
  Error error = *spare;
  error.describe(what, operation, handle);
  throw error;
}

// Throws every exception of the library. The text names the call, the handle if there is one, the system call
// that failed, and why. std::bad_alloc is thrown only if there is no memory at all before `main` begins or
// after it ends.
template <class Error = selector_error>
[[noreturn]] SELECTORS_COLD void raise(failure what, const char* operation) {
  raise_about<Error>(what, operation, nullptr);
}
template <class Error = selector_error>
[[noreturn]] SELECTORS_COLD void raise(failure what, const char* operation, native_handle_type handle) {
  raise_about<Error>(what, operation, &handle);
}

}  // namespace SELECTORS_NAMESPACE::detail

#else

namespace SELECTORS_NAMESPACE::detail {

// Only declared: its callers are never instantiated.
[[noreturn]] void raise(failure what, const char* operation,
                        native_handle_type handle = invalid_handle) noexcept;

}  // namespace SELECTORS_NAMESPACE::detail

#endif
