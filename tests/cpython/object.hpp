// SPDX-License-Identifier: BSL-1.0
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <utility>

// An owned reference to a Python object, or nothing. Made and destroyed with the GIL held.
class object {
 public:
  object() noexcept = default;
  explicit object(PyObject* owned) noexcept : pointer_(owned) {}
  object(object&& other) noexcept : pointer_(std::exchange(other.pointer_, nullptr)) {}
  object& operator=(object&& other) noexcept {
    object(std::move(other)).swap(*this);
    return *this;
  }
  ~object() { Py_XDECREF(pointer_); }

  static object share(PyObject* borrowed) noexcept { return object(Py_NewRef(borrowed)); }

  [[nodiscard]] PyObject* get() const noexcept { return pointer_; }
  [[nodiscard]] PyObject* release() && noexcept { return std::exchange(pointer_, nullptr); }
  void swap(object& other) noexcept { std::swap(pointer_, other.pointer_); }
  explicit operator bool() const noexcept { return pointer_ != nullptr; }

 private:
  PyObject* pointer_ = nullptr;
};
