// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/arguments.hpp>
#include <selectors/backends.hpp>
#include <selectors/config.hpp>
#include <selectors/core/core.hpp>
#include <selectors/core/healing.hpp>
#include <selectors/core/loop.hpp>
#include <selectors/core/registering.hpp>
#include <selectors/core/self_reported.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/detail/timeout.hpp>
#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/key.hpp>
#include <selectors/key_iterator.hpp>
#include <selectors/ready_range.hpp>

#include <cstddef>
#include <system_error>
#include <type_traits>
#include <utility>

namespace SELECTORS_NAMESPACE {

/// Watches handles and reports which of them are ready: Python's `selectors` over one kernel interface, which
/// is chosen by type.
///
/// Each key holds a `Data` of the caller's: a handler, a connection, any object type, or nothing (void).
/// Handles are borrowed: a selector never reads, writes or closes one. One thread at a time uses a selector;
/// other threads reach it through a `wakeup`.
///
/// A call that can fail has two forms: one throws std::system_error, the other reports to a trailing
/// `std::error_code&`, which it clears on success. Errors are checked in this order, and the first that
/// applies is reported: errc::closed or errc::forked; errc::invalid_handle; errc::already_registered or
/// errc::not_registered; errc::invalid_events or errc::invalid_timeout; the kernel's errors, in
/// std::system_category(); std::errc::not_enough_memory. A call that fails changes nothing, with two rare
/// exceptions: if the kernel refuses the former interest, too, the next `select` reports the key once, as an
/// error; and a `select` that cannot replace its kernel object closes the selector. With -fno-exceptions only
/// the second forms exist.
///
/// Data's constructors and destructor may register, modify, unregister and look up. They must not move,
/// assign or destroy the selector, nor `select`, `clear`, `close` or `reopen` it. A key is seen by others
/// only once its data exists.
template <class Data = void, selector_backend Backend = default_backend>
class selector {
  static_assert(std::is_same_v<Data, void> || std::is_object_v<Data>,
                "selectors: Data is an object type or void; for a reference use a pointer");
  static_assert(!std::is_array_v<Data>, "selectors: Data cannot be an array; use std::array or a struct");

  using access = detail::key_access;

 public:
  using data_type = Data;
  using backend_type = Backend;
  using key_type = selector_key<Data>;
  using ready_range = detail::ready_range<Data, Backend>;
  using iterator = detail::key_iterator<key_type>;
  using const_iterator = detail::key_iterator<const key_type>;

  /// Opens the kernel object, close-on-exec. On Windows the first selector of a process calls WSAStartup
  /// once, never WSACleanup; a program that opens sockets before that calls WSAStartup itself.
  ///
  /// Errors: EMFILE, ENFILE or ENOMEM, epoll_create(2), kqueue(2); std::errc::not_enough_memory. The form
  /// with `error` leaves the selector closed then.
  selector()
    requires detail::has_exceptions
      : core_(vtable()) {
    if (const failure failed = core_.open()) detail::raise(failed, "selector");
  }
  /// As above, reporting to `error`.
  explicit selector(std::error_code& error) noexcept : core_(vtable()) { error = core_.open().code(); }

  /// Moves all keys; references to them stay valid. A moved-from selector is closed. Ends a loop over a ready
  /// range.
  selector(selector&&) noexcept = default;
  /// Closes *this first. The keys that it had go to `other`, which keeps them alive, retired, until it is
  /// destroyed, assigned to or reopened.
  selector& operator=(selector&&) noexcept = default;

  /// Closes the selector and destroys the data of all its keys.
  ~selector() = default;

  // ---- registering --------------------------------------------------------------------------------------

