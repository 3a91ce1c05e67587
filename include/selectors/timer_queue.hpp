// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/address_of.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/detail/data_for.hpp>
#include <selectors/detail/due_time.hpp>
#include <selectors/detail/pool.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/detail/timer_store.hpp>
#include <selectors/error.hpp>

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <new>
#include <ranges>
#include <system_error>
#include <type_traits>
#include <utility>

// Deadlines with data, beside a selector. Not part of the umbrella.

namespace SELECTORS_NAMESPACE {

namespace detail {
struct timer_access;
}

template <class Data = void, class Clock = std::chrono::steady_clock>
class timer;
template <class Data = void, class Clock = std::chrono::steady_clock>
class timer_queue;

/// Names one timer of a queue forever: when that timer is gone and its memory holds another, the other has
/// another id. A value that can be copied, compared and ordered. A default one names no timer, and to one
/// queue the id of a timer of another queue names none either.
template <class Data = void, class Clock = std::chrono::steady_clock>
class timer_id {
 public:
  constexpr timer_id() noexcept = default;

  friend constexpr bool operator==(const timer_id&, const timer_id&) noexcept = default;
  /// Within one queue, in the order in which the timers were added.
  friend constexpr std::strong_ordering operator<=>(const timer_id&, const timer_id&) noexcept = default;

 private:
  friend struct detail::timer_access;

  constexpr timer_id(std::uint64_t serial, std::uint32_t slot) noexcept : serial_(serial), slot_(slot) {}

  std::uint64_t serial_ = 0;
  std::uint32_t slot_ = 0;
};

namespace detail {

// The part of a timer that does not depend on the type of its data.
template <class Data, class Clock>
class basic_timer : timer_record<typename Clock::time_point> {
  using record = timer_record<typename Clock::time_point>;

 public:
  basic_timer(const basic_timer&) = delete;
  basic_timer& operator=(const basic_timer&) = delete;

  /// When it is due, or, once it has been reached, when it was. time_point::max() is never.
  [[nodiscard]] typename Clock::time_point due() const noexcept { return record::due; }
  /// The id that names this timer. It stays the same when the timer is moved.
  [[nodiscard]] timer_id<Data, Clock> id() const noexcept;

 private:
  friend struct detail::timer_access;
  template <class, class>
  friend class selectors::timer;

  basic_timer() noexcept = default;
  ~basic_timer() = default;
};

// Makes timers and ids, and converts between timers and records.
struct timer_access {
  template <class Data, class Clock>
  static timer_record<typename Clock::time_point>& record_of(basic_timer<Data, Clock>& t) noexcept {
    return t;
  }
  template <class Data, class Clock>
  static timer<Data, Clock>& timer_of(timer_record<typename Clock::time_point>& r) noexcept {
    return static_cast<timer<Data, Clock>&>(static_cast<basic_timer<Data, Clock>&>(r));
  }
  template <class Id, class Record>
  static Id id_of(const Record& r) noexcept {
    return Id(r.serial, r.slot);
  }
  template <class Store, class Id>
  static auto* find(const Store& store, const Id& id) noexcept {
    return store.find(id.slot_, id.serial_);
  }

  template <class Data, class Clock>
  static timer_record<typename Clock::time_point>* create(void* memory) noexcept {
    return ::new (memory) timer<Data, Clock>;
  }
  // In place: a Data that a conversion operator returns need not be movable.
  template <class Data, class Clock, class From>
  static void construct_data(timer<Data, Clock>& t, From&& from) {
    ::new (static_cast<void*>(&t.storage_)) Data(static_cast<Data>(std::forward<From>(from)));
  }
  template <class Data, class Clock>
  static void construct_data(timer<Data, Clock>& t) {
    ::new (static_cast<void*>(&t.storage_)) Data();
  }
  template <class Timer>
  static void destroy_data(Timer& t) noexcept {
    if constexpr (requires { t.data(); }) t.destroy_data();
  }
};

template <class Data, class Clock>
timer_id<Data, Clock> basic_timer<Data, Clock>::id() const noexcept {
  return timer_access::id_of<timer_id<Data, Clock>>(static_cast<const record&>(*this));
}

// Iterates over the timers by slot, from the last to the first, so that timers added meanwhile cannot make it
// endless. It holds a position, not a timer, so any timer may be cancelled meanwhile.
template <class Data, class Clock, bool IsConst>
class timer_iterator {
  using store = timer_store<typename Clock::time_point>;
  using timer_type = timer<Data, Clock>;

 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = timer_type;
  using difference_type = std::ptrdiff_t;
  using pointer = std::conditional_t<IsConst, const timer_type*, timer_type*>;
  using reference = std::conditional_t<IsConst, const timer_type&, timer_type&>;

