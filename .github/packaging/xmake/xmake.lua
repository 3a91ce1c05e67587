package("selectors")
    set_kind("library", {headeronly = true})
    set_homepage("REPOSITORY")
    set_description("Python's selectors for C++20: I/O multiplexing over epoll, kqueue, poll and select")
    set_license("BSL-1.0")

    add_urls("REPOSITORY/archive/refs/tags/v$(version).tar.gz")
    add_versions("0.2.0", "0000000000000000000000000000000000000000000000000000000000000000")

    if is_plat("windows", "mingw") then
        add_syslinks("ws2_32")
    elseif is_plat("linux", "bsd") then
        add_syslinks("pthread")
    end

    add_deps("cmake")

    on_install("windows", "mingw", "linux", "macosx", "bsd", function (package)
        import("package.tools.cmake").install(package, {
            "-DSELECTORS_BUILD_EXAMPLES=OFF",
            "-DSELECTORS_BUILD_TESTS=OFF"
        })
    end)

    on_test(function (package)
        assert(package:check_cxxsnippets({test = [[
            #include <selectors/selectors.hpp>
            bool test() {
                selectors::selector<> sel;
                selectors::wakeup wake;
                sel.register_(wake, selectors::event::read);
                return sel.size() == 1;
            }
        ]]}, {configs = {languages = "c++20"}}))
    end)
package_end()
