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

#include <cstdio>
#include <new>
#include <system_error>

namespace selectors::detail {

// What the library throws. It puts its text together without strings: those of std::system_error's own
// constructors would add two kibibytes to every program.
class selector_error final : public std::system_error {
 public:
  SELECTORS_COLD selector_error(failure what, const char* operation, native_handle_type handle)
      : std::system_error(what.code()) {
    char subject[24] = "";
    if (handle != invalid_handle)
      std::snprintf(subject, sizeof subject, "(%lld)", static_cast<long long>(handle));
    const bool is_of_kernel = what.call() != nullptr;
    std::snprintf(text_, sizeof text_, "selectors: %s%s%s%s: %s", operation, subject,
                  is_of_kernel ? ": " : "", is_of_kernel ? what.call() : "", std::system_error::what());
  }

  const char* what() const noexcept override { return text_; }

 private:
  char text_[184];
};

// Made before `main`, while there is memory, to be thrown when there is none: a copy of it allocates nothing. A template,
// so that it is in those programs alone that can throw it.
template <class Error>
inline const Error out_of_memory{failure::memory(), "no memory", invalid_handle};

// Every exception of the library leaves here. The text names the call, the handle, what refused it and why:
// "selectors: register_(7): epoll_ctl: Bad file descriptor".
template <class Error = selector_error>
[[noreturn]] SELECTORS_COLD void raise(failure what, const char* operation,
                                       native_handle_type handle = invalid_handle) {
  if (what.is_lack_of_memory()) throw out_of_memory<Error>;
  try {
    throw Error(what, operation, handle);
  } catch (const std::bad_alloc&) {
    throw out_of_memory<Error>;
  }
}

}  // namespace selectors::detail

#else

namespace selectors::detail {

// Only declared: what calls it is never instantiated.
[[noreturn]] void raise(failure what, const char* operation,
                        native_handle_type handle = invalid_handle) noexcept;

}  // namespace selectors::detail

#endif
