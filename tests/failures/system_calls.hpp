// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

// Makes any system call of the library fail. The seam is the linker's (--wrap, ld(1)): the library is
// compiled as always.
namespace support {

struct planned_failure {
  std::size_t call = 0;  // the first call is 0
  int error = 0;         // an errno
  bool lasts = false;    // every later call of the same function fails, too
};

// Until the end of the scope, or `lift`, calls fail as planned. Only calls made while an `in_library` exists
// count.
class failing_system_calls {
 public:
  explicit failing_system_calls(planned_failure plan) noexcept;
  failing_system_calls(const failing_system_calls&) = delete;
  ~failing_system_calls();

  // Whether the planned call was made, and which call it was, even if no error was planned for it.
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

// For the wrappers: whether this call fails; errno is set then.
bool fails(std::string_view call) noexcept;

// The errors that its manual page lists.
std::vector<int> errors_of(std::string_view call);

}  // namespace support
