// What the parts of the Python module share: the kernel that runs, and arrays that it may be given.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "kernel.h"

namespace nb = nanobind;

namespace dmx {

extern const Kernel* chosen;

template <class T, int dims>
using Array = nb::ndarray<T, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;

inline void require(bool fits) {
  if (!fits) throw std::invalid_argument("the arrays' shapes do not belong together");
}

// The order of a stack of matrices.
template <class T> int order(const Array<T, 3>& A, int largest = largest_order) {
  require(A.shape(1) == A.shape(2) && A.shape(1) >= 1 && A.shape(1) <= (size_t)largest);
  return (int)A.shape(1);
}
template <class T> bool alike(const Array<const T, 3>& A, size_t count, size_t rows, size_t columns) {
  return A.shape(0) == count && A.shape(1) == rows && A.shape(2) == columns;
}

template <class T> bool alike(const Array<T, 2>& v, size_t rows, size_t columns) {
  return v.shape(0) == rows && v.shape(1) == columns;
}

void define_passes(nb::module_& m);
void define_guesses(nb::module_& m);

}  // namespace dmx
