// SPDX-License-Identifier: BSL-1.0

// hiredis' asynchronous interface: `with_redis PORT` sends each line of stdin as a command, many in one
// pipeline, and prints the replies. A connection that is lost is made anew.

#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#include <hiredis/async.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>

using selectors::event;
using key_type = selectors::selector_key<redisAsyncContext*>;
selectors::selector<redisAsyncContext*> sel;  // without one: stdin
selectors::timer_queue<> timers;              // holds when to connect again
redisAsyncContext* connection = nullptr;
bool is_over = false;

// The adapter: hiredis keeps a pointer to the key of its socket, and adds and removes what it waits for.
template <event What, bool IsWanted>
void change(void* data) {
  auto& key = *static_cast<key_type*>(data);
  std::error_code error;  // exceptions must not pass through C
  sel.modify(key, IsWanted ? key.events() | What : key.events() - What, error);
}

void lose(const redisAsyncContext* from, int status) {
  if (status == REDIS_OK) return void(is_over = true);  // we have disconnected ourselves
  std::printf("lost: %s\n", from->errstr);
  sel.modify(STDIN_FILENO, {});
  connection = nullptr;  // hiredis frees it
  timers.add(std::chrono::milliseconds(200));
}

void on_connect(const redisAsyncContext* from, int status) {
  if (status != REDIS_OK) return lose(from, status);
  sel.modify(STDIN_FILENO, event::read);
  std::puts("connected");
}

void connect(int port) {
  redisAsyncContext* const fresh = connection = redisAsyncConnect("127.0.0.1", port);
  if (fresh->err != 0) return lose(fresh, REDIS_ERR), redisAsyncFree(fresh);
  fresh->ev.data = &sel.register_(fresh->c.fd, {}, fresh);
  fresh->ev.addRead = change<event::read, true>;
  fresh->ev.delRead = change<event::read, false>;
  fresh->ev.addWrite = change<event::write, true>;
  fresh->ev.delWrite = change<event::write, false>;
  fresh->ev.cleanup = [](void* data) { sel.unregister(*static_cast<key_type*>(data)); };
  redisAsyncSetConnectCallback(fresh, on_connect);
  redisAsyncSetDisconnectCallback(fresh, lose);
}

std::string text(const redisReply& reply) {
  if (reply.type == REDIS_REPLY_INTEGER) return std::to_string(reply.integer);
  if (reply.type == REDIS_REPLY_NIL) return "nothing";
  if (reply.type != REDIS_REPLY_ARRAY) return std::string(reply.str, std::size_t(reply.len));
  std::string all;
  for (std::size_t n = 0; n < reply.elements; ++n) all += (n > 0 ? " " : "") + text(*reply.element[n]);
  return all;
}

void on_reply(redisAsyncContext*, void* reply, void*) {
  std::puts(reply != nullptr ? text(*static_cast<const redisReply*>(reply)).c_str() : "no reply");
}

int main(int argc, char** argv) {
  const int port = argc == 2 ? std::atoi(argv[1]) : 6379;
  std::signal(SIGPIPE, SIG_IGN);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  sel.register_(STDIN_FILENO, {}, nullptr);
  connect(port);
  for (std::string input; !is_over;) {
    for (auto [key, events] : sel.select_until(timers.next())) {
      if (redisAsyncContext* const one = key.data(); one == nullptr) {
        char data[4096];
        const ssize_t got = read(STDIN_FILENO, data, sizeof data);
        if (got <= 0) sel.modify(key, {}), redisAsyncDisconnect(connection);  // after the last reply
        for (ssize_t n = 0; n < got; ++n)
          if (data[n] == '\n')
            redisAsyncCommand(connection, on_reply, nullptr, input.c_str()), input.clear();
          else
            input.append(data[n] == '%' ? 2 : 1, data[n]);  // a format, as of printf
      } else {
        if (events.contains(event::read)) redisAsyncHandleRead(one);
        if (events.contains(event::write) && sel.contains(key)) redisAsyncHandleWrite(one);
      }
    }
    for ([[maybe_unused]] auto& timer : timers.expired()) connect(port);
  }
}
