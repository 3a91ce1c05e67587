// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backends.hpp>
#include <selectors/config.hpp>
#include <selectors/core/core.hpp>
#include <selectors/core/healing.hpp>
#include <selectors/core/loop.hpp>
#include <selectors/core/registering.hpp>
#include <selectors/core/self_reported.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/detail/timeout.hpp>
#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/key.hpp>
#include <selectors/key_iterator.hpp>
#include <selectors/ready_range.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <system_error>
#include <type_traits>
#include <utility>

namespace selectors {

namespace detail {

// `modify`, `unregister` and the look-ups take a handle, or a key, which names its registration and no later
// one.
template <class H, class Key>
concept handle_or_key = pollable<H> || std::same_as<std::remove_cvref_t<H>, Key>;

template <class H>
constexpr bool is_noexcept_handle() noexcept {
  if constexpr (pollable<H>) return handle_of_is_noexcept<H>();
  return true;
}

// What may be given as data: nothing but a Data converts to it; an error_code is always the place for the
// error.
template <class D, class Data>
concept data_for = !std::is_void_v<Data> && !std::same_as<std::remove_cvref_t<D>, std::error_code> &&
                   std::convertible_to<D, Data>;

template <class Data, class D>
constexpr bool is_noexcept_data() noexcept {
  if constexpr (std::is_void_v<D> || std::is_void_v<Data>)
    return std::is_void_v<Data> || std::is_nothrow_default_constructible_v<Data>;
  else
    return std::is_nothrow_constructible_v<Data, D>;
}

}  // namespace detail

/// Watches handles, and tells which of them are ready: Python's `selectors`, over one kernel interface,
/// chosen by type.
///
/// Each key holds a `Data` of the caller's: a handler, a connection, anything, or nothing (void). Handles are
/// borrowed: a selector never reads, writes or closes one. One thread at a time uses a selector; a `wakeup`
/// is how others reach it.
///
/// Each call that can fail has two forms: one throws std::system_error, the other reports to a trailing
/// `std::error_code&`, which it clears on success, and returns null or an empty range on failure. What is
/// wrong is looked for in this order: errc::closed or errc::forked; errc::invalid_handle;
/// errc::already_registered or errc::not_registered; errc::invalid_events or errc::invalid_timeout; the
/// kernel's errors, in std::system_category(); std::errc::not_enough_memory. A call that fails changes
/// nothing.
template <class Data = void, selector_backend Backend = default_backend>
class selector {
  using access = detail::key_access;

 public:
  using data_type = Data;
  using backend_type = Backend;
  using key_type = selector_key<Data>;
  using ready_range = detail::ready_range<Data, Backend>;
  using iterator = detail::key_iterator<key_type>;
  using const_iterator = detail::key_iterator<const key_type>;

  /// Opens the kernel object, close-on-exec. On failure (EMFILE, ENFILE, ENOMEM) the selector is closed. On Windows the
  /// first selector of a process starts Winsock, for good; a program that opens sockets before calls WSAStartup itself.
  explicit selector(std::error_code& error) noexcept : core_(node()) { error = core_.open().code(); }

  /// The keys move along and stay where they are. A moved-from selector is closed.
  selector(selector&&) noexcept = default;
  /// Closes this selector first. What it held, retired keys too, lives on in `other` until that is destroyed,
  /// assigned to or reopened.
  selector& operator=(selector&&) noexcept = default;

  /// Closes the selector and destroys the data of all its keys.
  ~selector() = default;

  // ---- registering --------------------------------------------------------------------------------------

  /// Registers `h` for `what`. `Data` is value-initialized. Returns the key, or null.
  ///
  /// A handle is registered once, until `unregister`, whatever becomes of its descriptor. An empty event_mask
  /// registers it paused: nothing is reported, not even errors. Regular files, directories and the like,
  /// which epoll and kqueue refuse or treat otherwise, are always ready for the `read` and `write` asked for.
  ///
  /// Errors: errc::closed, forked, invalid_handle, already_registered, invalid_events; EBADF if `h` is not
  /// open, or on Windows no socket; with epoll also ENOMEM and ENOSPC, epoll_ctl(2), with kqueue
  /// ENOMEM, kevent(2); no memory. One system call (kqueue, afd: two). Amortized O(1).
  template <pollable H, interest_for<Backend> What = event_mask>
    requires(std::is_void_v<Data> || std::is_default_constructible_v<Data>)
  key_type* register_(H&& h, What what,
                      std::error_code& error) noexcept(detail::is_noexcept_handle<H>() &&
                                                       detail::is_noexcept_data<Data, void>()) {
    return report(try_register(handle_of(h), detail::as_interest(what)), error);
  }

