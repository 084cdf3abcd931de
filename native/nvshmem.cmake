# libep4j_nvshmem.so: the same library with a network between ranks, by NVSHMEM. Built where NVSHMEM is
# found, see scripts/nvshmem-home.sh. Its kernels are linked with NVSHMEM's device library, for Hopper
# and Blackwell only: nothing older has what the network path is for, and each architecture costs half
# a minute. The host library is needed at run time, from where the loader finds it.
# What Java's glue for libep4j_nvshmem.so is linked with, also where that is not built: nothing but its
# name. The glue asks for -lep4j, as that for libep4j.so does.
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/nvshmem_name.c "")
add_library(ep4j_nvshmem_name SHARED ${CMAKE_CURRENT_BINARY_DIR}/nvshmem_name.c)
set_target_properties(ep4j_nvshmem_name PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME ep4j NO_SONAME ON
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/nvshmem_name)
target_link_options(ep4j_nvshmem_name PRIVATE -Wl,-soname,libep4j_nvshmem.so)

set(EP4J_NVSHMEM_HOME "" CACHE PATH "NVSHMEM, with include/ and lib/; empty: looked for")
option(EP4J_FETCH_NVSHMEM "Fetch NVSHMEM by pip where there is none" OFF)

set(EP4J_NVSHMEM_FOUND "${EP4J_NVSHMEM_HOME}")
if(NOT EP4J_NVSHMEM_FOUND)
  set(EP4J_NVSHMEM_FETCH "")
  if(EP4J_FETCH_NVSHMEM)
    set(EP4J_NVSHMEM_FETCH --fetch)
  endif()
  execute_process(
      COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/../scripts/nvshmem-home.sh ${EP4J_NVSHMEM_FETCH}
      OUTPUT_VARIABLE EP4J_NVSHMEM_FOUND ERROR_VARIABLE EP4J_NVSHMEM_WHY
      OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_STRIP_TRAILING_WHITESPACE)
endif()
set(EP4J_NVSHMEM_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES})
list(FILTER EP4J_NVSHMEM_ARCHITECTURES INCLUDE REGEX "^(90a|100a)-real$")
if(NOT EP4J_NVSHMEM_FOUND)
  message(STATUS "libep4j_nvshmem.so is not built: ${EP4J_NVSHMEM_WHY}")
  return()
elseif(NOT EP4J_NVSHMEM_ARCHITECTURES)
  message(STATUS "libep4j_nvshmem.so is not built: it needs 90a-real or 100a-real among the architectures")
  return()
endif()
message(STATUS "libep4j_nvshmem.so with NVSHMEM of ${EP4J_NVSHMEM_FOUND}")
file(GLOB EP4J_NVSHMEM_HOST ${EP4J_NVSHMEM_FOUND}/lib/libnvshmem_host.so.3)

add_library(ep4j_network_kernels OBJECT ${EP4J_NETWORK_KERNELS} src/device/transport/nvshmem.cu
    src/capi/nvshmem.cpp src/runtime/nvshmem_world.cpp)
target_include_directories(ep4j_network_kernels PRIVATE include src ${CUDAToolkit_INCLUDE_DIRS})
target_include_directories(ep4j_network_kernels SYSTEM PRIVATE ${EP4J_NVSHMEM_FOUND}/include)
target_compile_definitions(ep4j_network_kernels PRIVATE EP4J_REMOTE_PEERS=1)
# No complaint about spills: calls into NVSHMEM take registers that kernels would keep.
set(EP4J_NETWORK_CUDA_FLAGS ${EP4J_CUDA_FLAGS})
list(REMOVE_ITEM EP4J_NETWORK_CUDA_FLAGS -Xptxas=-warn-spills,-Werror)
target_compile_options(ep4j_network_kernels PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:${EP4J_NETWORK_CUDA_FLAGS}>
    $<$<COMPILE_LANGUAGE:CXX>:${EP4J_HOST_WARNINGS} -fvisibility=hidden>)
set_target_properties(ep4j_network_kernels PROPERTIES CUDA_SEPARABLE_COMPILATION ON
    CUDA_ARCHITECTURES "${EP4J_NVSHMEM_ARCHITECTURES}")
# A block of 512 threads leaves 128 registers to what it calls.
set_source_files_properties(src/device/transport/nvshmem.cu PROPERTIES COMPILE_OPTIONS
    "-maxrregcount=128;--diag-suppress=3012")

add_library(ep4j_nvshmem SHARED $<TARGET_OBJECTS:ep4j_objects> $<TARGET_OBJECTS:ep4j_network_kernels>)
set_target_properties(ep4j_nvshmem PROPERTIES LINKER_LANGUAGE CUDA CUDA_RESOLVE_DEVICE_SYMBOLS ON
    CUDA_ARCHITECTURES "${EP4J_NVSHMEM_ARCHITECTURES}" SKIP_BUILD_RPATH ON
    LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/ep4j.map)
target_link_libraries(ep4j_nvshmem PRIVATE ${EP4J_NVSHMEM_FOUND}/lib/libnvshmem_device.a
    ${EP4J_NVSHMEM_HOST})
target_link_options(ep4j_nvshmem PRIVATE -s -Wl,--exclude-libs,ALL -static-libstdc++ -Wl,-z,defs
    -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/ep4j.map)
target_include_directories(ep4j_nvshmem PUBLIC include)
