// SPDX-License-Identifier: BSL-1.0

// Lines. What one client says, every other client hears once, as `NAME: LINE`.

#include "net.hpp"

#include <algorithm>
#include <array>
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
  std::string leaves = {};  // why, once it must

  auto native_handle() const { return socket.native_handle(); }
};

// How long the UTF-8 character at the front is; 0 if there is none. The second byte's bounds rule out what
// UTF-8 must not say: overlong forms, surrogates, and what is beyond Unicode.
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return at(i) >= low && at(i) <= high;
  };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef)
    return follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) && follows(2) ? 3 : 0;
  if (first >= 0xf0 && first <= 0xf4)
    return follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) && follows(2) && follows(3)
               ? 4
               : 0;
  return 0;
}

// Text that does nothing to a terminal but appear: no control characters, neither ASCII's nor Unicode's C1.
std::string harmless(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view one = text.substr(0, std::max<std::size_t>(length, 1));
    const bool is_control = one[0] == '\x7f' || (length == 1 && one[0] >= 0 && one[0] < ' ') ||
                            (length == 2 && one[0] == '\xc2' && static_cast<unsigned char>(one[1]) < 0xa0);
    if (length == 0 || is_control)
      out += one[0] == '\t' ? ' ' : '?';
    else
      out += one;
    text.remove_prefix(one.size());
  }
  return out;
}

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
    std::cout << "listening on " << net::local_name(acceptor_) << std::endl;
  }

  void run() {
    for (;;) {
      auto ready = sel_.select(acceptor_.patience());
      acceptor_.resume(sel_);
      for (auto [key, events] : ready) {
        if (key.handle() == signal_.native_handle()) return;
        if (key.handle() == acceptor_.native_handle())
          accept();
        else
          serve(key, events);
        part_with_the_leaving();
      }
    }
  }

 private:
  using key_type = selectors::selector_key<client>;

  void accept() {
    acceptor_.accept_some(sel_, [this](net::socket peer, std::string address) {
      options_.log(address, "came");
      std::string name;
      do name = "guest" + std::to_string(++guests_);
      while (find(name) != nullptr);
      std::error_code refused;
      auto* const made = sel_.register_(event::read, client{std::move(peer), address, name}, refused);
      if (made == nullptr) return options_.log(address, "refused: " + refused.message());
      key_type& key = *clients_.emplace_back(made);
      tell(key, "* welcome, " + name + ": /nick NAME, /who, /quit");
      tell_others(key, "* " + name + " joined");
    });
  }

  void serve(key_type& key, event_mask events) {
    client& one = key.data();
    if (events.contains(event::write)) {
      const net::status how = one.unread.send_to(one.socket);
      if (how == net::status::end) return leave(key, "connection lost");
      if (how == net::status::done) sel_.modify(key, event::read);
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
    options_.log(one.address, "sent " + net::printable(line));
    if (line.starts_with("/nick "))
      rename(key, std::string(line.substr(6)));
    else if (line == "/who")
      tell(key, "* here: " + everybody());
    else if (line == "/quit")
      leave(key, "left");
    else if (line.starts_with('/'))
      tell(key, "* unknown command " + harmless(line) + ": /nick NAME, /who, /quit");
    else if (!line.empty())
      tell_others(key, one.name + ": " + harmless(line));
  }

  void rename(key_type& key, const std::string& name) {
    if (!is_name(name)) return tell(key, "* a name has 1 to 24 letters, digits, - and _");
    if (find(name) != nullptr) return tell(key, "* " + name + " is in use");
    const std::string before = std::exchange(key.data().name, name);
    tell(key, "* you are now " + name);
    tell_others(key, "* " + before + " is now " + name);
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

  void tell(key_type& key, const std::string& line) {
    client& one = key.data();
    if (!one.leaves.empty()) return;
    one.unread.append(line + "\n");
    if (one.unread.size() > most_unread)
      leave(key, "does not read");
    else
      sel_.modify(key, event::read | event::write);
  }

  void tell_others(const key_type& from, const std::string& line) {
    for (key_type* key : clients_)
      if (key != &from) tell(*key, line);
  }

  // Only marks: whoever calls may be going over the clients.
  void leave(key_type& key, std::string why) {
    if (key.data().leaves.empty()) leaving_.push_back(&key);
    key.data().leaves = std::move(why);
  }

  // Telling the others may be too much for one more of them.
  void part_with_the_leaving() {
    while (!leaving_.empty()) {
      key_type& key = *leaving_.back();
      leaving_.pop_back();
      client& one = key.data();
      options_.log(one.address, one.leaves);
      std::erase(clients_, &key);
      if (one.leaves != "left") one.unread.append("* you are out: " + one.leaves + "\n");
      (void)one.unread.send_to(one.socket);  // as much as it still takes
      sel_.unregister(key);                  // the next select destroys the client, which closes its socket
      tell_others(key, "* " + one.name + (one.leaves == "left" ? " left" : " left: " + one.leaves));
    }
  }

  net::options options_;
  net::acceptor acceptor_;
  selectors::signal_set signal_ = net::ending_signals();
  std::array<char, 16 * 1024> buffer_;
  int guests_ = 0;
  selectors::selector<client, Backend> sel_;
  std::vector<key_type*> clients_;  // in the order in which they came
  std::vector<key_type*> leaving_;
};

}  // namespace

int main(int argc, char** argv) {
  return net::run("chat_server", argc, argv,
                  []<class Backend>(Backend*, net::socket listening, const net::options& options) {
                    chat_server<Backend>(std::move(listening), options).run();
                  });
}
