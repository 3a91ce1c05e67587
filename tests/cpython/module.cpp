// SPDX-License-Identifier: BSL-1.0

// The library as an extension module of CPython, `_selectors_cpp`: a type for each backend, named as it is. A
// key carries the Python object that was given with it; the rest of Python's interface is in
// cpp_selectors.py.

#include "object.hpp"

#include <selectors/selectors.hpp>

#include <chrono>
#include <iterator>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

namespace {

using selectors::event_mask;

// Python's EVENT_READ and EVENT_WRITE, which the library's bits are not.
constexpr int event_read = 1;
constexpr int event_write = 2;

event_mask from_python(int events) noexcept {
  event_mask mask;
  if ((events & event_read) != 0) mask |= selectors::event::read;
  if ((events & event_write) != 0) mask |= selectors::event::write;
  return mask;
}

int to_python(event_mask events) noexcept {
  return (events.contains(selectors::event::read) ? event_read : 0) |
         (events.contains(selectors::event::write) ? event_write : 0);
}

// What is left to Python: KeyError, ValueError, RuntimeError for a closed selector, and OSError for the rest.
PyObject* raise(const std::system_error& error) {
  using selectors::errc;
  const std::error_code code = error.code();
  PyObject* type = nullptr;
  if (code == errc::already_registered || code == errc::not_registered) type = PyExc_KeyError;
  if (code == errc::invalid_handle || code == errc::invalid_events || code == errc::invalid_timeout)
    type = PyExc_ValueError;
  if (code == errc::closed) type = PyExc_RuntimeError;
  if (type != nullptr) {
    PyErr_SetString(type, error.what());
  } else if (const object arguments{
                 Py_BuildValue("(is)", code.default_error_condition().value(), error.what())}) {
    PyErr_SetObject(PyExc_OSError, arguments.get());
  }
  return nullptr;
}

struct no_gil {
  no_gil() noexcept = default;
  no_gil(const no_gil&) = delete;
  no_gil& operator=(const no_gil&) = delete;
  ~no_gil() { PyEval_RestoreThread(state); }
  PyThreadState* state = PyEval_SaveThread();
};

// What register and modify are given.
struct request {
  int handle = -1;
  int events = 0;
  PyObject* key = nullptr;

  bool parse(PyObject* arguments) noexcept {
    if (!PyArg_ParseTuple(arguments, "iiO", &handle, &events, &key)) return false;
    if (events != 0 && (events & ~(event_read | event_write)) == 0) return true;
    PyErr_Format(PyExc_ValueError, "invalid events: %d", events);
    return false;
  }
};

template <class Backend>
struct python_type {
  using selector_type = selectors::selector<object, Backend>;
  using clock = std::chrono::steady_clock;

  struct instance : PyObject {
    selector_type selector;
    bool is_waiting;  // without the GIL: other threads, and the garbage collector, keep off
  };

  template <class Body>
  static PyObject* guarded(PyObject* self, Body body) noexcept {
    instance& me = *static_cast<instance*>(self);
    if (me.is_waiting) {
      PyErr_SetString(PyExc_RuntimeError, "another thread is waiting in select");
      return nullptr;
    }
    try {
      return body(me);
    } catch (const std::system_error& error) {
      return raise(error);
    } catch (const std::bad_alloc&) {
      return PyErr_NoMemory();
    }
  }

  static PyObject* register_(PyObject* self, PyObject* arguments) noexcept {
    return guarded(self, [&](instance& me) -> PyObject* {
      request wanted;
      if (!wanted.parse(arguments)) return nullptr;
      me.selector.register_(wanted.handle, from_python(wanted.events), object::share(wanted.key));
      Py_RETURN_NONE;
    });
  }

  static PyObject* modify(PyObject* self, PyObject* arguments) noexcept {
    return guarded(self, [&](instance& me) -> PyObject* {
      request wanted;
      if (!wanted.parse(arguments)) return nullptr;
      object& data = me.selector.modify(wanted.handle, from_python(wanted.events)).data();
      // Destroyed last, since that may run any code.
      const object old = std::exchange(data, object::share(wanted.key));
      Py_RETURN_NONE;
    });
  }

  static PyObject* unregister(PyObject* self, PyObject* arguments) noexcept {
    return guarded(self, [&](instance& me) -> PyObject* {
      int handle = -1;
      if (!PyArg_ParseTuple(arguments, "i", &handle)) return nullptr;
      // Moved out: what stays in a retired key the next select destroys, without the GIL.
      return std::move(me.selector.unregister(handle).data()).release();
    });
  }

  static PyObject* at(PyObject* self, PyObject* arguments) noexcept {
    return guarded(self, [&](instance& me) -> PyObject* {
      int handle = -1;
      if (!PyArg_ParseTuple(arguments, "i", &handle)) return nullptr;
      return object::share(me.selector.at(handle).data().get()).release();
    });
  }

  static PyObject* handles(PyObject* self, PyObject*) noexcept {
    return guarded(self, [](instance& me) -> PyObject* {
      object list(PyList_New(0));
      if (!list) return nullptr;
      for (const auto& key : me.selector) {
        const object handle(PyLong_FromLong(key.handle()));
        if (!handle || PyList_Append(list.get(), handle.get()) != 0) return nullptr;
      }
      return std::move(list).release();
    });
  }

