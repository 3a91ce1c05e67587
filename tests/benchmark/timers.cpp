// SPDX-License-Identifier: BSL-1.0

// What timers cost: `timers selectors|libev|multimap|none later|idle|churn|expire COUNT`. A round reports the
// processor time of one operation on one of COUNT timers. Time is virtual: deadlines are given, and no clock
// is read.
//
//   later    a timer, at random, is moved to a minute from now, and nothing else
//   idle     the same as the idle timeouts of connections: each is moved ten times a minute, and after every
//            16 the loop looks for what is due; so what moving has left to the loop is in it
//   churn    a request is done and another begins: its timer is cancelled, and one is added, due at random
//   expire   so many timers are added, in no order, and expire
//
// `none` does what they all do and nothing of a timer: what is to be subtracted from a count of instructions.

#include "rounds.hpp"

#include <selectors/timer_queue.hpp>

#if SELECTORS_PEER_LIBEV
#include <ev.h>
#endif

#include <chrono>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

namespace {

using nanoseconds = std::chrono::nanoseconds;
constexpr std::int64_t minute = 60'000'000'000;

// The same numbers for all.
class numbers {
 public:
  std::size_t below(std::size_t n) {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    return static_cast<std::size_t>((state_ >> 32) * n >> 32);
  }

 private:
  std::uint64_t state_ = 1;
};

// Each of these has timers 0, 1, ..., which are due at nanoseconds of a virtual time. `expire` takes out what
// is due by some time, and calls `visit` with its number, which may add it again.

class with_selectors {
 public:
  explicit with_selectors(std::size_t count) : timers_(count) {}

  void add(std::size_t i, std::int64_t due) { timers_[i] = &queue_.add(at(due), i); }
  void move(std::size_t i, std::int64_t due) { queue_.move(*timers_[i], at(due)); }
  void cancel(std::size_t i) { queue_.cancel(*timers_[i]); }
  template <class Visit>
  void expire(std::int64_t now, Visit visit) {
    for (auto& timer : queue_.expired(at(now))) visit(timer.data());
  }

 private:
  using queue = selectors::timer_queue<std::size_t>;
  static queue::time_point at(std::int64_t time) { return queue::time_point(nanoseconds(time)); }

  queue queue_;
  std::vector<queue::timer_type*> timers_;
};

class with_multimap {
 public:
  explicit with_multimap(std::size_t count) : timers_(count) {}

  void add(std::size_t i, std::int64_t due) { timers_[i] = queue_.emplace(due, i); }
  void move(std::size_t i, std::int64_t due) {
    auto node = queue_.extract(timers_[i]);
    node.key() = due;
    timers_[i] = queue_.insert(std::move(node));
  }
  void cancel(std::size_t i) { queue_.erase(timers_[i]); }
  template <class Visit>
  void expire(std::int64_t now, Visit visit) {
    while (!queue_.empty() && queue_.begin()->first <= now) {
      const std::size_t i = queue_.begin()->second;
      queue_.erase(queue_.begin());
      visit(i);
    }
  }

 private:
  std::multimap<std::int64_t, std::size_t> queue_;
  std::vector<std::multimap<std::int64_t, std::size_t>::iterator> timers_;
};

class with_none {
 public:
  explicit with_none(std::size_t count) : timers_(count) {}

  void add(std::size_t i, std::int64_t due) { timers_[i] = due; }
  void move(std::size_t i, std::int64_t due) { timers_[i] = due; }
  void cancel(std::size_t i) { timers_[i] = 0; }
  template <class Visit>
  void expire(std::int64_t, Visit) {}

 private:
  std::vector<std::int64_t> timers_;
};

#if SELECTORS_PEER_LIBEV
// The time of libev is its own, so what expires is added at the time of the loop, give or take a microsecond;
// and a deadline is as far from that time as it is from the start of the virtual one.
class with_libev {
 public:
  explicit with_libev(std::size_t count) : loop_(ev_loop_new(0)), timers_(count) {
    for (ev_timer& one : timers_) {
      ev_init(&one, &with_libev::count);
      one.data = this;
    }
  }

