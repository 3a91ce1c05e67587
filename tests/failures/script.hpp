// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "system_calls.hpp"

#include <fcntl.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace support {

// Thrown by `fussy`.
struct out_of_patience {};

// Data whose n-th operation that may throw does so.
class fussy {
 public:
  static inline int patience = -1;  // how many succeed; all if negative

  fussy() { use(); }
  explicit(false) fussy(int number) : number_(std::make_unique<int>(number)) { use(); }
  fussy(fussy&& other) {
    use();  // before it takes anything
    number_ = std::move(other.number_);
  }
  fussy& operator=(fussy&& other) {
    use();
    number_ = std::move(other.number_);
    return *this;
  }
  int number() const { return number_ == nullptr ? 0 : *number_; }

 private:
  static void use() {
    if (patience == 0) throw out_of_patience();
    if (patience > 0) --patience;
  }
  std::unique_ptr<int> number_;
};

// A budget of allocations: while one exists, each allocation takes one of those that are left.
class limited_memory {
 public:
  static inline std::ptrdiff_t left = -1;  // how many succeed; all if negative
  static inline bool was_short = false;

  limited_memory() {
    if (left >= 0) budget_.emplace(static_cast<std::size_t>(left));
  }
  ~limited_memory() {
    if (!budget_) return;
    was_short = was_short || budget_->was_exceeded();
    left -= static_cast<std::ptrdiff_t>(allocations() - before_);
    if (left < 0) left = 0;
  }

 private:
  std::size_t before_ = allocations();
  std::optional<allocation_budget> budget_;
};

// Everything that can be done with a selector, once, checked against a model. The test plans one failure; the
// call that it hits must report it, change nothing, and succeed when it is tried again. `Promised` decides
// whether an error is the expected one.
template <class Backend>
class script {
 public:
  using event = selectors::event;
  using event_mask = selectors::event_mask;
  using selector_type = selectors::selector<fussy, Backend>;
  using promise = std::function<bool(std::error_code, const std::string& text)>;

  script(bool throws, promise promised, std::function<void()> lift)
      : throws_(throws), promised_(std::move(promised)), lift_(std::move(lift)) {}

  // Whether an error of the plan reached the caller.
  int refusals() const { return refusals_; }
  // The planned failure makes the library take files for another kind, so more may be reported than is ready.
  void expect_more() { expects_more_ = true; }
  // Called to ask whether the last wait may have been cut short.
  void expect_interruption(std::function<bool()> is_interrupted) {
    is_interrupted_ = std::move(is_interrupted);
  }

  void run() {
    open();
    register_and_modify();
    leave_a_loop();
    watch_and_mark();
    wake_up();
    lose_a_descriptor();
    close_a_descriptor();
    start_again();
    lift_();
    take_stock();
  }

 private:
  struct asked {
    event_mask events;
    event_mask ready;  // of what is requested
    int number = 0;
    bool armed = true;
    bool once = false;
  };

  // ---- the scenes -----------------------------------------------------------------------------------------

  void open() {
    attempt([&](auto&... error) { sel_.emplace(error...); });
  }

  void register_and_modify() {
    write_byte(a_.second);
    write_byte(b_.second);
    add(a_.first, event::read, event::read);
    add(b_.first, selectors::oneshot(event::read), event::read);
    add(c_.first, {}, {});
    select(100us);
    add(file_, event::read | event::write, event::read | event::write);
    select(0s);
    change(a_.first, event::read | event::write, event::read | event::write);
    change(b_.first, selectors::oneshot(event::read), event::read);
    change(c_.first, event::write, event::write);
    change(c_.first, event::write, event::write);
    if constexpr (selectors::supports<Backend, selectors::trigger::level, true>) {
      change(c_.first, selectors::exclusive(event::write), event::write);
      change(c_.first, selectors::exclusive(event::write | event::read), event::write);
      change(c_.first, event::write, event::write);
    }
    select(0s);
    change(a_.first, {}, {});
    change(file_, {}, {});
    select(0s);
    change(a_.first, event::read, event::read);
    change(file_, event::read, event::read);
    remove(c_.first);
    add(c_.first, event::read, {});
    select(1ms);
  }

  void leave_a_loop() {
    change(b_.first, selectors::oneshot(event::read), event::read);
    attempt([&](auto&... error) { (void)sel_->select(0s, error...); });
    restore_if_closed();
    select(0s);
  }

  // From here on the selector is watched from outside, too.
  void watch_and_mark() {
    ask_for_the_handle();
    watch(a_.first, event::read, event::read);
    watch(b_.first, selectors::oneshot(event::read), event::read);
    mark(c_.first, event::read);
    select(0s);
    watch(c_.first, {}, {});
    mark(c_.first, event::read);
    watch(c_.first, event::read, {});
    const descriptor other = make_socket_pair().first;
    dup_onto(other, c_.first.get()).release();
    watch(c_.first, event::write, event::write);
    select(0s);
    watch(c_.first, event::read, event::read);  // the peer has gone
    select(0s);
    remove(c_.first);
    c_ = make_socket_pair();
    watch(c_.first, event::read, {});
    select(0s);
  }