  /// Registers `h` for `interest`, with `data`. Returns the new key; the form with `error` returns null on
  /// failure.
  ///
  /// `h` is a native handle, an object that has one, or what points to such an object; it is read before
  /// `data` is touched. `interest` is an event, an event_mask, or these in `edge`, `oneshot` or `exclusive`.
  /// An empty event_mask registers `h` paused: nothing is reported, not even errors. `data` is what converts
  /// to a Data, implicitly; braces make a Data.
  ///
  /// The handle stays registered until `unregister`, even if the descriptor is closed. Regular files,
  /// directories and the like, which epoll and kqueue refuse or treat differently, are always ready for the
  /// `read` and `write` requested.
  ///
  /// Errors, in this order: errc::closed, forked; invalid_handle (negative, or a null pointer);
  /// already_registered; invalid_events; EBADF if `h` is not open or, on Windows, not a socket; with epoll
  /// ENOMEM and ENOSPC, epoll_ctl(2); with kqueue ENOMEM, kevent(2); std::errc::not_enough_memory. `data` is
  /// taken only after everything else has succeeded. If its constructor throws, the exception propagates,
  /// from both forms, and nothing is registered.
  ///
  /// Complexity: amortized O(1), with one system call (kqueue, afd: two).
  template <pollable H, interest_for<Backend> Interest = event_mask, class D = Data>
    requires(detail::has_exceptions && detail::data_for<D, Data>)
  key_type& register_(H&& h, Interest interest, D&& data) {
    const native_handle_type handle = selectors::handle_of(h);
    return checked(try_register(handle, detail::as_interest(interest), std::forward<D>(data)), "register_",
                   handle);
  }
  /// As above, reporting to `error`; returns null on failure.
  template <pollable H, interest_for<Backend> Interest = event_mask, class D = Data>
    requires detail::data_for<D, Data>
  key_type* register_(H&& h, Interest interest, D&& data,
                      std::error_code& error) noexcept(detail::is_noexcept_handle<H>() &&
                                                       detail::is_noexcept_data<Data, D>()) {
    const native_handle_type handle = selectors::handle_of(h);
    return report(try_register(handle, detail::as_interest(interest), std::forward<D>(data)), error);
  }

  /// Registers `h` for `interest`. Data is value-initialized. Otherwise as `register_(h, interest, data)`:
  /// the same errors in the same order, the same complexity.
  template <pollable H, interest_for<Backend> Interest = event_mask>
    requires(detail::has_exceptions && detail::data_by_default<Data>)
  key_type& register_(H&& h, Interest interest) {
    const native_handle_type handle = selectors::handle_of(h);
    return checked(try_register(handle, detail::as_interest(interest)), "register_", handle);
  }
  /// As above, reporting to `error`; returns null on failure.
  template <pollable H, interest_for<Backend> Interest = event_mask>
    requires detail::data_by_default<Data>
  key_type* register_(H&& h, Interest interest,
                      std::error_code& error) noexcept(detail::is_noexcept_handle<H>() &&
                                                       detail::is_noexcept_data<Data, void>()) {
    return report(try_register(selectors::handle_of(h), detail::as_interest(interest)), error);
  }

  /// Registers the handle of `data` itself, which is read before `data` is moved. Otherwise as
  /// `register_(h, interest, data)`: the same errors in the same order, the same complexity.
  template <interest_for<Backend> Interest, class D = Data>
    requires(detail::has_exceptions && pollable<D> && detail::data_for<D, Data>)
  key_type& register_(Interest interest, D&& data) {
    const native_handle_type handle = selectors::handle_of(data);
    return checked(try_register(handle, detail::as_interest(interest), std::forward<D>(data)), "register_",
                   handle);
  }
  /// As above, reporting to `error`; returns null on failure.
  template <interest_for<Backend> Interest, class D = Data>
    requires(pollable<D> && detail::data_for<D, Data>)
  key_type* register_(Interest interest, D&& data,
                      std::error_code& error) noexcept(detail::is_noexcept_handle<D>() &&
                                                       detail::is_noexcept_data<Data, D>()) {
    const native_handle_type handle = selectors::handle_of(data);
    return report(try_register(handle, detail::as_interest(interest), std::forward<D>(data)), error);
  }

