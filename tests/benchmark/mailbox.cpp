// SPDX-License-Identifier: BSL-1.0

// Threads that hand a loop something to do: `mailbox WHO THREADS POSTS`; or one thread, `mailbox none|post
// COUNT`. A round prints the nanoseconds of a post, from when the first thread begins until the last value
// has been dealt with: by all threads together, so that whatever processors there are show. libuv's
// uv_async_send carries no value: beside it is a queue under a std::mutex, as its users write it.
// Instructions are counted of one thread that posts and then takes.

#include "rounds.hpp"

#include <selectors/mailbox.hpp>
#include <selectors/selectors.hpp>

#if SELECTORS_PEER_ASIO
#include <asio.hpp>
#endif
#if SELECTORS_PEER_LIBUV
#include <uv.h>
#endif
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

namespace {

// What a loop is handed: two words, a typical request.
struct request {
  std::uint64_t* sum;
  std::uint64_t number;
  void operator()() const { *sum += number; }
};

class by_selectors {
 public:
  by_selectors() { sel_.register_(box_, selectors::event::read); }
  void post(request what) { box_.post(what); }
  void wait() {
    for ([[maybe_unused]] auto one : sel_.select())
      for (const request& what : box_.take()) what();
  }

 private:
  selectors::mailbox<request> box_;
  selectors::selector<> sel_;
};

// A queue, a lock and an eventfd(2), written to by whoever finds the queue empty.
class by_hand {
 public:
  by_hand() {
    epoll_event event{};
    event.events = EPOLLIN;
    checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event), "epoll_ctl");
  }
  void post(request what) {
    bool was_empty;
    {
      const std::lock_guard lock(guard_);
      was_empty = queue_.empty();
      queue_.push_back(what);
    }
    const std::uint64_t one = 1;
    if (was_empty && write(event_, &one, sizeof one) != sizeof one) give_up("write");
  }
  void wait() {
    epoll_event found;
    std::uint64_t count;
    if (epoll_wait(epoll_, &found, 1, -1) == 1 && read(event_, &count, sizeof count) != sizeof count)
      give_up("read");
    {
      const std::lock_guard lock(guard_);
      taken_.swap(queue_);
    }
    for (const request& what : taken_) what();
    taken_.clear();
  }

 private:
  int epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  int event_ = checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  std::mutex guard_;
  std::vector<request> queue_, taken_;
};

#if SELECTORS_PEER_ASIO
class by_asio {
 public:
  void post(request what) { asio::post(loop_, what); }
  void wait() {
    loop_.run_one();
    loop_.poll();
  }

 private:
  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> stays_ = asio::make_work_guard(loop_);
};
#endif

#if SELECTORS_PEER_LIBUV
class by_libuv {
 public:
  by_libuv() {
    checked(uv_loop_init(&loop_), "uv_loop_init");
    async_.data = this;
    checked(uv_async_init(&loop_, &async_,
                          [](uv_async_t* async) { static_cast<by_libuv*>(async->data)->take(); }),
            "uv_async_init");
  }
  void post(request what) {
    {
      const std::lock_guard lock(guard_);
      queue_.push_back(what);
    }
    uv_async_send(&async_);
  }
  void wait() { uv_run(&loop_, UV_RUN_ONCE); }

 private:
  void take() {
    {
      const std::lock_guard lock(guard_);
      taken_.swap(queue_);
    }
    for (const request& what : taken_) what();
    taken_.clear();
  }

  uv_loop_t loop_;
  uv_async_t async_;
  std::mutex guard_;
  std::vector<request> queue_, taken_;
};
#endif

template <class Loop>
int run(std::size_t threads, std::uint64_t posts) {
  static Loop loop;
  static std::uint64_t sum = 0;  // the loop's
  static std::atomic<int> round{0};
  const std::uint64_t share = posts / threads;
  for (std::size_t t = 0; t != threads; ++t) {
    std::thread([share] {
      for (int played = 0;; ++played) {
        round.wait(played);
        for (std::uint64_t i = 0; i != share; ++i) loop.post({&sum, 1});
      }
    }).detach();
  }
  const int result = take_turns([&] {
    const std::uint64_t wanted = sum + share * threads;
    const auto start = std::chrono::steady_clock::now();
    ++round;
    round.notify_all();
    while (sum != wanted) loop.wait();
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
    return std::array{time.count() / static_cast<double>(share * threads)};
  });
  std::_Exit(result);  // the others wait forever
}

// What one thread does, over and over, to have its instructions counted: nothing, posts, or posts of which
// each thousand is taken.
int count(std::string_view what, std::uint64_t posts) {
  std::uint64_t sum = 0;
  selectors::mailbox<request> box;
  const bool is_posted = what != "none", is_taken = what == "take";
  for (std::uint64_t i = 0; i != posts; ++i) {
    if (is_posted) box.post({&sum, 1});
    asm volatile("" : : "r"(&box) : "memory");
    if (!is_taken || i % 1000 != 999) continue;
    for (const request& one : box.take()) one();
  }
  return is_taken && sum != posts;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 3)
    return std::fputs("usage: mailbox by_hand|selectors|asio|libuv THREADS POSTS, or none|post|take COUNT\n",
                      stderr),
           2;
  const std::string_view who = argv[1];
  if (argc == 3) return count(who, static_cast<std::uint64_t>(std::atoll(argv[2])));
  const auto threads = static_cast<std::size_t>(std::atol(argv[2]));
  const auto posts = static_cast<std::uint64_t>(std::atoll(argv[3]));
  if (who == "selectors") return run<by_selectors>(threads, posts);
#if SELECTORS_PEER_ASIO
  if (who == "asio") return run<by_asio>(threads, posts);
#endif
#if SELECTORS_PEER_LIBUV
  if (who == "libuv") return run<by_libuv>(threads, posts);
#endif
  return run<by_hand>(threads, posts);
}