  timer_iterator() noexcept = default;
  timer_iterator(const store& all, std::size_t end) noexcept : all_(&all), end_(end) { skip(); }
  operator timer_iterator<Data, Clock, true>() const noexcept
    requires(!IsConst)
  {
    return end_ != 0 ? timer_iterator<Data, Clock, true>(*all_, end_) : timer_iterator<Data, Clock, true>();
  }

  reference operator*() const noexcept {
    return timer_access::timer_of<Data, Clock>(all_->at_slot(end_ - 1));
  }
  pointer operator->() const noexcept { return detail::address_of(**this); }
  timer_iterator& operator++() noexcept {
    --end_;
    skip();
    return *this;
  }
  timer_iterator operator++(int) noexcept {
    timer_iterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const timer_iterator& a, const timer_iterator& b) noexcept {
    return a.end_ == b.end_;
  }

 private:
  void skip() noexcept {
    while (end_ != 0 && !all_->at_slot(end_ - 1).is_in()) --end_;
  }

  const store* all_ = nullptr;
  std::size_t end_ = 0;  // the slots before it are still to be visited
};

}  // namespace detail

/// One deadline and the data given with it. Made by a timer_queue, neither copied nor moved. A reference to
/// it is valid while it is in its queue, even if the queue is moved, and then until it is destroyed: see
/// "Retired timers" of timer_queue.
template <class Data, class Clock>
class timer : public detail::basic_timer<Data, Clock> {
 public:
  [[nodiscard]] Data& data() noexcept { return data_; }
  [[nodiscard]] const Data& data() const noexcept { return data_; }

 private:
  friend struct detail::timer_access;

  timer() noexcept {}
  ~timer() {}
  void destroy_data() noexcept { data_.~Data(); }

  union {
    Data data_;
    std::byte storage_;  // the address where data_ is constructed
  };
};

/// A timer without data.
template <class Clock>
class timer<void, Clock> : public detail::basic_timer<void, Clock> {
  friend struct detail::timer_access;

  timer() noexcept = default;
  ~timer() = default;
};

/// Deadlines, each with a `Data` of the caller's: a handler, a connection, anything, move-only too, or
/// nothing (void). It is not a loop and starts no thread: a wait ends at `next()`, and `expired()` has what
/// is to be done then.
///
///   selectors::timer_queue<std::function<void()>> timers;
///   timers.add(5s, [] { std::puts("five seconds have passed"); });
///   for (;;) {
///     for (auto [key, events] : sel.select_until(timers.next())) key.data()(key, events);
///     for (auto& timer : timers.expired()) timer.data()();
///   }
///
/// Deadlines. A deadline is a time point of Clock, in any representation and precision, or a duration from
/// Clock::now(). It is rounded up to a tick of Clock, so that no timer is early. One that Clock cannot
/// represent becomes time_point::max(), which means never. NaN is errc::invalid_timeout.
///
/// Retired timers. A timer is retired when it is cancelled or cleared, or when a loop over `expired` has
/// reached it and it is not moved back. It has left the queue then, but it and its data stay alive and in
/// place until a loop over `expired` takes its next step (its begin or its ++), or until the queue is
/// destroyed. So a handler may cancel its own timer, or any other, and keep running. Only such a loop frees
/// retired timers: call `expired` in every round of the main loop.
///
/// Data's constructors and destructors may use the queue, except for moving or destroying it; a timer cannot
/// be found before its data exists. If each destructor adds another timer, the queue's destructor does not
/// end. One thread at a time uses a queue.
///
/// Nothing is allocated while there are no more timers, retired ones included, than at some earlier time;
/// `move`, `cancel` and `expired` never allocate. Memory is given back when the queue is destroyed.
///
/// A clock that can be set, such as system_clock: a wait ends at its deadline by that clock, but if the clock
/// is set forward during the wait, that is noticed only when the wait ends. To limit the delay, wait until
/// min(timers.next(), Clock::now() + 60s).
template <class Data, class Clock>
class timer_queue {
  using access = detail::timer_access;
  using store = detail::timer_store<typename Clock::time_point>;
  using record = typename store::record;

