// SPDX-License-Identifier: BSL-1.0

// Modules that each include the headers, whose symbols are hidden from each other, loaded and unloaded.

#include "module.hpp"

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/raw_child.hpp"
#include "support/skip.hpp"

#include <dlfcn.h>

#include <memory>
#include <string>
#include <tuple>

using namespace selectors;
using namespace support;

namespace {

class loaded_module {
 public:
  explicit loaded_module(const char* path) : path_(path), handle_(::dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(::dlerror());
    const auto entry = reinterpret_cast<const module_functions* (*)()>(::dlsym(handle_, "module_entry"));
    functions_ = entry();
  }
  loaded_module(const loaded_module&) = delete;
  ~loaded_module() { unload(); }

  const module_functions* operator->() const { return functions_; }

  // Whether it is gone, its symbols and its fork handler.
  bool unload() {
    if (handle_ != nullptr) ::dlclose(handle_);
    handle_ = nullptr;
    return ::dlopen(path_, RTLD_NOW | RTLD_NOLOAD) == nullptr;
  }

 private:
  const char* path_;
  void* handle_;
  const module_functions* functions_ = nullptr;
};

constexpr module_functions program_functions = functions();
const char* const first_path = MODULES_FIRST;
const char* const second_path = MODULES_SECOND;

template <class Selector>
const module_of<Selector>& part(const module_functions& all) {
  if constexpr (std::is_same_v<Selector, first_selector>)
    return all.first;
  else
    return all.second;
}

template <class Selector>
std::error_code select_error(const module_of<Selector>& by, Selector& sel) {
  std::error_code error;
  by.count_ready(sel, error);
  return error;
}

using selectors_of_modules = std::tuple<first_selector, second_selector>;

}  // namespace

TEST_CASE("the modules' symbols are their own", "[modules]") {
  loaded_module first(first_path), second(second_path);
  CHECK(&first->code_of(errc::closed).category() != &selectors_category());
  CHECK(&first->code_of(errc::closed).category() != &second->code_of(errc::closed).category());
  CHECK(first.unload());
  CHECK(second.unload());
}

TEST_CASE("an error of one module equals the same of another", "[modules]") {
  loaded_module first(first_path), second(second_path);
  const module_functions* const all[] = {first.operator->(), second.operator->(), &program_functions};
  for (const module_functions* maker : all)
    for (const module_functions* asked : all) {
      const std::error_code closed = maker->code_of(errc::closed);
      CHECK(asked->is_equal(closed, errc::closed));
      CHECK_FALSE(asked->is_equal(closed, errc::forked));
      CHECK(asked->is_condition(closed, std::errc::bad_file_descriptor));
      CHECK_FALSE(asked->is_condition(closed, std::errc::invalid_argument));
      CHECK(asked->catches_closed(maker->throw_closed));
    }
}

BACKEND_TEST_CASE("a selector made by one module works in another", "[modules]", selectors_of_modules) {
  loaded_module first(first_path), second(second_path);
  const auto& maker = part<TestType>(*first.operator->());
  const auto& user = part<TestType>(*second.operator->());
  const auto& program = part<TestType>(program_functions);
  TestType* const sel = maker.make();
  auto pipes = make_pipes(3);
  std::error_code error;
  user.add(*sel, pipes[0].reader.get(), error);
  CHECK_FALSE(error);
  program.add(*sel, pipes[1].reader.get(), error);
  CHECK_FALSE(error);
  maker.add(*sel, pipes[2].reader.get(), error);
  CHECK_FALSE(error);
  for (auto& [reader, writer] : pipes) write_byte(writer);
  for (const auto* one : {&maker, &user, &program}) {
    CHECK(one->count_ready(*sel, error) == 3);
    CHECK_FALSE(error);
    one->reopen(*sel, error);
    CHECK_FALSE(error);
    CHECK(one->is_open(*sel));
  }
  user.close(*sel);
  for (const auto* one : {&maker, &user, &program}) {
    CHECK_FALSE(one->is_open(*sel));
    CHECK(select_error(*one, *sel) == errc::closed);
  }
  maker.destroy(sel);
}

