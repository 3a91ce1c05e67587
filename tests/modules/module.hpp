// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/selectors.hpp>

#include <string_view>
#include <system_error>

// What a module gives: functions of its own copy of the library.
template <class Selector>
struct module_of {
  Selector* (*make)();
  void (*destroy)(Selector*);
  void (*add)(Selector&, int handle, std::error_code&);
  int (*count_ready)(Selector&, std::error_code&);
  void (*reopen)(Selector&, std::error_code&);
  void (*close)(Selector&);
  bool (*is_open)(const Selector&);
};

// The types are the program's and every module's; their code is each one's own, since it is compiled with
// hidden visibility.
using first_selector = selectors::default_selector<int>;
using second_selector = selectors::selector<int, selectors::poll_backend>;

struct module_functions {
  module_of<first_selector> first;
  module_of<second_selector> second;

  std::error_code (*code_of)(selectors::errc);
  bool (*is_equal)(const std::error_code&, selectors::errc);
  bool (*is_condition)(const std::error_code&, std::errc);
  void (*throw_closed)();
  bool (*catches_closed)(void (*thrower)());

  void (*notify)(selectors::wakeup&);
  bool (*reset)(selectors::wakeup&);
  void (*reopen_wakeup)(selectors::wakeup&, std::error_code&);
};

template <class Selector>
constexpr module_of<Selector> functions_of() {
  return {
      [] { return new Selector; },
      [](Selector* sel) { delete sel; },
      [](Selector& sel, int handle, std::error_code& error) {
        sel.register_(handle, selectors::event::read, 7, error);
      },
      [](Selector& sel, std::error_code& error) {
        int count = 0;
        for (auto [key, events] : sel.select(std::chrono::seconds(0), error))
          count += key.data() == 7 && events.contains(selectors::event::read) ? 1 : 100;
        return count;
      },
      [](Selector& sel, std::error_code& error) { sel.reopen(error); },
      [](Selector& sel) { sel.close(); },
      [](const Selector& sel) { return sel.is_open(); },
  };
}

inline bool catches_closed(void (*thrower)()) {
  try {
    thrower();
  } catch (const std::system_error& error) {
    return error.code() == selectors::errc::closed && error.code() == std::errc::bad_file_descriptor &&
           std::string_view(error.what()).find("the selector is closed") != std::string_view::npos;
  }
  return false;
}

inline void throw_closed() {
  first_selector sel;
  sel.close();
  sel.select();
}

constexpr module_functions functions() {
  return {
      functions_of<first_selector>(),
      functions_of<second_selector>(),
      [](selectors::errc value) { return make_error_code(value); },
      [](const std::error_code& code, selectors::errc value) { return code == value && !(value != code); },
      [](const std::error_code& code, std::errc value) { return code == value; },
      throw_closed,
      catches_closed,
      [](selectors::wakeup& bell) { bell.notify(); },
      [](selectors::wakeup& bell) { return bell.reset(); },
      [](selectors::wakeup& bell, std::error_code& error) { bell.reopen(error); },
  };
}
