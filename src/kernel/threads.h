// Work on a stack, in threads.
#pragma once
#include <algorithm>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#include "environment.h"

namespace dmx {

// Threads that the work is worth: starting one costs what about 400,000 multiplications do.
inline int worthwhile(int threads, int n, long count, long blocks) {
  const double work = (double)count * (n * n * n + 64) / 400000;
  return (int)std::max(1.0, std::min({(double)threads, (double)blocks, work}));
}

// part(first, last) for parts of a stack of matrices of order n: whole blocks of `lanes`, as even as
// they go, each in the default environment.
template <class Part> void in_parts(int lanes, int n, long count, int threads, Part&& part) {
  const long blocks = (count + lanes - 1) / lanes;
  threads = worthwhile(threads, n, count, blocks);
  std::vector<std::exception_ptr> failures(threads);
  const auto one = [&](int t) {
    const auto bound = [&](int i) { return std::min(count, blocks * i / threads * lanes); };
    const DefaultEnvironment environment;
    try {
      part(bound(t), bound(t + 1));
    } catch (...) {  // memory
      failures[t] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; t++) {
    try {
      others.emplace_back(one, t);
    } catch (const std::system_error&) {  // no more threads to be had
      one(t);
    }
  }
  one(0);
  for (auto& other : others) other.join();
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace dmx
