// Large matrices for Python: halving without a proof, and passes.
#include "module.h"

namespace dmx {
namespace {

// One matrix without a proof, both of contiguous rows.
void halve_into(nb::ndarray<const double, nb::ndim<2>, nb::device::cpu> A,
                nb::ndarray<double, nb::ndim<2>, nb::device::cpu> X) {
  const size_t n = A.shape(0);
  require(n >= 1 && n <= (size_t)largest_halved && A.shape(1) == n && X.shape(0) == n &&
          X.shape(1) == n && A.stride(1) == 1 && X.stride(1) == 1);
  const nb::gil_scoped_release unlocked;
  chosen->halve((int)n, A.data(), A.stride(0), X.data(), X.stride(0));
}

// Passes over k large matrices (k, n, n): A V or |A| V to (k, n, m),
void few_columns_into(Array<const double, 3> A, Array<const double, 3> V, Array<double, 3> out,
                      bool of_moduli) {
  const size_t k = A.shape(0), n = A.shape(1), m = V.shape(2);
  require(A.shape(2) == n && alike(V, k, n, m) && out.shape(0) == k && out.shape(1) == n &&
          out.shape(2) == m);
  const nb::gil_scoped_release unlocked;
  const auto pass = of_moduli ? chosen->passes.moduli : chosen->passes.products;
  for (size_t i = 0; i < k; i++)
    pass(n, m, A.data() + i * n * n, V.data() + i * n * m, out.data() + i * n * m);
}
// (A o A) v and 1^T (A o A), (k, n) each,
void squares_into(Array<const double, 3> A, Array<const double, 2> v, Array<double, 2> rows,
                  Array<double, 2> columns) {
  const size_t k = A.shape(0), n = A.shape(1);
  require(A.shape(2) == n && alike(v, k, n) && alike(rows, k, n) && alike(columns, k, n));
  const nb::gil_scoped_release unlocked;
  for (size_t i = 0; i < k; i++)
    chosen->passes.squares(n, A.data() + i * n * n, v.data() + i * n, rows.data() + i * n,
                           columns.data() + i * n);
}
// x^T A + y^T A, the first in doubled precision: high and low, (k, n) each.
void doubled_product_into(Array<const double, 2> x, Array<const double, 2> y,
                          Array<const double, 3> A, Array<double, 2> high, Array<double, 2> low) {
  const size_t k = A.shape(0), n = A.shape(1);
  require(A.shape(2) == n && alike(x, k, n) && alike(y, k, n) && alike(high, k, n) &&
          alike(low, k, n));
  const nb::gil_scoped_release unlocked;
  for (size_t i = 0; i < k; i++)
    chosen->passes.doubled_product(n, x.data() + i * n, y.data() + i * n, A.data() + i * n * n,
                                   high.data() + i * n, low.data() + i * n);
}

}  // namespace

void define_passes(nb::module_& m) {
  m.def("halve_into", halve_into, nb::arg("A").noconvert(), nb::arg("X").noconvert());
  m.attr("LARGEST_HALVED") = largest_halved;
  m.def("few_columns_into", few_columns_into, nb::arg("A").noconvert(),
        nb::arg("V").noconvert(), nb::arg("out").noconvert(), nb::arg("of_moduli"));
  m.def("squares_into", squares_into, nb::arg("A").noconvert(), nb::arg("v").noconvert(),
        nb::arg("rows").noconvert(), nb::arg("columns").noconvert());
  m.def("doubled_product_into", doubled_product_into, nb::arg("x").noconvert(),
        nb::arg("y").noconvert(), nb::arg("A").noconvert(), nb::arg("high").noconvert(),
        nb::arg("low").noconvert());
}

}  // namespace dmx
