// SPDX-License-Identifier: BSL-1.0

// Each system call and each allocation of a mailbox fails in turn, and no posted value is lost.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "system_calls.hpp"

#include <selectors/mailbox.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/selectors.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

// As in a process that has not used the library yet.
void forget_what_is_known() {
  detail::forks_are_handled = false;
  detail::process_word = nullptr;
  detail::next_process_word = 0;
}

// Posts and takes 600 values, leaving loops early, whatever fails meanwhile; a call that fails is tried
// again. Returns how many failed.
int play(failing_system_calls& seam) {
  int refusals = 0;
  std::error_code error;
  std::optional<mailbox<std::unique_ptr<int>>> box;
  const auto attempt = [&](auto call) {
    for (int tries = 0; !call(); ++tries) {
      CHECK(error);
      ++refusals;
      REQUIRE(tries == 0);
      seam.lift();
    }
  };
  attempt([&] {
    const in_library now;
    box.emplace(error);
    return !error;
  });
  std::vector<int> found, expected;
  for (int n = 0; n != 600; ++n) {
    auto value = std::make_unique<int>(n);
    expected.push_back(n);
    attempt([&] {
      const in_library now;
      const bool was_posted = box->post(std::move(value), error);
      return was_posted;
    });
    if (n % 100 != 99) continue;
    int left = 70;
    const in_library now;
    for (auto& one : box->take()) {
      found.push_back(*one);
      if (--left == 0) break;
    }
  }
  seam.lift();
  selector<> sel;
  sel.register_(*box, event::read);
  CHECK_FALSE(sel.select(std::chrono::seconds(0)).empty());
  for (auto& one : box->take()) found.push_back(*one);
  CHECK(found == expected);
  (void)box->take();
  CHECK(sel.select(std::chrono::seconds(0)).empty());
  return refusals;
}

}  // namespace

TEST_CASE("whatever system call of a mailbox fails, nothing is lost", "[mailbox]") {
  int planned = 0, refusals = 0;
  std::string names;
  for (std::size_t call = 0;; ++call) {
    forget_what_is_known();
    std::string name;
    {
      failing_system_calls seam({call, 0, false});
      play(seam);
      name = seam.name();
    }
    if (name.empty()) break;
    if (names.find(name) == std::string::npos) names += name + " ";
    for (const int error : errors_of(name)) {
      INFO(name << ", call " << call << ": " << error);
      const auto open = open_descriptors().size();
      const auto live = live_allocations();
      forget_what_is_known();
      {
        failing_system_calls seam({call, error, false});
        refusals += play(seam);
        CHECK(seam.happened());
      }
      CHECK(open_descriptors().size() == open);
      CHECK(live_allocations() == live);
      ++planned;
    }
  }
  INFO(names);
  CHECK(planned > 10);
  CHECK(refusals > 1);
  CHECK(names.find("eventfd") != std::string::npos);
  CHECK(names.find("write") != std::string::npos);
  CHECK(names.find("read") != std::string::npos);
  CHECK(names.find("pthread_atfork") != std::string::npos);
}
