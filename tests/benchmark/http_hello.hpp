// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the HTTP peers of examples/http_server.cpp have in common: they read a request with the same parser
// and answer with the same bytes. They have no deadlines, no limits and no graceful end: less than what they
// are compared with.

#include "../../examples/http_request.hpp"

#include <array>
#include <cstddef>
#include <ctime>
#include <string>
#include <string_view>

namespace hello {

inline std::string_view date() {
  static std::time_t at = 0;
  static std::array<char, 32> text;
  static std::size_t size = 0;
  if (const std::time_t now = std::time(nullptr); now != at) {
    at = now;
    size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&now));
  }
  return {text.data(), size};
}

// Answers all requests that `in` has complete. False: one is malformed.
inline bool answer(std::string& in, std::string& out) {
  std::size_t used = 0;
  for (;;) {
    const http::request request = http::parse(std::string_view(in).substr(used));
    if (request.refusal != 0) return false;
    if (request.head == 0) break;
    used += request.head;
    out += "HTTP/1.1 200 OK\r\nDate: ";
    out += date();
    out +=
        "\r\nContent-Type: text/plain\r\nContent-Length: 14\r\nConnection: keep-alive\r\n\r\nHello, world!\n";
  }
  in.erase(0, used);
  return true;
}

}  // namespace hello
