// The kernels as MXNet operators for CPU contexts, through MXNet's extension interface.
//
// MXNet does not tell an extension whether a gradient is to be written or added; these operators
// always write. `network/fast_operators.py` puts a copy between them and gradients that add up.

#include "adam.h"
#include "augmentation_operators.h"
#include "cost_volume_operator.h"
#include "dense_block_operator.h"
#include "enlarge_operator.h"
#include "image_warp_operator.h"
#include "multiscale_loss_operator.h"
#include "pyramid_operator.h"
#include "tied_deform_operator.h"
#include "trade_off_operator.h"

// "amx", "avx512_bf16", "avx512", "avx2", or "" if this processor has none of them: then the library
// cannot be used.
extern "C" const char* maskflownet_vector_unit() { return choose_unit(); }

// The one that the operators run on: what it was when the first of them ran, or is now.
extern "C" const char* maskflownet_unit_in_use() { return unit_in_use().c_str(); }

// The table for a unit, or null if it was not compiled, for tests that call the kernels without MXNet.
extern "C" const maskflownet::Kernels* maskflownet_kernels(const char* unit) {
  return kernels_of(unit);
}

// What this was built from, as `kernels/__init__.py` finds it in the sources that lie there.
extern "C" const char* maskflownet_sources() { return SOURCES; }

MXReturnValue initialize(int version) {
  if (version >= 10900) return MXReturnValue::MX_SUCCESS;
  return fail("the kernels need MXNet 1.9 or newer");
}
