// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_EPOLL

#include <selectors/backend/concept.hpp>
#include <selectors/backend/epoll_front.hpp>
#include <selectors/backend/epoll_leaks.hpp>
#include <selectors/backend/epoll_wait.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/os/posix.hpp>

#include <sys/epoll.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

namespace SELECTORS_NAMESPACE {

/// Linux's epoll(7): the cost of a wait grows with what is ready, whatever is registered. One system call for
/// each change. Level, edge and one-shot triggering; exclusive wake-ups.
class epoll_backend {
 public:
  using entry = epoll_event;

  static constexpr std::string_view name = "epoll";
  static constexpr const char* wait_call = "epoll_wait";
  static constexpr bool disarms_oneshot = true;
  static constexpr bool refuses_closed = true;
  static constexpr bool has_native_handle = true;
  static constexpr event_mask requestable = event::read | event::write | event::priority | event::read_hangup;

  static constexpr bool supports(trigger mode, bool exclusive) noexcept {
    return mode != trigger::oneshot || !exclusive;
  }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_descriptor(handle); }

  SELECTORS_COLD failure open() noexcept {
    // epoll_wait(2) refuses an empty buffer, and a selector with nothing registered must still wait.
    if (!entries_.reserve(1, 0)) return failure::memory();
    if (const failure failed = process_.set()) return failed;
    detail::owned_descriptor fresh;
    if (const failure failed = detail::make_epoll(fresh)) return failed;
    restart(std::move(fresh));
    return {};
  }

  SELECTORS_COLD failure reopen() noexcept {
    const bool is_in_child = !process_.is_current();
    detail::process_stamp own;
    if (const failure failed = own.set()) return failed;
    detail::owned_descriptor fresh;
    if (const failure failed = detail::make_epoll(fresh)) return failed;
    const failure failed = !front_       ? failure()
                           : is_in_child ? front_.remake(fresh.get())
                                         : front_.exchange(main_.descriptor.get(), fresh.get());
    if (failed) return failed;
    if (main_.descriptor.is_intact()) detail::copy_busy_polling(main_.descriptor.get(), fresh.get());
    restart(std::move(fresh));
    process_ = own;
    return {};
  }

  // Like `reopen` in the process that opened it, but closes the old objects first. On failure there are none.
  SELECTORS_COLD failure replace() noexcept {
    front_.remove(main_.descriptor.get());
    restart({});
    detail::owned_descriptor fresh;
    if (const failure failed = detail::make_epoll(fresh)) return failed;
    if (const failure failed = front_.add(fresh.get())) return failed;
    restart(std::move(fresh));
    return {};
  }

  SELECTORS_COLD void close() noexcept {
    front_.close();
    restart({});
  }

  failure reserve(std::size_t count, std::size_t used, native_handle_type handle) noexcept {
    // The kernel refuses a buffer whose size in bytes does not fit into an int (EP_MAX_EVENTS).
    const bool fits = count <= (std::numeric_limits<int>::max)() / sizeof(entry) / 2 &&
                      entries_.reserve(count, used) && main_.leaked.reserve(handle) &&
                      old_.leaked.reserve(handle) && young_.leaked.reserve(handle);
    return fits ? failure() : failure::memory();
  }

  failure add(registration& r) noexcept {
    detail::epoll_object& object = object_for(r);
    int error = control(object, EPOLL_CTL_ADD, r);
    if (error != 0) [[unlikely]]
      error = add_again(object, r, error);
    if (error != 0) [[unlikely]]
      return is_not_watched(r, error);
    object.attach(r);
    // Two kernel registrations of one token in one object cannot be told apart.
    if (r.aliased && r.leaked) [[unlikely]]
      wants_isolation_ = true;
    return {};
  }

  // The number means another file by now if the kernel does not know it (ENOENT), or if the new file is
  // always ready. The old file's registration, if the kernel kept it, is leaked.
  SELECTORS_ALWAYS_INLINE failure modify(registration& r, const any_interest& was) noexcept {
    if (r.interest.exclusive || was.exclusive) [[unlikely]]
      return modify_exclusive(r, was);
    if (r.slot != main_.id) [[unlikely]]
      return modify_inner(r);
    if (control(main_.descriptor.get(), EPOLL_CTL_MOD, r.handle, &r, to_kernel(r.interest)) != 0) [[unlikely]]
      return modify_refused(r);
    return {};
  }
  failure rewatch(registration& r, const any_interest& was) noexcept { return modify(r, was); }

