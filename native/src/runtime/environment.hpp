// The environment that contexts are made with.
#pragma once

#include "launch/sharing.hpp"

namespace ep4j {

// What is in force in a device's context, or will be when it is made.
ContextSettings context_settings(int device);

}  // namespace ep4j
