// SPDX-License-Identifier: BSL-1.0
#include "handler.hpp"

void handle(counter& one, bool readable) { one.events += readable; }
void escape(void*) {}
