// SPDX-License-Identifier: BSL-1.0
#pragma once

// The head of an HTTP/1 request, RFC 9112. Strict where leniency would let two programs disagree on where a
// request ends: line ends are CRLF, nothing is folded, lengths are digits.

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace http {

constexpr std::size_t max_head = 8 * 1024;

struct request {
  int refusal = 0;       // the status to answer with; then the connection ends
  std::size_t head = 0;  // how many bytes it has; 0: it is not complete yet
  std::string_view method;
  std::string_view path;
  bool keeps_alive = false;
  std::uint64_t body = 0;  // how many bytes follow the head
};

namespace detail {

inline bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < '\x7f' && std::string_view("\"(),/:;<=>?@[\\]{}").find(c) == std::string_view::npos;
  });
}

// Without regard to case.
inline bool is(std::string_view text, std::string_view lower_case) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::equal(text.begin(), text.end(), lower_case.begin(), lower_case.end(),
                    [&](char a, char b) { return lower(a) == b; });
}

inline std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

// Cuts off what is before the separator, or all.
inline std::string_view cut(std::string_view& text, std::string_view separator) {
  const std::size_t end = text.find(separator);
  const std::string_view front = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + separator.size());
  return front;
}

// Whether a list, such as Connection's, has this element.
inline bool contains(std::string_view list, std::string_view element) {
  while (!list.empty())
    if (is(trimmed(cut(list, ",")), element)) return true;
  return false;
}

// "GET /path?query HTTP/1.1". Returns the status to refuse it with, or 0.
inline int parse_request_line(std::string_view line, request& made) {
  made.method = cut(line, " ");
  std::string_view target = cut(line, " ");
  if (!is_token(made.method) || target.empty()) return 400;
  if (!std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c < '\x7f'; })) return 400;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (line.size() != 8 || !line.starts_with("HTTP/") || !is_digit(line[5]) || line[6] != '.' ||
      !is_digit(line[7]))
    return 400;
  if (line[5] != '1') return 505;
  made.keeps_alive = line[7] != '0';
  if (is(target.substr(0, 7), "http://"))  // a proxy's form, which every server must accept
    target.remove_prefix(std::min(target.find('/', 7), target.size()));
  made.path = target.substr(0, target.find('?'));
  return 0;
}

// "Name: value", one after the other. Returns the status to refuse them with, or 0.
inline int parse_fields(std::string_view fields, request& made) {
  const bool is_http_1_0 = !made.keeps_alive;
  int hosts = 0, lengths = 0;
  bool is_chunked = false, expects = false, closes = false;
  while (!fields.empty()) {
    std::string_view value = cut(fields, "\r\n");
    if (value.find(':') == std::string_view::npos) return 400;
    const std::string_view name = cut(value, ":");
    value = trimmed(value);
    const bool is_text = std::all_of(value.begin(), value.end(), [](char c) {
      return (static_cast<unsigned char>(c) >= ' ' && c != '\x7f') || c == '\t';
    });
    if (!is_token(name) || !is_text) return 400;
    if (is(name, "host")) ++hosts;
    if (is(name, "transfer-encoding")) is_chunked = true;
    if (is(name, "expect")) expects = true;
    if (is(name, "connection")) {
      closes = closes || contains(value, "close");
      made.keeps_alive = made.keeps_alive || contains(value, "keep-alive");
    }
    if (is(name, "content-length")) {
      ++lengths;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), made.body);
      if (error != std::errc() || end != value.data() + value.size()) return 400;
    }
  }
  if (closes) made.keeps_alive = false;
  if (hosts > 1 || (hosts == 0 && !is_http_1_0) || lengths > 1 || (lengths == 1 && is_chunked)) return 400;
  if (is_chunked) return 501;
  return expects && made.body != 0 ? 417 : 0;  // a final answer, so that the body is not sent
}

}  // namespace detail

// The request at the front, if its head is complete. The views are of `bytes`.
inline request parse(std::string_view bytes) {
  request made;
  const std::size_t skipped = bytes.starts_with("\r\n") ? 2 : 0;  // some clients end a body by one too many
  bytes.remove_prefix(skipped);
  const std::size_t end = bytes.substr(0, max_head).find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (bytes.size() < max_head) return made;
    made.refusal = bytes.substr(0, max_head).find("\r\n") == std::string_view::npos ? 414 : 431;
    return made;
  }
  made.head = skipped + end + 4;
  std::string_view fields = bytes.substr(0, end + 2);
  const std::string_view line = detail::cut(fields, "\r\n");
  made.refusal = detail::parse_request_line(line, made);
  if (made.refusal == 0) made.refusal = detail::parse_fields(fields, made);
  return made;
}

}  // namespace http
