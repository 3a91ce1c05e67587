// SPDX-License-Identifier: BSL-1.0

// Lines. What one client says, every other client hears once, as `NAME: LINE`.

#include "net.hpp"
#include "terminal.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using selectors::event;
using selectors::event_mask;

namespace {

constexpr std::size_t longest_line = 4096;
constexpr std::size_t most_unread = 1024 * 1024;

struct client {
  net::socket socket;
  std::string address;
  std::string name;
  std::string line = {};  // as far as it has come
  net::backlog unread = {};
  std::string_view leaves = {};  // why, once it must

  auto native_handle() const { return socket.native_handle(); }
};

bool is_name(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= 24 && std::all_of(text.begin(), text.end(), fits);
}

template <class Backend>
class chat_server {
 public:
  chat_server(net::socket listening, const net::options& options)
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
        send_what_was_told();
      }
    }
  }

 private:
  using key_type = selectors::selector_key<client>;

  void accept() {
    acceptor_.accept_some(sel_, [this](net::socket peer, std::string address) {
      options_.log(address, "came");
      client arrived{std::move(peer), address, free_name()};
      clients_.push_back(nullptr);  // first: once the client is registered, nothing may fail
      std::error_code refused;
      clients_.back() = sel_.register_(event::read, std::move(arrived), refused);
      if (refused) {
        clients_.pop_back();
        return options_.log(address, "refused: " + refused.message());
      }
      key_type& key = *clients_.back();
      tell(key, {"* welcome, ", key.data().name, ": /nick NAME, /who, /quit"});
      tell_others(key, {"* ", key.data().name, " joined"});
    });
  }

  std::string free_name() {
    std::string name;
    do name = "guest" + std::to_string(++guests_);
    while (find(name) != nullptr);
    return name;
  }

  // What fails on behalf of one client, for lack of memory, ends that client alone.
  void serve(key_type& key, event_mask events) {
    try {
      exchange(key, events);
    } catch (const std::exception&) {
      leave(key, "out of memory");
    }
  }

  void exchange(key_type& key, event_mask events) {
    client& one = key.data();
    if (events.contains(event::write)) {
      const net::status how = one.unread.send_to(one.socket);
      if (how == net::status::end) return leave(key, "connection lost");
      // No system call while that is so already.
      sel_.modify(key, how == net::status::done ? event_mask(event::read) : event::read | event::write);
    }
    if (!events.contains(event::read)) return;
    // One piece at a time, so that a client who floods does not keep the others waiting.
    const auto [how, bytes] = net::receive(one.socket, buffer_);
    if (how == net::status::end) return leave(key, "left");
    one.line += bytes;
    take_lines(key);
  }

  void take_lines(key_type& key) {
    client& one = key.data();
    std::size_t begin = 0;
    for (std::size_t end; (end = one.line.find('\n', begin)) != std::string::npos && one.leaves.empty();
         begin = end + 1) {
      std::string_view line(one.line.data() + begin, end - begin);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.size() > longest_line) return leave(key, "sent too long a line");
      hear(key, line);
    }
    one.line.erase(0, begin);
    if (one.line.size() > longest_line + (one.line.ends_with('\r') ? 1 : 0))
      leave(key, "sent too long a line");
  }

  void hear(key_type& key, std::string_view line) {
    client& one = key.data();
    if (options_.verbose) options_.log(one.address, "sent " + net::printable(line));
    if (line.starts_with("/nick "))
      rename(key, std::string(line.substr(6)));
    else if (line == "/who")
      tell(key, {"* here: ", everybody()});
    else if (line == "/quit")
      leave(key, "left");
    else if (line.starts_with('/'))
      tell(key, {"* unknown command ", net::harmless(line), ": /nick NAME, /who, /quit"});
    else if (!line.empty())
      tell_others(key, {one.name, ": ", net::harmless(line)});
  }

  void rename(key_type& key, std::string name) {
    if (!is_name(name)) return tell(key, {"* a name has 1 to 24 letters, digits, - and _"});
    if (find(name) != nullptr) return tell(key, {"* ", name, " is in use"});
    const std::string before = std::exchange(key.data().name, std::move(name));
    tell(key, {"* you are now ", key.data().name});
    tell_others(key, {"* ", before, " is now ", key.data().name});
  }

  key_type* find(const std::string& name) {
    const auto found = std::find_if(clients_.begin(), clients_.end(),
                                    [&](const key_type* key) { return key->data().name == name; });
    return found != clients_.end() ? *found : nullptr;
  }

  std::string everybody() {
    std::string names;
    for (const key_type* key : clients_) names += (names.empty() ? "" : ", ") + key->data().name;
    return names;
  }

  using parts = std::initializer_list<std::string_view>;

  // One line. Whoever has no room for it leaves, so that nobody misses one.
  void tell(key_type& key, parts line) noexcept {
    client& one = key.data();
    if (!one.leaves.empty()) return;
    try {
      one.unread.append(line, "\n");
      has_told_ = true;
      if (one.unread.size() > most_unread) leave(key, "does not read");
    } catch (const std::exception&) {
      leave(key, "out of memory");
    }
  }

  void tell_others(const key_type& from, parts line) noexcept {
    for (key_type* key : clients_)
      if (key != &from) tell(*key, line);
  }

  // Sends all that one event has queued, at once, and waits for `write` only on the sockets that did not take
  // all of it. A client that turns out to be gone is removed, and the others are told.
  void send_what_was_told() {
    for (part_with_the_leaving(); std::exchange(has_told_, false); part_with_the_leaving())
      for (key_type* key : clients_)
        if (!key->events().contains(event::write)) serve(*key, event::write);
  }

  // Only marks: the caller may be iterating over the clients.
  void leave(key_type& key, std::string_view why) noexcept {
    if (key.data().leaves.empty()) ++leaving_;
    key.data().leaves = why;
  }

  // The notices of this may be too much for the backlog of another client, which leaves, too.
  void part_with_the_leaving() {
    for (; leaving_ != 0; --leaving_) {
      const auto found = std::find_if(clients_.begin(), clients_.end(),
                                      [](const key_type* key) { return !key->data().leaves.empty(); });
      key_type& key = **found;
      clients_.erase(found);
      client& one = key.data();
      options_.log(one.address, one.leaves);
      const bool goes_freely = one.leaves == "left";
      try {
        if (!goes_freely) one.unread.append({"* you are out: ", one.leaves}, "\n");
      } catch (const std::bad_alloc&) {  // then it is not told why
      }
      (void)one.unread.send_to(one.socket);  // as much as it still takes
      sel_.unregister(key);                  // the next select destroys the client, which closes its socket
      tell_others(key, {"* ", one.name, goes_freely ? " left" : " left: ", goes_freely ? "" : one.leaves});
    }
  }

  net::options options_;
  net::acceptor acceptor_;
  selectors::signal_set signal_ = net::ending_signals();
  std::array<char, 16 * 1024> buffer_;
  int guests_ = 0;
  selectors::selector<client, Backend> sel_;
  std::vector<key_type*> clients_;  // in the order in which they came
  std::size_t leaving_ = 0;         // how many of them are about to go
  bool has_told_ = false;           // something that is not sent yet
};

}  // namespace

int main(int argc, char** argv) {
  return net::run("chat_server", argc, argv,
                  []<class Backend>(Backend*, net::socket listening, const net::options& options) {
                    chat_server<Backend>(std::move(listening), options).run();
                  });
}
