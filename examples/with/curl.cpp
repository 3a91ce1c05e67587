// SPDX-License-Identifier: BSL-1.0

// libcurl's multi interface: `with_curl SECONDS URL...` fetches all URLs at once, gives each SECONDS, and
// prints what came of each. libcurl chooses the sockets and one deadline; the loop waits for both.

#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#include <curl/curl.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>

using selectors::event;
using selectors::event_mask;

CURLM* const multi = curl_multi_init();
selectors::selector<> sel;
selectors::timer_queue<CURL*> timers;  // of transfers that are given up, and, without one, of libcurl itself
selectors::timer_id<CURL*> own_timer = {};  // libcurl has one at a time
int running = 0;

struct transfer {
  std::string url;
  std::size_t bytes = 0;
  selectors::timer_id<CURL*> deadline = {};
};

// What libcurl waits for on `socket`. The number may be that of another socket than at the last call, and, if
// it is to be removed, that of a socket that is closed already or was never registered.
int on_socket(CURL*, curl_socket_t socket, int what, void*, void*) {
  std::error_code error;  // exceptions must not pass through C
  if (what == CURL_POLL_REMOVE) return sel.unregister(socket, error), 0;
  const event_mask in = (what & CURL_POLL_IN) != 0 ? event::read : event_mask();
  const event_mask out = (what & CURL_POLL_OUT) != 0 ? event::write : event_mask();
  return sel.watch(socket, in | out, error) != nullptr ? 0 : -1;
}

int on_timer(CURLM*, long milliseconds, void*) {
  timers.cancel(own_timer);
  if (milliseconds < 0) return 0;
  std::error_code error;
  const auto* const added = timers.add(std::chrono::milliseconds(milliseconds), nullptr, error);
  if (added != nullptr) own_timer = added->id();
  return added != nullptr ? 0 : -1;
}

std::size_t on_data(char*, std::size_t size, std::size_t count, void* one) {
  return static_cast<transfer*>(one)->bytes += size * count, size * count;
}

void start(const char* url, std::chrono::duration<double> patience) {
  CURL* const easy = curl_easy_init();
  auto* const one = new transfer{.url = url, .deadline = timers.add(patience, easy).id()};
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, one);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, one);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
  curl_multi_add_handle(multi, easy);
  ++running;
}

void finish(CURL* easy, const char* what) {
  transfer* one = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &one);
  std::printf("%s: %s, %zu bytes\n", one->url.c_str(), what, one->bytes);
  timers.cancel(one->deadline);
  curl_multi_remove_handle(multi, easy);  // closes what is in the middle of something, and calls on_socket
  curl_easy_cleanup(easy);
  delete one;
  --running;
}

int main(int argc, char** argv) {
  if (argc < 2) return std::fputs("usage: with_curl SECONDS URL...\n", stderr), 2;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  for (int i = 2; i < argc; ++i) start(argv[i], std::chrono::duration<double>(std::atof(argv[1])));
  for (int active = 0; running > 0;) {
    for (auto [key, events] : sel.select_until(timers.next())) {
      const int in = events.contains(event::read) ? CURL_CSELECT_IN : 0;
      const int out = events.contains(event::write) ? CURL_CSELECT_OUT : 0;
      curl_multi_socket_action(multi, key.handle(), in | out, &active);  // without either it looks for itself
    }
    for (auto& timer : timers.expired())
      if (timer.data() != nullptr)
        finish(timer.data(), "given up");
      else
        curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &active);
    int left = 0;
    while (CURLMsg* const message = curl_multi_info_read(multi, &left))
      finish(message->easy_handle, curl_easy_strerror(message->data.result));
  }
  curl_multi_cleanup(multi);
}
