// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/event.hpp>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <type_traits>

namespace SELECTORS_NAMESPACE {

/// Errors that the library itself detects. Errors of the kernel keep their errno in std::system_category();
/// on Windows they keep Winsock's number if that category knows it, and become the errno of the same name
/// otherwise, so that they compare equal to the std::errc of that name everywhere. If the library cannot
/// allocate memory, the error is std::errc::not_enough_memory. The comments name the std::errc to which each
/// compares equal.
///
/// A program and its plugins may each have a category object of their own (with hidden visibility they do).
/// `code == errc::…` compares right whichever module made `code`, but two std::error_codes, or two
/// categories, from different modules compare unequal.
enum class errc {
  already_registered = 1,  ///< the handle is registered with this selector      (file_exists)
  not_registered,          ///< the handle or key is not registered              (no_such_file_or_directory)
  invalid_events,          ///< an output-only event, priority with exclusive, or one that the backend lacks
                           ///<                                                  (invalid_argument)
  invalid_handle,          ///< negative, INVALID_SOCKET, or a null pointer      (bad_file_descriptor)
  invalid_timeout,         ///< NaN                                              (invalid_argument)
  closed,                  ///< the selector is closed, moved from, or was never opened (bad_file_descriptor)
  forked,  ///< a child process uses its parent's selector before `reopen` (operation_not_permitted)
};

namespace detail {

class selectors_error_category final : public std::error_category {
 public:
  constexpr selectors_error_category() noexcept = default;

  const char* name() const noexcept override { return "selectors"; }

  // Compares by name, because each module may have a category object of its own.
  static bool is_same(const std::error_category& other) noexcept {
    return std::strcmp(other.name(), "selectors") == 0;
  }

  SELECTORS_COLD std::string message(int value) const override { return text_of(static_cast<errc>(value)); }

  SELECTORS_COLD std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<errc>(value)) {
      case errc::already_registered: return std::errc::file_exists;
      case errc::not_registered: return std::errc::no_such_file_or_directory;
      case errc::invalid_events:
      case errc::invalid_timeout: return std::errc::invalid_argument;
      case errc::invalid_handle:
      case errc::closed: return std::errc::bad_file_descriptor;
      case errc::forked: return std::errc::operation_not_permitted;
    }
    return {value, *this};
  }

 private:
  static const char* text_of(errc value) noexcept {
    switch (value) {
      case errc::already_registered: return "handle already registered";
      case errc::not_registered: return "not registered";
      case errc::invalid_events: return "these events cannot be requested";
      case errc::invalid_handle: return "invalid handle";
      case errc::invalid_timeout: return "the timeout is not a number";
      case errc::closed: return "the selector is closed";
      case errc::forked: return "the selector belongs to the parent process; reopen it first";
    }
    return "unknown error";
  }
};

#if SELECTORS_HAS_WINSOCK

// The errno with the same meaning as a Winsock code, for the codes that the library's calls return; else 0.
// Each is named WSA and the errno's name in <winsock2.h>, which is not included here.
constexpr int errno_of_winsock(int code) noexcept {
  switch (code) {
    case 10004: return EINTR;
    case 10009: return EBADF;
    case 10013: return EACCES;
    case 10014: return EFAULT;
    case 10022: return EINVAL;
    case 10024: return EMFILE;
    case 10035: return EWOULDBLOCK;
    case 10038: return ENOTSOCK;
    case 10047: return EAFNOSUPPORT;
    case 10048: return EADDRINUSE;
    case 10049: return EADDRNOTAVAIL;
    case 10050: return ENETDOWN;
    case 10053: return ECONNABORTED;
    case 10054: return ECONNRESET;
    case 10055: return ENOBUFS;
    case 10060: return ETIMEDOUT;
    case 10061: return ECONNREFUSED;
    default: return 0;
  }
}

// Winsock numbers its errors from 10,000 on, so an int can hold them or an errno. They keep their numbers and
// texts in std::system_category() if that maps them to a std::errc. libstdc++ does not, so there they become
// the errno of the same name. An errno goes to std::generic_category(), since Windows' std::system_category()
// numbers errors differently.
inline std::error_code system_code(int error) noexcept {
  if (error < 10000) return {error, std::generic_category()};
  const std::error_code code(error, std::system_category());
  const int same = errno_of_winsock(error);
  if (same == 0 || code.default_error_condition().category() == std::generic_category()) return code;
  return {same, std::generic_category()};
}

