// SPDX-License-Identifier: BSL-1.0

// Forwards TCP connections: what a client sends goes to the target, and the other way round. Each direction
// has a bounded buffer and an end of its own: a side that sends no more can still receive. A reset is passed
// on as a reset, so that nobody takes a part for the whole.

#include "net.hpp"

#include <array>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using selectors::event;
using selectors::event_mask;

namespace {

constexpr std::size_t max_unsent = 64 * 1024;

struct link;

// What each key holds: one of the two sides of a link.
struct end_of_link {
  std::shared_ptr<link> of;
  bool is_client;
};
using key_type = selectors::selector_key<end_of_link>;

struct side {
  net::socket socket = {};
  key_type* key = nullptr;
  net::backlog received = {};  // to be sent to the other side
  bool is_connected = false;
  bool is_at_end = false;     // sends no more
  bool has_finished = false;  // has been told that nothing more is sent to it
};

struct link {
  std::string name;
  const addrinfo* address;  // of the target: the one to be tried next
  side client = {};
  side target = {};
};

event_mask interest_of(const side& self, const side& other) {
  if (!self.is_connected) return event::write;
  event_mask events;
  if (!self.is_at_end && self.received.size() < max_unsent) events |= event::read;
  if (!other.received.empty()) events |= event::write;
  return events;
}

template <class Backend>
class proxy {
 public:
  proxy(net::socket listening, const net::options& options)
      : options_(options), targets_(look_up_target(options.extra)), acceptor_(std::move(listening)) {
    sel_.register_(acceptor_, event::read, end_of_link{});
    sel_.register_(signal_, event::read, end_of_link{});
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
          serve(key.data(), events);
      }
    }
  }

 private:
  static constexpr bool reports_hangup_alone =
      selectors::supports<Backend, selectors::trigger::edge> &&
      selectors::requestable_events<Backend>.contains(event::read_hangup);

  static net::addresses look_up_target(const std::string& target) {
    const std::size_t colon = target.rfind(':');
    if (colon == std::string::npos) throw net::wrong_usage("--to " + target + ": not HOST:PORT");
    std::string host = target.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    return net::look_up(host, target.substr(colon + 1));
  }

  void accept() {
    acceptor_.accept_some(sel_, [this](net::socket peer, std::string name) {
      options_.log(name, "came");
      const auto made = std::make_shared<link>(link{std::move(name), targets_.get()});
      made->client.socket = std::move(peer);
      made->client.is_connected = true;
      try {
        made->client.key = &sel_.register_(made->client.socket, event::read, end_of_link{made, true});
        if (!connect_next(made)) refuse(*made);
      } catch (...) {
        refuse(*made);
        throw;  // out of descriptors, say: the acceptor pauses
      }
    });
  }

  // Begins to connect to the target's next address. False: there is no further one.
  bool connect_next(const std::shared_ptr<link>& which) {
    side& target = which->target;
    while (const addrinfo* const address = which->address) {
      which->address = address->ai_next;
      target.socket = net::socket(net::os::open(*address));
      if (!target.socket) throw std::system_error(net::os::last_error(), std::system_category(), "socket");
      const int how = ::connect(target.socket.native_handle(), address->ai_addr,
                                static_cast<socklen_t>(address->ai_addrlen));
      if (how != 0 && !net::os::is_connecting(net::os::last_error())) continue;
      target.key = &sel_.register_(target.socket, event::write, end_of_link{which, false});
      return true;
    }
    return false;
  }

  void serve(end_of_link& end, event_mask events) {
    const std::shared_ptr<link> kept = end.of;
    side& self = end.is_client ? kept->client : kept->target;
    side& other = end.is_client ? kept->target : kept->client;
    try {
      if (!self.is_connected && !has_connected(kept)) return;
      if (events.contains(event::error)) return reset(*kept);
      if (events.contains(event::read) && !receive(self)) return reset(*kept);
      if (!forward(self, other) || !forward(other, self)) return reset(*kept);
      if (self.has_finished && other.has_finished) return close(*kept, "left");
      wait_for(self, other);
      wait_for(other, self);
    } catch (const std::exception&) {
      reset(*kept);  // no memory, or no descriptor for the next address
    }
  }

  // A side from which nothing is read for now, since the other takes no more, is still watched for a reset:
  // edge-triggered, so that the end of its stream wakes us only once. Modifying it again would report that
  // end again, so it is left alone while it is watched like this.
  void wait_for(side& self, side& other) {
    const event_mask events = interest_of(self, other);
    if constexpr (reports_hangup_alone)
      if (events.empty()) {
        if (self.key->events() != event::read_hangup)
          sel_.modify(*self.key, selectors::edge(event::read_hangup));
        return;
      }
    sel_.modify(*self.key, events);
  }

  bool has_connected(const std::shared_ptr<link>& which) {
    side& target = which->target;
    const int error = net::os::pending_error(target.socket.native_handle());
    if (error == 0) return target.is_connected = true;
    sel_.unregister(*std::exchange(target.key, nullptr));
    if (!connect_next(which)) refuse(*which, "target: " + std::system_category().message(error));
    return false;
  }

  // One piece. False: the connection is lost.
  bool receive(side& from) {
    if (from.is_at_end || from.received.size() >= max_unsent) return true;
    const auto size = net::os::receive(from.socket.native_handle(), buffer_);
    if (size < 0) return net::os::is_for_later(net::os::last_error());
    if (size == 0) from.is_at_end = true;
    from.received.append(std::string_view(buffer_.data(), static_cast<std::size_t>(size)));
    return true;
  }

  // False: the connection is lost.
  bool forward(side& from, side& to) {
    if (!to.is_connected || !from.is_connected) return true;
    if (from.received.send_to(to.socket) == net::status::end) return false;
    if (from.is_at_end && from.received.empty() && !std::exchange(to.has_finished, true))
      net::finish_sending(to.socket);
    return true;
  }

  // A client that was accepted must not take this for the end of an answer.
  void refuse(link& which, const std::string& why = "target unreachable") {
    net::reset_when_closed(which.client.socket);
    close(which, why);
  }

  void reset(link& which) {
    net::reset_when_closed(which.client.socket);
    if (which.target.socket) net::reset_when_closed(which.target.socket);
    close(which, "connection lost");
  }

  // The next select destroys both keys and with them the link, whose sockets are closed.
  void close(link& which, std::string_view why) {
    options_.log(which.name, why);
    for (side* one : {&which.client, &which.target})
      if (key_type* const key = std::exchange(one->key, nullptr)) sel_.unregister(*key);
  }

  net::options options_;
  net::addresses targets_;
  net::acceptor acceptor_;
  selectors::signal_set signal_ = net::ending_signals();
  std::array<char, 64 * 1024> buffer_;
  selectors::selector<end_of_link, Backend> sel_;
};

}  // namespace

int main(int argc, char** argv) {
  return net::run("proxy", argc, argv,
                  []<class Backend>(Backend*, net::socket listening, const net::options& options) {
                    proxy<Backend>(std::move(listening), options).run();
                  },
                  {"--to", "HOST:PORT", "forward each connection to this address"});
}
