// SPDX-License-Identifier: BSL-1.0
#pragma once

// Catch2, version 3 or 2.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <string>
#include <tuple>

namespace support {

// Matches a string that contains this one.
inline auto contains(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}

// What the name of a test ends in: the name of its backend, or of the one that its backend wraps.
template <class Backend>
struct backend_name {
  static std::string get() {
    if constexpr (requires { Backend::test_name(); })
      return Backend::test_name();
    else if constexpr (requires { Backend::name; })
      return std::string(Backend::name);
    else if constexpr (requires { typename Backend::backend_type; })  // a selector
      return backend_name<typename Backend::backend_type>::get();
    else  // a unit of time, or another std::ratio
      return std::to_string(Backend::num) + "/" + std::to_string(Backend::den);
  }
};
template <template <class> class Wrapper, class Backend>
  requires requires { Backend::name; }
struct backend_name<Wrapper<Backend>> {
  static std::string get() {
    if constexpr (requires { Wrapper<Backend>::test_name(); })
      return Wrapper<Backend>::test_name();
    else
      return backend_name<Backend>::get();
  }
};

}  // namespace support

// BACKEND_TEST_CASE("name", "[tag]", list) { ... TestType ... }: one test case for each backend in a
// std::tuple, which Catch2's TEMPLATE_LIST_TEST_CASE would number. It is called "name - epoll" and has the
// tag [epoll] as well.
#define BACKEND_TEST_CASE(name, tags, ...) BACKEND_TEST_CASE_AT(__LINE__, name, tags, __VA_ARGS__)
#define BACKEND_TEST_CASE_AT(line, name, tags, ...) BACKEND_TEST_CASE_NUMBERED(line, name, tags, __VA_ARGS__)
#define BACKEND_TEST_CASE_NUMBERED(line, name, tags, ...)                                                    \
  template <class TestType>                                                                                  \
  static void backend_test_##line();                                                                         \
  [[maybe_unused]] static const bool backend_test_##line##_is_registered =                                   \
      []<class... Backends>(const std::tuple<Backends...>*) {                                                \
        (static_cast<void>(                                                                                  \
             Catch::AutoReg(Catch::makeTestInvoker(&backend_test_##line<Backends>), CATCH_INTERNAL_LINEINFO, \
                            Catch::StringRef(),                                                              \
                            Catch::NameAndTags{name " - " + support::backend_name<Backends>::get(),          \
                                               tags "[" + support::backend_name<Backends>::get() + "]"})),   \
         ...);                                                                                               \
        return true;                                                                                         \
      }(static_cast<const __VA_ARGS__*>(nullptr));                                                           \
  template <class TestType>                                                                                  \
  static void backend_test_##line()

// Catch2's own name for it, so that a test that is written the usual way is named the same way.
#undef TEMPLATE_LIST_TEST_CASE
#define TEMPLATE_LIST_TEST_CASE(name, tags, ...) BACKEND_TEST_CASE(name, tags, __VA_ARGS__)
