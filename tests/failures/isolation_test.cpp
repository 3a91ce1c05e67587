// SPDX-License-Identifier: BSL-1.0

// While leaks are isolated and healed, each system call fails in turn: no key is lost, nothing is reported
// that is not there, and no descriptor is left behind.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "system_calls.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#if SELECTORS_HAS_EPOLL

using namespace selectors;
using namespace support;

namespace {

struct leaked {
  pipe_ends pipe;
  descriptor duplicate;
};

// Leaks among many keys, in a selector that is watched from outside or not.
class isolating {
 public:
  explicit isolating(bool is_nested) {
    for (auto& [reader, writer] : old_) sel_.register_(reader, event::read);
    if (is_nested) CHECK(sel_.native_handle() >= 0);
  }

  // What is done while a call fails.
  void play() {
    leak();
    select();
    select();
    for (auto& pipe : young_) register_(pipe.reader);
    for (int i = 0; i != 14; ++i) leak();
    select();
    select();
    const in_library now;
    std::error_code error;
    sel_.watch(old_[0].reader, event::read, error);
    sel_.mark_ready(old_[1].reader, event::read, error);
    for (auto [key, events] : sel_.select(std::chrono::seconds(0), error))
      if (!events.contains(event::error)) ++marked_;
    sel_.unregister(old_[2].reader, error);
  }

  // Whatever happened, all works now.
  void take_stock() {
    if (!sel_.is_open()) sel_.reopen();  // it could not be healed
    for (auto* pipes : {&old_, &young_})
      for (auto& pipe : *pipes)
        if (&pipe != &old_[2]) sel_.watch(pipe.reader, event::read);
    for (int i = 0; i != 3; ++i) CHECK(ready(sel_, std::chrono::seconds(0)).empty());
    for (auto* pipes : {&old_, &young_})
      for (auto& pipe : *pipes) write_byte(pipe.writer);
    for (int i = 0; i != 2; ++i) CHECK(ready(sel_).size() == old_.size() + young_.size() - 1);
    CHECK(marked_ <= 1);
    CHECK(wrong_ == 0);
  }

 private:
  void register_(const descriptor& which) {
    std::error_code error;
    const in_library now;
    sel_.register_(which, event::read, error);
  }
  void leak() {
    leaks_.push_back({make_pipe(), {}});
    auto& [pipe, duplicate] = leaks_.back();
    duplicate = dup_number_above(pipe.reader.get(), 400);
    register_(pipe.reader);
    const int number = pipe.reader.get();
    pipe.reader.close();
    {
      const in_library now;
      std::error_code error;
      sel_.unregister(number, error);
    }
    write_byte(pipe.writer);
  }
  // An error of the call that fails, or of a key that could not be added: nothing else may be reported.
  void select() {
    const in_library now;
    std::error_code error;
    for (auto [key, events] : sel_.select(std::chrono::seconds(0), error))
      if (!events.contains(event::error)) ++wrong_;
  }

  std::vector<pipe_ends> old_ = make_pipes(40), young_ = make_pipes(12);
  std::vector<leaked> leaks_;
  selector<void, epoll_backend> sel_;
  int marked_ = 0;
  int wrong_ = 0;
};

// Which call that was; empty if there is no such call.
std::string play_with(const planned_failure& plan, bool is_nested) {
  const auto open = open_descriptors().size();
  std::string name;
  {
    isolating all(is_nested);
    failing_system_calls seam(plan);
    all.play();
    name = seam.name();
    seam.lift();
    INFO("call " << plan.call << ", " << name << ", error " << plan.error << ", lasts " << plan.lasts);
    all.take_stock();
  }
  CHECK(open_descriptors().size() == open);
  return name;
}

}  // namespace

TEST_CASE("no failure while leaks are isolated loses a key", "[failures]") {
  const bool is_nested = GENERATE(false, true);
  std::size_t calls = 0;
  for (;; ++calls) {
    const std::string name = play_with({calls, 0, false}, is_nested);
    if (name.empty()) break;
    if (name == "close") continue;
    for (const int error : errors_of(name))
      for (const bool lasts : {false, true})
        if (!lasts || error != EINTR) play_with({calls, error, lasts}, is_nested);
  }
  CHECK(calls >= 50);
}

#endif
