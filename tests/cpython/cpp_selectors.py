# SPDX-License-Identifier: BSL-1.0
"""Python's interface to the library: a selectors.BaseSelector for each of its backends.

The C++ selector holds the keys too: a SelectorKey is the data of its registration, and there is no other map.
"""

import collections.abc
import selectors

import _selectors_cpp


def handle_of(fileobj):
    """The descriptor of a file object, negative when that is closed."""
    try:
        return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
    except (AttributeError, TypeError):
        raise ValueError(f"not a file object: {fileobj!r}") from None
    except ValueError:
        return -1


class Keys(collections.abc.Mapping):
    """The keys of a C++ selector, by file object."""

    def __init__(self, native):
        self.native = native

    def __len__(self):
        return len(self.native)

    def __iter__(self):
        return iter(self.native.handles())

    def __getitem__(self, fileobj):
        return self.native.at(self.handle_of(fileobj))

    def handle_of(self, fileobj):
        """What a file object is, or, since it was closed, what it was registered as."""
        handle = handle_of(fileobj)
        if handle >= 0:
            return handle
        for key in self.values():
            if key.fileobj is fileobj:
                return key.fd
        raise ValueError(f"closed and not registered: {fileobj!r}")


class CppSelector(selectors.BaseSelector):
    make_native = None

    def __init__(self):
        self._native = self.make_native()
        self._keys = Keys(self._native)

    def register(self, fileobj, events, data=None):
        key = selectors.SelectorKey(fileobj, handle_of(fileobj), events, data)
        self._native.register(key.fd, events, key)
        return key

    def modify(self, fileobj, events, data=None):
        key = self.get_key(fileobj)._replace(events=events, data=data)
        self._native.modify(key.fd, events, key)
        return key

    def unregister(self, fileobj):
        return self._native.unregister(self._keys.handle_of(fileobj))

    def select(self, timeout=None):
        return self._native.select(timeout)

    def close(self):
        self._native.close()
        self._keys = None

    def get_map(self):
        return self._keys


def make(name, native):
    members = {"make_native": native}
    if hasattr(native, "fileno"):
        members["fileno"] = lambda self: self._native.fileno()
    return type(f"Cpp{name.title()}Selector", (CppSelector,), members)


# By the name of the backend, in the order of the library's available_backends.
SELECTORS = {
    name: make(name, native) for name, native in vars(_selectors_cpp).items() if isinstance(native, type)
}