  template <class When, class... D>
  static constexpr bool is_noexcept_add = [] {
    const bool is_of_clock = !detail::is_duration<When> || noexcept(Clock::now());
    if constexpr (std::is_void_v<Data>)
      return is_of_clock;
    else
      return is_of_clock && std::is_nothrow_constructible_v<Data, D...>;
  }();

 public:
  using data_type = Data;
  using clock = Clock;
  using duration = typename Clock::duration;
  using time_point = typename Clock::time_point;
  using timer_type = timer<Data, Clock>;
  using id = timer_id<Data, Clock>;
  using iterator = detail::timer_iterator<Data, Clock, false>;
  using const_iterator = detail::timer_iterator<Data, Clock, true>;
  class expired_range;

  timer_queue() noexcept = default;
  /// The timers stay where they are, and their ids name them in this queue. The other one is empty, and can
  /// be used. Ends the loops over `expired` of both, and invalidates the iterators of both.
  timer_queue(timer_queue&& other) noexcept { exchange_with(other); }
  /// What this queue had is retired, and lives on in `other` until that is destroyed or loops over `expired`.
  timer_queue& operator=(timer_queue&& other) noexcept {
    if (this == detail::address_of(other)) return *this;
    exchange_with(other);
    other.clear();
    return *this;
  }
  /// Destroys the data of all timers.
  ~timer_queue() {
    while (!store_.is_vacant()) {  // destructors may add timers
      clear();
      destroy_retired();
    }
  }

  // ---- adding, moving, cancelling -------------------------------------------------------------------------

  /// Adds a timer that is due at `due`; see above. Data is value-initialized. Returns the timer, or null.
  ///
  /// Errors: errc::invalid_timeout; no memory. A call that fails changes nothing. O(log n).
  template <detail::due_for<Clock> When>
    requires(std::is_void_v<Data> || std::is_default_constructible_v<Data>)
  timer_type* add(When due, std::error_code& error) noexcept(is_noexcept_add<When>) {
    return report(try_add(due), error);
  }

  /// The same, with data: a `Data`, or what converts to one; braces make a `Data`. `data` is taken only after
  /// everything else has succeeded. If its constructor throws, the exception propagates, from this form too,
  /// and nothing is added.
  template <detail::due_for<Clock> When, class D = Data>
    requires detail::data_for<D, Data>
  timer_type* add(When due, D&& data, std::error_code& error) noexcept(is_noexcept_add<When, D>) {
    return report(try_add(due, std::forward<D>(data)), error);
  }

#if SELECTORS_EXCEPTIONS
  /// The same two, which throw std::system_error.
  template <detail::due_for<Clock> When>
    requires(std::is_void_v<Data> || std::is_default_constructible_v<Data>)
  timer_type& add(When due) {
    return checked(try_add(due));
  }
  template <detail::due_for<Clock> When, class D = Data>
    requires detail::data_for<D, Data>
  timer_type& add(When due, D&& data) {
    return checked(try_add(due, std::forward<D>(data)));
  }
#endif