  void wake_up() {
    std::optional<selectors::wakeup> bell;
    attempt([&](auto&... error) { bell.emplace(error...); });
    add(*bell, event::read, event::read);
    notify(*bell);
    select(0s);
    reset(*bell);
    model_.at(bell->native_handle()).ready = {};
    select(0s);
    remove(*bell);
    attempt([&](auto&... error) { bell->reopen(error...); });
    add(*bell, event::read, {});
    notify(*bell);
    model_.at(bell->native_handle()).ready = event::read;
    select(0s);
    reset(*bell);
    remove(*bell);
    select(0s);
  }

  // Closed while a duplicate is open: epoll keeps reporting it, and the selector heals.
  void lose_a_descriptor() {
    const descriptor duplicate = dup_of(a_.first);
    const int number = a_.first.get();
    a_.first.close();
    const auto last = model_.at(number);
    remove(number);
    select(0s);
    select(0s);
    a_.first = dup_of(duplicate);
    add(a_.first, last.events, last.ready);
    select(0s);
  }

  void close_a_descriptor() {
    descriptor gone = make_pipe().reader;
    const int number = gone.get();
    add(number, event::read, {});
    gone.close();
    model_.at(number).ready = Backend::refuses_closed ? event_mask() : event::read;
    select(0s);
    model_.at(number).armed = false;
    select(0s);
    remove(number);
  }

  void start_again() {
    attempt([&](auto&... error) { sel_->reopen(error...); });
    select(0s);
    change(b_.first, event::read, event::read);
    {
      const in_library now;
      sel_->close();
    }
    restore_if_closed();
    select(0s);
  }

  // Whatever failed before, everything works now.
  void take_stock() {
    {
      const in_library now;
      sel_->clear();
    }
    const auto model = std::exchange(model_, {});
    for (const auto& [handle, key] : model) add(handle, key.events, key.ready);
    expects_more_ = false;
    for (int times = 0; times != 2; ++times) {
      const readiness found = ready(*sel_, 0s);
      readiness expected;
      for (const auto& [handle, key] : model)
        if (key.ready & key.events) expected[handle] = key.ready & key.events;
      INFO("expected " << text_of(expected) << ", found " << text_of(found));
      CHECK(found == expected);
    }
  }

  // ---- the steps ------------------------------------------------------------------------------------------

  template <class H, class What = event_mask>
  void add(const H& h, What what, event_mask ready) {
    const int number = ++numbers_;
    fussy data = with_patience(number);
    attempt([&](auto&... error) { sel_->register_(h, what, std::move(data), error...); });
    model_[selectors::handle_of(h)] = {mask_of(what), ready, number, !mask_of(what).empty(), is_once<What>};
    check_model();
  }
  template <class H, class What = event_mask>
  void change(const H& h, What what, event_mask ready) {
    attempt([&](auto&... error) { sel_->modify(h, what, error...); });
    asked& key = model_.at(selectors::handle_of(h));
    key = {mask_of(what), ready, key.number, !mask_of(what).empty(), is_once<What>};
    check_model();
  }
  template <class H, class What = event_mask>
  void watch(const H& h, What what, event_mask ready) {
    const bool is_new = model_.count(selectors::handle_of(h)) == 0;
    const int number = is_new ? ++numbers_ : model_.at(selectors::handle_of(h)).number;
    fussy data = with_patience(number);
    attempt([&](auto&... error) { sel_->watch(h, what, std::move(data), error...); });
    model_[selectors::handle_of(h)] = {mask_of(what), ready, number, !mask_of(what).empty(), is_once<What>};
    check_model();
  }
  // Reported by the next select, and by no other.
  template <class H>
  void mark(const H& h, event_mask events) {
    attempt([&](auto&... error) { sel_->mark_ready(h, events, error...); });
    asked& key = model_.at(selectors::handle_of(h));
    const event_mask before = std::exchange(key.ready, key.ready | events);
    select(0s);
    if (model_.count(selectors::handle_of(h)) != 0) model_.at(selectors::handle_of(h)).ready = before;
  }
  void ask_for_the_handle() {
    if constexpr (selectors::pollable<selector_type&>) {
      std::error_code error;
      int handle = -1;
      for (int tries = 0; tries != 2; ++tries) {
        {
          const in_library now;
          const limited_memory memory;
          handle = sel_->native_handle(error);
        }
        CHECK((handle >= 0) == !error);
        if (!error) return;
        CHECK(promised_(error, ""));
        ++refusals_;
        lift_();
        check_model();
      }
      FAIL("refused twice: " << error.message());
    }
  }
  template <class H>
  void remove(const H& h) {
    attempt([&](auto&... error) { sel_->unregister(h, error...); });
    model_.erase(selectors::handle_of(h));
    check_model();
  }

