// The kernels for processors with AMX (TILE, BF16) beside AVX-512; compiled with the flags for both.

#include "table.h"

const maskflownet::Kernels maskflownet::kAmx = make_table<Avx512>();
