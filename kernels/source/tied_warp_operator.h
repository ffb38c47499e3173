// maskflownet_tied_warp: inputs response, features, flow, weight; output the warped response.

#pragma once

#include "operator.h"

namespace {

maskflownet::TiedWarp tied_warp_of(MXTensor* in) {
  maskflownet::TiedWarp a{};
  a.batch = in[0].shape[0];
  a.outputs = in[0].shape[1];
  a.height = in[0].shape[2];
  a.width = in[0].shape[3];
  a.channels = in[1].shape[1];
  a.response = in[0].data<float>();
  a.features = in[1].data<float>();
  a.flow = in[2].data<float>();
  a.weight = in[3].data<float>();
  return a;
}

MXReturnValue tied_warp_forward(const Attributes&, Tensors in, Tensors out,
                                const OpResource& resource) {
  auto a = tied_warp_of(in->data());
  a.result = out->at(0).data<float>();
  const Workspace workspace(kernels().tied_warp_workspace(a, false), resource);
  kernels().tied_warp_forward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue tied_warp_backward(const Attributes&, Tensors in, Tensors out,
                                 const OpResource& resource) {
  auto a = tied_warp_of(in->data() + 1);
  a.result_gradient = in->at(0).data<float>();
  a.response_gradient = out->at(0).data<float>();
  a.features_gradient = out->at(1).data<float>();
  a.flow_gradient = out->at(2).data<float>();
  a.weight_gradient = out->at(3).data<float>();
  const Workspace workspace(kernels().tied_warp_workspace(a, true), resource);
  kernels().tied_warp_backward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue tied_warp_count(const Attributes&, int* inputs, int* outputs) {
  *inputs = 4;
  *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue tied_warp_shape(const Attributes&, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape &response = in->at(0), &features = in->at(1);
  if (response.size() != 4 || features.size() != 4)
    return fail("maskflownet_tied_warp: response and features must be of four axes");
  const unsigned N = response[0], O = response[1], H = response[2], W = response[3];
  const unsigned C = features[1];
  if (features != Shape{N, C, H, W} || in->at(2) != Shape{N, 2, H, W} ||
      in->at(3) != Shape{O, C, 3, 3})
    return fail("maskflownet_tied_warp: the inputs do not fit together");
  out->at(0) = response;
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_tied_warp)
    .setForward(tied_warp_forward, "cpu")
    .setBackward(tied_warp_backward, "cpu")
    .setParseAttrs(tied_warp_count)
    .setInferType(all_float32)
    .setInferShape(tied_warp_shape);