  /// Replaces the interest of `h`, a handle or a key, and keeps the data. Returns the key; the form with
  /// `error` returns null on failure.
  ///
  /// Repeating the current level-triggered interest costs no system call. Any other call re-arms the key: if
  /// it is edge-triggered, a one-shot that fired, or was reported as an error because the kernel does not
  /// watch it any more, readiness that is there is reported again. An empty event_mask pauses, and never
  /// fails for a registered key. A key names its own registration: once that is gone it is not_registered,
  /// even if its number is in use again.
  ///
  /// Errors, in this order: errc::closed, forked; invalid_handle; not_registered; invalid_events; with epoll
  /// and kqueue ENOMEM, and EBADF or ENOENT if the descriptor was closed, epoll_ctl(2), kevent(2).
  ///
  /// Complexity: O(1), with at most one system call (two if exclusive; none with poll and select, apart from
  /// poll on macOS and select on the BSDs).
  template <class H, interest_for<Backend> Interest = event_mask>
    requires(detail::has_exceptions && detail::handle_or_key<H, key_type>)
  key_type& modify(H&& h, Interest interest) {
    const detail::lookup which = look_up(h);
    if (const failure failed = core_.modify(which, detail::as_interest(interest))) [[unlikely]]
      detail::raise(failed, "modify", which.handle);
    return key_of(*which.key_record);
  }
  /// As above, reporting to `error`; returns null on failure.
  template <class H, interest_for<Backend> Interest = event_mask>
    requires detail::handle_or_key<H, key_type>
  key_type* modify(H&& h, Interest interest,
                   std::error_code& error) noexcept(detail::is_noexcept_handle<H>()) {
    const detail::lookup which = look_up(h);
    return report(core_.modify(which, detail::as_interest(interest)), which, error);
  }

  /// Registers `h` with `data` if it is not registered. If it is, makes the kernel watch whatever file the
  /// number names now, for `interest`: the key and its data stay, `data` is not touched (as in
  /// std::map::try_emplace), and what was pending of an earlier file is dropped. Returns the key; the form
  /// with `error` returns null on failure.
  ///
  /// For descriptors of libraries, such as libpq and libcurl, that may close one and open another on the same
  /// number unnoticed. An empty event_mask pauses, and never fails for a registered key.
  ///
  /// Errors: those of `register_` without already_registered, in the same order; not_registered if `h` is a
  /// key whose registration is gone.
  ///
  /// Complexity: amortized O(1), with one or two system calls.
  template <class H, interest_for<Backend> Interest = event_mask, class D = Data>
    requires(detail::has_exceptions && detail::handle_or_key<H, key_type> && detail::data_for<D, Data>)
  key_type& watch(H&& h, Interest interest, D&& data) {
    const detail::lookup which = look_up(h);
    return checked(try_watch<H>(which, detail::as_interest(interest), std::forward<D>(data)), "watch",
                   which.handle);
  }
  /// As above, reporting to `error`; returns null on failure.
  template <class H, interest_for<Backend> Interest = event_mask, class D = Data>
    requires(detail::handle_or_key<H, key_type> && detail::data_for<D, Data>)
  key_type* watch(H&& h, Interest interest, D&& data,
                  std::error_code& error) noexcept(detail::is_noexcept_handle<H>() &&
                                                   detail::is_noexcept_data<Data, D>()) {
    return report(try_watch<H>(look_up(h), detail::as_interest(interest), std::forward<D>(data)), error);
  }

  /// Watches what the number of `h` means now. The Data of a new key is value-initialized. Otherwise as
  /// `watch(h, interest, data)`: the same errors in the same order, the same complexity.
  template <class H, interest_for<Backend> Interest = event_mask>
    requires(detail::has_exceptions && detail::handle_or_key<H, key_type> &&
             (!pollable<H> || detail::data_by_default<Data>))
  key_type& watch(H&& h, Interest interest) {
    const detail::lookup which = look_up(h);
    return checked(try_watch<H>(which, detail::as_interest(interest)), "watch", which.handle);
  }
  /// As above, reporting to `error`; returns null on failure.
  template <class H, interest_for<Backend> Interest = event_mask>
    requires(detail::handle_or_key<H, key_type> && (!pollable<H> || detail::data_by_default<Data>))
  key_type* watch(H&& h, Interest interest,
                  std::error_code& error) noexcept(detail::is_noexcept_handle<H>() &&
                                                   (!pollable<H> || detail::is_noexcept_data<Data, void>())) {
    return report(try_watch<H>(look_up(h), detail::as_interest(interest)), error);
  }

  /// Unregisters `h`, a handle or a key, whether the descriptor is open or closed. Returns the key, which is
  /// retired: it and its data stay valid until the next `select` or `reopen`, which destroys them first, or
  /// until the selector is destroyed. So a handler may unregister its own key and keep running, and data can
  /// be moved out. The form with `error` returns null on failure.
  ///
  /// Errors, in this order: errc::closed; invalid_handle; not_registered.
  ///
  /// Complexity: O(1), with one system call (none with poll and select).
  template <class H>
    requires(detail::has_exceptions && detail::handle_or_key<H, key_type>)
  key_type& unregister(H&& h) {
    const detail::lookup which = look_up(h);
    if (const failure failed = core_.remove(which)) [[unlikely]]
      detail::raise(failed, "unregister", which.handle);
    return key_of(*which.key_record);
  }
  /// As above, reporting to `error`; returns null on failure.
  template <class H>
    requires detail::handle_or_key<H, key_type>
  key_type* unregister(H&& h, std::error_code& error) noexcept(detail::is_noexcept_handle<H>()) {
    const detail::lookup which = look_up(h);
    return report(core_.remove(which), which, error);
  }

