// The kernels for processors with AVX-512 (F, DQ, VL, BW); compiled with the flags for it.

#include "table.h"

const maskflownet::Kernels maskflownet::kAvx512 = make_table<Avx512>();