BACKEND_TEST_CASE("a child is one for every module, whichever opened or reopened the selector",
                  "[modules][fork]", selectors_of_modules) {
  loaded_module first(first_path), second(second_path);
  const auto& maker = part<TestType>(*first.operator->());
  const auto& user = part<TestType>(*second.operator->());
  const auto& program = part<TestType>(program_functions);
  TestType* const sel = maker.make();
  const auto is = [&](std::error_code expected) {
    return select_error(maker, *sel) == expected && select_error(user, *sel) == expected &&
           select_error(program, *sel) == expected;
  };
  const auto is_forked = [&] {
    for (const auto* one : {&maker, &user, &program})
      if (select_error(*one, *sel) != errc::forked) return false;
    return true;
  };
  CHECK(is({}));
  CHECK(in_child([&] {
          if (!is_forked()) return 1;
          std::error_code error;
          user.reopen(*sel, error);
          if (error || !is({})) return 2;
          return in_child([&] {
            if (!is_forked()) return 3;
            program.reopen(*sel, error);
            return error || !is({}) ? 4 : 0;
          });
        }) == 0);
  CHECK(is({}));
  maker.destroy(sel);
}

BACKEND_TEST_CASE("a child is one after the module is unloaded that made the first selector",
                  "[modules][fork]", selectors_of_modules) {
  if (!has_emptied_pages()) return skip("nothing but a fork handler of the library tells children there");
  loaded_module first(first_path);
  {
    const auto& maker = part<TestType>(*first.operator->());
    TestType* const sel = maker.make();
    CHECK_FALSE(select_error(maker, *sel));
    maker.destroy(sel);
  }
  TestType own, reopened;
  std::error_code error;
  part<TestType>(*first.operator->()).reopen(reopened, error);  // by code that is gone soon
  CHECK_FALSE(error);
  REQUIRE(first.unload());
  loaded_module second(second_path);
  const auto& program = part<TestType>(program_functions);
  const auto& user = part<TestType>(*second.operator->());
  for (const auto* one : {&program, &user}) {
    CHECK_FALSE(select_error(*one, own));
    CHECK_FALSE(select_error(*one, reopened));
  }
  for (const raw_fork how : {raw_fork::clone, raw_fork::underscore_fork})
    CHECK(in_raw_child(how, [&] {
            for (const auto* one : {&program, &user})
              for (TestType* sel : {&own, &reopened})
                if (select_error(*one, *sel) != errc::forked || !one->is_open(*sel)) return 1;
            user.reopen(reopened, error);
            if (error || select_error(program, reopened)) return 2;
            return select_error(user, own) == errc::forked ? 0 : 3;
          }) == 0);
  CHECK(in_child([&] {
          return select_error(program, own) == errc::forked && select_error(user, reopened) == errc::forked
                     ? 0
                     : 1;
        }) == 0);
}

BACKEND_TEST_CASE("a selector that an unloaded module has closed is closed", "[modules]",
                  selectors_of_modules) {
  loaded_module first(first_path);
  TestType own, moved;
  part<TestType>(*first.operator->()).close(own);
  REQUIRE(first.unload());
  const auto& program = part<TestType>(program_functions);
  CHECK_FALSE(own.is_open());
  CHECK(select_error(program, own) == errc::closed);
  own.reopen();
  CHECK(own.is_open());
  moved = std::move(own);
  CHECK_FALSE(own.is_open());
  CHECK_FALSE(select_error(program, moved));
}

TEST_CASE("a wakeup works in every module, and in a child of none before it is reopened", "[modules][fork]") {
  loaded_module first(first_path), second(second_path);
  wakeup bell;
  const auto works = [&] {
    first->notify(bell);
    if (!second->reset(bell) || bell.reset()) return false;
    bell.notify();
    return first->reset(bell);
  };
  CHECK(works());
  CHECK(in_child([&] {
          bell.notify();
          first->notify(bell);
          if (second->reset(bell)) return 1;
          std::error_code error;
          second->reopen_wakeup(bell, error);
          return !error && works() ? 0 : 2;
        }) == 0);
  CHECK_FALSE(bell.reset());
  std::error_code error;
  second->reopen_wakeup(bell, error);
  CHECK_FALSE(error);
  REQUIRE(second.unload());
  bell.notify();
  CHECK(first->reset(bell));
}