  /// The same, with data: a `Data`, or what converts to one; braces make a `Data`. It is taken last, when
  /// nothing else can fail. What its constructor throws comes through, from this form too, and nothing is
  /// registered.
  template <pollable H, interest_for<Backend> What = event_mask, class D = Data>
    requires detail::data_for<D, Data>
  key_type* register_(H&& h, What what, D&& data,
                      std::error_code& error) noexcept(detail::is_noexcept_handle<H>() &&
                                                       detail::is_noexcept_data<Data, D>()) {
    return report(try_register(handle_of(h), detail::as_interest(what), std::forward<D>(data)), error);
  }

  /// The same for data that has a handle itself, which is read before the data is moved.
  template <interest_for<Backend> What, class D = Data>
    requires(pollable<D> && detail::data_for<D, Data>)
  key_type* register_(What what, D&& data,
                      std::error_code& error) noexcept(detail::is_noexcept_handle<D>() &&
                                                       detail::is_noexcept_data<Data, D>()) {
    const native_handle_type handle = handle_of(data);
    return report(try_register(handle, detail::as_interest(what), std::forward<D>(data)), error);
  }

  /// Asks for `what` from now on, instead; the data stays. Asking for the level-triggered interest that is in
  /// force makes no system call. Otherwise edge, one-shot and silenced registrations are armed again:
  /// readiness that is there is reported again. An empty event_mask pauses, and never fails. Returns the key,
  /// or null.
  ///
  /// Errors: errc::closed, forked, invalid_handle, not_registered, invalid_events; with epoll and kqueue also
  /// ENOMEM, and EBADF or ENOENT if the descriptor was closed, epoll_ctl(2), kevent(2). At most one system call with
  /// these (two if exclusive), none with poll and select. O(1).
  template <class H, interest_for<Backend> What = event_mask>
    requires detail::handle_or_key<H, key_type>
  key_type* modify(H&& h, What what, std::error_code& error) noexcept(detail::is_noexcept_handle<H>()) {
    const detail::lookup which = look_up(h);
    return report(core_.modify(which, detail::as_interest(what)), which, error);
  }

  /// Forgets a handle, open or closed. Returns the key, now retired: it and its data stay alive and in place
  /// until the next `select` or `reopen`, which destroys them first, or until the selector's destruction; so
  /// a handler may unregister itself and run on, and data can be moved out.
  ///
  /// Errors: errc::closed, invalid_handle, not_registered. One system call with epoll and kqueue, none
  /// with poll and select. O(1).
  template <class H>
    requires detail::handle_or_key<H, key_type>
  key_type* unregister(H&& h, std::error_code& error) noexcept(detail::is_noexcept_handle<H>()) {
    const detail::lookup which = look_up(h);
    return report(core_.remove(which), which, error);
  }

  // ---- waiting ------------------------------------------------------------------------------------------

  /// Waits until something that was asked for is ready, and returns all that is: each handle once, with all
  /// its events. Empty when a signal arrived. Until a key is reached, what it reports follows what is asked
  /// of it: unregistered or paused meanwhile it is skipped, modified it is cut to that. What the loop does
  /// not reach the next select reports again. The next select ends the loop, as do `clear`, `close`, `reopen`
  /// and a move.
  ///
  /// Errors: errc::closed, forked; poll(2) tells EINVAL for more handles than RLIMIT_NOFILE allows; all of
  /// them ENOMEM. Linear in what is ready (epoll, kqueue, afd), in what is registered (poll, and select on
  /// Windows), or in the highest handle registered (select).
  ready_range select(std::error_code& error) noexcept { return report(core_.select(detail::forever), error); }

  /// The same, for at most `timeout`, and never for less unless a signal arrived; zero or less reports what
  /// is ready now. Enormous durations are for ever; NaN is errc::invalid_timeout. Nanoseconds, where the
  /// kernel has them.
  template <class Rep, class Period>
  ready_range select(std::chrono::duration<Rep, Period> timeout, std::error_code& error) noexcept {
    return report(wait_for(detail::to_nanoseconds(timeout)), error);
  }

  /// The same, until `Clock::now()` has reached `until`. A clock that is set back makes it wait on.
  template <class Clock, class Duration>
  ready_range select_until(std::chrono::time_point<Clock, Duration> until,
                           std::error_code& error) noexcept(noexcept(Clock::now())) {
    return report(wait_until(until), error);
  }

#if SELECTORS_EXCEPTIONS
  // ---- the forms that throw -----------------------------------------------------------------------------