  /// Makes the next `select` report `events` of `h`, a handle or a key, together with what the kernel reports
  /// of it, and return without waiting: once, and only those that the key requests when the loop reaches it.
  /// For what is ready above the descriptor: bytes that a TLS layer has read already, or a budget that was
  /// used up. The form with `error` returns whether it succeeded.
  ///
  /// Errors, in this order: errc::closed, forked; invalid_handle; not_registered; invalid_events for what
  /// cannot be requested. An empty mask does nothing.
  ///
  /// Complexity: O(1), without allocation or system call; one system call at most once `native_handle` has
  /// been called.
  template <class H>
    requires(detail::has_exceptions && detail::handle_or_key<H, key_type>)
  void mark_ready(H&& h, event_mask events) {
    const detail::lookup which = look_up(h);
    if (const failure failed = core_.mark_ready(which, events)) [[unlikely]]
      detail::raise(failed, "mark_ready", which.handle);
  }
  /// As above, reporting to `error`; returns whether it succeeded.
  template <class H>
    requires detail::handle_or_key<H, key_type>
  bool mark_ready(H&& h, event_mask events,
                  std::error_code& error) noexcept(detail::is_noexcept_handle<H>()) {
    const failure failed = core_.mark_ready(look_up(h), events);
    error = failed.code();
    return !failed;
  }

  // ---- waiting ------------------------------------------------------------------------------------------

  /// Waits until a registered handle is ready. Returns every ready handle once, with all its events; empty
  /// after a signal, which the range's `interrupted()` reports. The form with `error` returns an empty range
  /// on failure.
  ///
  /// Entries are filtered when the loop reaches them: an unregistered or paused key is skipped, and a
  /// modified key reports only what it now requests. Unreached entries are reported by the next select,
  /// before all else. A new select, clear, close, reopen or move ends the loop.
  ///
  /// Errors, in this order: errc::closed, forked; invalid_timeout; EINVAL from poll(2) above RLIMIT_NOFILE;
  /// ENOMEM from any backend; with epoll the error of a kernel object that had to be replaced and could not
  /// be (EMFILE, ENFILE, ENOMEM): the selector is closed then.
  ///
  /// Complexity: linear in what is ready (epoll, kqueue, afd), in what is registered (poll; select on
  /// Windows), or in the highest registered handle (select).
  SELECTORS_ALWAYS_INLINE ready_range select()
    requires detail::has_exceptions
  {
    return checked(core_.select(detail::forever), "select");
  }
  /// As above, reporting to `error`.
  ready_range select(std::error_code& error) noexcept { return report(core_.select(detail::forever), error); }

  /// Returns as soon as a handle is ready or a signal has arrived, otherwise when `timeout` has passed, never
  /// earlier; zero or negative does not wait. Enormous durations are forever; NaN is errc::invalid_timeout.
  /// Waits have nanoseconds where the kernel has them; elsewhere timeouts are rounded up. Otherwise as
  /// `select()`: the same errors in the same order, the same complexity.
  template <class Rep, class Period>
    requires detail::has_exceptions
  ready_range select(std::chrono::duration<Rep, Period> timeout) {
    return checked(wait_for(detail::to_nanoseconds(timeout)), "select");
  }
  /// As above, reporting to `error`.
  template <class Rep, class Period>
  ready_range select(std::chrono::duration<Rep, Period> timeout, std::error_code& error) noexcept {
    return report(wait_for(detail::to_nanoseconds(timeout)), error);
  }

