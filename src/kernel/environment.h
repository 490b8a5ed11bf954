// The floating-point environment: rounding to nearest and gradual underflow, which bounds assume.
#pragma once
#if defined(__x86_64__)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace dmx {

#if defined(__x86_64__)

// MXCSR alone rules what is computed here, and takes a tenth of the time that fesetenv does.
constexpr unsigned default_control = 0x1f80, flags = 0x3f;

inline bool usual_environment() { return (_mm_getcsr() & ~flags) == default_control; }

// The default as long as it lives, whatever the thread was set to.
class DefaultEnvironment {
  const unsigned before = _mm_getcsr();

 public:
  DefaultEnvironment() { _mm_setcsr(default_control); }
  ~DefaultEnvironment() { _mm_setcsr(before); }
};

#else

class DefaultEnvironment {
  std::fenv_t before;

 public:
  DefaultEnvironment() {
    std::fegetenv(&before);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultEnvironment() { std::fesetenv(&before); }
};

inline bool usual_environment() {
  volatile double one = 1, small = 0x1p-54, tiny = 0x1p-1022;
  volatile double up = one + small, down = one - small, half = tiny * 0.5, back = half * 2;
  return up == 1 && down == 1 && -up == -1 && back == tiny;
}

#endif

}  // namespace dmx