  /// Changes the deadline, to an earlier or a later one. Among those that are due at the same time it comes
  /// last, as if it had been added just now. The timer whose turn it is in a loop over `expired` is in the
  /// queue again, with its data and its id; that is how to repeat something. Any other retired timer stays
  /// retired, and NaN changes nothing. Later: O(1). Earlier: O(log n).
  template <detail::due_for<Clock> When>
  void move(timer_type& which, When due) noexcept {
    if (const auto to = detail::to_due<Clock>(due); to.is_valid) [[likely]]
      store_.move(access::record_of(which), to.point);
  }
  /// The same by id. Returns whether it was moved: not if the timer is no longer in the queue, nor to NaN.
  template <detail::due_for<Clock> When>
  bool move(id which, When due) noexcept {
    record* const found = access::find(store_, which);
    if (found == nullptr) return false;
    const auto to = detail::to_due<Clock>(due);
    if (to.is_valid) store_.move(*found, to.point);
    return to.is_valid;
  }

  /// Takes the timer out of the queue: it is retired. Returns it, so that data can be moved out. Does nothing
  /// to one that is retired, or whose turn it is, unless it was moved back in its turn. O(log n).
  timer_type& cancel(timer_type& which) noexcept {
    store_.cancel(access::record_of(which));
    return which;
  }
  /// The same by id. Returns whether it was in the queue.
  bool cancel(id which) noexcept {
    record* const found = access::find(store_, which);
    if (found != nullptr) store_.cancel(*found);
    return found != nullptr;
  }

  /// Cancels all timers. O(n).
  void clear() noexcept { store_.cancel_all(); }

  // ---- what is due ----------------------------------------------------------------------------------------

  /// When the first timer is due: what `select_until` takes. time_point::max(), for which it waits forever,
  /// if there is none, or only timers that are never due. Amortized O(1), and O(log n) for each timer moved
  /// later since. In a loop over `expired`, linear in the timers added there, once after the earliest of
  /// these was cancelled or moved.
  [[nodiscard]] time_point next() const noexcept { return store_.heap().earliest(); }

  /// The timers that are due by `now`, the earliest first, those due at the same time in the order in which
  /// they were added or moved. A view and single-pass std::ranges::input_range of timer_type&. A timer leaves
  /// the queue when the loop reaches it: it is retired then, unless it is moved during its turn, which lasts
  /// until the next step.
  ///
  /// Timers may be added, moved and cancelled meanwhile, the one whose turn it is too. Those cancelled are
  /// skipped. Those added or moved are reported by the next `expired`, even if they are due by `now`: so
  /// every loop ends, and a program that selects in between keeps serving its handles. What the loop does not
  /// reach stays in the queue. The next `expired` ends the loop, as does moving the queue. O(log n) for each
  /// timer reached.
  [[nodiscard]] expired_range expired(time_point now = Clock::now()) noexcept {
    ++epoch_;
    store_.heap().begin_round(now, store_.last_order());
    return expired_range(*this);
  }

  // ---- looking up -----------------------------------------------------------------------------------------

  /// The timer of that id, or null if it is no longer in the queue. O(1).
  [[nodiscard]] timer_type* find(id which) noexcept { return find_in(store_, which); }
  [[nodiscard]] const timer_type* find(id which) const noexcept { return find_in(store_, which); }

