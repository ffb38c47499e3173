// maskflownet_multiscale_loss: inputs label, valid and the predictions of levels 6, 5, ..., as many as
// there are; outputs the loss and the last level's error, (N) each. `weights`: of the levels, separated
// by commas; `exponent`: see MultiscaleLoss. The second output has no
// gradient, and label and valid get zeros.

#pragma once

#include "operator.h"

namespace {

constexpr int kCoarsestStride = 64;

maskflownet::MultiscaleLoss multiscale_loss_of(const Attributes& attributes, MXTensor* in,
                                               long levels) {
  maskflownet::MultiscaleLoss a{};
  a.batch = in[0].shape[0];
  a.height = in[0].shape[2];
  a.width = in[0].shape[3];
  a.levels = levels;
  a.label = in[0].data<float>();
  a.valid = in[1].data<float>();
  a.exponent = static_cast<float>(number(attributes, "exponent", 0));
  std::istringstream weights(attributes.at("weights"));
  weights.imbue(std::locale::classic());
  for (long level = 0; level < levels; ++level) {
    a.stride[level] = kCoarsestStride >> level;
    a.prediction[level] = in[2 + level].data<float>();
    weights >> a.weight[level];
    weights.ignore();  // the comma
  }
  return a;
}

MXReturnValue multiscale_loss_forward(const Attributes& attributes, Tensors in, Tensors out,
                                      const OpResource& resource) {
  auto a = multiscale_loss_of(attributes, in->data(), static_cast<long>(in->size()) - 2);
  a.loss = out->at(0).data<float>();
  a.error = out->at(1).data<float>();
  const Workspace workspace(kernels().multiscale_loss_workspace(a, false), resource);
  kernels().multiscale_loss_forward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

// in: both outputs' gradients, the inputs, the outputs.
MXReturnValue multiscale_loss_backward(const Attributes& attributes, Tensors in, Tensors out,
                                       const OpResource& resource) {
  const long levels = static_cast<long>(out->size()) - 2;
  auto a = multiscale_loss_of(attributes, in->data() + 2, levels);
  a.loss_gradient = in->at(0).data<float>();
  for (long level = 0; level < levels; ++level)
    a.prediction_gradient[level] = out->at(2 + level).data<float>();
  const long pixels = a.batch * a.height * a.width;
  std::memset(out->at(0).data<float>(), 0, 2 * pixels * sizeof(float));
  std::memset(out->at(1).data<float>(), 0, pixels * sizeof(float));
  const Workspace workspace(kernels().multiscale_loss_workspace(a, true), resource);
  kernels().multiscale_loss_backward(a, workspace.floats());
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue multiscale_loss_count(const Attributes& attributes, int* inputs, int* outputs) {
  const auto found = attributes.find("weights");
  const long levels =
      found == attributes.end()
          ? 0
          : 1 + std::count(found->second.begin(), found->second.end(), ',');
  if (levels < 1 || levels > maskflownet::MultiscaleLoss::kMostLevels)
    return fail("maskflownet_multiscale_loss: expected one weight to five, separated by commas");
  *inputs = static_cast<int>(2 + levels);
  *outputs = 2;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue multiscale_loss_shape(const Attributes&, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape& label = in->at(0);
  bool fits = label.size() == 4 && label[1] == 2 &&
              in->at(1) == Shape{label[0], 1, label[2], label[3]};
  for (std::size_t i = 2; fits && i < in->size(); ++i) {
    const unsigned stride = kCoarsestStride >> (i - 2);
    fits = label[2] % stride == 0 && label[3] % stride == 0 &&
           in->at(i) == Shape{label[0], 2, label[2] / stride, label[3] / stride};
  }
  if (!fits) return fail("maskflownet_multiscale_loss: the inputs do not fit together");
  out->at(0) = out->at(1) = {label[0]};
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_multiscale_loss)
    .setForward(multiscale_loss_forward, "cpu")
    .setBackward(multiscale_loss_backward, "cpu")
    .setParseAttrs(multiscale_loss_count)
    .setInferType(all_float32)
    .setInferShape(multiscale_loss_shape);
