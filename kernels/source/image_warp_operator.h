// maskflownet_image_warp: inputs image (N, C, H, W) and flow (N, 2, H, W), (y, x) in pixels; output
// what the image shows where the flow points, bilinearly, of the image's shape. No gradient. Outside
// of the image are zeros or, with repeat_border, the nearest border pixel: MXNet's GridGenerator and
// BilinearSampler in one pass over the pixels, on all threads. What it waits for are the four pixels
// that each result is made of, wherever they lie, so it needs no vector unit.

#pragma once

#include "bilinear.h"
#include "operator.h"

namespace {

void warp_row(const float* image, long channels, long height, long width, const float* flow,
              long y, bool repeat_border, float* result) {
  const long pixels = height * width;
  for (long x = 0; x < width; ++x) {
    const long at = y * width + x;
    const auto rows = neighbours(static_cast<float>(y) + flow[at], height, repeat_border);
    const auto columns = neighbours(static_cast<float>(x) + flow[pixels + at], width, repeat_border);
    sample(image, channels, height, width, rows, columns, result + at, pixels);
  }
}

MXReturnValue image_warp_forward(const Attributes& attributes, Tensors in, Tensors out,
                                 const OpResource&) {
  const auto& shape = in->at(0).shape;
  const long batch = shape[0], channels = shape[1], height = shape[2], width = shape[3];
  const long pixels = height * width;
  const bool repeat_border = integer(attributes, "repeat_border", 0) != 0;
  const float* image = in->at(0).data<float>();
  const float* flow = in->at(1).data<float>();
  float* result = out->at(0).data<float>();
#pragma omp parallel for schedule(static)
  for (long row = 0; row < batch * height; ++row) {
    const long n = row / height;
    warp_row(image + n * channels * pixels, channels, height, width, flow + n * 2 * pixels,
             row % height, repeat_border, result + n * channels * pixels);
  }
  return MXReturnValue::MX_SUCCESS;
}

// MXNet makes graphs of gradients also for networks that only predict, and wants to know of one.
MXReturnValue image_warp_backward(const Attributes&, Tensors, Tensors, const OpResource&) {
  return fail("maskflownet_image_warp has no gradient");
}

MXReturnValue image_warp_count(const Attributes&, int* inputs, int* outputs) {
  *inputs = 2;
  *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue image_warp_shape(const Attributes&, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape& image = in->at(0);
  if (image.size() != 4) return fail("maskflownet_image_warp: the image must be of four axes");
  if (in->at(1) != Shape{image[0], 2, image[2], image[3]})
    return fail("maskflownet_image_warp: the inputs do not fit together");
  out->at(0) = image;
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_image_warp)
    .setForward(image_warp_forward, "cpu")
    .setBackward(image_warp_backward, "cpu")
    .setParseAttrs(image_warp_count)
    .setInferType(all_float32)
    .setInferShape(image_warp_shape);
