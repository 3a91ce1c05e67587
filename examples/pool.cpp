// SPDX-License-Identifier: BSL-1.0

// Threads that compute, and a loop that shows what they found, in the order in which they find it.

#include <selectors/mailbox.hpp>
#include <selectors/selectors.hpp>

#include <condition_variable>
#include <functional>
#include <iostream>
#include <mutex>
#include <queue>
#include <thread>
#include <utility>
#include <vector>

// Runs jobs on a few threads; ends when all that it was given is done.
class pool {
 public:
  explicit pool(unsigned threads) {
    while (threads-- != 0) threads_.emplace_back([this] { work(); });
  }
  ~pool() {
    run({});  // the last job: there are no more
    for (std::thread& one : threads_) one.join();
  }
  void run(std::function<void()> job) {
    const std::lock_guard lock(guard_);
    jobs_.push(std::move(job));
    has_job_.notify_one();
  }

 private:
  void work() {
    for (;;) {
      std::unique_lock lock(guard_);
      has_job_.wait(lock, [this] { return !jobs_.empty(); });
      if (!jobs_.front()) return has_job_.notify_one();  // and leaves it for the next thread
      const auto job = std::move(jobs_.front());
      jobs_.pop();
      lock.unlock();
      job();
    }
  }

  std::mutex guard_;
  std::condition_variable has_job_;
  std::queue<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
};

struct result {
  int number, steps;
};

int steps_to_one(long number) {
  int steps = 0;
  for (; number != 1; ++steps) number = number % 2 == 0 ? number / 2 : 3 * number + 1;
  return steps;
}

int main() {
  selectors::mailbox<result> results;
  selectors::selector<> sel;
  sel.register_(results, selectors::event::read);

  pool workers(4);
  int left = 30;
  for (int n = 1; n <= left; ++n) workers.run([&results, n] { results.post({n, steps_to_one(n)}); });

  while (left != 0) {
    if (sel.select().empty()) continue;
    for (const result& one : results.take()) {
      std::cout << one.number << " takes " << one.steps << " steps to 1\n";
      --left;
    }
  }
}
