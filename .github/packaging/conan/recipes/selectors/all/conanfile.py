import os

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, get
from conan.tools.layout import basic_layout

required_conan_version = ">=2.0"


class SelectorsConan(ConanFile):
    name = "selectors"
    description = "Python's selectors for C++20: I/O multiplexing over epoll, kqueue, poll and select"
    license = "BSL-1.0"
    url = "https://github.com/conan-io/conan-center-index"
    homepage = "REPOSITORY"
    topics = ("epoll", "kqueue", "poll", "select", "io-multiplexing", "event-loop", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True

    def layout(self):
        basic_layout(self, src_folder="src")

    def package_id(self):
        self.info.clear()

    def validate(self):
        check_min_cppstd(self, 20)

    def source(self):
        get(self, **self.conan_data["sources"][self.version], strip_root=True)

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        for pattern in ("*.hpp", "*.cppm"):
            copy(
                self,
                pattern,
                os.path.join(self.source_folder, "include"),
                os.path.join(self.package_folder, "include"),
            )

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "selectors")
        self.cpp_info.set_property("cmake_target_name", "selectors::selectors")
        self.cpp_info.set_property("pkg_config_name", "selectors")
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        if self.settings.os == "Windows":
            self.cpp_info.system_libs.append("ws2_32")
        else:
            self.cpp_info.system_libs.append("pthread")
