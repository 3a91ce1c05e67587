// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

// Each system call that the library makes, failing on request. The seam is the linker's (--wrap, ld(1)): the library
// is compiled as it always is, and knows nothing of it.
namespace support {

struct planned_failure {
  std::size_t call = 0;  // the first call is 0
  int error = 0;         // an errno
  bool lasts = false;    // every later call of the same function fails, too
};

// Until the end of the scope, or `lift`, calls fail as planned. Only those count that are made while there is an
// `in_library`.
class failing_system_calls {
 public:
  explicit failing_system_calls(planned_failure plan) noexcept;
  failing_system_calls(const failing_system_calls&) = delete;
  ~failing_system_calls();

  // Whether the planned call was made, and which it was, also when no error was planned for it.
  bool happened() const noexcept;
  std::string_view name() const noexcept;
  // How many calls were made.
  std::size_t calls() const noexcept;
  void lift() noexcept;
};

class in_library {
 public:
  in_library() noexcept;
  in_library(const in_library&) = delete;
  ~in_library();
};

// For the functions in the place of the system's: whether this call fails, and then errno is set.
bool fails(std::string_view call) noexcept;

// What its manual page lists.
std::vector<int> errors_of(std::string_view call);

}  // namespace support