  // EBADF and ENOENT: the descriptor was closed, and the kernel still watches the file if a duplicate keeps
  // it open. If the registration is aliased, the kernel may have removed the other one of the same number.
  bool remove(registration& r) noexcept {
    detail::epoll_object& object = object_of(r);
    const bool is_removed = control(object, EPOLL_CTL_DEL, r) == 0 && !r.aliased;
    object.detach(r);
    if (!is_removed) note_leak(object, r.handle);
    return is_removed;
  }

  SELECTORS_ALWAYS_INLINE int wait(std::chrono::nanoseconds timeout) noexcept {
    const int epoll = main_.descriptor.get();
    if (timeout == (std::chrono::nanoseconds::max)()) return ::epoll_wait(epoll, entries_.data(), room(), -1);
    if (timeout.count() == 0) return ::epoll_wait(epoll, entries_.data(), room(), 0);
    return detail::epoll_wait_for(epoll, entries_.data(), room(), timeout);
  }

  void set_entry(std::size_t i, registration& r, event_bits bits) noexcept {
    entries_[i].events = bits;
    entries_[i].data.ptr = &r;
  }
  const entry* entries() const noexcept { return entries_.data(); }
  static registration* token(const entry& e) noexcept { return static_cast<registration*>(e.data.ptr); }
  static std::uint32_t bits(const entry& e) noexcept { return e.events; }

  // From the kernel. The first five are equal to ours:
  //
  //   EPOLLIN       read            EPOLLERR      error
  //   EPOLLPRI      priority        EPOLLHUP      hangup
  //   EPOLLOUT      write           EPOLLRDHUP    read_hangup
  //
  static event_bits events(const entry& e) noexcept {
    if ((e.events & EPOLLRDHUP) == 0) return e.events;
    return (e.events & ~static_cast<std::uint32_t>(EPOLLRDHUP)) | static_cast<event_bits>(event::read_hangup);
  }
  static_assert(EPOLLIN == static_cast<int>(event::read) && EPOLLPRI == static_cast<int>(event::priority) &&
                EPOLLOUT == static_cast<int>(event::write) && EPOLLERR == static_cast<int>(event::error) &&
                EPOLLHUP == static_cast<int>(event::hangup));

  // ---- nested in another loop -----------------------------------------------------------------------------

  bool has_front() const noexcept { return static_cast<bool>(front_); }
  failure make_front() noexcept { return front_.make(main_.descriptor.get()); }
  native_handle_type native_handle() const noexcept { return front_.get(); }
  void signal(bool is_ready) noexcept { front_.signal(is_ready); }
  void signal_again() noexcept { front_.signal_again(); }

  // ---- leaks ----------------------------------------------------------------------------------------------
  //
  // Until a ghost is reported there is only the main object. A level-triggered ghost would end every wait, so
  // after the first one the main object becomes the old one, a young one is made for new registrations, and a
  // fresh main object watches both, edge-triggered. Then a ghost wakes nobody unless something new happens to
  // its file; the cost is one more system call for each inner object that has something to report. When the
  // leaks in the young object exceed half of its keys by more than 8, its keys move into the old one and a
  // fresh one takes its place: each leak pays for at most two keys, and each key moves once.
  //
  // The old object is never nested deeper: epoll_ctl(2) walks through everything in a nested object.
  //
  // An entry is believed only if its object is that of the registration. A number that leaked in an object
  // and is registered there again is aliased: the kernel could take one for the other.

  bool may_have_leaks() const noexcept { return main_.leaks != 0 || old_; }
  // Whether the entries of a wait must be passed to drop_leaked.
  bool has_leaks() const noexcept { return old_ || main_.aliased != 0 || wants_isolation_; }
  bool wants_isolation() const noexcept { return wants_isolation_; }
  // By then the slow waits or the ghosts have cost as much as registering everything again would, or the
  // leaks are half as many as the registrations.
  bool wants_full_heal() const noexcept {
    const std::size_t all = watched() + 64;
    return slow_waits_ > all || ghosts_ / 8 > all || old_.leaks > all / 2;
  }

