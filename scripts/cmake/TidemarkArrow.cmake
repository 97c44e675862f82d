# Finds Arrow and Parquet for libtidemark_parquet: the system's (find_package(Parquet)), else the ones in the pyarrow
# wheel that scripts/setup fetches. Sets
#   TIDEMARK_ARROW_TARGETS  what to link; empty: there is none
#   TIDEMARK_ARROW_FILES    libraries to install beside ours (those of the wheel)
set(TIDEMARK_ARROW_TARGETS "")
set(TIDEMARK_ARROW_FILES "")

# Where scripts/setup puts the wheels (pyarrow, and for the tests duckdb), unpacked.
if(DEFINED ENV{TIDEMARK_PYARROW})
  set(tidemark_wheels "$ENV{TIDEMARK_PYARROW}")
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(tidemark_wheels "$ENV{XDG_CACHE_HOME}/tidemark/pyarrow-26.0.1")
else()
  set(tidemark_wheels "$ENV{HOME}/.cache/tidemark/pyarrow-26.0.1")
endif()
set(TIDEMARK_PYARROW "${tidemark_wheels}" CACHE PATH "Folder with the unpacked pyarrow wheel")

function(tidemark_find_arrow)
  find_package(Parquet QUIET)
  if(TARGET Parquet::parquet_shared)
    set(TIDEMARK_ARROW_TARGETS Parquet::parquet_shared PARENT_SCOPE)
    message(STATUS "Parquet: on, with Arrow ${ARROW_VERSION} from ${Parquet_DIR}")
    return()
  endif()
  set(wheel "${TIDEMARK_PYARROW}/pyarrow")
  file(GLOB arrow "${wheel}/libarrow.so.*")
  file(GLOB parquet "${wheel}/libparquet.so.*")
  if(NOT arrow OR NOT parquet OR NOT EXISTS "${wheel}/include/parquet/arrow/writer.h")
    message(WARNING "Parquet: off, --sink parquet:DIR will be refused: neither find_package(Parquet) nor "
      "the pyarrow wheel in ${TIDEMARK_PYARROW} is there; run scripts/setup, or configure with "
      "-DTIDEMARK_PARQUET=OFF")
    return()
  endif()
  add_library(tidemark_wheel_arrow SHARED IMPORTED GLOBAL)
  set_target_properties(tidemark_wheel_arrow PROPERTIES IMPORTED_LOCATION "${arrow}"
    INTERFACE_INCLUDE_DIRECTORIES "${wheel}/include")
  add_library(tidemark_wheel_parquet SHARED IMPORTED GLOBAL)
  set_target_properties(tidemark_wheel_parquet PROPERTIES IMPORTED_LOCATION "${parquet}"
    INTERFACE_LINK_LIBRARIES tidemark_wheel_arrow)
  set(TIDEMARK_ARROW_TARGETS tidemark_wheel_parquet PARENT_SCOPE)
  set(TIDEMARK_ARROW_FILES "${arrow}" "${parquet}" PARENT_SCOPE)
  message(STATUS "Parquet: on, with Arrow from the pyarrow wheel in ${TIDEMARK_PYARROW}")
endfunction()

if(TIDEMARK_PARQUET)
  tidemark_find_arrow()
else()
  message(STATUS "Parquet: off (TIDEMARK_PARQUET), --sink parquet:DIR will be refused")
endif()
