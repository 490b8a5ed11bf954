// What the device's kernel needs to be compiled as C++: a warp of one lane, matrices one after the other.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#define WARP 1
#define WIDTH 1
#define MATRICES 1
#define __device__
#define __forceinline__ inline
#define __global__
#define __shared__ static

using std::fabs, std::fma, std::fmax, std::max, std::min;

struct Index {
  long long x;
};
static thread_local Index threadIdx{0}, blockIdx{0};

inline void __syncwarp() {}
template <class X>
X __shfl_sync(unsigned, X x, int, int) { return x; }
template <class X>
X __shfl_xor_sync(unsigned, X x, int, int) { return x; }
inline unsigned __ballot_sync(unsigned, bool x) { return x; }
inline bool __any_sync(unsigned, bool x) { return x; }
inline double __longlong_as_double(long long x) {
  double y;
  std::memcpy(&y, &x, 8);
  return y;
}
inline int __double2hiint(double x) {
  std::uint64_t y;
  std::memcpy(&y, &x, 8);
  return static_cast<int>(y >> 32);
}
inline double __hiloint2double(int high, int low) {
  return __longlong_as_double(static_cast<long long>(static_cast<std::uint32_t>(high)) << 32 |
                              static_cast<std::uint32_t>(low));
}
