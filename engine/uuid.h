#ifndef TIDEMARK_ENGINE_UUID_H_
#define TIDEMARK_ENGINE_UUID_H_

#include <string>

namespace tidemark {

/// A random UUID (version 4) from the system's randomness, in its usual text form.
std::string RandomUuid();

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_UUID_H_
