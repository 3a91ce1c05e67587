// SPDX-License-Identifier: BSL-1.0

// PAIRS socket pairs in a ring, in which ACTIVE bytes go round: who can read a byte writes it to the next.
// `coroutines WHO PAIRS ACTIVE TURNS`. By `plain`, handlers in a selector, which stay registered; by
// coroutines that await each byte, with `selectors` alone, or with a `deadline` each time; by coroutines of
// Asio, which await the bytes (`asio_read`) or, as here, readiness (`asio_wait`). A round prints the
// nanoseconds of a turn.

#include "rounds.hpp"

#include <selectors/coroutine.hpp>
#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#if SELECTORS_PEER_ASIO
#include <asio.hpp>
#endif
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string_view>
#include <vector>

namespace {

using selectors::event;
using namespace std::chrono_literals;

struct hop {
  int handle;
  int next;
};

void pass_on(const hop& at) {
  char byte;
  if (read(at.handle, &byte, 1) != 1 || write(at.next, &byte, 1) != 1) std::abort();
}

class by_plain {
 public:
  void add(hop at) { sel_.register_(at.handle, event::read, at); }
  void run(long& left) {
    while (left > 0) {
      for (auto [key, events] : sel_.select()) {
        pass_on(key.data());
        --left;
      }
    }
  }

 private:
  selectors::selector<hop> sel_;
};

// Runs until the end of the program.
struct endless {
  struct promise_type {
    endless get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::abort(); }
  };
};

template <bool HasDeadline>
class by_coroutines {
 public:
  void add(hop at) { serve(at); }
  void run(long& left) {
    left_ = &left;
    while (left > 0) {
      if constexpr (HasDeadline) {
        resume(sel_.select_until(timers_.next()));
        resume(timers_.expired());
      } else {
        resume(sel_.select());
      }
    }
  }

 private:
  endless serve(hop at) {
    for (;;) {
      if constexpr (HasDeadline)
        co_await ready(sel_, at.handle, event::read, timers_, 60s);
      else
        co_await ready(sel_, at.handle, event::read);
      pass_on(at);
      --*left_;
    }
  }

  selectors::selector<selectors::coroutine_waiter> sel_;
  selectors::timer_queue<selectors::coroutine_waiter> timers_;
  long* left_ = nullptr;
};

#if SELECTORS_PEER_ASIO
template <bool Waits>
class by_asio {
  using socket = asio::local::stream_protocol::socket;

 public:
  void add(hop at) {
    auto here = std::make_unique<socket>(loop_, asio::local::stream_protocol(), at.handle);
    here->native_non_blocking(true);
    asio::co_spawn(loop_, serve(std::move(here), at), asio::detached);
  }
  void run(long& left) {
    left_ = &left;
    while (left > 0) loop_.run_one();
  }

 private:
  asio::awaitable<void> serve(std::unique_ptr<socket> here, hop at) {
    for (;;) {
      if constexpr (Waits) {
        co_await here->async_wait(socket::wait_read, asio::use_awaitable);
        pass_on(at);
      } else {
        char byte;
        co_await here->async_read_some(asio::buffer(&byte, 1), asio::use_awaitable);
        if (write(at.next, &byte, 1) != 1) std::abort();
      }
      --*left_;
    }
  }

  asio::io_context loop_{ASIO_CONCURRENCY_HINT_UNSAFE};
  long* left_ = nullptr;
};
#endif

template <class Loop>
int run(std::size_t count, std::size_t active, long turns) {
  std::vector<std::array<int, 2>> pairs(count);
  for (auto& pair : pairs)
    checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), "socketpair");
  static Loop loop;
  for (std::size_t i = 0; i != count; ++i) loop.add({pairs[i][0], pairs[(i + 1) % count][1]});
  for (std::size_t i = 0; i != active; ++i)
    if (write(pairs[i * count / active][1], "!", 1) != 1) give_up("write");
  return take_turns([&] {
    long left = turns;
    const double start = processor_time();
    loop.run(left);
    return std::array{(processor_time() - start) / static_cast<double>(turns - left)};
  });
}

}  // namespace

int main(int argc, char** argv) {
  const auto count = [argv](int i) { return static_cast<std::size_t>(std::atol(argv[i])); };
  const std::string_view who = argc == 5 ? argv[1] : "";
  if (who == "plain") return run<by_plain>(count(2), count(3), std::atol(argv[4]));
  if (who == "selectors") return run<by_coroutines<false>>(count(2), count(3), std::atol(argv[4]));
  if (who == "deadline") return run<by_coroutines<true>>(count(2), count(3), std::atol(argv[4]));
#if SELECTORS_PEER_ASIO
  if (who == "asio_read") return run<by_asio<false>>(count(2), count(3), std::atol(argv[4]));
  if (who == "asio_wait") return run<by_asio<true>>(count(2), count(3), std::atol(argv[4]));
#endif
  return std::fputs("usage: coroutines plain|selectors|deadline|asio_read|asio_wait PAIRS ACTIVE TURNS\n",
                    stderr),
         2;
}
