// maskflownet_tied_deform: inputs features, flow, weight and, if `bias`, the bias; output the
// deformable convolution.

#pragma once

#include "operator.h"

namespace {

bool has_bias(const Attributes& attributes) { return integer(attributes, "bias", 0) != 0; }

maskflownet::TiedDeform tied_deform_of(const Attributes& attributes, MXTensor* in) {
  maskflownet::TiedDeform a{};
  a.batch = in[0].shape[0];
  a.channels = in[0].shape[1];
  a.height = in[0].shape[2];
  a.width = in[0].shape[3];
  a.outputs = in[2].shape[0];
  a.features = in[0].data<float>();
  a.flow = in[1].data<float>();
  a.weight = in[2].data<float>();
  if (has_bias(attributes)) a.bias = in[3].data<float>();
  a.products = products_of(attributes);
  return a;
}

MXReturnValue tied_deform_forward(const Attributes& attributes, Tensors in, Tensors out,
                                  const OpResource& resource) {
  auto a = tied_deform_of(attributes, in->data());
  a.result = out->at(0).data<float>();
  const Workspace workspace(kernels().tied_deform_workspace(a, false), resource);
  a.workspace = workspace.floats();
  kernels().tied_deform_forward(a);
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue tied_deform_backward(const Attributes& attributes, Tensors in, Tensors out,
                                   const OpResource& resource) {
  auto a = tied_deform_of(attributes, in->data() + 1);
  a.result_gradient = in->at(0).data<float>();
  a.features_gradient = out->at(0).data<float>();
  a.flow_gradient = out->at(1).data<float>();
  a.weight_gradient = out->at(2).data<float>();
  if (a.bias) a.bias_gradient = out->at(3).data<float>();
  const Workspace workspace(kernels().tied_deform_workspace(a, true), resource);
  a.workspace = workspace.floats();
  kernels().tied_deform_backward(a);
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue tied_deform_count(const Attributes& attributes, int* inputs, int* outputs) {
  *inputs = 3 + has_bias(attributes);
  *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue tied_deform_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape &features = in->at(0), &weight = in->at(2);
  if (features.size() != 4 || weight.size() != 4)
    return fail("maskflownet_tied_deform: features and weight must be of four axes");
  const unsigned N = features[0], C = features[1], H = features[2], W = features[3], O = weight[0];
  if (in->at(1) != Shape{N, 2, H, W} || weight != Shape{O, C, 3, 3} ||
      (has_bias(attributes) && in->at(3) != Shape{O}))
    return fail("maskflownet_tied_deform: the inputs do not fit together");
  out->at(0) = {N, O, H, W};
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_tied_deform)
    .setForward(tied_deform_forward, "cpu")
    .setBackward(tied_deform_backward, "cpu")
    .setParseAttrs(tied_deform_count)
    .setInferType(all_float32)
    .setInferShape(tied_deform_shape);