  void add(std::size_t i, std::int64_t due) {
    ev_timer_set(&timers_[i], seconds(due), 0.);
    ev_timer_start(loop_, &timers_[i]);
  }
  void move(std::size_t i, std::int64_t due) {
    timers_[i].repeat = seconds(due);
    ev_timer_again(loop_, &timers_[i]);
  }
  void cancel(std::size_t i) { ev_timer_stop(loop_, &timers_[i]); }
  template <class Visit>
  void expire(std::int64_t now, Visit) {
    if (now < minute) return;  // nothing is due by then
    for (expired_ = 0; expired_ != timers_.size();) ev_run(loop_, EVRUN_NOWAIT);
  }

 private:
  static double seconds(std::int64_t time) { return static_cast<double>(time) * 1e-9; }
  static void count(struct ev_loop*, ev_timer* one, int) { ++static_cast<with_libev*>(one->data)->expired_; }

  struct ev_loop* loop_;
  std::vector<ev_timer> timers_;
  std::size_t expired_ = 0;
};
#endif

template <class Timers>
class workload {
 public:
  explicit workload(std::size_t count) : count_(count), timers_(count) {}

  int run(std::string_view work) {
    if (work == "expire") return play([this] { expire(); });
    for (std::size_t i = 0; i != count_; ++i) timers_.add(i, random_due());
    if (work == "later") return play([this] { later(false); });
    if (work == "idle") return play([this] { later(true); });
    return play([this] { churn(); });
  }

 private:
  std::int64_t random_due() {
    return now_ + 1 +
           static_cast<std::int64_t>(numbers_.below(count_)) * (minute / static_cast<std::int64_t>(count_));
  }

  void later(bool is_looking) {
    const std::int64_t step = minute / 10 / static_cast<std::int64_t>(count_);
    for (std::size_t i = 0; i != count_; ++i) {
      now_ += step;
      timers_.move(numbers_.below(count_), now_ + minute);
      if (is_looking && i % 16 == 0)
        timers_.expire(now_, [this](std::size_t one) { timers_.add(one, now_ + minute); });
    }
  }

  void churn() {
    for (std::size_t i = 0; i != count_; ++i) {
      const std::size_t one = numbers_.below(count_);
      timers_.cancel(one);
      timers_.add(one, random_due());
      if (i % 16 == 0) timers_.expire(0, [](std::size_t) {});
    }
  }

  void expire() {
    for (std::size_t i = 0; i != count_; ++i)
      timers_.add(i, static_cast<std::int64_t>(numbers_.below(count_)) % 1000);
    std::size_t sum = 0;
    timers_.expire(minute, [&sum](std::size_t one) { sum += one; });
    asm volatile("" : : "r"(sum));
  }

  template <class Round>
  int play(Round round) {
    return take_turns([&] {
      const double start = processor_time();
      round();
      return std::vector<double>{(processor_time() - start) / static_cast<double>(count_)};
    });
  }

  std::size_t count_;
  std::int64_t now_ = 0;
  numbers numbers_;
  Timers timers_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string_view who = argc == 4 ? argv[1] : "";
  const std::string_view work = argc == 4 ? argv[2] : "";
  const std::size_t count = argc == 4 ? static_cast<std::size_t>(std::atol(argv[3])) : 0;
  if (count != 0 && (work == "later" || work == "idle" || work == "churn" || work == "expire")) {
    if (who == "selectors") return workload<with_selectors>(count).run(work);
    if (who == "multimap") return workload<with_multimap>(count).run(work);
    if (who == "none") return workload<with_none>(count).run(work);
#if SELECTORS_PEER_LIBEV
    if (who == "libev") return workload<with_libev>(count).run(work);
#endif
  }
  return std::fputs("usage: timers selectors|libev|multimap|none later|idle|churn|expire COUNT\n", stderr), 2;
}