  /// Waits until `Clock::now()` has reached `until`: it returns an empty range earlier only after a signal.
  /// Any clock, epoch, period and representation. If the clock is set back, the wait grows; a clock that is
  /// set forward is noticed when the wait ends. Otherwise as `select()`: the same errors in the same order,
  /// the same complexity.
  template <class Clock, class Duration>
    requires detail::has_exceptions
  ready_range select_until(std::chrono::time_point<Clock, Duration> until) {
    return checked(wait_until(until), "select_until");
  }
  /// As above, reporting to `error`.
  template <class Clock, class Duration>
  ready_range select_until(std::chrono::time_point<Clock, Duration> until,
                           std::error_code& error) noexcept(noexcept(Clock::now())) {
    return report(wait_until(until), error);
  }

  // ---- looking up ---------------------------------------------------------------------------------------

  /// The key of `h`, a handle or a key; null if it is not registered. O(1).
  template <class H>
    requires detail::handle_or_key<H, key_type>
  [[nodiscard]] key_type* find(H&& h) noexcept {
    const detail::lookup which = look_up(h);
    return which.key_record != nullptr ? pointer_to(*which.key_record) : nullptr;
  }
  /// As above, of a constant selector.
  template <class H>
    requires detail::handle_or_key<H, key_type>
  [[nodiscard]] const key_type* find(H&& h) const noexcept {
    const detail::lookup which = look_up(h);
    return which.key_record != nullptr ? pointer_to(*which.key_record) : nullptr;
  }

  /// The key of `h`, a handle or a key; throws errc::not_registered if it is not registered. O(1).
  template <class H>
    requires(detail::has_exceptions && detail::handle_or_key<H, key_type>)
  [[nodiscard]] key_type& at(H&& h) {
    return key_of(registered_at(look_up(h)));
  }
  /// As above, of a constant selector.
  template <class H>
    requires(detail::has_exceptions && detail::handle_or_key<H, key_type>)
  [[nodiscard]] const key_type& at(H&& h) const {
    return key_of(registered_at(look_up(h)));
  }

  /// Whether `h`, a handle or a key, is registered. O(1).
  template <class H>
    requires detail::handle_or_key<H, key_type>
  [[nodiscard]] bool contains(H&& h) const noexcept {
    return look_up(h).key_record != nullptr;
  }

  /// The number of registered keys. O(1).
  [[nodiscard]] std::size_t size() const noexcept { return core_.size(); }
  /// Whether no key is registered. O(1).
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

  /// Forward iterators over the registered keys, in the order of their handles; on Windows in no order. Any
  /// key may be modified or unregistered meanwhile. A full iteration is linear in the highest handle ever
  /// registered; on Windows in the largest number of keys there ever was.
  [[nodiscard]] iterator begin() noexcept { return {core_.keys(), 0}; }
  /// Behind the last key.
  [[nodiscard]] iterator end() noexcept { return {}; }
  /// As above, of a constant selector.
  [[nodiscard]] const_iterator begin() const noexcept { return {core_.keys(), 0}; }
  /// As above, of a constant selector.
  [[nodiscard]] const_iterator end() const noexcept { return {}; }

  // ---- the whole ----------------------------------------------------------------------------------------

  /// Unregisters all keys, which are retired as by `unregister`. Linear in the highest handle ever
  /// registered.
  void clear() noexcept { core_.clear(); }

  /// Unregisters all keys, which are retired as by `unregister` and live until `reopen` or the destructor,
  /// and closes the kernel object. Afterwards only reopen has an effect; look-ups find nothing.
  void close() noexcept { core_.close(); }
  /// Whether the selector has been opened and not closed since.
  [[nodiscard]] bool is_open() const noexcept { return core_.is_open(); }

  /// Replaces the kernel object, on the same number if possible, and watches all keys by the fresh one. Call
  /// it in a child after fork(2), for example. What was armed is armed again; a key that the kernel refuses
  /// now is reported once, as an error, by the next select. A closed selector is opened, empty. Retired keys
  /// are destroyed.
  ///
  /// Errors: those of the constructor; the selector is as it was then.
  ///
  /// Complexity: linear in the highest handle ever registered, with a system call for each key (none with
  /// poll and select).
  void reopen()
    requires detail::has_exceptions
  {
    if (const failure failed = core_.reopen()) detail::raise(failed, "reopen");
  }
  /// As above, reporting to `error`.
  void reopen(std::error_code& error) noexcept { error = core_.reopen().code(); }

