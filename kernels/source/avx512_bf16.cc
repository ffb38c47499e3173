// The kernels for processors with AVX-512's instructions for bf16 beside those of avx512.cc; compiled
// with the flags for both.

#include "table.h"

const maskflownet::Kernels maskflownet::kAvx512Bf16 = make_table<Avx512>();
