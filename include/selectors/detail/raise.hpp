// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/platform.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>

#if SELECTORS_EXCEPTIONS

#include <new>
#include <string>
#include <system_error>

namespace selectors::detail {

// Made while there is memory, for to throw it when there is none: a copy of it allocates nothing.
inline const std::system_error out_of_memory{std::make_error_code(std::errc::not_enough_memory), "selectors"};

// Every exception of the library leaves here. The text names the call, the handle, what refused it and why:
// "selectors: register_(7): epoll_ctl: Bad file descriptor".
[[noreturn]] SELECTORS_COLD inline void raise(failure what, const char* operation,
                                              native_handle_type handle = invalid_handle) {
  const std::error_code code = what.code();
  if (code == std::errc::not_enough_memory && what.call() == nullptr) throw out_of_memory;
  try {
    std::string text = "selectors: ";
    text += operation;
    if (handle != invalid_handle) text += "(" + std::to_string(handle) + ")";
    if (what.call() != nullptr) text.append(": ").append(what.call());
    throw std::system_error(code, text);
  } catch (const std::bad_alloc&) {
    throw out_of_memory;
  }
}

}  // namespace selectors::detail

#endif
