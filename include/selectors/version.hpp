// SPDX-License-Identifier: BSL-1.0
#pragma once

// The version, which is written here alone: CMakeLists.txt reads it from these lines.
#define SELECTORS_VERSION_MAJOR 0
#define SELECTORS_VERSION_MINOR 2
#define SELECTORS_VERSION_PATCH 0

/// The version as one number that `#if` can compare, 200 for 0.2.0: the major times 10,000, the minor times
/// 100, the patch.
#define SELECTORS_VERSION \
  (SELECTORS_VERSION_MAJOR * 10000 + SELECTORS_VERSION_MINOR * 100 + SELECTORS_VERSION_PATCH)

#define SELECTORS_JOIN_VERSION(major, minor, patch) v##major##_##minor##_##patch
#define SELECTORS_JOIN_VALUES(major, minor, patch) SELECTORS_JOIN_VERSION(major, minor, patch)

/// The namespace that every header opens: `selectors`, and in it an inline namespace named after the version,
/// such as `v0_2_0`. Programs write `selectors::` and need not know. The linker does see it, so two versions
/// can be parts of one program: a function of one never replaces that of the other, and handing an object of
/// one to the other fails to link instead of going wrong. Modules that include one version share its types.
#define SELECTORS_NAMESPACE                                                                 \
  selectors::inline SELECTORS_JOIN_VALUES(SELECTORS_VERSION_MAJOR, SELECTORS_VERSION_MINOR, \
                                          SELECTORS_VERSION_PATCH)
