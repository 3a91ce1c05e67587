// SPDX-License-Identifier: BSL-1.0

// One case of wrong use at a time: -DCASE=N. The message that each must have is in CMakeLists.txt.

#include <selectors/selectors.hpp>

#include <system_error>
#include <thread>
#include <utility>

using namespace selectors;

struct needs_argument {
  explicit needs_argument(int);
};

inline void use(poll_selector<int>& poll, select_selector<int>& select, selector<needs_argument>& sel,
                selector<void>& plain, selector_key<int>& key, std::thread& thread, std::error_code& error) {
#if CASE == 0
  poll.register_(1, oneshot(event::read), 2);
  plain.register_(1, exclusive(edge(event::read)));
  sel.register_(1, event::read, needs_argument(2));
  select.modify(key, event::write, error);
  poll.watch(key, oneshot(event::read));
  poll.mark_ready(key, event::read, error);
  plain.register_(&plain, {});
  (void)thread;
#elif CASE == 1
  poll.register_(1, edge(event::read));
#elif CASE == 2
  select.modify(1, edge(event::read));
#elif CASE == 3
  plain.register_(1, exclusive(oneshot(event::read)));
#elif CASE == 4
  poll.register_(1, exclusive(event::read));
#elif CASE == 5
  select.modify(1, exclusive(event::read), error);
#elif CASE == 6
  auto copy = plain;
#elif CASE == 7
  auto copy = key;
#elif CASE == 8
  selector_key<int> made;
#elif CASE == 9
  plain.register_(thread, event::read);
#elif CASE == 10
  selector<std::error_code> codes;
  codes.register_(1, event::read, std::as_const(error));
#elif CASE == 11
  sel.register_(1, event::read);
#elif CASE == 12
  plain.at(1).data();
#elif CASE == 13
  wakeup one;
  auto copy = one;
#elif CASE == 14
  plain.register_(1L, event::read);
#elif CASE == 15
  plain.register_(true, event::read);
#elif CASE == 16
  plain.register_(1U, event::read);
#elif CASE == 17
  plain.register_('1', event::read);
#elif CASE == 18
  plain.modify(1L, event::read);
#elif CASE == 19
  plain.register_(1, 1);
#elif CASE == 20
  poll.register_(1, event::read, "text");
#elif CASE == 21
  poll.register_(1, event::read, "text", error);
#elif CASE == 22
  plain.register_(1, event::read, 2);
#elif CASE == 23
  sel.register_(event::read, needs_argument(2));
#elif CASE == 24
  std::as_const(poll).register_(1, event::read, 2);
#elif CASE == 25
  std::as_const(poll).modify(1, event::read);
#elif CASE == 26
  std::as_const(poll).unregister(1);
#elif CASE == 27
  std::as_const(poll).watch(1, event::read, error);
#elif CASE == 28
  std::as_const(poll).mark_ready(1, event::read);
#elif CASE == 29
  std::as_const(poll).select();
#elif CASE == 30
  (void)poll.find(1L);
#elif CASE == 31
  native_handle_type number = 1;
  plain.register_(&number, event::read);
#elif CASE == 32
  selector<int[3]> arrays;
#elif CASE == 33
  selector<int&> references;
#elif CASE == 34
  (void)poll.native_handle();
#elif CASE == 35
  sel.register_(1, event::read, 2);
#elif CASE == 36
  poll.watch(1, edge(event::read), 2);
#elif CASE == 37
  plain.modify(key, event::read);
#endif
}