  /// A descriptor that is readable whenever `select(0s)` would report something, so that selectors nest and
  /// other loops can watch this one; the same through `reopen`. Whoever watches it edge-triggered calls
  /// `select(0s)` until that is empty, as with every edge. Exists only where the backend has one (epoll,
  /// kqueue). The invalid handle, -1, when the selector is closed, or when the first call cannot open what it
  /// needs (EMFILE, ENFILE, ENOMEM).
  [[nodiscard]] native_handle_type native_handle() const noexcept
    requires detail::has_native_handle_v<Backend>
  {
    failure ignored;
    return core_.native_handle(ignored);
  }
  /// As above, reporting to `error` why it is the invalid handle.
  [[nodiscard]] native_handle_type native_handle(std::error_code& error) const noexcept
    requires detail::has_native_handle_v<Backend>
  {
    failure failed;
    const native_handle_type handle = core_.native_handle(failed);
    error = failed.code();
    return handle;
  }

  /// The backend, for its extra members, such as those of `counting`. The members that the selector_backend
  /// concept names are called by the selector only.
  [[nodiscard]] Backend& backend() noexcept { return core_.backend(); }
  /// As above, of a constant selector.
  [[nodiscard]] const Backend& backend() const noexcept { return core_.backend(); }

  // ---- wrong calls: the name of a type in each of these is the compiler's message, see arguments.hpp ------

 private:
  template <class Key>
  using not_a_handle = detail::a_handle_is_a_native_handle_type_or_has_native_handle_or_fileno<Key>;
  using not_an_interest = detail::the_backend_does_not_support_this_interest<Backend>;
  template <class... Rest>
  using wrong_rest = typename detail::rest_of_call<Data, Rest...>::problem;
  using const_selector = detail::a_const_selector_cannot_be_changed;

 public:
  template <class... Rest>
  void register_(not_a_handle<void>, Rest&&...);
  template <pollable H, class... Rest>
  void register_(H&&, not_an_interest, Rest&&...);
  template <pollable H, class... Rest>
    requires(!detail::rest_of_call<Data, Rest...>::is_right)
  void register_(H&&, wrong_rest<Rest...>, Rest&&...);
  template <interest_for<Backend> Interest, class... Error>
  void register_(Interest, detail::the_data_has_no_handle_or_does_not_convert_to_the_data_of_the_selector,
                 Error&...);
  template <pollable H, class... Rest>
  void register_(H&&, const_selector, Rest&&...) const;

  template <class... Rest>
  void modify(not_a_handle<key_type>, Rest&&...);
  template <detail::handle_or_key<key_type> H, class... Rest>
  void modify(H&&, not_an_interest, Rest&&...);
  template <detail::handle_or_key<key_type> H, class... Rest>
  void modify(H&&, const_selector, Rest&&...) const;

  template <class... Rest>
  void watch(not_a_handle<key_type>, Rest&&...);
  template <detail::handle_or_key<key_type> H, class... Rest>
  void watch(H&&, not_an_interest, Rest&&...);
  template <pollable H, class... Rest>
    requires(!detail::rest_of_call<Data, Rest...>::is_right)
  void watch(H&&, wrong_rest<Rest...>, Rest&&...);
  template <detail::handle_or_key<key_type> H, class... Rest>
  void watch(H&&, const_selector, Rest&&...) const;

  template <class... Rest>
  void unregister(not_a_handle<key_type>, Rest&&...);
  template <class... Rest>
  void unregister(const_selector, Rest&&...) const;

  template <class... Rest>
  void mark_ready(not_a_handle<key_type>, event_mask, Rest&&...);
  template <class... Rest>
  void mark_ready(const_selector, event_mask, Rest&&...) const;

  void find(not_a_handle<key_type>) const;
  void at(not_a_handle<key_type>) const;
  void contains(not_a_handle<key_type>) const;

 private:
  static const detail::key_vtable& vtable() noexcept {
    static constexpr detail::key_vtable type{
        {sizeof(key_type), alignof(key_type)},
        &access::template create<key_type>,
        &access::template destroy_data<key_type>,
        !std::is_void_v<Data> && !std::is_trivially_destructible_v<Data>};
    return type;
  }

  static key_type& key_of(detail::record& r) noexcept { return access::template key_of<key_type>(r); }
  static key_type* pointer_to(detail::record& r) noexcept { return access::template pointer_to<key_type>(r); }

