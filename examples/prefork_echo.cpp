// SPDX-License-Identifier: BSL-1.0

// Processes that share a listening socket. The parent prepares a selector; each child makes it its own by
// `reopen`, and serves. With `exclusive` the kernel usually wakes only some of the children for a new client.
// A child that dies is replaced; the others, and their clients, notice nothing.

#include "net.hpp"

#include <selectors/child_exit.hpp>
#include <selectors/timer_queue.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

using selectors::event;
using std::chrono::steady_clock;

namespace {

// What a child serves with, made by the parent.
template <class Backend>
class server {
 public:
  server(net::socket listening, net::socket lifeline, const net::options& options)
      : options_(options), acceptor_(std::move(listening)), lifeline_(std::move(lifeline)) {
    sel_.register_(acceptor_, interest());
    sel_.register_(lifeline_, event::read);
  }

  // In the child. Until the parent has gone, or wants it to end: then the lifeline is at its end.
  void run() {
    sel_.reopen();
    for (;;) {
      auto ready = sel_.select_until(acceptor_.resume_at());
      acceptor_.resume(sel_, interest());
      for (auto [key, events] : ready) {
        if (key.handle() == lifeline_.native_handle()) return;
        if (key.handle() == acceptor_.native_handle())
          accept();
        else
          echo(key);
      }
    }
  }

 private:
  static auto interest() {
    if constexpr (selectors::supports<Backend, selectors::trigger::level, true>)
      return selectors::exclusive(event::read);
    else
      return event::read;  // all children are woken, and all but one find nobody
  }

  void accept() {
    acceptor_.accept_some(sel_, [this](net::socket peer, std::string name) {
      if (options_.verbose)
        std::fprintf(stderr, "%s came to %d\n", name.c_str(), static_cast<int>(::getpid()));
      std::error_code refused;
      sel_.register_(event::read, std::move(peer), refused);
    });
  }

  // What is not sent yet stays in the kernel, so a client that does not read is not read from.
  void echo(selectors::selector_key<net::socket>& key) {
    const ssize_t got = ::recv(key.handle(), buffer_.data(), buffer_.size(), MSG_PEEK);
    const ssize_t sent =
        got > 0 ? ::send(key.handle(), buffer_.data(), static_cast<std::size_t>(got), 0) : got;
    if (sent > 0) ::recv(key.handle(), buffer_.data(), static_cast<std::size_t>(sent), 0);
    if (sent > 0 || (sent < 0 && net::os::is_for_later(errno))) {
      std::error_code error;
      if (sel_.modify(key, sent < got ? event::write : event::read, error) != nullptr) return;
    }
    sel_.unregister(key);  // the next select destroys the socket
  }

  net::options options_;
  net::acceptor acceptor_;
  net::socket lifeline_;
  std::array<char, 64 * 1024> buffer_;
  selectors::selector<net::socket, Backend> sel_;
};

struct process {
  std::optional<selectors::child_exit> exit;  // none in the key of the signals
  steady_clock::time_point started;
  auto native_handle() const { return exit->native_handle(); }
};

template <class Backend>
class parent {
 public:
  parent(net::socket listening, int children, const net::options& options) : children_(children) {
    std::signal(SIGCHLD, SIG_DFL);  // ignored, which is inherited, it discards how a child has ended
    int ends[2];
    if (::pipe(ends) != 0) throw std::system_error(errno, std::system_category(), "pipe");
    net::socket read_end(net::os::prepared(ends[0]));
    write_end_ = net::socket(net::os::prepared(ends[1]));
    const std::string name = net::local_name(listening);
    server_.emplace(std::move(listening), std::move(read_end), options);
    sel_.register_(signals_, event::read, process{});
    net::print("listening on " + name + "\n");
  }

  void run() {
    for (int i = 0; i != children_; ++i) start();
    while (write_end_ || sel_.size() > 1) {
      for (auto [key, events] : sel_.select_until(timers_.next())) {
        if (!key.data().exit) {
          if (signals_.take().empty()) continue;
          write_end_ = net::socket();  // the children notice
          timers_.clear();
          timers_.add(std::chrono::seconds(5));
        } else if (key.data().exit->reap()) {
          if (write_end_)
            timers_.add(key.data().started + std::chrono::seconds(1));  // not more often than that
          sel_.unregister(key);
        }
      }
      for ([[maybe_unused]] auto& timer : timers_.expired()) write_end_ ? start() : kill_all();
    }
  }

 private:
  void start() {
    const pid_t pid = ::fork();
    if (pid < 0) return void(timers_.add(std::chrono::seconds(1)));  // no memory, or too many processes
    if (pid == 0) serve();
    sel_.register_(event::read, process{std::optional<selectors::child_exit>(pid), steady_clock::now()});
  }

  void kill_all() {
    for (auto& key : sel_)
      if (auto& exit = key.data().exit) exit->kill(SIGKILL);
  }

  // In the child, which never returns. A signal that arrives here reaches nobody: the parent decides when to
  // end.
  [[noreturn]] void serve() {
    int code = 0;
    try {
      write_end_ = net::socket();
      server_->run();
    } catch (const std::exception& error) {
      std::cerr << "prefork_echo: " << error.what() << '\n';
      code = 1;
    }
    ::_exit(code);
  }

  int children_;
  net::socket write_end_;  // of the lifeline: open for as long as the parent lives
  std::optional<server<Backend>> server_;
  selectors::signal_set signals_ = net::ending_signals();
  selectors::timer_queue<> timers_;  // each for a child to be started; at the end, when to wait no longer
  selectors::selector<process, Backend> sel_;
};

int number_of_children(const std::string& text) {
  int number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size() || number < 1 || number > 256)
    throw net::wrong_usage("--children " + text + ": not a number from 1 to 256");
  return number;
}

}  // namespace

int main(int argc, char** argv) {
  return net::run("prefork_echo", argc, argv,
                  []<class Backend>(Backend*, const net::options& options) {
                    const int children = number_of_children(options.extra);
                    parent<Backend>(net::listen(options.host, options.port), children, options).run();
                  },
                  {"--children", "N", "    how many processes (2)", "2"});
}
