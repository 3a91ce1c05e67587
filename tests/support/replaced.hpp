// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "descriptors.hpp"

#include <selectors/selectors.hpp>

#include <utility>

namespace support {

// A number that a library closes, and opens another file on.
class replaced {
 public:
  selectors::native_handle_type get() const noexcept { return number_.get(); }
  void write() { write_byte(now_.writer); }
  void replace() {
    pipe_ends fresh = make_pipe();
    dup_onto(fresh.reader, number_.get()).release();
    fresh.reader.close();
    now_ = std::move(fresh);
  }

 private:
  pipe_ends now_ = make_pipe();
  descriptor number_ = std::move(now_.reader);
};

// Calls `body(make_interest, reports_once)` with one of the trigger modes of a backend, not exclusive:
// `which` of three, if the backend has it.
template <class Backend, class Body>
void with_mode(int which, Body body) {
  using selectors::event_mask;
  if (which == 0) return body([](event_mask what) { return selectors::detail::as_interest(what); }, false);
  if (which == 1) return body([](event_mask what) { return selectors::oneshot(what); }, true);
  if constexpr (selectors::supports<Backend, selectors::trigger::edge>)
    body([](event_mask what) { return selectors::edge(what); }, true);
}

}  // namespace support
