// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK

#include <selectors/backend/afd_device.hpp>
#include <selectors/backend/afd_requests.hpp>
#include <selectors/backend/concept.hpp>
#include <selectors/backend/ready_list.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/os/winsock.hpp>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace SELECTORS_NAMESPACE {

/// The scalable interface of Windows: polls of \Device\Afd that complete through a completion port. It is
/// undocumented, but Winsock's own select is built on it. The cost of a wait grows with the number of sockets
/// that are ready or that the previous wait reported, not with the number that is registered, which only
/// memory limits. A change costs no system call; the next wait makes one for each socket that was reported or
/// modified. Level and one-shot triggering. Never the default, and not part of the umbrella.
class afd_backend : public detail::ready_list {
 public:
  static constexpr std::string_view name = "afd";
  static constexpr const char* wait_call = "GetQueuedCompletionStatusEx";
  static constexpr bool disarms_oneshot = true;
  static constexpr bool refuses_closed = false;

  static constexpr bool supports(trigger mode, bool exclusive) noexcept {
    return mode != trigger::edge && !exclusive;
  }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_socket(handle); }

  afd_backend() noexcept = default;
  afd_backend(afd_backend&& other) noexcept { *this = std::move(other); }
  afd_backend& operator=(afd_backend&& other) noexcept {
    std::swap(state_, other.state_);
    requests_ = std::move(other.requests_);
    ready_ = std::move(other.ready_);
    return *this;
  }
  ~afd_backend() { close(); }

  failure open() noexcept {
    if (const failure failed = detail::start_winsock()) return failed;
    if (const failure failed = detail::afd::find_calls()) return failed;
    state_.port = ::CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 1);
    if (state_.port == nullptr)
      return failure::system("CreateIoCompletionPort", detail::afd::errno_of_port());
    // Opens the device now, so that a failure is reported by `open` and not by the first registration.
    const failure failed = reserve(1, 0, detail::invalid_handle);
    if (failed) close();
    return failed;
  }

  // Keeps the port and the devices. Requests that are still pending lose their owner.
  failure reopen() noexcept {
    disown_all();
    return {};
  }

  // The kernel may write to a request until it has completed it, and it completes a cancelled request at
  // once. If it does not, the memory of the request is leaked on purpose.
  void close() noexcept {
    if (state_.port == nullptr) return;
    disown_all();
    (void)reclaim(0);
    requests_.close(state_.in_flight != 0);
    ::CloseHandle(state_.port);
    state_ = {};
  }

  // A registration that is paused and resumed between two waits may own a second request while the kernel
  // still holds the first; never a third, since only `wait` starts requests.
  failure reserve(std::size_t count, std::size_t used, native_handle_type) noexcept {
    return ready_.reserve(count, used) ? requests_.reserve(state_.port, 2 * count) : failure::memory();
  }

  failure add(registration& r) noexcept {
    SOCKET base = INVALID_SOCKET;
    const std::uint32_t devices = detail::afd::devices.load(std::memory_order_relaxed);
    if (const failure failed = detail::afd::find_base_socket(r.handle, base)) return failed;
    if (!requests_.has_free() && !reclaim(1)) return failure::memory();
    request& q = requests_.take();
    q.owner = &r;
    q.base = base;
    q.devices = devices;
    r.slot = q.slot;
    r.attached = true;
    requests_.start_later(q);
    return {};
  }

  failure modify(registration& r, any_interest) noexcept {
    requests_.start_later(requests_.at(r.slot));
    return {};
  }

  // The request may still be pending in the kernel. It loses its owner, so its completion is ignored.
  bool remove(registration& r) noexcept {
    r.attached = false;
    disown(requests_.at(r.slot));
    return true;
  }

  // Completions from before this call may be stale, so these requests are started again. Only completions of
  // requests that were started by this call, or that arrive while it waits, are reported: like select, a wait
  // reports what is ready now.
  int wait(std::chrono::nanoseconds timeout) noexcept {
    detail::countdown time(timeout);
    state_.found = 0;
    state_.is_short = false;
    ++state_.round;
    requests_.start_all([this](request& q) { start_or_cancel(q); });
    for (bool is_fresh = false;; is_fresh = true) {
      state_.restarted = false;
      const bool is_waiting = is_fresh && state_.found == 0 && !state_.is_short;
      const DWORD milliseconds = state_.cancelled != 0 ? INFINITE
                                 : is_waiting          ? static_cast<DWORD>(time.milliseconds())
                                                       : 0;
      if (!take(milliseconds, is_fresh)) return -1;
      if (!is_fresh || state_.restarted || state_.cancelled != 0) continue;
      if (state_.found != 0) return static_cast<int>(state_.found);
      if (state_.is_short) {
        errno = ENOMEM;
        return -1;
      }
      if (time.is_over()) return 0;
    }
  }

 private:
  using request = detail::afd::request;

  struct state {
    HANDLE port = nullptr;
    std::size_t in_flight = 0;
    std::size_t cancelled = 0;  // requests with an owner that are cancelled, to be started again
    std::size_t found = 0;
    std::uint32_t round = 0;
    bool restarted = false;
    bool is_short = false;  // the system lacked the resources to start a request
  };

  // A request that is pending for another interest is cancelled first.
  void start_or_cancel(request& q) noexcept {
    if (!q.in_flight)
      start(q);
    else if ((to_kernel(q.owner->interest) & ~q.asked) != 0)
      cancel(q);
  }

  void start(request& q) noexcept {
    if (!is_socket(q)) return report(q, descriptor_closed);
    q.asked = to_kernel(q.owner->interest);
    q.round = state_.round;
    const auto status =
        detail::afd::start_poll(requests_.device_of(q), q.base, q.asked, q.info, q.status, &q);
    if (status >= 0) {
      q.in_flight = true;
      ++state_.in_flight;
    } else if (detail::afd::is_shortage(status)) {
      state_.is_short = true;
      requests_.start_later(q);
    } else {
      report(q, descriptor_closed);  // the number is not a socket, or no longer one
    }
  }

  // A handle of the device itself would be accepted by the poll and never complete (and it crashes wine). The
  // number can only be that of a device if one was opened since the number was last found to be a socket.
  static bool is_socket(request& q) noexcept {
    if (q.base == INVALID_SOCKET) return false;
    const std::uint32_t devices = detail::afd::devices.load(std::memory_order_relaxed);
    if (q.devices == devices) return true;
    if (!is_open(q.owner->handle)) return false;
    q.devices = devices;
    return true;
  }

  void cancel(request& q) noexcept {
    if (std::exchange(q.cancelled, true)) return;
    ++state_.cancelled;
    detail::afd::cancel_poll(requests_.device_of(q), q.status);
  }

  void disown(request& q) noexcept {
    requests_.start_never(q);
    q.owner = nullptr;
    if (!q.in_flight) return requests_.give(q);
    if (std::exchange(q.cancelled, false)) --state_.cancelled;
    detail::afd::cancel_poll(requests_.device_of(q), q.status);
  }

  SELECTORS_COLD void disown_all() noexcept {
    requests_.for_each_owned([this](request& q) { disown(q); });
  }

  void report(request& q, event_bits bits) noexcept {
    set_entry(state_.found++, *q.owner, bits);
    if (q.owner->interest.mode != trigger::oneshot) requests_.start_later(q);
  }

  // Takes completions out of the port: those that are there; if there are none, waits for the first.
  bool take(DWORD milliseconds, bool is_fresh) noexcept {
    constexpr ULONG max_answers = 64;
    for (ULONG count = max_answers; count == max_answers; milliseconds = 0) {
      OVERLAPPED_ENTRY answers[max_answers];
      if (!::GetQueuedCompletionStatusEx(state_.port, answers, max_answers, &count, milliseconds, FALSE)) {
        if (::GetLastError() == WAIT_TIMEOUT) return true;
        errno = detail::afd::errno_of_port();
        return false;
      }
      for (ULONG i = 0; i != count; ++i) {
        auto& q = *reinterpret_cast<request*>(answers[i].lpOverlapped);
        if (is_back(q)) complete(q, is_fresh);
      }
    }
    return true;
  }

  // Whether a registration owns the completed request.
  bool is_back(request& q) noexcept {
    q.in_flight = false;
    --state_.in_flight;
    if (std::exchange(q.cancelled, false)) --state_.cancelled;
    if (q.owner == nullptr) requests_.give(q);
    return q.owner != nullptr;
  }

  // The request may have been started for another interest than the present one.
  void complete(request& q, bool is_fresh) noexcept {
    const event_bits found = answer_of(q);
    if (found != 0 && (is_fresh || q.round == state_.round || found == descriptor_closed))
      return report(q, found);
    state_.restarted = true;
    start(q);
  }

  // Waits for pending requests to complete, outside of `wait`: until one is free or, if none is wanted, until
  // all are. A completion that has an owner is started again by the next wait. Gives up after a second: the
  // kernel completes a cancelled request within microseconds.
  SELECTORS_COLD bool reclaim(std::size_t wanted) noexcept {
    constexpr int max_tries = 20;
    constexpr DWORD pause = 50;
    for (int tries = 0; state_.in_flight != 0 && (wanted == 0 || !requests_.has_free());) {
      OVERLAPPED_ENTRY answer;
      ULONG count = 0;
      if (!::GetQueuedCompletionStatusEx(state_.port, &answer, 1, &count, pause, FALSE)) {
        if (++tries == max_tries) break;
        continue;
      }
      auto& q = *reinterpret_cast<request*>(answer.lpOverlapped);
      if (is_back(q)) requests_.start_later(q);
    }
    return wanted == 0 ? state_.in_flight == 0 : requests_.has_free();
  }

  // To the kernel:
  //
  //   read       RECEIVE | ACCEPT | DISCONNECT   no DISCONNECT without `read`: it would keep waking a writer
  //   priority   RECEIVE_EXPEDITED
  //   write      SEND
  //   anything   ABORT | CONNECT_FAIL | LOCAL_CLOSE
  //
  static ULONG to_kernel(any_interest what) noexcept {
    ULONG bits = detail::afd::abort | detail::afd::connect_fail | detail::afd::local_close;
    if (what.events.contains(event::read))
      bits |= detail::afd::receive | detail::afd::accept | detail::afd::disconnect;
    if (what.events.contains(event::priority)) bits |= detail::afd::receive_expedited;
    if (what.events.contains(event::write)) bits |= detail::afd::send;
    return bits;
  }

  // From the kernel:
  //
  //   RECEIVE, ACCEPT     read              ABORT          error, hangup
  //   RECEIVE_EXPEDITED   priority          CONNECT_FAIL   error
  //   SEND                write             LOCAL_CLOSE    descriptor_closed
  //   DISCONNECT          read, read_hangup
  //
  static event_bits from_kernel(ULONG bits) noexcept {
    if ((bits & detail::afd::local_close) != 0) return descriptor_closed;
    event_mask found;
    if ((bits & (detail::afd::receive | detail::afd::accept)) != 0) found |= event::read;
    if ((bits & detail::afd::receive_expedited) != 0) found |= event::priority;
    if ((bits & detail::afd::send) != 0) found |= event::write;
    if ((bits & detail::afd::disconnect) != 0) found |= event::read | event::read_hangup;
    if ((bits & detail::afd::abort) != 0) found |= event::error | event::hangup;
    if ((bits & detail::afd::connect_fail) != 0) found |= event::error;
    return detail::mask_bits::of(found);
  }

  // Nothing, if the request was cancelled: by this class, or by the kernel when the thread that started it
  // ended.
  static event_bits answer_of(const request& q) noexcept {
    if (q.status.status == detail::afd::cancelled) return 0;
    if (q.status.status < 0) return detail::mask_bits::of(event::error);
    return q.info.count == 0 ? 0 : from_kernel(q.info.events & to_kernel(q.owner->interest));
  }

  state state_;
  detail::afd::request_pool requests_;
};

}  // namespace SELECTORS_NAMESPACE

#endif