  void select(std::chrono::nanoseconds timeout) {
    readiness found;
    select_once(timeout, found);
    if (is_interrupted_()) {  // then it may report less, but loses nothing
      lift_();
      select_once(0s, found);
    }
    if (restore_if_closed()) return;
    for (auto& [handle, key] : model_) check_told(handle, key, found[handle]);
    check_model();
  }

  void select_once(std::chrono::nanoseconds timeout, readiness& found) {
    std::array<std::pair<int, event_mask>, 16> told;  // not a vector: the script itself must not allocate
    std::size_t count = 0;
    attempt([&](auto&... error) {
      count = 0;
      for (auto [key, events] : sel_->select(timeout, error...)) told[count++] = {key.handle(), events};
    });
    for (std::size_t i = 0; i != count; ++i) {
      CHECK(model_.count(told[i].first) == 1);
      for (std::size_t j = 0; j != i; ++j) CHECK(told[j].first != told[i].first);
      found[told[i].first] |= told[i].second;
    }
  }

  void check_told(int handle, asked& key, event_mask found) {
    const auto expected = key.armed ? key.ready & key.events : event_mask();
    INFO("handle " << handle << ": expected " << expected << ", found " << found);
    CHECK(((found & requestable) - key.events).empty());
    CHECK(found.contains(expected));
    if (!expects_more_ && !found.contains(event::error)) CHECK((found & requestable) == expected);
    if (found.contains(event::error) || (key.once && !found.empty())) key.armed = false;
  }

  void notify(selectors::wakeup& bell) {
    const in_library now;
    bell.notify();
  }
  void reset(selectors::wakeup& bell) {
    for (int tries = 0; !reset_once(bell); ++tries) {
      REQUIRE(tries == 0);
      lift_();
    }
  }
  static bool reset_once(selectors::wakeup& bell) {
    const in_library now;
    return bell.reset();
  }

  // A selector that could not be healed is closed. Then, or when the script has closed it, everything is
  // registered again.
  bool restore_if_closed() {
    if (sel_->is_open()) return false;
    CHECK(sel_->empty());
    attempt([&](auto&... error) { sel_->reopen(error...); });
    const auto model = std::exchange(model_, {});
    for (const auto& [handle, key] : model)
      if (is_open(handle)) add(handle, key.events, key.ready);
    return true;
  }

  // ---- the judgement --------------------------------------------------------------------------------------

  template <class Call>
  void attempt(Call call) {
    const bool was_open = sel_.has_value() && sel_->is_open();
    std::string last;
    for (int tries = 0; tries != 2; ++tries) {
      std::string text;
      bool threw_data = false;
      const std::error_code error = outcome_of(call, text, threw_data);
      if (!error && !threw_data) return;
      last = text + error.message();
      INFO("refused: " << error.message() << ", " << text);
      CHECK((threw_data || promised_(error, text)));
      ++refusals_;
      lift_();
      if (was_open && !sel_->is_open()) return;  // it could not be healed
      if (was_open) check_model();
    }
    FAIL("refused twice: " << last);
  }

  template <class Call>
  std::error_code outcome_of(Call& call, std::string& text, bool& threw_data) {
    std::error_code error;
    try {
      const in_library now;
      const limited_memory memory;
      if (throws_)
        call();
      else
        call(error);
    } catch (const std::system_error& refused) {
      error = refused.code();
      text = refused.what();
    } catch (const out_of_patience&) {
      threw_data = true;
    }
    return error;
  }

  void check_model() const {
    const selector_type& sel = *sel_;
    CHECK(sel.size() == model_.size());
    for (const auto& [handle, key] : model_) {
      INFO("handle " << handle);
      REQUIRE(sel.contains(handle));
      CHECK(sel.at(handle).events() == key.events);
      CHECK(sel.at(handle).data().number() == key.number);
    }
  }

  static event_mask mask_of(event_mask what) { return what; }
  template <selectors::trigger Mode, bool Exclusive>
  static event_mask mask_of(selectors::interest<Mode, Exclusive> what) {
    return what.events();
  }
  template <class What>
  static constexpr bool is_once = std::is_same_v<What, selectors::interest<selectors::trigger::oneshot>>;

  static fussy with_patience(int number) {
    const int kept = std::exchange(fussy::patience, -1);
    fussy made(number);
    fussy::patience = kept;
    return made;
  }

  bool throws_;
  promise promised_;
  std::function<void()> lift_;
  bool expects_more_ = false;
  std::function<bool()> is_interrupted_ = [] { return false; };
  int refusals_ = 0;
  int numbers_ = 0;
  socket_pair a_ = make_socket_pair(), b_ = make_socket_pair(), c_ = make_socket_pair();
  descriptor file_ = descriptor(checked(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open"));
  std::map<int, asked> model_;
  std::optional<selector_type> sel_;
};

}  // namespace support
