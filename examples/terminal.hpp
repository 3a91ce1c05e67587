// SPDX-License-Identifier: BSL-1.0
#pragma once

// Text from strangers, made safe for somebody else's terminal.

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

namespace net {

struct character {
  std::size_t length;  // in bytes of UTF-8; 0 if the text does not begin with a character
  char32_t code;
};

// The second byte's bounds rule out what UTF-8 must not contain: overlong forms, surrogates, and numbers
// beyond Unicode (table 3-7 of the Unicode standard).
inline character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) -> char32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto follows = [&](std::size_t i, char32_t low = 0x80, char32_t high = 0xbf) {
    return byte(i) >= low && byte(i) <= high;
  };
  const char32_t first = byte(0);
  const auto tail = [&](std::size_t i) { return byte(i) & 0x3f; };
  if (text.empty()) return {0, 0};
  if (first < 0x80) return {1, first};
  if (first >= 0xc2 && first <= 0xdf && follows(1)) return {2, (first & 0x1f) << 6 | tail(1)};
  if (first >= 0xe0 && first <= 0xef && follows(2) &&
      follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf))
    return {3, (first & 0xf) << 12 | tail(1) << 6 | tail(2)};
  if (first >= 0xf0 && first <= 0xf4 && follows(2) && follows(3) &&
      follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf))
    return {4, (first & 7) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3)};
  return {0, 0};
}

// Control characters command a terminal. Bidirectional ones show a line in another order than it was written
// in. Invisible ones (Default_Ignorable_Code_Point, line separators, annotations) hide that a line contains
// them.
inline bool is_visible(char32_t code) {
  struct range {
    char32_t first, last;
  };
  constexpr range invisible[] = {
      {0x0, 0x1f},       {0x7f, 0x9f},     {0xad, 0xad},       {0x34f, 0x34f},     {0x61c, 0x61c},
      {0x115f, 0x1160},  {0x17b4, 0x17b5}, {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
      {0x2060, 0x206f},  {0x3164, 0x3164}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
      {0xfff0, 0xfffb},  {0xfffe, 0xffff}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
      {0xe0000, 0xe0fff}};
  const auto* const at = std::partition_point(std::begin(invisible), std::end(invisible),
                                              [&](range r) { return r.last < code; });
  return at == std::end(invisible) || code < at->first;
}

// Each byte that belongs to no character, and each character that is not visible, becomes a question mark; a
// tab becomes a space.
inline std::string harmless(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto [length, code] = first_character(text);
    if (length != 0 && is_visible(code))
      out += text.substr(0, length);
    else
      out += code == '\t' ? ' ' : '?';
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace net
