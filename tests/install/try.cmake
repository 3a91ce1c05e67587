# SPDX-License-Identifier: BSL-1.0

# Builds and runs the consumer in one way: cmake -D way=… -D source=… -D build=… -D work=… -P try.cmake

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(result)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE ${work})
file(MAKE_DIRECTORY ${work})
set(prefix ${work}/moved)

# Installed somewhere, and moved: the package must not know where it was.
if(way STREQUAL "archive")
  run(${CMAKE_CPACK_COMMAND} -G TGZ -B ${work} --config ${build}/CPackConfig.cmake)
  file(ARCHIVE_EXTRACT INPUT ${work}/selectors-${version}.tar.gz DESTINATION ${work})
  file(RENAME ${work}/selectors-${version} ${prefix})
else()
  run(${CMAKE_COMMAND} --install ${build} --prefix ${work}/installed)
  file(RENAME ${work}/installed ${prefix})
endif()

function(configure expected)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${source}/tests/install/consumer -B ${work}/build -G ${generator}
      -D way=${way}
      -D CMAKE_CXX_COMPILER=${compiler} -D CMAKE_CXX_FLAGS=${flags} -D CMAKE_PREFIX_PATH=${prefix}
      -D selectors_source=${source} ${ARGN}
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(expected STREQUAL "accepted" AND result)
    message(FATAL_ERROR "refused: ${ARGN}\n${output}")
  endif()
  if(expected STREQUAL "refused" AND (NOT result OR NOT output MATCHES "compatible with requested version"))
    message(FATAL_ERROR "not refused: ${ARGN}\n${output}")
  endif()
endfunction()

if(way STREQUAL "pkgconfig")
  set(ENV{PKG_CONFIG_PATH} ${prefix}/share/pkgconfig)
  run(pkg-config --exact-version=${version} selectors)
  execute_process(COMMAND pkg-config --cflags --libs selectors
    OUTPUT_VARIABLE found COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(found UNIX_COMMAND "${found}")
  separate_arguments(flags UNIX_COMMAND "${flags}")
  file(MAKE_DIRECTORY ${work}/build)
  run(${compiler} -std=c++20 ${flags} ${source}/tests/install/consumer/main.cpp ${found}
    -o ${work}/build/consumer)
else()
  if(way STREQUAL "package" OR way STREQUAL "archive")
    foreach(wrong IN ITEMS 0.0 0.1 0.3 1.0 9.9)
      configure(refused -D wanted=${wrong})
      file(REMOVE_RECURSE ${work}/build)
    endforeach()
    # Nothing but the headers and the package's own files.
    file(GLOB_RECURSE files RELATIVE ${prefix} ${prefix}/*)
    list(FILTER files EXCLUDE REGEX "^include/selectors/(.*\\.hpp|selectors\\.cppm)$")
    list(FILTER files EXCLUDE REGEX
      "^share/cmake/selectors/selectors-(config|config-version|module|targets)\\.cmake$")
    list(FILTER files EXCLUDE REGEX "^share/pkgconfig/selectors\\.pc$")
    list(FILTER files EXCLUDE REGEX "^share/doc/selectors/LICENSE$")
    if(files)
      message(FATAL_ERROR "installed without need: ${files}")
    endif()
  endif()
  configure(accepted -D wanted=0.2)
  run(${CMAKE_COMMAND} --build ${work}/build)
endif()
run(${work}/build/consumer)
if(EXISTS ${work}/build/importing) # as far as CMake and the compiler know modules
  run(${work}/build/importing)
endif()