  // Scans the first `found` entries: drops ghosts, adds the entries of the old and the young object, and
  // merges the two entries of an aliased registration. Returns how many are left, and calls `on_stale` for
  // each of the others.
  template <class Callback>
  int drop_leaked(int found, Callback on_stale) noexcept;

  // Returns false if registering everything again is cheaper, or the only way. `for_each(visit)` calls
  // `visit(registration, is_armed)` for every registration.
  template <class ForEach>
  bool isolate_leaks(ForEach for_each) noexcept;

 private:
  // To the kernel:
  //
  //   read         EPOLLIN | EPOLLRDHUP   but no EPOLLRDHUP when exclusive (EINVAL)
  //   priority     EPOLLPRI
  //   write        EPOLLOUT               no EPOLLRDHUP: half-closed, it would keep waking a writer
  //   read_hangup  EPOLLRDHUP
  //   edge         EPOLLET
  //   one-shot     EPOLLONESHOT
  //   exclusive    EPOLLEXCLUSIVE
  //   nothing      not watched at all: EPOLLERR and EPOLLHUP are reported unrequested
  //
  static std::uint32_t to_kernel(const any_interest& what) noexcept {
    const std::uint32_t asked = detail::mask_bits::of(what.events);
    const std::uint32_t hangup = asked / detail::mask_bits::of(event::read_hangup);
    const std::uint32_t reads = what.exclusive ? 0 : asked;
    std::uint32_t bits = (asked & detail::read_write_priority) | ((hangup | reads) & 1) * EPOLLRDHUP;
    const auto mode = static_cast<std::uint32_t>(what.mode);
    bits |= (mode & 1) * EPOLLET | (mode / 2) * EPOLLONESHOT;
    if (what.exclusive) bits |= EPOLLEXCLUSIVE;
    return bits;
  }
  static_assert(static_cast<int>(event::read) == 1 && static_cast<int>(trigger::edge) == 1 &&
                static_cast<int>(trigger::oneshot) == 2);

  // EPOLLEXCLUSIVE can be set by EPOLL_CTL_ADD only: epoll_ctl(2).
  SELECTORS_COLD failure modify_exclusive(registration& r, const any_interest& was) noexcept {
    detail::epoll_object& object = object_of(r);
    int error = control(object, EPOLL_CTL_DEL, r);
    if (is_another_file(error, r)) return follow(r);
    if (error != 0) return failure::system("epoll_ctl", error);
    error = control(object, EPOLL_CTL_ADD, r);
    if (error == 0) return {};
    r.interest = was;
    if (control(object, EPOLL_CTL_ADD, r) != 0) object.detach(r);
    return failure::system("epoll_ctl", error);
  }

  // Zero or an errno. EEXIST: a leaked registration, since the same file is on this number again.
  SELECTORS_COLD int add_again(const detail::epoll_object& object, registration& r, int error) noexcept {
    if (error != EEXIST) return error;
    control(object, EPOLL_CTL_DEL, r);
    return control(object, EPOLL_CTL_ADD, r);
  }
  // EPERM, epoll_ctl(2): a file that is always ready. But a sandbox may answer EPERM for any file.
  SELECTORS_COLD static failure is_not_watched(registration& r, int error) noexcept {
    r.attached = false;
    failure refused = failure::system("epoll_ctl", error);
    if (error == EPERM) refused = detail::refusal_unless_always_ready(r.handle, refused);
    r.always_ready = !refused;
    return refused;
  }

  SELECTORS_NOINLINE failure modify_inner(registration& r) noexcept {
    return control(object_of(r), EPOLL_CTL_MOD, r) == 0 ? failure() : modify_refused(r);
  }
  SELECTORS_COLD failure modify_refused(registration& r) noexcept {
    const int error = errno;
    return is_another_file(error, r) ? follow(r) : failure::system("epoll_ctl", error);
  }
  static bool is_another_file(int error, const registration& r) noexcept {
    return error == ENOENT || (error == EPERM && !detail::refusal_unless_always_ready(
                                                     r.handle, failure::system("epoll_ctl", EPERM)));
  }
  SELECTORS_COLD failure follow(registration& r) noexcept {
    detail::epoll_object& object = object_of(r);
    object.detach(r);
    note_leak(object, r.handle);
    r.leaked = true;
    return add(r);
  }

