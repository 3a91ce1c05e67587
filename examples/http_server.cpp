// SPDX-License-Identifier: BSL-1.0

// HTTP/1.1: a few answers, kept in memory, for any number of clients, of whom some are slow and some are
// hostile. Keep-alive, pipelining, limits, and a deadline for each thing that a client can be slow at.

#include "http_request.hpp"
#include "net.hpp"

#include <selectors/timer_queue.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <exception>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

using selectors::event;
using selectors::event_mask;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t max_unsent = 64 * 1024;  // no further request is read beyond
constexpr std::uint64_t max_body = 64 * 1024;  // of a request: it is read, and ignored
constexpr int max_requests = 1000;             // of a connection
constexpr auto ending_time = 5s;               // for the requests in progress when the server ends

enum class phase { idle, receiving, sending, closing };
constexpr std::chrono::seconds time_for(phase which) {
  return which == phase::closing ? 2s : which == phase::sending ? 10s : 5s;
}

struct page {
  std::string_view path, type, body;
};
const std::string digits = [] {
  std::string text;
  for (int i = 0; i != 1 << 16; ++i) text += "0123456789abcde\n";
  return text;
}();
const page pages[] = {
    {"/", "text/html", "<!doctype html><title>selectors</title><p>A page. <a href=/hello>Hello</a>.\n"},
    {"/hello", "text/plain", "Hello, world!\n"},
    {"/megabyte", "text/plain", digits},
};

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
  }
}

struct connection;
using timer_queue = selectors::timer_queue<selectors::selector_key<connection>*>;

struct connection {
  net::socket socket;
  std::string name;
  timer_queue::id deadline;
  std::string in = {};          // the beginning of a request, or several of them
  std::uint64_t body_left = 0;  // to be ignored
  net::backlog out = {};
  int requests = 0;
  bool is_last = false;       // closes once `out` is sent
  bool has_finished = false;  // the sending side is shut down; waits for the client to do the same
  bool is_at_end = false;     // the client sends no more
  phase now = phase::idle;

  auto native_handle() const { return socket.native_handle(); }
  bool can_read() const { return !is_at_end && out.empty(); }
};

template <class Backend>
class http_server {
 public:
  http_server(net::socket listening, const net::options& options)
      : options_(options), acceptor_(std::move(listening)) {
    sel_.register_(acceptor_, event::read);
    sel_.register_(signal_, event::read);
    net::announce(acceptor_);
  }

  void run() {
    while (!is_ending_ || sel_.size() > 1) {
      const auto until = std::min({timers_.next(), end_, acceptor_.resume_at()});
      auto ready = sel_.select_until(until);
      now_ = clock::now();
      if (is_ending_ && now_ >= end_) return;
      if (!is_ending_) acceptor_.resume(sel_);
      for (auto [key, events] : ready) {
        if (key.handle() == signal_.native_handle()) {
          (void)signal_.take();
          if (std::exchange(is_ending_, true)) return;  // the second one: at once
          begin_to_end();
        } else if (key.handle() == acceptor_.native_handle()) {
          accept();
        } else {
          serve(key, events);
        }
      }
      for (auto& timer : timers_.expired(now_)) expire(timer);
    }
  }

 private:
  using clock = std::chrono::steady_clock;
  using key_type = selectors::selector_key<connection>;
  static constexpr bool has_edge = selectors::supports<Backend, selectors::trigger::edge>;

  // Edge-triggered where the backend can: the interest is never changed then, also when a client is slow to
  // read.
  static auto first_interest() {
    if constexpr (has_edge)
      return selectors::edge(event::read | event::write);
    else
      return event::read;
  }
  void wait_for_more(key_type& key, bool may_have_more) {
    const connection& one = key.data();
    if constexpr (has_edge) {
      if (may_have_more) sel_.modify(key, first_interest());  // to be reported again, after the others
    } else {
      sel_.modify(key, one.can_read() ? event_mask(event::read) : event_mask(event::write));
    }
  }

  void accept() {
    acceptor_.accept_some(sel_, [this](net::socket peer, std::string name) {
      auto& timer = timers_.add(now_ + time_for(phase::idle), nullptr);
      options_.log(name, "came");
      std::error_code refused;
      timer.data() =
          sel_.register_(first_interest(), connection{std::move(peer), std::move(name), timer.id()}, refused);
      if (refused) timers_.cancel(timer);
    });
  }

  // What fails on behalf of one client, for lack of memory, ends that client alone.
  void serve(key_type& key, event_mask events) {
    connection& one = key.data();
    const int requests = one.requests;
    try {
      bool may_have_more = false;
      if (!answer(one) || !receive(one, events, may_have_more)) return leave(key);
      const phase next = phase_of(one);
      if (next != one.now || requests != one.requests) timers_.move(one.deadline, now_ + time_for(next));
      one.now = next;
      wait_for_more(key, may_have_more);
    } catch (const std::exception&) {
      leave(key);
    }
  }

  static phase phase_of(const connection& one) {
    if (one.is_last && one.out.empty()) return phase::closing;
    if (!one.out.empty()) return phase::sending;
    return one.in.empty() && one.body_left == 0 ? phase::idle : phase::receiving;
  }