  static PyObject* select(PyObject* self, PyObject* timeout) noexcept {
    return guarded(self, [&](instance& me) -> PyObject* {
      auto until = clock::now() + std::chrono::duration<double>::zero();
      const bool is_forever = timeout == Py_None;
      if (!is_forever) {
        const std::chrono::duration<double> seconds(PyFloat_AsDouble(timeout));
        if (PyErr_Occurred() != nullptr) return nullptr;
        until += seconds;
      }
      // Nothing before the deadline is a signal: PEP 475 waits on, unless its handler raises.
      for (;;) {
        auto ready =
            wait(me, [&] { return is_forever ? me.selector.select() : me.selector.select_until(until); });
        if (!ready.empty()) return list_of(ready);
        if (PyErr_CheckSignals() != 0) return nullptr;
        if (!is_forever && clock::now() >= until) return PyList_New(0);
      }
    });
  }

  template <class Wait>
  static auto wait(instance& me, Wait wait_for_it) {
    struct mark {
      bool& is_waiting;
      explicit mark(bool& flag) noexcept : is_waiting(flag) { flag = true; }
      mark(const mark&) = delete;
      mark& operator=(const mark&) = delete;
      ~mark() { is_waiting = false; }
    } const marked(me.is_waiting);
    const no_gil released;
    return wait_for_it();
  }

  template <class Range>
  static PyObject* list_of(const Range& ready) {
    object list(PyList_New(0));
    if (!list) return nullptr;
    for (auto [key, events] : ready) {
      const object pair(Py_BuildValue("(Oi)", key.data().get(), to_python(events)));
      if (!pair || PyList_Append(list.get(), pair.get()) != 0) return nullptr;
    }
    return std::move(list).release();
  }

  static PyObject* close(PyObject* self, PyObject*) noexcept {
    return guarded(self, [](instance& me) -> PyObject* {
      // Closed first: destroying what it held may run any code, this method too.
      const selector_type closed = std::move(me.selector);
      Py_RETURN_NONE;
    });
  }

  static PyObject* fileno(PyObject* self, PyObject*) noexcept {
    return guarded(self, [](instance& me) {
      if constexpr (selectors::pollable<selector_type>) return PyLong_FromLong(me.selector.native_handle());
      return PyLong_FromLong(-1);
    });
  }

  // ---- what the interpreter calls -----------------------------------------------------------------------

  static Py_ssize_t length(PyObject* self) noexcept {
    return static_cast<Py_ssize_t>(static_cast<instance*>(self)->selector.size());
  }

  static PyObject* create(PyTypeObject* type, PyObject*, PyObject*) noexcept {
    object self(type->tp_alloc(type, 0));
    if (!self) return nullptr;
    std::error_code error;
    std::construct_at(&static_cast<instance*>(self.get())->selector, error);
    if (error) return raise(std::system_error(error));
    return std::move(self).release();
  }

  static void destroy(PyObject* self) noexcept {
    PyTypeObject* const type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    std::destroy_at(&static_cast<instance*>(self)->selector);
    type->tp_free(self);
    Py_DECREF(type);
  }

  // Its keys often lead back to it: a loop's handles, to the loop.
  static int traverse(PyObject* self, visitproc visit, void* arg) noexcept {
    Py_VISIT(Py_TYPE(self));
    const instance& me = *static_cast<instance*>(self);
    if (me.is_waiting) return 0;
    for (const auto& key : me.selector) Py_VISIT(key.data().get());
    return 0;
  }

  static int clear(PyObject* self) noexcept {
    const selector_type closed = std::move(static_cast<instance*>(self)->selector);
    return 0;
  }

  static bool add_to(PyObject* module) {
    static const std::string name = "_selectors_cpp." + std::string(Backend::name);
    static PyMethodDef methods[] = {{"register", register_, METH_VARARGS, nullptr},
                                    {"modify", modify, METH_VARARGS, nullptr},
                                    {"unregister", unregister, METH_VARARGS, nullptr},
                                    {"at", at, METH_VARARGS, nullptr},
                                    {"handles", handles, METH_NOARGS, nullptr},
                                    {"select", select, METH_O, nullptr},
                                    {"close", close, METH_NOARGS, nullptr},
                                    {"fileno", fileno, METH_NOARGS, nullptr},
                                    {nullptr, nullptr, 0, nullptr}};
    if (!selectors::pollable<selector_type>) std::end(methods)[-2] = {nullptr, nullptr, 0, nullptr};
    static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(&create)},
                                  {Py_tp_dealloc, reinterpret_cast<void*>(&destroy)},
                                  {Py_tp_traverse, reinterpret_cast<void*>(&traverse)},
                                  {Py_tp_clear, reinterpret_cast<void*>(&clear)},
                                  {Py_mp_length, reinterpret_cast<void*>(&length)},
                                  {Py_tp_methods, methods},
                                  {0, nullptr}};
    static PyType_Spec spec{name.c_str(), sizeof(instance), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                            slots};
    const object type(PyType_FromSpec(&spec));
    return type && PyModule_AddObjectRef(module, std::string(Backend::name).c_str(), type.get()) == 0;
  }
};

template <class... Backends>
bool add_all(PyObject* module, std::tuple<Backends...>*) {
  return (python_type<Backends>::add_to(module) && ...);
}

}  // namespace

PyMODINIT_FUNC PyInit__selectors_cpp() {
  static PyModuleDef definition{
      PyModuleDef_HEAD_INIT, "_selectors_cpp", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  object module(PyModule_Create(&definition));
  if (!module || !add_all(module.get(), static_cast<selectors::available_backends*>(nullptr))) return nullptr;
  return std::move(module).release();
}
