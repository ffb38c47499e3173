// maskflownet_enlarge: input x (N, C, H, W), attribute `factor`; output x enlarged bilinearly,
// (N, C, H * factor, W * factor).

#pragma once

#include "operator.h"

namespace {

// Of the cells' tensor, in the forward pass the input and in the backward pass its gradient.
maskflownet::Enlargement enlargement_of(const Attributes& attributes, const MXTensor& cells) {
  maskflownet::Enlargement a{};
  a.planes = cells.shape[0] * cells.shape[1];
  a.height = cells.shape[2];
  a.width = cells.shape[3];
  a.factor = integer(attributes, "factor", 1);
  return a;
}

MXReturnValue enlarge_forward(const Attributes& attributes, Tensors in, Tensors out,
                              const OpResource& resource) {
  auto a = enlargement_of(attributes, in->at(0));
  a.cells = in->at(0).data<float>();
  a.result = out->at(0).data<float>();
  const Workspace workspace(kernels().enlarge_workspace(a, false), resource);
  kernels().enlarge_forward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue enlarge_backward(const Attributes& attributes, Tensors in, Tensors out,
                               const OpResource& resource) {
  auto a = enlargement_of(attributes, out->at(0));
  a.result_gradient = in->at(0).data<float>();
  a.cells_gradient = out->at(0).data<float>();
  const Workspace workspace(kernels().enlarge_workspace(a, true), resource);
  kernels().enlarge_backward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue enlarge_count(const Attributes& attributes, int* inputs, int* outputs) {
  if (integer(attributes, "factor", 0) < 1)
    return fail("maskflownet_enlarge: expected a factor of 1 or more");
  *inputs = *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue enlarge_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape& x = in->at(0);
  if (x.size() != 4) return fail("maskflownet_enlarge: x must be of four axes");
  const unsigned factor = integer(attributes, "factor", 1);
  out->at(0) = {x[0], x[1], x[2] * factor, x[3] * factor};
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_enlarge)
    .setForward(enlarge_forward, "cpu")
    .setBackward(enlarge_backward, "cpu")
    .setParseAttrs(enlarge_count)
    .setInferType(all_float32)
    .setInferShape(enlarge_shape);
