// SPDX-License-Identifier: BSL-1.0

// A thread for each core, each with a selector and a listening socket of its own (SO_REUSEPORT, socket(7)):
// they share nothing while they serve. The kernel deals connections out by a hash, and so unevenly: a thread
// that has more clients than another hands new ones over, by the other's mailbox.

#include "net.hpp"

#include <selectors/mailbox.hpp>
#include <selectors/signal_set.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using selectors::event;

namespace {

struct client {
  net::socket socket;
  std::string name;

  auto native_handle() const { return socket.native_handle(); }
};

template <class Backend>
class worker {
 public:
  using team = std::vector<std::unique_ptr<worker>>;

  worker(net::socket listening, const net::options& options, const team& all)
      : number_(all.size()), options_(options), all_(all), acceptor_(std::move(listening)) {
    sel_.register_(acceptor_, event::read);
    sel_.register_(arriving_, event::read);
  }

  // From any thread. A client without a socket is the end.
  void end() {
    std::error_code error;
    while (!arriving_.post(client{}, error)) std::this_thread::yield();  // until there is memory for it
  }

  void run() {
    while (!is_over_) {
      auto ready = sel_.select_until(acceptor_.resume_at());
      acceptor_.resume(sel_);
      for (auto [key, events] : ready) {
        if (key.handle() == arriving_.native_handle())
          for (client& one : arriving_.take()) welcome(std::move(one));
        else if (key.handle() == acceptor_.native_handle())
          accept();
        else
          echo(key);
      }
    }
  }

 private:
  void accept() {
    acceptor_.accept_some(sel_, [this](net::socket peer, std::string name) {
      worker& least = **std::min_element(
          all_.begin(), all_.end(), [](const auto& a, const auto& b) { return a->clients_ < b->clients_; });
      worker& its = least.clients_ < clients_ ? least : *this;
      client arriving{std::move(peer), std::move(name)};
      ++its.clients_;  // now, so that the next ones go elsewhere
      if (&its == this) return welcome(std::move(arriving));
      std::error_code error;
      if (!its.arriving_.post(std::move(arriving), error)) --its.clients_;
    });
  }

  void welcome(client one) {
    if (!one.socket) return void(is_over_ = true);
    if (options_.verbose) std::fprintf(stderr, "%s came to %zu\n", one.name.c_str(), number_);
    std::error_code refused;
    sel_.register_(event::read, std::move(one), refused);
    if (refused) --clients_;
  }

  // What is not sent yet stays in the kernel, so a client that does not read is not read from.
  void echo(selectors::selector_key<client>& key) {
    const ssize_t got = ::recv(key.handle(), buffer_.data(), buffer_.size(), MSG_PEEK);
    const ssize_t sent =
        got > 0 ? ::send(key.handle(), buffer_.data(), static_cast<std::size_t>(got), 0) : got;
    if (sent > 0) ::recv(key.handle(), buffer_.data(), static_cast<std::size_t>(sent), 0);
    if (sent > 0 || (sent < 0 && net::os::is_for_later(errno))) {
      std::error_code error;
      if (sel_.modify(key, sent < got ? event::write : event::read, error) != nullptr) return;
    }
    --clients_;
    sel_.unregister(key);  // the next select destroys the client, which closes its socket
  }

  std::size_t number_;
  net::options options_;
  const team& all_;
  bool is_over_ = false;
  std::atomic<int> clients_ = 0;
  net::acceptor acceptor_;
  selectors::mailbox<client> arriving_;
  std::array<char, 64 * 1024> buffer_;
  selectors::selector<client, Backend> sel_;
};

bool share_port(net::os::handle socket) noexcept {
  const int on = 1;
  return net::os::claim_port(socket) && ::setsockopt(socket, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
}

unsigned number_of_threads(const std::string& text) {
  unsigned number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size() || number < 1 || number > 256)
    throw net::wrong_usage("--threads " + text + ": not a number from 1 to 256");
  return number;
}

// Threads that end with it, whatever happens.
template <class Worker>
struct running {
  explicit running(const std::vector<std::unique_ptr<Worker>>& workers) : all(workers) {
    threads.reserve(all.size());
  }
  ~running() {
    for (auto& one : all) one->end();
    for (auto& thread : threads) thread.join();
  }
  void start() {
    for (auto& one : all) threads.emplace_back([&one] { one->run(); });
  }

  const std::vector<std::unique_ptr<Worker>>& all;
  std::vector<std::thread> threads;
};

template <class Backend>
void serve(const net::options& options) {
  const unsigned threads = number_of_threads(options.extra);
  selectors::signal_set signals = net::ending_signals();
  selectors::selector<void, Backend> sel;
  sel.register_(signals, event::read);
  if (options.port != "0")
    (void)net::listen(options.host, options.port);  // fails if another program has the port
  typename worker<Backend>::team workers;
  std::string port = options.port, name;
  for (unsigned i = 0; i != threads; ++i) {
    net::socket listening = net::listen(options.host, port, share_port);
    name = net::local_name(listening);
    port = name.substr(name.rfind(':') + 1);  // the first may have been given one by the system
    workers.push_back(std::make_unique<worker<Backend>>(std::move(listening), options, workers));
  }
  running<worker<Backend>> team(workers);
  team.start();
  net::print("listening on " + name + "\n");
  while (signals.take().empty()) sel.select();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string cores = std::to_string(std::max(1u, std::thread::hardware_concurrency()));
  return net::run("multicore_echo", argc, argv,
                  []<class Backend>(Backend*, const net::options& options) { serve<Backend>(options); },
                  {"--threads", "N", "     how many (one for each core)", cores});
}