  std::size_t watched() const noexcept { return main_.watched + old_.watched + young_.watched; }
  detail::epoll_object& object_of(const registration& r) noexcept {
    return r.slot == main_.id ? main_ : r.slot == young_.id ? young_ : old_;
  }
  // For a new registration: an object in which its number did not leak, if there is one.
  detail::epoll_object& object_for(const registration& r) noexcept {
    if (!old_) [[likely]]
      return main_;
    return young_.leaked.contains(r.handle) && !old_.leaked.contains(r.handle) ? old_ : young_;
  }
  SELECTORS_COLD void note_leak(detail::epoll_object& object, native_handle_type number) noexcept {
    object.note_leak(number);
    if (&object == &young_ && young_.leaks > 8 + young_.watched / 2) wants_isolation_ = true;
  }

  // Zero or an errno.
  SELECTORS_NOINLINE int control(const detail::epoll_object& object, int operation,
                                 registration& r) noexcept {
    return control(object.descriptor.get(), operation, r.handle, &r, to_kernel(r.interest)) == 0 ? 0 : errno;
  }
  static int control(int epoll, int operation, native_handle_type handle, registration* token,
                     std::uint32_t bits) noexcept {
    epoll_event event{};
    event.events = bits;
    event.data.ptr = token;
    return ::epoll_ctl(epoll, operation, handle, &event);
  }

  SELECTORS_COLD void restart(detail::owned_descriptor&& fresh) noexcept {
    main_.restart(std::move(fresh), ++last_id_);
    old_.restart({}, 0);
    young_.restart({}, 0);
    wants_isolation_ = false;
    slow_waits_ = ghosts_ = 0;
  }
  bool nest(int operation, const detail::owned_descriptor& outer, const detail::epoll_object& inner,
            registration& token) noexcept {
    return detail::nest_epoll(operation, outer.get(), inner.descriptor.get(), EPOLLET, &token) == 0;
  }
  template <class Callback>
  std::size_t filter(std::size_t first, std::size_t last, const detail::epoll_object& object,
                     Callback on_stale) noexcept;
  template <class Callback>
  std::size_t scan(const detail::epoll_object& object, registration& token, std::size_t kept,
                   Callback on_stale) noexcept;
  bool merge_aliased(const entry& e, std::size_t kept) noexcept;
  bool part_with_old() noexcept;
  template <class ForEach>
  bool renew_young(ForEach for_each) noexcept;

  int room() const noexcept { return static_cast<int>(entries_.capacity()); }

  // The tokens of the old and the young object in the main one.
  static inline constinit registration old_token, young_token;

  detail::epoll_object main_;
  detail::buffer<entry> entries_;
  detail::epoll_object old_, young_;  // both or neither; then the main object watches nothing else
  detail::epoll_front front_;
  detail::process_stamp process_;  // the process that made them
  std::uint32_t last_id_ = 0;
  bool wants_isolation_ = false;
  std::size_t slow_waits_ = 0;  // waits that needed a scan, since the last full heal
  std::size_t ghosts_ = 0;      // ghosts reported since then
};

template <class Callback>
SELECTORS_COLD int epoll_backend::drop_leaked(int found, Callback on_stale) noexcept {
  std::size_t kept = 0;
  const auto count = static_cast<std::size_t>(found);
  if (!old_) {
    kept = filter(0, count, main_, on_stale);
    if (kept != count) wants_isolation_ = true;
    if (main_.aliased != 0) ++slow_waits_;
  } else {
    bool has_old = false, has_young = false;
    for (std::size_t i = 0; i != count; ++i) (token(entries_[i]) == &old_token ? has_old : has_young) = true;
    if (has_young) kept = scan(young_, young_token, kept, on_stale);
    if (has_old) kept = scan(old_, old_token, kept, on_stale);
    if (count != 0) ++slow_waits_;
  }
  for (std::size_t i = 0; i != kept; ++i) token(entries_[i])->seen = false;
  return static_cast<int>(kept);
}

