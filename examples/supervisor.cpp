// SPDX-License-Identifier: BSL-1.0

// Keeps programs running: `supervisor COMMAND...`, each for /bin/sh. One that ends is started again, at most
// once a second; Ctrl-C or SIGTERM ends them all, and what has not ended five seconds later is killed.

#include <selectors/child_exit.hpp>
#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>
#include <selectors/timer_queue.hpp>

#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

extern char** environ;

using namespace std::chrono_literals;
using std::chrono::steady_clock;

struct program {
  std::string command;
  steady_clock::time_point started{};
  std::optional<selectors::child_exit> process = {};  // none in the key of the signals
  auto native_handle() const { return process->native_handle(); }
};

program start(std::string command) {
  std::string shell = "sh", option = "-c";
  char* const arguments[] = {shell.data(), option.data(), command.data(), nullptr};
  pid_t pid = 0;
  if (const int error = ::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, arguments, environ); error != 0)
    throw std::system_error(error, std::system_category(), "posix_spawn");
  return {std::move(command), steady_clock::now(), std::optional<selectors::child_exit>(pid)};
}

void signal_all(auto& sel, int number) {
  for (auto& key : sel)
    if (auto& process = key.data().process) process->kill(number);
}

void supervise(const std::vector<std::string>& commands) {
  std::signal(SIGCHLD, SIG_DFL);  // ignored, which is inherited, it discards how a program has ended
  selectors::signal_set signals{SIGINT, SIGTERM};
  selectors::selector<program> sel;
  selectors::timer_queue<std::string> timers;  // of what is to be started; without a command: time to kill
  sel.register_(signals, selectors::event::read, program{});
  for (const std::string& command : commands) sel.register_(selectors::event::read, start(command));
  for (bool is_ending = false; !is_ending || sel.size() > 1;) {
    for (auto [key, events] : sel.select_until(timers.next())) {
      program& one = key.data();
      if (!one.process) {
        if (signals.take().empty()) continue;
        is_ending = true;
        timers.clear();
        timers.add(5s, std::string());
        signal_all(sel, SIGTERM);
      } else if (const std::optional<int> status = one.process->reap()) {
        std::cout << "ended: " << one.command << ", status " << *status << std::endl;
        sel.unregister(key);
        if (!is_ending) timers.add(one.started + 1s, one.command);
      }
    }
    for (auto& timer : timers.expired()) {
      if (is_ending)
        signal_all(sel, SIGKILL);
      else
        sel.register_(selectors::event::read, start(timer.data()));
    }
  }
}

int main(int argc, char** argv) { supervise(std::vector<std::string>(argv + 1, argv + argc)); }
