// maskflownet_cost_volume: inputs features1, features2; output the activated volume.

#pragma once

#include "operator.h"

namespace {

maskflownet::CostVolume cost_volume_of(const Attributes& attributes, MXTensor& features1,
                                       MXTensor& features2, MXTensor& volume) {
  maskflownet::CostVolume a{};
  a.batch = features1.shape[0];
  a.channels = features1.shape[1];
  a.height = features1.shape[2];
  a.width = features1.shape[3];
  a.max_displacement = integer(attributes, "max_displacement", 4);
  a.slope = static_cast<float>(number(attributes, "slope", 0.1));
  a.features1 = features1.data<float>();
  a.features2 = features2.data<float>();
  a.volume = volume.data<float>();
  return a;
}

MXReturnValue cost_volume_forward(const Attributes& attributes, Tensors in, Tensors out,
                                  const OpResource& resource) {
  const auto a = cost_volume_of(attributes, in->at(0), in->at(1), out->at(0));
  const Workspace workspace(kernels().cost_volume_workspace(a, false), resource);
  kernels().cost_volume_forward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue cost_volume_backward(const Attributes& attributes, Tensors in, Tensors out,
                                   const OpResource& resource) {
  auto a = cost_volume_of(attributes, in->at(1), in->at(2), in->at(3));
  a.volume_gradient = in->at(0).data<float>();
  a.features1_gradient = out->at(0).data<float>();
  a.features2_gradient = out->at(1).data<float>();
  const Workspace workspace(kernels().cost_volume_workspace(a, true), resource);
  kernels().cost_volume_backward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue cost_volume_count(const Attributes& attributes, int* inputs, int* outputs) {
  const int m = integer(attributes, "max_displacement", 4);
  if (m != 2 && m != 4)
    return fail("maskflownet_cost_volume: max_displacement " + std::to_string(m) +
                ": expected 2 or 4");
  *inputs = 2;
  *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue cost_volume_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  auto shape = in->at(0);
  if (shape.size() != 4) return MXReturnValue::MX_SUCCESS;
  if (in->at(1) != shape) return fail("maskflownet_cost_volume: the inputs differ in shape");
  const unsigned shifts = 2 * integer(attributes, "max_displacement", 4) + 1;
  shape[1] = shifts * shifts;
  out->at(0) = shape;
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_cost_volume)
    .setForward(cost_volume_forward, "cpu")
    .setBackward(cost_volume_backward, "cpu")
    .setParseAttrs(cost_volume_count)
    .setInferType(all_float32)
    .setInferShape(cost_volume_shape);
