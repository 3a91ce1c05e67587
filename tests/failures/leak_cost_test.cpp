// SPDX-License-Identifier: BSL-1.0

// What a leak costs: a constant number of system calls, averaged over as many leaks as there are keys.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"
#include "system_calls.hpp"

#include <limits>
#include <optional>
#include <utility>
#include <vector>

#if SELECTORS_HAS_EPOLL

using namespace selectors;
using namespace support;

namespace {

// How a leak comes about: of a key that is as young as it, of one that has been there as long as all others,
// of one that was paused first.
enum class leak_of { young, old, paused };

// Registered and quiet.
struct crowd {
  explicit crowd(std::size_t count) : quiet(make_pipes(count)) {
    for (auto& [reader, writer] : quiet) sel.register_(reader, event::read);
  }
  selector<void, epoll_backend> sel;
  std::vector<pipe_ends> quiet;
};

// A leak, and a select; everything that the library does about it is counted.
class leaking {
 public:
  leaking(crowd& all, leak_of how) : all_(all), how_(how) { write_byte(source_.writer); }

  void leak_once() {
    if (how_ == leak_of::old) {
      auto& [reader, writer] = all_.quiet[next_++];
      leak_number(reader.get(), dup_number_above(reader.get(), 16'000), writer);
      reader.release();
      const pipe_ends fresh = make_pipe();
      reader = dup_above(fresh.reader, 3);
      writer = dup_above(fresh.writer, 3);
      register_(reader.get());
    } else {
      descriptor one = dup_of(source_.reader);
      register_(one.get());
      leak_number(one.release(), {}, source_.writer);
    }
    const in_library now;
    for ([[maybe_unused]] auto wrong : all_.sel.select(std::chrono::seconds(0))) ++wrong_;
  }
  std::size_t wrong() const { return wrong_; }

 private:
  void register_(int number) {
    const in_library now;
    all_.sel.register_(number, event::read);
  }
  void leak_number(int number, descriptor duplicate, const descriptor& writer) {
    if (duplicate.get() >= 0 && held_.size() < 900) {
      write_byte(writer);
      held_.push_back(std::move(duplicate));
    }
    close_number(number);
    const in_library now;
    if (how_ == leak_of::paused) all_.sel.modify(number, event_mask());
    all_.sel.unregister(number);
  }

  crowd& all_;
  leak_of how_;
  pipe_ends source_ = make_pipe();
  descriptor kept_ = dup_number_above(source_.reader.get(), 15'000);
  std::vector<descriptor> held_;
  std::size_t next_ = 0;
  std::size_t wrong_ = 0;
};

// The calls that a leak costs; without a leak it would be register_, unregister and select.
double cost_of(std::size_t keys, leak_of how) {
  crowd all(keys);
  leaking leaks(all, how);
  failing_system_calls seam({(std::numeric_limits<std::size_t>::max)(), 0, false});
  for (std::size_t i = 0; i != keys; ++i) leaks.leak_once();
  const std::size_t calls = seam.calls();
  seam.lift();
  CHECK(leaks.wrong() == 0);
  CHECK(all.sel.size() == keys);
  for (int i = 0; i != 3; ++i) expect_idle(all.sel);
  write_byte(all.quiet[keys / 2].writer);
  if (how != leak_of::old) expect_ready(all.sel, {{all.quiet[keys / 2].reader.get(), event::read}});
  return static_cast<double>(calls) / static_cast<double>(keys);
}

}  // namespace

TEST_CASE("a leak costs a constant number of system calls, however many keys there are", "[leaks]") {
  if (!may_have_descriptors(18'000)) return skip("too few descriptors");
  const auto how = GENERATE(leak_of::young, leak_of::old, leak_of::paused);
  const double few = cost_of(100, how);
  const double more = cost_of(1000, how);
  const double many = cost_of(5000, how);
  INFO("kind " << static_cast<int>(how) << ": " << few << ", " << more << ", " << many << " calls a leak");
  for (const double cost : {few, more, many}) {
    CHECK(cost >= 3);
    CHECK(cost <= 14);
  }
}

#endif
