// SPDX-License-Identifier: BSL-1.0

// Whatever is done, by the program, in its loops and in the constructors and destructors of its data, a
// timer_queue does what a std::multimap by deadline would.

#include "support/catch.hpp"

#include <selectors/testing.hpp>
#include <selectors/timer_queue.hpp>

#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

using namespace selectors;
using namespace std::chrono_literals;
using clock_type = selectors::testing::clock;
using time_point = clock_type::time_point;

namespace {

class world;
struct plan {
  world* where;
  int tag;
  bool throws;
};

// Data that acts when it is made and when it is destroyed.
class probe {
 public:
  probe(const plan& of);
  probe(const probe&) = delete;
  ~probe();
  int tag() const { return plan_.tag; }

 private:
  plan plan_;
};

using queue_type = timer_queue<probe, clock_type>;

class world {
 public:
  explicit world(unsigned seed) : random_(seed) {}
  ~world() { is_ending_ = true; }

  void run(int steps) {
    for (int i = 0; i != steps; ++i) {
      clock_type::advance(std::chrono::nanoseconds(below(3)));
      act();
      if (below(40) == 0) move_queue();
      check();
    }
  }

  void made(const plan& of) {
    alive_.insert(of.tag);
    if (below(4) == 0) nested();
    if (of.throws) alive_.erase(of.tag);
  }
  void destroyed(int tag) {
    alive_.erase(tag);
    if (is_ending_) return;
    is_sound_ = is_sound_ && model_.count_of(tag) == 0;
    timers_.erase(tag);
    if (below(4) == 0) nested();
  }
  std::size_t alive() const { return alive_.size(); }

 private:
  // The oracle.
  struct oracle {
    std::multimap<time_point, int> by_due;
    std::map<int, std::multimap<time_point, int>::iterator> by_tag;
    std::set<int> left_to_next_round;

    std::size_t count_of(int tag) const { return by_tag.count(tag); }
    void erase(int tag) {
      by_due.erase(by_tag.at(tag));
      by_tag.erase(tag);
    }
    void put(int tag, time_point due) {
      if (count_of(tag) != 0) erase(tag);
      by_tag[tag] = by_due.emplace(due, tag);
      left_to_next_round.insert(tag);
    }
    time_point next() const { return by_due.empty() ? time_point::max() : by_due.begin()->first; }
    int first_due(time_point now) const {
      for (const auto& [due, tag] : by_due)
        if (due <= now && due != time_point::max() && left_to_next_round.count(tag) == 0) return tag;
      return none;
    }
  };
  static constexpr int none = -1;

  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }

  time_point some_due() {
    return below(20) == 0 ? time_point::max() : clock_type::now() + std::chrono::nanoseconds(below(12) - 4);
  }

  void nested() {
    if (depth_ > 3) return;
    ++depth_;
    for (int i = below(3); i != 0; --i) act();
    --depth_;
  }

  void act() {
    switch (below(16)) {
      case 0:
      case 1:
      case 2:
      case 3: return add();
      case 4:
      case 5:
      case 6:
      case 7: return move();
      case 8:
      case 9: return cancel();
      case 10:
      case 11: return loop();
      case 12: return below(10) == 0 ? clear() : check_next();
      case 13: return visit();
      default: return check_next();
    }
  }

  void add() {
    const int tag = tags_++;
    const plan of{this, tag, below(8) == 0};
    const time_point due = some_due();
    queue_type::timer_type* added = nullptr;
    try {
      std::error_code error = errc::closed;
      added = below(2) == 0 ? &queue_.add(due, of) : queue_.add(due, of, error);
    } catch (int thrown) {
      is_sound_ = is_sound_ && of.throws && thrown == tag;
      return;
    }
    is_sound_ = is_sound_ && !of.throws && added->due() == due && added->data().tag() == tag;
    model_.put(tag, due);
    timers_[tag] = added;
    ids_.emplace_back(tag, added->id());
  }

  // Any that there is: in the queue, having its turn, or retired.
  queue_type::timer_type* some_timer() {
    if (timers_.empty()) return nullptr;
    auto it = timers_.begin();
    std::advance(it, below(static_cast<int>(timers_.size())));
    return it->second;
  }