  /// How many timers are in the queue.
  [[nodiscard]] std::size_t size() const noexcept { return store_.size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

  /// Forward iterators over the timers, in no order. Adding, moving and cancelling any is allowed meanwhile;
  /// those added may be visited or not. A full iteration is linear in the largest number of timers there ever
  /// was.
  [[nodiscard]] iterator begin() noexcept { return {store_, store_.slots()}; }
  [[nodiscard]] iterator end() noexcept { return {}; }
  [[nodiscard]] const_iterator begin() const noexcept { return {store_, store_.slots()}; }
  [[nodiscard]] const_iterator end() const noexcept { return {}; }

 private:
  // The outcome of adding: the timer, or the failure.
  struct attempt {
    timer_type* added;
    failure failed;
  };

  // Frees the memory if the constructor of the data throws.
  struct rollback {
    store& from;
    record* taken;
    ~rollback() {
      if (taken != nullptr) from.give(*taken);
    }
  };

  template <class When, class... D>
  attempt try_add(When due, D&&... data) {
    const auto at = detail::to_due<Clock>(due);
    if (!at.is_valid) return {nullptr, errc::invalid_timeout};
    record* const taken =
        store_.take({sizeof(timer_type), alignof(timer_type)}, &access::template create<Data, Clock>);
    if (taken == nullptr) return {nullptr, failure::memory()};
    timer_type& added = timer_of(*taken);
    if constexpr (!std::is_void_v<Data>) {
      rollback undo{store_, taken};
      access::construct_data(added, std::forward<D>(data)...);
      undo.taken = nullptr;
    }
    store_.add(*taken, at.point);
    return {detail::address_of(added), {}};
  }

  static timer_type* report(const attempt& done, std::error_code& error) noexcept {
    error = done.failed.code();
    return done.added;
  }

#if SELECTORS_EXCEPTIONS
  static timer_type& checked(const attempt& done) {
    if (done.added == nullptr) [[unlikely]]
      detail::raise(done.failed, "add");
    return *done.added;
  }
#endif

  static timer_type& timer_of(record& r) noexcept { return access::template timer_of<Data, Clock>(r); }
  static timer_type* find_in(const store& all, const id& which) noexcept {
    record* const found = access::find(all, which);
    return found != nullptr ? detail::address_of(timer_of(*found)) : nullptr;
  }

  void exchange_with(timer_queue& other) noexcept {
    std::swap(store_, other.store_);
    ++epoch_;
    ++other.epoch_;
  }

  // Data's destructor may add, move and cancel, and so retire more.
  void destroy_retired() noexcept {
    store_.end_turn();
    while (record* const gone = store_.pop_retired()) {
      access::destroy_data(timer_of(*gone));
      store_.give(*gone);
    }
  }

  // One step of the loop that was started in `epoch`. Null at its end.
  timer_type* step(std::uint64_t epoch) noexcept {
    if (epoch != epoch_) return nullptr;
    destroy_retired();
    if (epoch != epoch_) return nullptr;  // a destructor has started a loop
    record* const reached = store_.reach();
    return reached != nullptr ? detail::address_of(timer_of(*reached)) : nullptr;
  }

  mutable store store_;      // `next` sorts what has been moved later
  std::uint64_t epoch_ = 0;  // of the current loop; not moved with the queue
};

/// What `expired` found. The queue itself keeps the position, so that timers that a loop did not reach stay
/// in it.
template <class Data, class Clock>
class timer_queue<Data, Clock>::expired_range : public std::ranges::view_base {
 public:
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = timer_type;
    using difference_type = std::ptrdiff_t;

    iterator() noexcept = default;

    timer_type& operator*() const noexcept { return *reached_; }
    timer_type* operator->() const noexcept { return reached_; }
    iterator& operator++() noexcept {
      reached_ = from_->step(epoch_);
      return *this;
    }
    void operator++(int) noexcept { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
      return it.reached_ == nullptr;
    }

   private:
    friend class expired_range;
    iterator(timer_queue& from, std::uint64_t epoch) noexcept
        : from_(detail::address_of(from)), epoch_(epoch), reached_(from.step(epoch)) {}

    timer_queue* from_ = nullptr;
    std::uint64_t epoch_ = 0;
    timer_type* reached_ = nullptr;
  };

  /// Reaches the first timer.
  [[nodiscard]] iterator begin() const noexcept {
    return from_ != nullptr ? iterator(*from_, epoch_) : iterator();
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

  /// Whether there is nothing left to reach. Does not reach anything.
  [[nodiscard]] bool empty() const noexcept {
    return from_ == nullptr || epoch_ != from_->epoch_ || from_->store_.heap().first_due() == nullptr;
  }

  expired_range() noexcept = default;

 private:
  friend class timer_queue;
  explicit expired_range(timer_queue& from) noexcept : from_(detail::address_of(from)), epoch_(from.epoch_) {}

  timer_queue* from_ = nullptr;
  std::uint64_t epoch_ = 0;
};

}  // namespace SELECTORS_NAMESPACE
