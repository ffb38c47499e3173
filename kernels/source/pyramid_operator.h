// maskflownet_pyramid.
//
// Inputs: image 1, image 2; weight and bias of the layers, from the finest level on.
// Outputs: image 1's features at levels 2 to 6, image 2's. Without `keep` there is no backward pass.

#pragma once

#include "operator.h"

namespace {

using maskflownet::kPyramidFeatures;
using maskflownet::kPyramidImages;
using maskflownet::kPyramidLayers;

constexpr int kPyramidInputs = kPyramidImages + 2 * kPyramidLayers;
constexpr int kPyramidOutputs = kPyramidImages * kPyramidFeatures;

maskflownet::Pyramid pyramid_of(const Attributes& attributes, MXTensor* in, MXTensor* out,
                                MXTensor* gradients) {
  maskflownet::Pyramid a{};
  a.batch = in[0].shape[0];
  a.channels = in[0].shape[1];
  a.height = in[0].shape[2];
  a.width = in[0].shape[3];
  a.slope = static_cast<float>(number(attributes, "slope", 0.1));
  a.products = products_of(attributes);
  for (int image = 0; image < kPyramidImages; ++image) {
    a.image[image] = in[image].data<float>();
    if (gradients) a.image_gradient[image] = gradients[image].data<float>();
    for (int level = 0; level < kPyramidFeatures; ++level)
      a.features[image][level] = out[image * kPyramidFeatures + level].data<float>();
  }
  for (int i = 0; i < kPyramidLayers; ++i) {
    const int next = kPyramidImages + 2 * i;
    maskflownet::Layer& layer = a.layer[i];
    layer.weight = in[next].data<float>();
    layer.bias = in[next + 1].data<float>();
    layer.outputs = in[next].shape[0];
    if (gradients) {
      layer.weight_gradient = gradients[next].data<float>();
      layer.bias_gradient = gradients[next + 1].data<float>();
    }
  }
  return a;
}

class PyramidCall : public Call {
 public:
  using Call::Call;

  MXReturnValue Forward(Tensors in, Tensors out, const OpResource& resource) override {
    auto a = pyramid_of(attributes_, in->data(), out->data(), nullptr);
    if (keep_) {
      activations_.take(kernels().pyramid_activations(a));
      a.activations = activations_.floats();
    }
    const Workspace workspace(kernels().pyramid_workspace(a, false), resource);
    a.workspace = workspace.floats();
    kernels().pyramid_forward(a);
    return MXReturnValue::MX_SUCCESS;
  }

  // in: the outputs' gradients, the inputs, the outputs.
  MXReturnValue Backward(Tensors in, Tensors out, const OpResource& resource) override {
    if (!keep_) return fail(no_gradient("maskflownet_pyramid"));
    MXTensor* inputs = in->data() + kPyramidOutputs;
    auto a = pyramid_of(attributes_, inputs, inputs + kPyramidInputs, out->data());
    a.activations = activations_.floats();
    for (int image = 0; image < kPyramidImages; ++image)
      for (int level = 0; level < kPyramidFeatures; ++level)
        a.features_gradient[image][level] =
            in->at(image * kPyramidFeatures + level).data<float>();
    const Workspace workspace(kernels().pyramid_workspace(a, true), resource);
    a.workspace = workspace.floats();
    kernels().pyramid_backward(a);
    return MXReturnValue::MX_SUCCESS;
  }

 private:
  const bool keep_ = integer(attributes_, "keep", 0) != 0;
};

MXReturnValue pyramid_count(const Attributes&, int* inputs, int* outputs) {
  *inputs = kPyramidInputs;
  *outputs = kPyramidOutputs;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue pyramid_shape(const Attributes&, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape& image = in->at(0);
  if (image.size() != 4 || image[1] > 16)
    return fail("maskflownet_pyramid: an image must be of four axes and up to 16 channels");
  if (in->at(1) != image) return fail("maskflownet_pyramid: the images differ in shape");
  unsigned channels = image[1];
  unsigned height = image[2], width = image[3];
  constexpr int kPerLevel = kPyramidLayers / maskflownet::kPyramidLevels;
  for (int i = 0; i < kPyramidLayers; ++i) {
    const Shape &weight = in->at(kPyramidImages + 2 * i), &bias = in->at(kPyramidImages + 2 * i + 1);
    if (weight != Shape{weight[0], channels, 3, 3} || bias != Shape{weight[0]})
      return fail("maskflownet_pyramid: a layer's weight or bias is of another shape");
    channels = weight[0];
    if (i % kPerLevel == 0) {
      height = (height + 1) / 2;
      width = (width + 1) / 2;
    }
    const int level = i / kPerLevel - maskflownet::kPyramidSkipped;
    if ((i + 1) % kPerLevel || level < 0) continue;
    for (int of = 0; of < kPyramidImages; ++of)
      out->at(of * kPyramidFeatures + level) = {image[0], channels, height, width};
  }
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_pyramid)
    .setCreateOpState(make_call<PyramidCall>, "cpu")
    .setParseAttrs(pyramid_count)
    .setInferType(all_float32)
    .setInferShape(pyramid_shape);
