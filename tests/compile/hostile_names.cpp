// SPDX-License-Identifier: BSL-1.0

// A program whose namespace has functions of the names that the library uses, which take anything:
// argument-dependent lookup would prefer or add them wherever the library made an unqualified call with an
// argument of the program's types.

#include <selectors/mailbox.hpp>
#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#include <chrono>
#include <system_error>
#include <tuple>
#include <utility>

namespace hostile {

// Each of them is a better match than most, and breaks the compilation when it is called.
#define SELECTORS_TEST_HOSTILE(name)                                        \
  template <class... T>                                                     \
  void name(T&&...) {                                                       \
    static_assert(sizeof...(T) == 99, "a stranger's " #name " was called"); \
  }

SELECTORS_TEST_HOSTILE(address_of)
SELECTORS_TEST_HOSTILE(addressof)
SELECTORS_TEST_HOSTILE(as_floating)
SELECTORS_TEST_HOSTILE(as_interest)
SELECTORS_TEST_HOSTILE(begin)
SELECTORS_TEST_HOSTILE(between)
SELECTORS_TEST_HOSTILE(checked)
SELECTORS_TEST_HOSTILE(construct_at)
SELECTORS_TEST_HOSTILE(construct_data)
SELECTORS_TEST_HOSTILE(converted)
SELECTORS_TEST_HOSTILE(data)
SELECTORS_TEST_HOSTILE(destroy_at)
SELECTORS_TEST_HOSTILE(duration_cast)
SELECTORS_TEST_HOSTILE(empty)
SELECTORS_TEST_HOSTILE(end)
SELECTORS_TEST_HOSTILE(exchange)
SELECTORS_TEST_HOSTILE(fileno)
SELECTORS_TEST_HOSTILE(forward)
SELECTORS_TEST_HOSTILE(handle_of)
SELECTORS_TEST_HOSTILE(handle_of_is_noexcept)
SELECTORS_TEST_HOSTILE(instant_of)
SELECTORS_TEST_HOSTILE(is_nan)
SELECTORS_TEST_HOSTILE(is_not_a_time)
SELECTORS_TEST_HOSTILE(is_valid)
SELECTORS_TEST_HOSTILE(key_of)
SELECTORS_TEST_HOSTILE(look_up)
SELECTORS_TEST_HOSTILE(move)
SELECTORS_TEST_HOSTILE(native_handle)
SELECTORS_TEST_HOSTILE(pointer_to)
SELECTORS_TEST_HOSTILE(raise)
SELECTORS_TEST_HOSTILE(remaining)
SELECTORS_TEST_HOSTILE(report)
SELECTORS_TEST_HOSTILE(scaled)
SELECTORS_TEST_HOSTILE(size)
SELECTORS_TEST_HOSTILE(swap)
SELECTORS_TEST_HOSTILE(to_address)
SELECTORS_TEST_HOSTILE(to_nanoseconds)
SELECTORS_TEST_HOSTILE(try_register)
SELECTORS_TEST_HOSTILE(try_watch)
SELECTORS_TEST_HOSTILE(wait_for)
SELECTORS_TEST_HOSTILE(wait_until)

// An address that is not one. It would be found for every class template with an argument of this namespace.
template <class T>
void operator&(T&&) {
  static_assert(sizeof(T) == 0, "a stranger's operator& was called");
}
template <class T, class U>
void operator,(T&&, U&&) {
  static_assert(sizeof(T) == 0, "a stranger's comma was called");
}

struct connection {
  const selectors::wakeup* of = nullptr;
  selectors::native_handle_type native_handle() const { return of->native_handle(); }
};

// A number of the program's own, as a representation of durations.
struct ticks {
  long long value = 0;
  constexpr ticks() = default;
  constexpr ticks(long long v) : value(v) {}
  constexpr explicit operator double() const { return static_cast<double>(value); }
  friend constexpr bool operator==(ticks, ticks) = default;
  friend constexpr auto operator<=>(ticks, ticks) = default;
};

}  // namespace hostile

using namespace selectors;

namespace {

template <class Backend>
int run() {
  wakeup wake, other;
  selector<hostile::connection, Backend> sel;
  hostile::connection one{&wake};
  std::error_code error;
  auto& key = sel.register_(one, event::read, one);
  if (sel.register_(event::read, hostile::connection{&other}, error) == nullptr) return 1;
  if (sel.modify(one, oneshot(event::read), error) == nullptr ||
      sel.watch(one, event::read, error) == nullptr)
    return 2;
  if (sel.find(one) == nullptr || !sel.contains(key) || sel.at(one).data().of != &wake) return 3;
  wake.notify();
  int count = 0;
  for (auto [ready, events] : sel.select(std::chrono::duration<hostile::ticks>(hostile::ticks(10))))
    if (ready.data().of == &wake) ++count;
  for (auto it = sel.begin(); it != sel.end(); ++it)
    if (it->data().of == nullptr) return 4;
  if (sel.select_until(std::chrono::steady_clock::now()).empty()) return 5;
  if (!sel.mark_ready(one, event::read, error) || sel.unregister(one, error) == nullptr) return 6;
  selector<hostile::connection, Backend> moved = std::move(sel);
  sel = std::move(moved);
  return count == 1 && sel.size() == 1 ? 0 : 7;
}

int run_timers() {
  timer_queue<hostile::connection> timers, other;
  auto& first = timers.add(std::chrono::seconds(0), hostile::connection{});
  timers.add(std::chrono::hours(1), hostile::connection{});
  const auto id = first.id();
  if (timers.find(id) == nullptr || !timers.move(id, std::chrono::seconds(0))) return 8;
  for (auto it = timers.begin(); it != timers.end(); ++it)
    if (it->data().of != nullptr) return 9;
  other = std::move(timers);
  int count = 0;
  for (auto& expired : other.expired())
    if (expired.data().of == nullptr) ++count;
  mailbox<hostile::connection> box;
  box.post(hostile::connection{});
  for (const auto& one : box.take())
    if (one.of == nullptr) ++count;
  return count == 2 && other.size() == 1 ? 0 : 10;
}

template <class... Backend>
int run_all(std::tuple<Backend...>*) {
  int worst = 0;
  ((worst = worst != 0 ? worst : run<Backend>()), ...);
  return worst;
}

}  // namespace

int main() {
  const int failed = run_timers();
  return failed != 0 ? failed : run_all(static_cast<available_backends*>(nullptr));
}
