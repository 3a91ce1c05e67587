// SPDX-License-Identifier: BSL-1.0

// import selectors;
//
// All of the library as one named module: the umbrella, what stands around a selector, and testing. Includes
// and imports of one version name the same things, so units of both kinds can be parts of one program. Macros
// are not imported: a unit that needs SELECTORS_HAS_EPOLL and its like also includes <selectors/config.hpp>,
// which has nothing but macros. CMake builds the module as the target selectors::module (CMake 3.28 and later,
// with Ninja). By hand, with clang++:
//
//   clang++ -std=c++20 -pthread -I include --precompile include/selectors/selectors.cppm -o selectors.pcm
//   clang++ -std=c++20 -pthread -I include -fmodule-file=selectors=selectors.pcm program.cpp selectors.pcm

module;

#include <selectors/child_exit.hpp>
#include <selectors/mailbox.hpp>
#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>
#include <selectors/testing.hpp>
#include <selectors/timer_queue.hpp>
#include <selectors/waitable.hpp>
#if SELECTORS_HAS_COROUTINES
#include <selectors/coroutine.hpp>
#endif
#if SELECTORS_HAS_WINSOCK
#include <selectors/backend/afd.hpp>
#endif

export module selectors;

export namespace selectors {

// event.hpp
using selectors::any_interest;
using selectors::edge;
using selectors::event;
using selectors::event_mask;
using selectors::exclusive;
using selectors::interest;
using selectors::oneshot;
using selectors::operator|;
using selectors::operator<<;
using selectors::to_string;
using selectors::trigger;

// handle.hpp
using selectors::handle_of;
using selectors::native_handle_type;
using selectors::pollable;

// error.hpp
using selectors::errc;
using selectors::failure;
using selectors::make_error_code;
using selectors::operator==;
using selectors::selectors_category;

// key.hpp
using selectors::ready_event;
using selectors::selector_key;

// selector.hpp
using selectors::default_selector;
using selectors::selector;
#if SELECTORS_HAS_EPOLL
using selectors::epoll_selector;
#endif
#if SELECTORS_HAS_KQUEUE
using selectors::kqueue_selector;
#endif
using selectors::poll_selector;
using selectors::select_selector;

// wakeup.hpp
using selectors::wakeup;

// backends.hpp, counters.hpp, and what backends of a program's own are written with
using selectors::available_backends;
using selectors::counting;
using selectors::default_backend;
using selectors::descriptor_closed;
using selectors::entry_is_void;
using selectors::event_bits;
using selectors::interest_for;
using selectors::registration;
using selectors::requestable_events;
using selectors::selector_backend;
using selectors::selector_counters;
using selectors::statistic;
using selectors::supports;
#if SELECTORS_HAS_EPOLL
using selectors::epoll_backend;
#endif
#if SELECTORS_HAS_KQUEUE
using selectors::kqueue_backend;
#endif
using selectors::poll_backend;
using selectors::select_backend;
#if SELECTORS_HAS_WINSOCK
using selectors::afd_backend;
using selectors::afd_selector;
#endif

// around a selector
using selectors::mailbox;
using selectors::signal_set;
using selectors::timer;
using selectors::timer_id;
using selectors::timer_queue;
#if SELECTORS_HAS_COROUTINES
using selectors::coroutine_waiter;
using selectors::elapsed;
using selectors::ready;
using selectors::resume;
#endif
#if SELECTORS_HAS_FORK
using selectors::basic_child_exit;
using selectors::child_exit;
#endif
#if SELECTORS_HAS_WINSOCK
using selectors::waitable;
#endif

}  // namespace selectors

export namespace selectors::testing {

using selectors::testing::clock;
using selectors::testing::operation;
using selectors::testing::scripted_backend;

}  // namespace selectors::testing
