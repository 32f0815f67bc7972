# SPDX-License-Identifier: Apache-2.0
#
# What `cmake --install` puts where: headers, libraries, the CMake package (component `threads` for
# the default executor) and the pkg-config files. Everything is relocatable.
include(CMakePackageConfigHelpers)

set(simdnorm_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/simdnorm)

# Without the default executor its headers would promise what cannot be linked.
set(unwanted_headers)
if(NOT SIMDNORM_THREADS)
  set(unwanted_headers REGEX "/threads\\.h(pp)?$" EXCLUDE)
endif()
install(DIRECTORY include/simdnorm TYPE INCLUDE FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp" ${unwanted_headers})
install(TARGETS simdnorm EXPORT simdnorm-targets)
install(EXPORT simdnorm-targets NAMESPACE simdnorm:: DESTINATION ${simdnorm_cmake_dir})
# A set of its own: whoever does not ask for `threads` needs neither oneTBB nor hwloc.
if(SIMDNORM_THREADS)
  install(TARGETS simdnorm-threads EXPORT simdnorm-threads-targets)
  install(EXPORT simdnorm-threads-targets NAMESPACE simdnorm:: DESTINATION ${simdnorm_cmake_dir})
endif()

# simdnorm-threads is C++; a static one asks C programs for the C++ library.
set(simdnorm_cxx_library ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(FILTER simdnorm_cxx_library INCLUDE REGEX "^(stdc|c)[+][+]$")
list(REMOVE_DUPLICATES simdnorm_cxx_library)
configure_package_config_file(cmake/simdnorm-config.cmake.in simdnorm-config.cmake
                              INSTALL_DESTINATION ${simdnorm_cmake_dir} NO_SET_AND_CHECK_MACRO)
# While the major version is 0, a minor version may break.
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatibility SameMinorVersion)
else()
  set(compatibility SameMajorVersion)
endif()
write_basic_package_version_file(simdnorm-config-version.cmake COMPATIBILITY ${compatibility})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/simdnorm-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/simdnorm-config-version.cmake
        DESTINATION ${simdnorm_cmake_dir})

# pkg-config. Where only static libraries are installed, what they need stands in Libs and Requires,
# not in their .private forms: `pkg-config --libs` must be enough to link, and --static would pull
# the static needs of hwloc (udev), too.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH up /${pc_dir} /)
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
endif()
foreach(kind LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${kind}}")
    set(pc_${kind} "${CMAKE_INSTALL_${kind}}")
  else()
    set(pc_${kind} "\${prefix}/${CMAKE_INSTALL_${kind}}")
  endif()
endforeach()
if(BUILD_SHARED_LIBS)
  set(pc_cflags "")
  set(pc_libs "")
  set(pc_threads_libs "")
  set(pc_threads_requires "simdnorm = ${PROJECT_VERSION}")
else()
  set(pc_cflags " -DSIMDNORM_STATIC")
  set(pc_libs " -lm")
  set(pc_threads_libs " -l${simdnorm_cxx_library}")
  set(pc_threads_requires "simdnorm = ${PROJECT_VERSION}, tbb, hwloc")
endif()
set(pc_files simdnorm)
if(SIMDNORM_THREADS)
  list(APPEND pc_files simdnorm-threads)
endif()
foreach(pc IN LISTS pc_files)
  configure_file(cmake/${pc}.pc.in ${pc}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${pc}.pc DESTINATION ${pc_dir})
endforeach()