  selector() : core_(node()) {
    if (const failure failed = core_.open()) detail::raise(failed, "selector");
  }

  template <pollable H, interest_for<Backend> What = event_mask>
    requires(std::is_void_v<Data> || std::is_default_constructible_v<Data>)
  key_type& register_(H&& h, What what) {
    const native_handle_type handle = handle_of(h);
    return checked(try_register(handle, detail::as_interest(what)), handle);
  }

  template <pollable H, interest_for<Backend> What = event_mask, class D = Data>
    requires detail::data_for<D, Data>
  key_type& register_(H&& h, What what, D&& data) {
    const native_handle_type handle = handle_of(h);
    return checked(try_register(handle, detail::as_interest(what), std::forward<D>(data)), handle);
  }

  template <interest_for<Backend> What, class D = Data>
    requires(pollable<D> && detail::data_for<D, Data>)
  key_type& register_(What what, D&& data) {
    const native_handle_type handle = handle_of(data);
    return checked(try_register(handle, detail::as_interest(what), std::forward<D>(data)), handle);
  }

  template <class H, interest_for<Backend> What = event_mask>
    requires detail::handle_or_key<H, key_type>
  key_type& modify(H&& h, What what) {
    const detail::lookup which = look_up(h);
    if (const failure failed = core_.modify(which, detail::as_interest(what))) [[unlikely]]
      detail::raise(failed, "modify", which.handle);
    return key_of(*which.key_record);
  }

  template <class H>
    requires detail::handle_or_key<H, key_type>
  key_type& unregister(H&& h) {
    const detail::lookup which = look_up(h);
    if (const failure failed = core_.remove(which)) [[unlikely]]
      detail::raise(failed, "unregister", which.handle);
    return key_of(*which.key_record);
  }

  SELECTORS_ALWAYS_INLINE ready_range select() { return checked(core_.select(detail::forever), "select"); }

  template <class Rep, class Period>
  ready_range select(std::chrono::duration<Rep, Period> timeout) {
    return checked(wait_for(detail::to_nanoseconds(timeout)), "select");
  }

  template <class Clock, class Duration>
  ready_range select_until(std::chrono::time_point<Clock, Duration> until) {
    return checked(wait_until(until), "select_until");
  }

  void reopen() {
    if (const failure failed = core_.reopen()) detail::raise(failed, "reopen");
  }

  /// The key of a registered handle; errc::not_registered is thrown for others. O(1).
  template <class H>
    requires detail::handle_or_key<H, key_type>
  [[nodiscard]] key_type& at(H&& h) {
    return const_cast<key_type&>(std::as_const(*this).at(h));
  }
  template <class H>
    requires detail::handle_or_key<H, key_type>
  [[nodiscard]] const key_type& at(H&& h) const {
    const detail::lookup which = look_up(h);
    if (which.key_record == nullptr) detail::raise(errc::not_registered, "at", which.handle);
    return key_of(*which.key_record);
  }
#endif

  // ---- looking up ---------------------------------------------------------------------------------------

  /// The key of a registered handle, or null. O(1).
  template <class H>
    requires detail::handle_or_key<H, key_type>
  [[nodiscard]] key_type* find(H&& h) noexcept {
    const detail::lookup which = look_up(h);
    return which.key_record != nullptr ? &key_of(*which.key_record) : nullptr;
  }
  template <class H>
    requires detail::handle_or_key<H, key_type>
  [[nodiscard]] const key_type* find(H&& h) const noexcept {
    const detail::lookup which = look_up(h);
    return which.key_record != nullptr ? &key_of(*which.key_record) : nullptr;
  }

  template <class H>
    requires detail::handle_or_key<H, key_type>
  [[nodiscard]] bool contains(H&& h) const noexcept {
    return look_up(h).key_record != nullptr;
  }