  void move() {
    const time_point due = some_due();
    if (below(2) == 0) {
      auto* const timer = some_timer();
      if (timer == nullptr) return;
      const int tag = timer->data().tag();
      queue_.move(*timer, due);
      if (model_.count_of(tag) != 0 || tag == current_) model_.put(tag, due);
    } else if (!ids_.empty()) {
      const auto [tag, id] = ids_[static_cast<std::size_t>(below(static_cast<int>(ids_.size())))];
      const bool is_in = model_.count_of(tag) != 0;
      is_sound_ = is_sound_ && queue_.move(id, due) == is_in;
      if (is_in) model_.put(tag, due);
    }
  }

  void cancel() {
    if (below(2) == 0) {
      auto* const timer = some_timer();
      if (timer == nullptr) return;
      const int tag = timer->data().tag();
      is_sound_ = is_sound_ && &queue_.cancel(*timer) == timer;
      if (model_.count_of(tag) != 0) model_.erase(tag);
    } else if (!ids_.empty()) {
      const auto [tag, id] = ids_[static_cast<std::size_t>(below(static_cast<int>(ids_.size())))];
      const bool is_in = model_.count_of(tag) != 0;
      is_sound_ = is_sound_ && (queue_.find(id) != nullptr) == is_in && queue_.cancel(id) == is_in;
      if (is_in) model_.erase(tag);
    }
  }

  void clear() {
    queue_.clear();
    model_.by_due.clear();
    model_.by_tag.clear();
  }

  void check_next() {
    is_sound_ = is_sound_ && queue_.next() == model_.next() && queue_.size() == model_.by_due.size();
  }

  void visit() {
    std::multiset<int> found;
    for (const auto& timer : std::as_const(queue_)) found.insert(timer.data().tag());
    is_sound_ = is_sound_ && found.size() == model_.by_tag.size();
    for (const int tag : found) is_sound_ = is_sound_ && model_.count_of(tag) == 1;
  }

  void loop() {
    const time_point now =
        below(6) == 0 ? time_point::max() : clock_type::now() + std::chrono::nanoseconds(below(6) - 3);
    const int round = ++round_;
    model_.left_to_next_round.clear();
    const auto due = queue_.expired(now);
    if (below(2) == 0) {
      is_sound_ = is_sound_ && due.empty() == (model_.first_due(now) == none);
      nested();
    }
    current_ = round == round_ ? none : current_;
    for (auto it = due.begin();; current_ = round == round_ ? none : current_, ++it) {
      const int expected = round == round_ ? model_.first_due(now) : none;
      is_sound_ = is_sound_ && (it == due.end()) == (expected == none);
      if (it == due.end() || !is_sound_) return;
      is_sound_ = it->data().tag() == expected;
      model_.erase(expected);
      current_ = expected;
      check_retired(expected);
      ++reached_;
      if (below(3) == 0) nested();
      if (below(12) == 0) return;
    }
  }

  // A step has destroyed all that is retired, unless something happened since.
  void check_retired(int reached) {
    if (depth_ != 0) return;
    is_sound_ = is_sound_ && alive_.size() == model_.by_tag.size() + 1 && alive_.count(reached) == 1;
  }

  void move_queue() {
    queue_type other(std::move(queue_));
    is_sound_ = is_sound_ && queue_.empty() && queue_.next() == time_point::max();
    queue_ = std::move(other);
    ++round_;
  }

  void check() {
    check_next();
    REQUIRE(is_sound_);
  }

  std::mt19937 random_;
  int tags_ = 0;
  int depth_ = 0;
  int round_ = 0;
  int current_ = none;
  int reached_ = 0;
  bool is_sound_ = true;
  bool is_ending_ = false;
  oracle model_;
  std::set<int> alive_;
  std::map<int, queue_type::timer_type*> timers_;
  std::vector<std::pair<int, queue_type::id>> ids_;
  queue_type queue_;

 public:
  int reached() const { return reached_; }
};

probe::probe(const plan& of) : plan_(of) {
  plan_.where->made(of);
  if (of.throws) throw of.tag;
}
probe::~probe() { plan_.where->destroyed(plan_.tag); }

}  // namespace

TEST_CASE("a timer_queue does what a multimap by deadline would", "[timer_queue]") {
  int reached = 0;
  for (unsigned seed = 1; seed != 201; ++seed) {
    INFO("seed " << seed);
    world one(seed);
    one.run(400);
    reached += one.reached();
  }
  CHECK(reached > 1000);
}
