// The kernels for processors with AVX2 and FMA; compiled with the flags for it.

#include "table.h"

const maskflownet::Kernels maskflownet::kAvx2 = make_table<Avx2>();
