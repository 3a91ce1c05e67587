// SPDX-License-Identifier: BSL-1.0

// Compiled with -fno-exceptions -fno-rtti: every form that reports to an error_code, on every backend.

#include <selectors/selectors.hpp>

#include <chrono>
#include <tuple>

using namespace selectors;

namespace {

struct owner {
  const wakeup* of;
  native_handle_type native_handle() const { return of->native_handle(); }
};

template <class Backend>
int run() {
  std::error_code error;
  selector<owner, Backend> sel(error);
  if (error) return 1;
  wakeup wake(error), other(error);
  if (error) return 2;
  if (sel.register_(event::read, owner{&wake}, error) == nullptr) return 3;
  if (sel.register_(other, event::read, {&other}, error) == nullptr) return 4;
  if (sel.register_(other, event::read, error) != nullptr || error != errc::already_registered) return 5;
  if (sel.modify(other, oneshot(event::read), error) == nullptr || error) return 6;
  wake.notify();
  for (auto [key, events] : sel.select(error))
    if (key.data().of != &wake || events != event::read) return 7;
  if (sel.select(std::chrono::seconds(10), error).empty()) return 8;
  if (sel.select_until(std::chrono::steady_clock::now(), error).empty()) return 9;
  if (sel.unregister(wake, error) == nullptr) return 10;
  if (!sel.select(std::chrono::seconds(0), error).empty()) return 11;
  sel.reopen(error);
  if (error || sel.size() != 1) return 12;
  sel.close();
  if (!sel.select(error).empty() || error != errc::closed) return 13;
  return 0;
}

template <class... Backend>
int run_all(std::tuple<Backend...>*) {
  int worst = 0;
  ((worst = worst != 0 ? worst : run<Backend>()), ...);
  return worst;
}

}  // namespace

int main() { return run_all(static_cast<available_backends*>(nullptr)); }