  template <class H>
  detail::lookup look_up(H& h) const noexcept(detail::is_noexcept_handle<H&>()) {
    if constexpr (pollable<H&>) {
      const native_handle_type handle = selectors::handle_of(h);
      return {handle, core_.keys().find(handle)};
    } else {
      detail::record* const found = core_.keys().find(h.handle());
      return {h.handle(), found == &access::record_of(h) ? found : nullptr};
    }
  }

  static detail::record& registered_at(const detail::lookup& which) {
    if (which.key_record == nullptr) [[unlikely]]
      detail::raise(errc::not_registered, "at", which.handle);
    return *which.key_record;
  }

  // The outcome of a registration: the key, or why there is none.
  struct registered {
    key_type* key = nullptr;
    failure failed;
  };

  // Removes the registration if the constructor of its data throws.
  struct rollback {
    detail::core<Backend>& core;
    detail::record* added;
    ~rollback() {
      if (added != nullptr) core.withdraw(*added);
    }
  };

  // Adds the handle, then constructs the data; only then can the key be found.
  template <class... D>
  registered try_register(native_handle_type handle, any_interest interest, D&&... data) {
    detail::record* added = nullptr;
    if (const failure failed = core_.add(handle, interest, added)) return {nullptr, failed};
    if constexpr (!std::is_void_v<Data>) {
      rollback undo{core_, added};
      access::construct_data(key_of(*added), std::forward<D>(data)...);
      undo.added = nullptr;
    }
    const failure failed = core_.publish(*added);
    return {failed ? nullptr : pointer_to(*added), failed};
  }

  template <class H, class... D>
  registered try_watch(const detail::lookup& which, any_interest interest, D&&... data) {
    if constexpr (pollable<H>)
      if (which.key_record == nullptr) return try_register(which.handle, interest, std::forward<D>(data)...);
    if (const failure failed = core_.watch(which, interest)) return {nullptr, failed};
    return {pointer_to(*which.key_record), {}};
  }

  static key_type* report(const registered& done, std::error_code& error) noexcept {
    error = done.failed.code();
    return done.key;
  }
  static key_type* report(failure failed, const detail::lookup& which, std::error_code& error) noexcept {
    error = failed.code();
    return failed ? nullptr : pointer_to(*which.key_record);
  }
  ready_range report(const detail::selected& found, std::error_code& error) noexcept {
    const bool failed = found.result == detail::outcome::failed;
    error = failed ? core_.why().code() : std::error_code();
    return failed ? ready_range() : ready_range(core_, found);
  }

  static key_type& checked(const registered& done, const char* call, native_handle_type handle) {
    if (done.key == nullptr) [[unlikely]]
      detail::raise(done.failed, call, handle);
    return *done.key;
  }
  SELECTORS_ALWAYS_INLINE ready_range checked(const detail::selected& found, const char* call) {
    if (found.result == detail::outcome::failed) [[unlikely]]
      detail::raise(core_.why(), call);
    return ready_range(core_, found);
  }

  detail::selected wait_for(std::chrono::nanoseconds timeout) noexcept {
    if (timeout == detail::not_a_time) [[unlikely]]
      return core_.refuse_timeout();
    return core_.select_for(timeout < std::chrono::nanoseconds::zero() ? std::chrono::nanoseconds::zero()
                                                                       : timeout);
  }

  template <class Clock, class Duration>
  detail::selected wait_until(std::chrono::time_point<Clock, Duration> until) {
    std::chrono::nanoseconds left = detail::remaining(until, Clock::now());
    for (;;) {
      const detail::selected found = wait_for(left);
      if (found.result != detail::outcome::timed_out) return found;
      left = detail::remaining(until, Clock::now());
      if (left == std::chrono::nanoseconds::zero()) return found;
    }
  }

  detail::core<Backend> core_;
};

template <class Data = void>
using default_selector = selector<Data>;

#if SELECTORS_HAS_EPOLL
template <class Data = void>
using epoll_selector = selector<Data, epoll_backend>;
#endif
#if SELECTORS_HAS_KQUEUE
template <class Data = void>
using kqueue_selector = selector<Data, kqueue_backend>;
#endif
#if SELECTORS_HAS_POLL
template <class Data = void>
using poll_selector = selector<Data, poll_backend>;
#endif
#if SELECTORS_HAS_SELECT
template <class Data = void>
using select_selector = selector<Data, select_backend>;
#endif

}  // namespace SELECTORS_NAMESPACE