  /// How many keys are registered.
  [[nodiscard]] std::size_t size() const noexcept { return core_.size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

  /// Forward iterators over the registered keys, in the order of their handles; on Windows in no order. Unregistering
  /// any of them and modifying is allowed meanwhile. Going over all is linear in the highest handle ever registered; on
  /// Windows in how many ever were at a time.
  [[nodiscard]] iterator begin() noexcept { return {core_.keys(), 0}; }
  [[nodiscard]] iterator end() noexcept { return {}; }
  [[nodiscard]] const_iterator begin() const noexcept { return {core_.keys(), 0}; }
  [[nodiscard]] const_iterator end() const noexcept { return {}; }

  // ---- the whole ----------------------------------------------------------------------------------------

  /// Unregisters all keys.
  void clear() noexcept { core_.clear(); }

  /// Unregisters all keys and closes the kernel object. What remains possible is `reopen`, and looking up in
  /// vain.
  void close() noexcept { core_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return core_.is_open(); }

  /// A fresh kernel object with the same keys, on the same number if possible: in the child after fork(2),
  /// say. What was armed is armed again; a key that the kernel refuses now is reported once as an error by
  /// the next select. A closed selector is opened, empty. Destroys retired keys. O(size()), or that of the
  /// highest handle ever registered.
  void reopen(std::error_code& error) noexcept { error = core_.reopen().code(); }

  /// The descriptor of the kernel object, where the backend has one (epoll, kqueue), which is readable when
  /// something is ready: so selectors nest. Else, and when closed, the invalid handle, -1 or INVALID_SOCKET.
  [[nodiscard]] native_handle_type native_handle() const noexcept { return core_.backend().native_handle(); }

  /// What waits for this selector: for a backend that has something of its own to say, such as `counting`. Its
  /// members that the selector_backend concept names are the selector's to call.
  [[nodiscard]] Backend& backend() noexcept { return core_.backend(); }
  [[nodiscard]] const Backend& backend() const noexcept { return core_.backend(); }

 private:
  static const detail::key_vtable& node() noexcept {
    static constexpr detail::key_vtable type{{sizeof(key_type), alignof(key_type)},
                                             &access::template create<key_type>,
                                             &access::template destroy_data<key_type>};
    return type;
  }

  static key_type& key_of(detail::record& r) noexcept { return access::template key_of<key_type>(r); }

  template <class H>
  detail::lookup look_up(H& h) const noexcept(detail::is_noexcept_handle<H&>()) {
    if constexpr (pollable<H&>) {
      const native_handle_type handle = handle_of(h);
      return {handle, core_.keys().find(handle)};
    } else {
      detail::record* const found = core_.keys().find(h.handle());
      return {h.handle(), found == &access::record_of(h) ? found : nullptr};
    }
  }

  // The outcome of a registration: the key, or why not.
  struct registered {
    key_type* key = nullptr;
    failure failed;
  };

  // Takes the registration back when the constructor of its data throws.
  struct rollback {
    detail::core<Backend>& core;
    detail::record* added;
    ~rollback() {
      if (added != nullptr) core.withdraw(*added);
    }
  };

  template <class... D>
  registered try_register(native_handle_type handle, any_interest what, D&&... data) {
    detail::record* added = nullptr;
    if (const failure failed = core_.add(handle, what, added)) return {nullptr, failed};
    key_type& key = key_of(*added);
    if constexpr (!std::is_void_v<Data>) {
      rollback undo{core_, added};
      access::construct_data(key, std::forward<D>(data)...);
      undo.added = nullptr;
    }
    return {&key, {}};
  }

  static key_type* report(const registered& done, std::error_code& error) noexcept {
    error = done.failed.code();
    return done.key;
  }
  static key_type* report(failure failed, const detail::lookup& which, std::error_code& error) noexcept {
    error = failed.code();
    return failed ? nullptr : &key_of(*which.key_record);
  }
  ready_range report(detail::outcome found, std::error_code& error) noexcept {
    const bool failed = found == detail::outcome::failed;
    error = failed ? core_.why().code() : std::error_code();
    return failed ? ready_range() : ready_range(core_);
  }

  detail::outcome wait_for(std::chrono::nanoseconds timeout) noexcept {
    if (timeout == detail::not_a_time) [[unlikely]]
      return core_.refuse_timeout();
    return core_.select(timeout < std::chrono::nanoseconds::zero() ? std::chrono::nanoseconds::zero()
                                                                   : timeout);
  }

  template <class Clock, class Duration>
  detail::outcome wait_until(std::chrono::time_point<Clock, Duration> until) {
    std::chrono::nanoseconds left = detail::remaining(until, Clock::now());
    for (;;) {
      const detail::outcome found = wait_for(left);
      if (found != detail::outcome::timed_out) return found;
      left = detail::remaining(until, Clock::now());
      if (left == std::chrono::nanoseconds::zero()) return found;
    }
  }

#if SELECTORS_EXCEPTIONS
  static key_type& checked(const registered& done, native_handle_type handle) {
    if (done.key == nullptr) [[unlikely]]
      detail::raise(done.failed, "register_", handle);
    return *done.key;
  }
  ready_range checked(detail::outcome found, const char* operation) {
    if (found == detail::outcome::failed) [[unlikely]]
      detail::raise(core_.why(), operation);
    return ready_range(core_);
  }
#endif

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

}  // namespace selectors