#else

inline std::error_code system_code(int error) noexcept { return {error, std::system_category()}; }

#endif

}  // namespace detail

namespace detail {

// Its category is usable before the first static object is constructed and after the last one is destroyed.
union everlasting_category {
  constexpr everlasting_category() noexcept : category() {}
  ~everlasting_category() {}

  selectors_error_category category;
};

}  // namespace detail

/// The category of `errc`, named "selectors".
[[nodiscard]] inline const std::error_category& selectors_category() noexcept {
  // In the function, so that only programs that call it contain a category.
  static constinit const detail::everlasting_category everlasting;
  return everlasting.category;
}

[[nodiscard]] inline std::error_code make_error_code(errc value) noexcept {
  return {static_cast<int>(value), selectors_category()};
}

/// Whether `code` is `value`, whichever module made it. (`!=` and the reversed operands follow.)
[[nodiscard]] inline bool operator==(const std::error_code& code, errc value) noexcept {
  return code.value() == static_cast<int>(value) &&
         detail::selectors_error_category::is_same(code.category());
}

/// Success, or the reason of a failure: the cheap form in which backends and other parts of the library
/// return errors. Converts to true if there is a failure.
class [[nodiscard]] failure {
 public:
  constexpr failure() noexcept = default;
  constexpr failure(errc value) noexcept : failure(nullptr, static_cast<int>(value), origin::library) {}

  /// The system call `call`, a string literal, failed with `error`: an errno, or on Windows a Winsock code.
  static constexpr failure system(const char* call, int error) noexcept {
    return {call, error, origin::system};
  }
  /// `errc::invalid_events`; `events` are those that cannot be requested.
  static constexpr failure invalid_events(event_mask events) noexcept {
    failure failed(errc::invalid_events);
    failed.rest_ |= detail::mask_bits::of(events) << 8;
    return failed;
  }
  /// The handle to be registered is not open or, on Windows, not a socket.
  static constexpr failure not_open() noexcept {
#if SELECTORS_HAS_WINSOCK
    return system("getsockopt", 10009);  // WSAEBADF, which is bad_file_descriptor; WSAENOTSOCK is not
#else
    return system("fcntl", EBADF);
#endif
  }
  /// An allocation failed.
  static constexpr failure memory() noexcept { return {nullptr, ENOMEM, origin::memory}; }

  constexpr explicit operator bool() const noexcept { return rest_ != 0; }

  [[nodiscard]] constexpr bool is_lack_of_memory() const noexcept { return from() == origin::memory; }
  /// The system call that failed, or null.
  [[nodiscard]] constexpr const char* call() const noexcept { return call_; }
  /// The events that cannot be requested, if they were named.
  [[nodiscard]] constexpr event_mask events() const noexcept {
    return detail::mask_bits::mask(static_cast<std::uint32_t>(rest_ >> 8 & 0xff));
  }

  [[nodiscard]] std::error_code code() const noexcept { return *this ? code_of_it() : std::error_code(); }

 private:
  enum class origin : unsigned char { none, library, system, memory };

  constexpr failure(const char* call, int value, origin from) noexcept
      : call_(call),
        rest_(std::uint64_t{static_cast<std::uint32_t>(value)} << 32 | static_cast<unsigned>(from)) {}
  constexpr origin from() const noexcept { return static_cast<origin>(rest_ & 0xff); }
  constexpr int value() const noexcept { return static_cast<int>(static_cast<std::uint32_t>(rest_ >> 32)); }

  SELECTORS_COLD std::error_code code_of_it() const noexcept {
    switch (from()) {
      case origin::library: return make_error_code(static_cast<errc>(value()));
      case origin::system: return detail::system_code(value());
      case origin::memory: return std::make_error_code(std::errc::not_enough_memory);
      case origin::none: break;
    }
    return {};
  }

  const char* call_ = nullptr;
  // The origin, the events, and from the 32nd bit on the value: in one word, which is tested and passed on as
  // it is. Zero is success.
  std::uint64_t rest_ = 0;
};

}  // namespace SELECTORS_NAMESPACE

template <>
struct std::is_error_code_enum<selectors::errc> : std::true_type {};
