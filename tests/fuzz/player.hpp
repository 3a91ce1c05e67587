// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "choices.hpp"
#include "oracle.hpp"
#include "support/child.hpp"
#include "world.hpp"

#include <selectors/selectors.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace fuzz {

// The result of one select.
struct answer {
  std::array<int, world::slots> seen{};  // by poll(2)
  std::array<selectors::event_mask, world::slots> told{};
  std::array<bool, world::slots> is_comparable{};
};
using trace = std::vector<answer>;

// Plays a script on one backend, and compares what the selector reports with what the oracle expects. Keeps a
// trace of the reports in which backends may not differ.
template <class Backend>
class player {
 public:
  explicit player(choices script) : choose_(script) {}

  trace play() {
    while (!choose_.at_end()) step();
    end();
    return std::move(trace_);
  }

 private:
  using selector_type = selectors::selector<std::size_t, selectors::counting<Backend>>;

  void step() {
    const std::size_t slot = choose_.below(world::slots);
    switch (choose_.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: world_.happen(choose_, slot); break;
      case 5:
      case 6:
      case 7: register_(slot); break;
      case 8: modify(slot); break;
      case 9: unregister(slot); break;
      case 10: reopen_or_move(); break;
      case 11:
        if (choose_.one_in(200)) fork();
        break;
      default: select();
    }
  }

  // Nothing is registered any more: nothing is reported, and no wait ends early.
  void end() {
    for (std::size_t slot = 0; slot != world::slots; ++slot)
      if (oracle_.has(slot)) unregister(slot);
    require(sel_.select(0ns).empty(), "nothing is registered, and something is told");
    const auto waits = sel_.backend().counters().waits;
    require(sel_.select(1ns).empty(), "nothing is registered, and something is told later");
    require(sel_.backend().counters().waits - waits <= 2, "the wait was cut short again and again");
  }

  // ---- changes --------------------------------------------------------------------------------------------

  // Calls `ask(what)` with an interest that the backend supports.
  template <class Ask>
  std::error_code with_interest(std::size_t slot, bool is_new, Ask ask) {
    using namespace selectors;
    static constexpr event_mask masks[] = {event::read, event::read | event::write, event::write,
                                           event_mask(), event::priority | event::read};
    const event_mask asked = masks[choose_.below(5)];
    const std::size_t kind = choose_.below(8);
    std::error_code error;
    const bool is_portable = kind == 0 || kind > 3;
    const auto with = [&](auto what) {
      ask(what, error);
      oracle_.asked(slot, any_interest(detail::as_interest(what)), is_new, error, world_);
      if (!is_new || !error) is_portable_[slot] = is_portable && !error && (is_new || is_portable_[slot]);
    };
    if constexpr (supports<Backend, trigger::edge>)
      if (kind == 1) return with(edge(asked)), error;
    if constexpr (supports<Backend, trigger::edge, true>) {
      if (kind == 2) return with(exclusive(asked - event::priority)), error;
      if (kind == 3) return with(exclusive(edge(asked - event::priority))), error;
    }
    if (kind >= 6) return with(oneshot(asked)), error;
    return with(asked), error;
  }

  void register_(std::size_t slot) {
    with_interest(slot, true, [&](auto what, std::error_code& error) {
      sel_.register_(world::number(slot), what, slot, error);
    });
    check(slot);
  }
  void modify(std::size_t slot) {
    with_interest(slot, false,
                  [&](auto what, std::error_code& error) { sel_.modify(world::number(slot), what, error); });
    check(slot);
  }
  void unregister(std::size_t slot) {
    std::error_code error;
    sel_.unregister(world::number(slot), error);
    require(
        error == (oracle_.has(slot) ? std::error_code() : make_error_code(selectors::errc::not_registered)),
        "unregister: " + error.message());
    oracle_.forget(slot);
    check(slot);
  }

  void reopen_or_move() {
    switch (choose_.below(4)) {
      case 0:
        sel_.reopen();
        oracle_.reopened(world_);
        break;
      case 1: {
        selector_type other = std::move(sel_);
        require(!sel_.is_open() && sel_.empty(), "a selector that was moved from is open");
        sel_ = std::move(other);
        break;
      }
      default: break;
    }
  }

  void fork() {
    const int result = support::in_child([&] {
      try {
        std::error_code error;
        sel_.select(0ns, error);
        require(error == selectors::errc::forked, "a child may select");
        sel_.reopen();
        oracle_.reopened(world_);
        select();
        return 0;
      } catch (const difference& found) {
        std::fprintf(stderr, "in a child: %s\n", found.what());
        return 1;
      }
    });
    require(result == 0, "a child found a difference");
  }

  void check(std::size_t slot) {
    const auto* const key = sel_.find(world::number(slot));
    require((key != nullptr) == oracle_.has(slot), "registered, or not");
    require(sel_.size() == oracle_.size(), "how many are registered");
    if (key == nullptr) return;
    require(key->events() == oracle_.events(slot), "what is asked for");
    require(key->data() == slot, "whose data");
  }

  // ---- the loop -------------------------------------------------------------------------------------------

  void select() {
    const auto before = world_.look();
    auto range = sel_.select(0ns);
    oracle_.look(before, world_.look(), world_);
    const std::size_t trouble = choose_.below(8);  // some loops change registrations and files
    if (trouble >= 6) is_traced_ = false;          // the order of the entries is not promised
    answer all;
    all.seen = before;
    for (auto [key, events] : range) {
      const auto slot = static_cast<std::size_t>(key.handle() - world::first_number);
      require(slot < world::slots && key.data() == slot, "a key that nobody registered");
      require(sel_.find(key.handle()) == &key, "a key that is not registered");
      oracle_.told(slot, events);
      all.told[slot] = events & key.events();
      if (trouble < 6) continue;
      if (choose_.one_in(8)) return oracle_.loop_left();
      disturb(choose_.below(world::slots));
    }
    oracle_.loop_ended();
    for (std::size_t slot = 0; slot != world::slots; ++slot) {
      is_portable_[slot] = is_portable_[slot] && oracle_.is_comparable(slot);
      all.is_comparable[slot] = is_portable_[slot];
    }
    if (is_traced_) trace_.push_back(all);
  }

  void disturb(std::size_t slot) {
    switch (choose_.below(6)) {
      case 0: unregister(slot); break;
      case 1: register_(slot); break;
      case 2: modify(slot); break;
      case 3: world_.happen(choose_, slot); break;
      default: return;
    }
    oracle_.touch(slot);
  }

  choices choose_;
  world world_;
  selector_type sel_;
  oracle<Backend> oracle_;
  trace trace_;
  bool is_traced_ = true;
  std::array<bool, world::slots>
      is_portable_{};  // requested in a mode that every backend supports, and not disturbed since
};

}  // namespace fuzz
