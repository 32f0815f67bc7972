# SPDX-License-Identifier: Apache-2.0
#
# THE flag table: one row per instruction set. Kernels of a row are compiled with its flags, in the
# namespace simdnorm::<name>, with xsimd renamed to xsimd_<name>, so that no inline function of one
# instruction set can be linked into another (docs/hacking.md, "Leakage").
#
# A row needs <name>.cpp in kernels/targets/ and <name>.hpp in kernels/lanes/.

set(SIMDNORM_ISAS scalar)
set(SIMDNORM_FLAGS_scalar "")

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND SIMDNORM_ISAS avx2 avx512)
  set(SIMDNORM_FLAGS_avx2 -mavx2 -mfma -mf16c)
  set(SIMDNORM_FLAGS_avx512 -mavx512f -mavx512cd -mavx512dq -mavx512bw -mavx512vl -mfma -mf16c
                            -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
    # False alarms out of _mm512_reduce_* and _mm512_undefined_*: GCC bug 105593.
    list(APPEND SIMDNORM_FLAGS_avx512 -Wno-maybe-uninitialized -Wno-uninitialized)
  endif()
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  list(APPEND SIMDNORM_ISAS neon)
  set(SIMDNORM_FLAGS_neon "")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12's scheduling before register allocation costs copies: 15 instead of 8 in the layer norm's loop of
    # 56 operations, 8 instead of 4 in its outputs (docs/performance.md, "NEON, on paper").
    set(SIMDNORM_FLAGS_neon -fno-schedule-insns)
  endif()
endif()

# Some of them, for who knows the CPUs and counts bytes: docs/performance.md has what each takes.
set(SIMDNORM_INSTRUCTION_SETS all CACHE STRING "Instruction sets beside scalar to build, a list; all: those of this architecture")
if(NOT SIMDNORM_INSTRUCTION_SETS STREQUAL "all")
  foreach(isa IN LISTS SIMDNORM_INSTRUCTION_SETS)
    if(NOT isa IN_LIST SIMDNORM_ISAS)
      message(FATAL_ERROR "SIMDNORM_INSTRUCTION_SETS: '${isa}' is none of this architecture's: ${SIMDNORM_ISAS}")
    endif()
  endforeach()
  set(SIMDNORM_ISAS scalar ${SIMDNORM_INSTRUCTION_SETS})
  list(REMOVE_DUPLICATES SIMDNORM_ISAS)
endif()

# Element types, for the same people. What is left out is SIMDNORM_UNSUPPORTED_TYPE of every call.
set(SIMDNORM_TYPES all CACHE STRING "Element types beside f32 to build, a list of f64, bf16, f16, i8 (int8 and uint8) and f8 (E4M3 and E5M2); all")
if(NOT SIMDNORM_TYPES STREQUAL "all")
  foreach(type IN LISTS SIMDNORM_TYPES)
    if(NOT type MATCHES "^(f32|f64|bf16|f16|i8|f8)$")
      message(FATAL_ERROR "SIMDNORM_TYPES: '${type}' is none of f32, f64, bf16, f16, i8, f8")
    endif()
  endforeach()
  foreach(type f64 bf16 f16 i8 f8)
    if(NOT type IN_LIST SIMDNORM_TYPES)
      add_compile_definitions(SIMDNORM_WITHOUT_${type})
    endif()
  endforeach()
endif()

# What every kernel file is compiled with, whatever the instruction set: no contraction (fma is
# always written out, so that every target rounds alike), nothing with linkage from the C++ runtime.
# No SLP vectorization: GCC 12's folds double(float(x)) to x on the way to AVX-512, and the mean's
# low part was lost (vsubpd of a register from itself; the test of equal bits found it).
set(SIMDNORM_KERNEL_FLAGS -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-tree-slp-vectorize -fno-exceptions -fno-rtti -fno-lto
                          -fno-threadsafe-statics)

# GCC's -O3 writes small loops out and doubles functions by constants: 2.1 MB instead of 1.5 on AVX-512, 2.5 instead
# of 2.0 on AVX2, and no shape was faster (0.96 to 1.04 of the time). Its -O2 alone leaves the plain loops over columns
# to run number by number (batch norm of 256x64: 1.4 times as long). Scalar kernels are 0 to 8 % slower by -Os, which
# halves them.
set(SIMDNORM_OPTIMIZE -O3)
set(SIMDNORM_OPTIMIZE_scalar -Os)
set(SIMDNORM_OPTIMIZE_neon -O3) # -O2 spills in the moments of channels
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(SIMDNORM_OPTIMIZE -O2 -ftree-vectorize -fvect-cost-model=dynamic)
endif()

# simdnorm_add_isa_objects(<out>): an object library per row; their names are put into <out>.
function(simdnorm_add_isa_objects out)
  set(names)
  foreach(isa IN LISTS SIMDNORM_ISAS)
    set(target simdnorm_${isa})
    add_library(${target} OBJECT kernels/targets/${isa}.cpp)
    set(optimize ${SIMDNORM_OPTIMIZE})
    if(DEFINED SIMDNORM_OPTIMIZE_${isa})
      set(optimize ${SIMDNORM_OPTIMIZE_${isa}})
    endif()
    target_compile_options(${target} PRIVATE ${SIMDNORM_KERNEL_FLAGS} ${SIMDNORM_FLAGS_${isa}}
                           ${SIMDNORM_WARNINGS} "$<$<CONFIG:Release,RelWithDebInfo>:${optimize}>")
    target_compile_definitions(${target} PRIVATE SIMDNORM_ISA=${isa} xsimd=xsimd_${isa})
    target_include_directories(${target} PRIVATE include kernels)
    target_include_directories(${target} SYSTEM PRIVATE ${SIMDNORM_XSIMD_INCLUDE_DIR})
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                          VISIBILITY_INLINES_HIDDEN ON INTERPROCEDURAL_OPTIMIZATION OFF)
    list(APPEND names ${target})
  endforeach()
  set(${out} ${names} PARENT_SCOPE)
endfunction()
