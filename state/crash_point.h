#ifndef TIDEMARK_STATE_CRASH_POINT_H_
#define TIDEMARK_STATE_CRASH_POINT_H_

#include <string_view>

namespace tidemark {

/// A place of the batch protocol where the process may die, e.g. `CrashPoint("sink before
/// commit")`. In a build with the CMake option TIDEMARK_CRASH_POINTS (tests/faults) the environment
/// decides:
///
///   TIDEMARK_CRASH_AT=NAME:N   the Nth passing of NAME, by whichever thread, ends the process with
///                              SIGKILL
///   TIDEMARK_CRASH_COUNTS=FILE how often each point was passed, a line `NAME:COUNT` each, written
///                              when the process ends
///
/// In every other build it is nothing at all. Any thread.
#ifdef TIDEMARK_CRASH_POINTS
void CrashPoint(std::string_view name);
#else
inline void CrashPoint(std::string_view /*name*/) {}
#endif

}  // namespace tidemark

#endif  // TIDEMARK_STATE_CRASH_POINT_H_
