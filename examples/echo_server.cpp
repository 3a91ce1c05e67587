// SPDX-License-Identifier: BSL-1.0

// Every byte comes back, in order. A client that does not read is not read from, beyond a bounded backlog;
// one that has shut down its sending side still gets what is owed to it.

#include "net.hpp"

#include <array>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

using selectors::event;
using selectors::event_mask;

namespace {

constexpr std::size_t most_owed = 256 * 1024;

struct client {
  net::socket socket;
  std::string name;
  net::backlog owed = {};
  bool is_at_end = false;  // will send no more

  auto native_handle() const { return socket.native_handle(); }

  event_mask wants() const {
    event_mask events;
    if (!is_at_end && owed.size() < most_owed) events |= event::read;
    if (!owed.empty()) events |= event::write;
    return events;
  }
};

template <class Backend>
class echo_server {
 public:
  echo_server(net::socket listening, const net::options& options)
      : options_(options), acceptor_(std::move(listening)) {
    sel_.register_(acceptor_, event::read);
    sel_.register_(signal_, event::read);
    net::announce(acceptor_);
  }

  void run() {
    for (;;) {
      auto ready = sel_.select_until(acceptor_.resume_at());
      acceptor_.resume(sel_);
      for (auto [key, events] : ready) {
        if (key.handle() == signal_.native_handle()) return;
        if (key.handle() == acceptor_.native_handle())
          accept();
        else
          serve(key, events);
      }
    }
  }

 private:
  using key_type = selectors::selector_key<client>;

  void accept() {
    acceptor_.accept_some(sel_, [this](net::socket peer, std::string name) {
      options_.log(name, "came");
      std::error_code refused;
      if (sel_.register_(event::read, client{std::move(peer), name}, refused) == nullptr)
        options_.log(name, "refused: " + refused.message());
    });
  }

  // What fails on behalf of one client, for lack of memory, ends that client alone.
  void serve(key_type& key, event_mask events) {
    try {
      exchange(key, events);
    } catch (const std::exception&) {
      end(key, "left: out of memory");
    }
  }

  void exchange(key_type& key, event_mask events) {
    client& one = key.data();
    if (events.contains(event::read)) read(one);
    const bool is_gone = one.owed.send_to(one.socket) == net::status::end;
    if (is_gone || (one.is_at_end && one.owed.empty()))
      end(key, "left");
    else
      sel_.modify(key, one.wants());
  }

  void end(key_type& key, std::string_view why) {
    options_.log(key.data().name, why);
    sel_.unregister(key);  // the next select destroys the client, which closes its socket
  }

  // One piece at a time, so that a client who floods does not keep the others waiting.
  void read(client& one) {
    const auto [how, bytes] = net::receive(one.socket, buffer_);
    if (how == net::status::end) one.is_at_end = true;
    if (how != net::status::done) return;
    one.owed.append(bytes);
    if (options_.verbose) options_.log(one.name, "sent " + net::printable(bytes));
  }

  net::options options_;
  net::acceptor acceptor_;
  selectors::signal_set signal_ = net::ending_signals();
  std::array<char, 64 * 1024> buffer_;
  selectors::selector<client, Backend> sel_;
};

}  // namespace

int main(int argc, char** argv) {
  return net::run("echo_server", argc, argv,
                  []<class Backend>(Backend*, net::socket listening, const net::options& options) {
                    echo_server<Backend>(std::move(listening), options).run();
                  });
}
