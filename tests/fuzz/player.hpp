// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "choices.hpp"
#include "oracle.hpp"
#include "support/child.hpp"
#include "world.hpp"

#include <selectors/selectors.hpp>

#include <poll.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
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
  explicit player(choices script) : choose_(script) {
    if (choose_.below(4) != 0) return;
    // Many quiet keys: leaks are isolated.
    static const std::vector<support::pipe_ends> pipes = quiet_pipes();
    for (const auto& pipe : pipes) sel_.register_(pipe.reader, selectors::event::read, order{});
    quiet_ = pipes.size();
  }
  player(const player&) = delete;
  ~player() { is_at_end_ = true; }

  trace play() {
    while (!choose_.at_end()) step();
    end();
    return std::move(trace_);
  }

 private:
  struct thrown {};

  // What becomes of a key's data: its constructor and destructor may call the selector, and it may throw.
  struct order {
    player* owner = nullptr;
    std::size_t slot = 0;
    bool calls = false, throws = false, calls_when_gone = false;
  };
  class data {
   public:
    explicit(false) data(const order& what) : order_(what) {
      if (order_.calls) order_.owner->call_back(order_.slot);
      if (order_.throws) throw thrown();
    }
    data(const data&) = delete;
    ~data() {
      if (order_.calls_when_gone) order_.owner->call_back_late(order_.slot);
    }
    std::size_t slot() const noexcept { return order_.slot; }

   private:
    order order_;
  };
  using selector_type = selectors::selector<data, selectors::counting<Backend>>;

  static std::vector<support::pipe_ends> quiet_pipes() {
    std::vector<support::pipe_ends> made;
    for (int i = 0; i != 40; ++i) {
      auto pipe = support::make_pipe();
      made.push_back({support::dup_above(pipe.reader, 200), support::dup_above(pipe.writer, 300)});
    }
    return made;
  }

  void step() {
    const std::size_t slot = choose_.below(world::slots);
    switch (choose_.below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: world_.happen(choose_, slot); break;
      case 16:
      case 17: watch(slot); break;
      case 18: mark(slot); break;
      case 19: look_from_outside(); break;
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
    if (!late_difference_.empty()) throw difference(late_difference_);
  }

  // Nothing is registered any more: nothing is reported, and no wait ends early.
  void end() {
    is_at_end_ = true;
    sel_.clear();
    quiet_ = 0;
    for (std::size_t slot = 0; slot != world::slots; ++slot) oracle_.forget(slot);
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
    if (is_constructing_[slot]) return;
    const order what_data = make_order(slot);
    with_interest(slot, true, [&](auto what, std::error_code& error) {
      is_constructing_[slot] = true;
      try {
        sel_.register_(world::number(slot), what, what_data, error);
        is_constructing_[slot] = false;
      } catch (const thrown&) {
        is_constructing_[slot] = false;
        require(what_data.throws && !oracle_.has(slot) && world_.is_open(slot), "thrown, and nobody did");
        error = std::make_error_code(std::errc::interrupted);
        return;
      }
      oracle_.asked(slot, any_of(what), true, error, world_);
    });
    check(slot);
  }
  void modify(std::size_t slot) {
    with_interest(slot, false, [&](auto what, std::error_code& error) {
      sel_.modify(world::number(slot), what, error);
      oracle_.asked(slot, any_of(what), false, error, world_);
    });
    check(slot);
  }
  void watch(std::size_t slot) {
    if (is_constructing_[slot]) return;
    const bool is_new = !oracle_.has(slot);
    with_interest(slot, is_new, [&](auto what, std::error_code& error) {
      sel_.watch(world::number(slot), what, order{this, slot}, error);
      oracle_.watched(slot, any_of(what), error, world_);
    });
    check(slot);
  }
  void mark(std::size_t slot) {
    using selectors::event;
    static constexpr selectors::event_mask masks[] = {event::read, event::write, event::read | event::write,
                                                      event::priority};
    const selectors::event_mask events = masks[choose_.below(4)];
    std::error_code error;
    sel_.mark_ready(world::number(slot), events, error);
    oracle_.marked(slot, events, error);
  }

  template <class Interest>
  static selectors::any_interest any_of(Interest what) {
    return selectors::any_interest(selectors::detail::as_interest(what));
  }

  order make_order(std::size_t slot) {
    order made{this, slot};
    const std::size_t kind = choose_.below(16);
    made.calls = kind == 12 || kind == 13;
    made.throws = kind == 13 || kind == 14;
    made.calls_when_gone = kind == 12 || kind == 15;
    return made;
  }

  // From the constructor of a key's data, which nobody can see yet, or from its destructor.
  void call_back(std::size_t from) {
    require(is_at_end_ || sel_.find(world::number(from)) == nullptr || !is_constructing_[from],
            "a key without data was found");
    const std::size_t slot = choose_.below(world::slots);
    if (is_constructing_[from] && slot == from) {
      std::error_code error;
      sel_.register_(world::number(slot), selectors::event::read, order{this, slot}, error);
      require(error == selectors::errc::already_registered, "registered in its own constructor");
    }
    if (is_at_end_ || slot == from || is_constructing_[slot]) return;
    switch (choose_.below(4)) {
      case 0: unregister(slot); break;
      case 1: register_(slot); break;
      case 2: modify(slot); break;
      default: mark(slot); return;
    }
    oracle_.touch(slot);
    is_portable_[slot] = false;
  }
  void call_back_late(std::size_t from) noexcept {
    if (is_at_end_) return;
    try {
      call_back(from);
    } catch (const std::exception& found) {
      late_difference_ = std::string("in a destructor: ") + found.what();
    }
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
        check_handle();
        break;
      case 1: {
        selector_type other = std::move(sel_);
        require(!sel_.is_open() && sel_.empty(), "a selector that was moved from is open");
        sel_ = std::move(other);
        check_handle();
        break;
      }
      default: break;
    }
  }

  void fork() {
    const int result = support::in_child([&] {
      is_at_end_ = true;  // destructors may not register anything before `reopen`
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
    require(sel_.size() == oracle_.size() + quiet_, "how many are registered");
    if (key == nullptr) return;
    require(key->events() == oracle_.events(slot), "what is asked for");
    require(key->data().slot() == slot, "whose data");
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
      require(slot < world::slots && key.data().slot() == slot, "a key that nobody registered");
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

  // Whether who watches the native handle is told of the selector's own work, and finds it after `reopen`.
  static constexpr bool has_lasting_handle = Backend::name != "kqueue" || SELECTORS_HAS_KERNEL_KQUEUE;
  // What a kqueue leaves to select(2) wakes nobody who watches the queue: some terminals and pipes.
  bool wakes_watchers() const {
    for (std::size_t slot = 0; slot != world::slots; ++slot) {
      struct stat about{};
      if (Backend::name == "kqueue" && ::fstat(world::number(slot), &about) == 0 &&
          (S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode)))
        return false;
    }
    return true;
  }

  // Who watches the native handle is woken if `select` has something to report, and not otherwise.
  void look_from_outside() {
    if constexpr (selectors::pollable<selector_type&> && has_lasting_handle) {
      if (handle_ < 0) handle_ = sel_.native_handle();
      check_handle();
      const bool was_readable = is_readable();
      const auto before = world_.look();
      const bool is_ready = !sel_.select(0ns).empty();
      oracle_.look(before, world_.look(), world_);
      is_traced_ = false;
      if (is_ready) {
        require(was_readable || !wakes_watchers(), "the native handle was not readable");
        require(is_readable() || !wakes_watchers(), "the native handle is not readable before a loop");
        oracle_.loop_left();
      } else {
        require(!is_readable(), "the native handle stays readable without a reason");
        oracle_.loop_ended();
      }
    } else {
      select();
    }
  }
  bool is_readable() const {
    pollfd asked{handle_, POLLIN, 0};
    return checked(::poll(&asked, 1, 0), "poll") == 1;
  }
  void check_handle() const {
    if constexpr (selectors::pollable<const selector_type&>)
      if (handle_ >= 0) require(sel_.native_handle() == handle_, "the native handle is another");
  }

  void disturb(std::size_t slot) {
    switch (choose_.below(8)) {
      case 6: watch(slot); break;
      case 7: mark(slot); return;
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
  std::string late_difference_;
  bool is_at_end_ = false;
  std::size_t quiet_ = 0;
  int handle_ = -1;
  std::array<bool, world::slots> is_constructing_{};
  selector_type sel_;
  oracle<Backend> oracle_;
  trace trace_;
  bool is_traced_ = true;
  std::array<bool, world::slots>
      is_portable_{};  // requested in a mode that every backend supports, and not disturbed since
};

}  // namespace fuzz
