// The table of kernels for one vector unit.

#pragma once

#include "correlation.h"
#include "deformable.h"
#include "dense_block.h"
#include "enlarge.h"
#include "multiscale_loss.h"
#include "pyramid.h"
#include "trade_off.h"

namespace {

template <class V>
void any_cost_volume_forward(const CostVolume& a, float* workspace) {
  a.max_displacement == 4 ? cost_volume_forward<V, 4>(a, workspace)
                          : cost_volume_forward<V, 2>(a, workspace);
}

template <class V>
void any_cost_volume_backward(const CostVolume& a, float* workspace) {
  a.max_displacement == 4 ? cost_volume_backward<V, 4>(a, workspace)
                          : cost_volume_backward<V, 2>(a, workspace);
}

template <class V>
constexpr maskflownet::Kernels make_table() {
  return {
      cost_volume_workspace<V>,   any_cost_volume_forward<V>, any_cost_volume_backward<V>,
      tied_deform_workspace<V>,   tied_deform_forward<V>,     tied_deform_backward<V>,
      trade_off_forward<V>,       trade_off_backward<V>,
      enlarge_workspace<V>,       enlarge_forward<V>,         enlarge_backward<V>,
      multiscale_loss_workspace<V>, multiscale_loss_forward<V>, multiscale_loss_backward<V>,
      dense_block_activations,    dense_block_workspace,      dense_block_forward<V>,
      dense_block_backward<V>,    pyramid_activations,        pyramid_workspace,
      pyramid_forward<V>,         pyramid_backward<V>,
  };
}

}  // namespace
