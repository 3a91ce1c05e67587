// SPDX-License-Identifier: BSL-1.0

// Compiled with -fno-exceptions -fno-rtti: what stands around a selector, by the forms that report to an
// error_code.

#include <selectors/mailbox.hpp>
#include <selectors/selectors.hpp>

#include <memory>
#include <string>
#include <system_error>

using namespace selectors;

namespace {

int use_mailbox() {
  std::error_code error;
  selector<> sel(error);
  mailbox<std::unique_ptr<int>> box(error);
  mailbox<std::string> texts(error);
  if (error || sel.register_(box, event::read, error) == nullptr) return 1;
  if (!box.post(std::make_unique<int>(7), error) || !texts.post("converted", error)) return 2;
  if (sel.select(error).empty()) return 3;
  int found = 0;
  for (auto& one : box.take()) found += *one;
  for (auto& one : texts.take()) found += one == "converted" ? 1 : 0;
  return found == 8 ? 0 : 4;
}

}  // namespace

int main() { return use_mailbox(); }
