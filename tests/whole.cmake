# SPDX-License-Identifier: Apache-2.0
#
# Tests that need more than this build: see tests/leakage, tests/inner_loops, tests/packaging, tests/emulation and
# tests/references.
# With SIMDNORM_TESTS_WHOLE (tests/run sets it) two more builds of this source are part of the build:
#   SIMDNORM_DEBUG_SHARED_DIR  Debug, shared: objects at -O0 for the leakage test, and the shared
#                              library that is installed and used from outside; without debug information,
#                              which nothing reads and a quarter of its compile time makes
#   SIMDNORM_AARCH64_DIR       the tests cross-built for aarch64; empty without cross compiler or qemu
option(SIMDNORM_TESTS_WHOLE "Also test packaging, leakage at -O0, NEON and old x86 CPUs under qemu, and compare with other libraries" OFF)

# A cross build is a part of another build's tests.
if(CMAKE_CROSSCOMPILING)
  return()
endif()

add_test(NAME clang-format COMMAND ${PROJECT_SOURCE_DIR}/.ci/check-format)
set_tests_properties(clang-format PROPERTIES SKIP_RETURN_CODE 77)

if(SIMDNORM_TESTS_WHOLE)
  include(ExternalProject)
  # simdnorm_second_build(<name> <cmake arguments>...)
  function(simdnorm_second_build name)
    ExternalProject_Add(${name}
      SOURCE_DIR ${PROJECT_SOURCE_DIR}
      BINARY_DIR ${PROJECT_BINARY_DIR}/${name}
      PREFIX ${PROJECT_BINARY_DIR}/${name}-steps
      CMAKE_ARGS -DSIMDNORM_WERROR=${SIMDNORM_WERROR} -DSIMDNORM_TOOLS=OFF -DSIMDNORM_BENCH=OFF ${ARGN}
      BUILD_ALWAYS ON
      INSTALL_COMMAND "")
  endfunction()

  set(SIMDNORM_DEBUG_SHARED_DIR ${PROJECT_BINARY_DIR}/debug_shared)
  simdnorm_second_build(debug_shared
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DBUILD_SHARED_LIBS=ON -DSIMDNORM_THREADS=ON -DSIMDNORM_TESTS=OFF
    -DSIMDNORM_XSIMD_INCLUDE_DIR=${SIMDNORM_XSIMD_INCLUDE_DIR}
    -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER} -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER})

  set(SIMDNORM_AARCH64_DIR "")
  find_program(SIMDNORM_AARCH64_COMPILER aarch64-linux-gnu-g++)
  find_program(SIMDNORM_QEMU_AARCH64 qemu-aarch64)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    message(STATUS "NEON is tested natively")
  elseif(NOT SIMDNORM_AARCH64_COMPILER OR NOT SIMDNORM_QEMU_AARCH64)
    message(WARNING "NEON is not tested: no aarch64-linux-gnu-g++ or no qemu-aarch64")
  else()
    set(SIMDNORM_AARCH64_DIR ${PROJECT_BINARY_DIR}/aarch64)
    # xsimd alone: the rest of this machine's headers is for another architecture.
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/xsimd_only)
    file(CREATE_LINK ${SIMDNORM_XSIMD_INCLUDE_DIR}/xsimd ${PROJECT_BINARY_DIR}/xsimd_only/xsimd SYMBOLIC)
    simdnorm_second_build(aarch64
      -DCMAKE_TOOLCHAIN_FILE=${PROJECT_SOURCE_DIR}/cmake/toolchains/aarch64-linux-gnu.cmake
      -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DSIMDNORM_THREADS=OFF -DSIMDNORM_TESTS=ON
      -DSIMDNORM_XSIMD_INCLUDE_DIR=${PROJECT_BINARY_DIR}/xsimd_only)
  endif()

  add_subdirectory(packaging)
  add_subdirectory(emulation)
  add_subdirectory(references)
endif()
add_subdirectory(pages)
add_subdirectory(leakage)
add_subdirectory(inner_loops)
