// maskflownet_trade_off: inputs matched, mask (before its sigmoid), term; output of matched's shape.

#pragma once

#include "operator.h"

namespace {

maskflownet::TradeOff trade_off_of(const Attributes& attributes, MXTensor* in, MXTensor* out) {
  maskflownet::TradeOff a{};
  a.batch = in[0].shape[0];
  a.channels = in[0].shape[1];
  a.height = in[0].shape[2];
  a.width = in[0].shape[3];
  a.slope = static_cast<float>(number(attributes, "slope", 0.1));
  a.matched = in[0].data<float>();
  a.mask = in[1].data<float>();
  a.term = in[2].data<float>();
  a.result = out[0].data<float>();
  return a;
}

MXReturnValue trade_off_forward(const Attributes& attributes, Tensors in, Tensors out,
                                const OpResource&) {
  kernels().trade_off_forward(trade_off_of(attributes, in->data(), out->data()));
  return MXReturnValue::MX_SUCCESS;
}

// in: the output's gradient, the inputs, the output.
MXReturnValue trade_off_backward(const Attributes& attributes, Tensors in, Tensors out,
                                 const OpResource&) {
  auto a = trade_off_of(attributes, in->data() + 1, in->data() + 4);
  a.result_gradient = in->at(0).data<float>();
  a.matched_gradient = out->at(0).data<float>();
  a.mask_gradient = out->at(1).data<float>();
  a.term_gradient = out->at(2).data<float>();
  kernels().trade_off_backward(a);
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue trade_off_count(const Attributes&, int* inputs, int* outputs) {
  *inputs = 3;
  *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue trade_off_shape(const Attributes&, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape& matched = in->at(0);
  if (matched.size() != 4) return fail("maskflownet_trade_off: matched must be of four axes");
  if (in->at(1) != Shape{matched[0], 1, matched[2], matched[3]} || in->at(2) != matched)
    return fail("maskflownet_trade_off: the inputs do not fit together");
  out->at(0) = matched;
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_trade_off)
    .setForward(trade_off_forward, "cpu")
    .setBackward(trade_off_backward, "cpu")
    .setParseAttrs(trade_off_count)
    .setInferType(all_float32)
    .setInferShape(trade_off_shape);
