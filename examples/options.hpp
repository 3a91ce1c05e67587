// SPDX-License-Identifier: BSL-1.0
#pragma once

// The command line of the servers.

#include <selectors/selectors.hpp>

#if defined(_WIN32)
#include <selectors/backend/afd.hpp>
#endif

#include <charconv>
#include <cstdint>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>

namespace net {

// What clients send, fit for a terminal.
inline std::string printable(std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\')
      out += c;
    else
      out.append("\\x").append({digits[byte / 16], digits[byte % 16]});
  }
  return out;
}

// An option that only this program has. Without a default it must be given.
struct extra_option {
  std::string_view name;   // "--to"
  std::string_view value;  // "HOST:PORT"
  std::string_view help;
  std::string_view default_value = {};
};

struct options {
  std::string extra;
  std::string host = "127.0.0.1";
  std::string port = "12345";
  std::string backend{selectors::default_backend::name};
  bool verbose = false;

  // On stderr, if --verbose was given.
  void log(const std::string& who, std::string_view what) const {
    if (verbose) std::cerr << who << ' ' << what << '\n';
  }
};

struct wrong_usage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What --backend can name: on Windows also the one that has a header of its own.
#if defined(_WIN32)
using backends =
    decltype(std::tuple_cat(selectors::available_backends(), std::tuple<selectors::afd_backend>()));
#else
using backends = selectors::available_backends;
#endif

// Calls `call` with each backend's type, as a null pointer to it.
template <class Call>
void for_each_backend(Call call) {
  const auto each = [&]<class... Backend>(std::tuple<Backend...>*) {
    (call(static_cast<Backend*>(nullptr)), ...);
  };
  each(static_cast<backends*>(nullptr));
}

inline void check(const options& chosen) {
  std::uint16_t number = 0;
  const char* const end = chosen.port.data() + chosen.port.size();
  if (const auto [stop, error] = std::from_chars(chosen.port.data(), end, number);
      error != std::errc() || stop != end)
    throw wrong_usage("--port " + chosen.port + ": not a number from 0 to 65535");
  bool is_known = false;
  for_each_backend([&]<class Backend>(Backend*) { is_known = is_known || chosen.backend == Backend::name; });
  if (!is_known) throw wrong_usage("--backend " + chosen.backend + ": no such backend");
}

// `--name value` and `--name=value`. No getopt_long: not every system has one.
inline options parse(int argc, char** argv, const extra_option& extra = {}) {
  options chosen;
  chosen.extra = extra.default_value;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    if (argument == "--verbose") {
      chosen.verbose = true;
      continue;
    }
    std::string* const value = name == "--host"      ? &chosen.host
                               : name == "--port"    ? &chosen.port
                               : name == "--backend" ? &chosen.backend
                               : name == extra.name  ? &chosen.extra
                                                     : nullptr;
    if (value == nullptr)
      throw wrong_usage((name.starts_with('-') ? "unknown option " : "unexpected argument ") + argument);
    if (equals != std::string::npos)
      *value = argument.substr(equals + 1);
    else if (++i < argc)
      *value = argv[i];
    else
      throw wrong_usage(name + " needs a value");
  }
  if (!extra.name.empty() && chosen.extra.empty()) throw wrong_usage(std::string(extra.name) + " is needed");
  check(chosen);
  return chosen;
}

inline std::string help(std::string_view program, const extra_option& extra = {}) {
  std::string text = "usage: " + std::string(program) +
                     " [OPTION]...\n"
                     "  --host HOST      listen on this address (127.0.0.1)\n"
                     "  --port PORT      and this port; 0 lets the system choose (12345)\n"
                     "  --backend NAME   one of:";
  for_each_backend([&]<class Backend>(Backend*) { text.append(" ").append(Backend::name); });
  if (!extra.name.empty())
    text.append("\n  ").append(extra.name).append(" ").append(extra.value).append("   ").append(extra.help);
  return text +
         "\n  --verbose        report on stderr who came, what they sent, who left\n  --help           "
         "this\n";
}

}  // namespace net