// Keeps those of the entries from `first` to `last`, found in `object`, that are not ghosts, and moves them
// to `first`. Returns where they end.
template <class Callback>
SELECTORS_COLD std::size_t epoll_backend::filter(std::size_t first, std::size_t last,
                                                 const detail::epoll_object& object,
                                                 Callback on_stale) noexcept {
  std::size_t kept = first;
  for (std::size_t i = first; i != last; ++i) {
    const entry e = entries_[i];
    registration& r = *token(e);
    if (!r.attached || r.slot != object.id || (r.seen && merge_aliased(e, kept))) {
      on_stale();
      ++ghosts_;
      if (r.seen) wants_isolation_ = true;
    } else {
      r.seen = r.aliased;
      entries_[kept++] = e;
    }
  }
  return kept;
}

inline bool epoll_backend::merge_aliased(const entry& e, std::size_t kept) noexcept {
  for (std::size_t i = 0; i != kept; ++i)
    if (token(entries_[i]) == token(e)) entries_[i].events |= e.events;
  return true;
}

// Adds the entries of an inner object behind those that are kept already. Its registrations may be
// level-triggered: while any is ready, the object is re-armed in the main one, so that the next wait scans it
// again.
template <class Callback>
SELECTORS_COLD std::size_t epoll_backend::scan(const detail::epoll_object& object, registration& its_token,
                                               std::size_t first, Callback on_stale) noexcept {
  const int left = room() - static_cast<int>(first);
  const int found = left > 0 ? ::epoll_wait(object.descriptor.get(), entries_.data() + first, left, 0) : 0;
  const std::size_t kept =
      found > 0 ? filter(first, first + static_cast<std::size_t>(found), object, on_stale) : first;
  if (kept != first || found == left) (void)nest(EPOLL_CTL_MOD, main_.descriptor, object, its_token);
  return kept;
}

template <class ForEach>
SELECTORS_COLD bool epoll_backend::isolate_leaks(ForEach for_each) noexcept {
  constexpr std::size_t few = 32;  // registering so few again costs about as much as isolating
  if (watched() <= few || wants_full_heal()) return false;
  if (!old_ && !part_with_old()) return false;
  return renew_young(for_each);
}

// The main object becomes the old one.
SELECTORS_COLD inline bool epoll_backend::part_with_old() noexcept {
  detail::owned_descriptor fresh;
  if (detail::make_epoll(fresh) || !nest(EPOLL_CTL_ADD, fresh, main_, old_token)) return false;
  if (front_.exchange(main_.descriptor.get(), fresh.get())) return false;
  detail::copy_busy_polling(main_.descriptor.get(), fresh.get());
  std::swap(main_, old_);
  main_.restart(std::move(fresh), ++last_id_);
  return true;
}

// Moves the keys of the young object into the old one, except those that would be aliased there, and the
// aliased keys of the old object into a fresh young one.
template <class ForEach>
SELECTORS_COLD bool epoll_backend::renew_young(ForEach for_each) noexcept {
  detail::epoll_object fresh;
  fresh.id = ++last_id_;
  if (detail::make_epoll(fresh.descriptor) || !nest(EPOLL_CTL_ADD, main_.descriptor, fresh, young_token))
    return false;
  wants_isolation_ = false;
  if (young_.watched != 0 || old_.aliased != 0) {
    for_each([&](registration& r, bool is_armed) {
      const bool is_of_old = r.slot == old_.id;
      if (!r.attached || (is_of_old && !r.aliased)) return;
      if (is_of_old) {
        (void)control(old_, EPOLL_CTL_DEL, r);
        old_.detach(r);
        old_.note_leak(r.handle);
        r.leaked = true;
      }
      r.attached = r.aliased = false;
      if (!is_armed) return;
      detail::epoll_object& object = old_.leaked.contains(r.handle) ? fresh : old_;
      if (control(object, EPOLL_CTL_ADD, r) == 0) object.attach(r);
    });
  }
  if (young_) (void)nest(EPOLL_CTL_DEL, main_.descriptor, young_, young_token);
  std::swap(fresh.leaked, young_.leaked);  // its bits were reserved
  fresh.leaked.clear();
  young_.descriptor.close();
  std::swap(young_, fresh);
  return true;
}

}  // namespace SELECTORS_NAMESPACE

#endif