  // One piece at a time, so that a client who floods does not keep the others waiting. The end of the stream
  // comes by an edge of its own, unless it came together with the data: then read_hangup tells. False: the
  // connection is over.
  bool receive(connection& one, event_mask events, bool& may_have_more) {
    if (!one.can_read()) return true;
    const auto [how, bytes] = net::receive(one.socket, buffer_);
    if (how == net::status::blocked) return true;
    if (how == net::status::end) {
      one.is_at_end = true;
      return !one.out.empty();
    }
    may_have_more = bytes.size() == buffer_.size() || events.contains(event::read_hangup);
    if (one.is_last) return true;  // closing: what still comes is ignored
    one.in += bytes;
    return answer(one);
  }

  // Sends, and answers what was requested next once all is sent. False: the connection is over.
  bool answer(connection& one) {
    do {
      const net::status how = one.out.send_to(one.socket);
      if (how == net::status::end) return false;
      if (how == net::status::blocked) return true;
    } while (!one.is_last && answer_some(one));
    // To close while the client still sends would be a reset, which takes from it what it has not read yet.
    if (one.is_last && !std::exchange(one.has_finished, true)) net::finish_sending(one.socket);
    return !one.is_at_end;
  }

  bool answer_some(connection& one) {
    std::size_t used = 0;
    const std::size_t unsent = one.out.size();
    while (!one.is_last && one.out.size() < max_unsent) {
      const std::size_t of_body = std::min<std::uint64_t>(one.body_left, one.in.size() - used);
      one.body_left -= of_body;
      used += of_body;
      const http::request request = http::parse(std::string_view(one.in).substr(used));
      if (request.refusal == 0 && request.head == 0) break;
      used += request.head;
      one.body_left = request.body;
      respond(one, request);
    }
    one.in.erase(0, one.is_last ? std::string::npos : used);
    return one.out.size() != unsent;
  }

  void respond(connection& one, const http::request& request) {
    const page* found = std::find_if(std::begin(pages), std::end(pages),
                                     [&](const page& p) { return p.path == request.path; });
    int status = request.refusal != 0 ? request.refusal : request.body > max_body ? 413 : 0;
    one.is_last = status != 0 || !request.keeps_alive || ++one.requests == max_requests || is_ending_;
    const bool is_head = request.method == "HEAD";
    if (status == 0) status = found == std::end(pages) ? 404 : is_head || request.method == "GET" ? 200 : 405;
    const std::string_view body = status == 200 ? found->body : reason(status);
    one.out.append(
        {"HTTP/1.1 ", std::to_string(status), " ", reason(status), "\r\nDate: ", date(),
         "\r\nContent-Type: ", status == 200 ? found->type : "text/plain",
         "\r\nContent-Length: ", std::to_string(body.size()), status == 405 ? "\r\nAllow: GET, HEAD" : "",
         "\r\nConnection: ", one.is_last ? "close" : "keep-alive", "\r\n\r\n", is_head ? "" : body});
    if (options_.verbose)
      options_.log(one.name, net::printable(request.method) + " " + net::printable(request.path) + " " +
                                 std::to_string(status));
  }

  std::string_view date() {
    if (const std::time_t now = std::time(nullptr); now != date_at_) {
      date_at_ = now;
      date_size_ = std::strftime(date_.data(), date_.size(), "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&now));
    }
    return {date_.data(), date_size_};
  }

  // Its time is over. Only a client in the middle of a request is told why.
  void expire(timer_queue::timer_type& timer) {
    key_type& key = *timer.data();
    connection& one = key.data();
    try {
      if (one.now != phase::receiving || one.body_left != 0) return leave(key);
      http::request late;
      late.refusal = 408;
      respond(one, late);
      if (!answer(one)) return leave(key);
      one.now = phase_of(one);
      timers_.move(timer, now_ + time_for(one.now));
      wait_for_more(key, false);
    } catch (const std::exception&) {
      leave(key);
    }
  }

  // Nobody else is accepted, idle connections are closed, the others after their next answer.
  void begin_to_end() {
    sel_.unregister(acceptor_);
    acceptor_ = net::acceptor(net::socket());
    end_ = now_ + ending_time;
    for (key_type& key : sel_)
      if (key.handle() != signal_.native_handle() && key.data().now == phase::idle) leave(key);
  }

  void leave(key_type& key) {
    options_.log(key.data().name, "left");
    timers_.cancel(key.data().deadline);
    sel_.unregister(key);  // the next select destroys the connection, which closes its socket
  }

  net::options options_;
  net::acceptor acceptor_;
  selectors::signal_set signal_ = net::ending_signals();
  std::array<char, 16 * 1024> buffer_;
  std::array<char, 32> date_;
  std::size_t date_size_ = 0;
  std::time_t date_at_ = 0;
  bool is_ending_ = false;
  clock::time_point now_ = clock::now();
  clock::time_point end_ = (clock::time_point::max)();
  timer_queue timers_;
  selectors::selector<connection, Backend> sel_;
};

}  // namespace

int main(int argc, char** argv) {
  return net::run("http_server", argc, argv,
                  []<class Backend>(Backend*, net::socket listening, const net::options& options) {
                    http_server<Backend>(std::move(listening), options).run();
                  });
}
