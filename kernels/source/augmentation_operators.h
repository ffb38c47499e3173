// What augmentation does to the images of a training step, on all threads and in a pass or two: of
// MXNet's operators the sampler runs on one thread, and the colours are some fifteen passes. Neither
// has a gradient.
//
// maskflownet_affine_sample: inputs image (N, C, H, W) and affine (N, 6), the rows of a matrix 2x3
// from the output's coordinates, (x, y) from -1 to 1, to the image's; attributes `height` and
// `width`; output (N, C, height, width), sampled bilinearly. Outside of the image are zeros or, with
// repeat_border, the nearest border pixel.
//
// maskflownet_colours: inputs image (N, 3, H, W), noise (N, 3, H, W) or (N, 1, 1, 1), and what
// augmentation/color.py calls matrix (N, 3, 3), gain, brightness and exponent (N, 1, 1, 1) and channel
// (N, 3, 1, 1); output the image as ColorAugmentation makes it.

#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "bilinear.h"
#include "operator.h"

namespace {

// --- Samples along an affine map ------------------------------------------------------------------

// The coordinate, from -1 to 1, of pixel i of n.
float coordinate(long i, long n) {
  return n > 1 ? 2 * static_cast<float>(i) / static_cast<float>(n - 1) - 1 : -1;
}

MXReturnValue affine_sample_forward(const Attributes& attributes, Tensors in, Tensors out,
                                    const OpResource&) {
  const auto &shape = in->at(0).shape, &to = out->at(0).shape;
  const long channels = shape[1], height = shape[2], width = shape[3];
  const long to_height = to[2], to_width = to[3], to_plane = to_height * to_width;
  const bool repeat_border = integer(attributes, "repeat_border", 0) != 0;
  const float* images = in->at(0).data<float>();
  const float* affine = in->at(1).data<float>();
  float* result = out->at(0).data<float>();
#pragma omp parallel for schedule(static)
  for (long line = 0; line < to[0] * to_height; ++line) {
    const long n = line / to_height, y = line % to_height;
    const float* image = images + n * channels * height * width;
    const float *map = affine + n * 6, at_y = coordinate(y, to_height);
    float* row = result + (n * channels * to_height + y) * to_width;
    for (long x = 0; x < to_width; ++x) {
      const float at_x = coordinate(x, to_width);
      const float from_x = (map[0] * at_x + map[1] * at_y + map[2] + 1) / 2;  // from 0 to 1
      const float from_y = (map[3] * at_x + map[4] * at_y + map[5] + 1) / 2;
      sample(image, channels, height, width,
             neighbours(from_y * static_cast<float>(height - 1), height, repeat_border),
             neighbours(from_x * static_cast<float>(width - 1), width, repeat_border), row + x,
             to_plane);
    }
  }
  return MXReturnValue::MX_SUCCESS;
}

// MXNet makes graphs of gradients also where none is asked for, and wants to know of one.
MXReturnValue augmentation_backward(const Attributes&, Tensors, Tensors, const OpResource&) {
  return fail("augmentation has no gradient");
}

MXReturnValue affine_sample_count(const Attributes& attributes, int* inputs, int* outputs) {
  if (integer(attributes, "height", 0) < 1 || integer(attributes, "width", 0) < 1)
    return fail("maskflownet_affine_sample: expected a height and a width of 1 or more");
  *inputs = 2;
  *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue affine_sample_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape& image = in->at(0);
  if (image.size() != 4 || in->at(1) != Shape{image[0], 6})
    return fail("maskflownet_affine_sample: expected an image of four axes and a map (N, 6)");
  const unsigned height = integer(attributes, "height", 1), width = integer(attributes, "width", 1);
  out->at(0) = {image[0], image[1], height, width};
  return MXReturnValue::MX_SUCCESS;
}

// --- Colours --------------------------------------------------------------------------------------

MXReturnValue colours_forward(const Attributes&, Tensors in, Tensors out, const OpResource&) {
  const auto& shape = in->at(0).shape;
  const long batch = shape[0], height = shape[2], width = shape[3], plane = height * width;
  const bool has_noise = in->at(1).shape == in->at(0).shape;  // else one number per sample
  const float *images = in->at(0).data<float>(), *noises = in->at(1).data<float>();
  const float* matrices = in->at(2).data<float>();
  const float *gains = in->at(3).data<float>(), *brightnesses = in->at(4).data<float>();
  const float *exponents = in->at(5).data<float>(), *channels = in->at(6).data<float>();
  float* results = out->at(0).data<float>();
  // Row by row, so that the means are the same with any number of threads.
  std::vector<double> row_sums(batch * height * 3), means(batch * 3);
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (long line = 0; line < batch * height; ++line) {
      const long n = line / height, first = n * 3 * plane + line % height * width;
      const float* image = images + first;
      for (int c = 0; c < 3; ++c) {
        const float* row = matrices + n * 9 + c * 3;
        const float* noise = has_noise ? noises + first + c * plane : nullptr;
        float* result = results + first + c * plane;
        double sum = 0;
        for (long x = 0; x < width; ++x) {
          const float mixed =
              row[0] * image[x] + row[1] * image[plane + x] + row[2] * image[2 * plane + x];
          result[x] = mixed + (noise ? noise[x] : noises[n]);
          sum += result[x];
        }
        row_sums[line * 3 + c] = sum;
      }
    }
#pragma omp for schedule(static)
    for (long channel = 0; channel < batch * 3; ++channel) {
      double sum = 0;
      for (long y = 0; y < height; ++y)
        sum += row_sums[(channel / 3 * height + y) * 3 + channel % 3];
      means[channel] = sum / static_cast<double>(plane);
    }
#pragma omp for schedule(static)
    for (long line = 0; line < batch * 3 * height; ++line) {
      const long channel = line / height, n = channel / 3;
      const float mean = static_cast<float>(means[channel]), gain = gains[n];
      const float factor = channels[channel], brightness = brightnesses[n];
      float* result = results + line * width;
      for (long x = 0; x < width; ++x) {
        const float bright = ((result[x] - mean) * gain + mean) * factor + brightness;
        result[x] = std::pow(std::min(std::max(bright, 0.f), 1.f), exponents[n]);
      }
    }
  }
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue colours_count(const Attributes&, int* inputs, int* outputs) {
  *inputs = 7;
  *outputs = 1;
  return MXReturnValue::MX_SUCCESS;
}

MXReturnValue colours_shape(const Attributes&, Shapes* in, Shapes* out) {
  if (!all_known(*in)) return MXReturnValue::MX_SUCCESS;
  const Shape& image = in->at(0);
  if (image.size() != 4 || image[1] != 3)
    return fail("maskflownet_colours: expected an image (N, 3, H, W)");
  const unsigned N = image[0];
  const Shape per_sample{N, 1, 1, 1};
  const Shapes others{{N, 3, 3}, per_sample, per_sample, per_sample, {N, 3, 1, 1}};
  if ((in->at(1) != image && in->at(1) != per_sample) ||
      !std::equal(others.begin(), others.end(), in->begin() + 2))
    return fail("maskflownet_colours: the inputs do not fit together");
  out->at(0) = image;
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(maskflownet_affine_sample)
    .setForward(affine_sample_forward, "cpu")
    .setBackward(augmentation_backward, "cpu")
    .setParseAttrs(affine_sample_count)
    .setInferType(all_float32)
    .setInferShape(affine_sample_shape);

REGISTER_OP(maskflownet_colours)
    .setForward(colours_forward, "cpu")
    .setBackward(augmentation_backward, "cpu")
    .setParseAttrs(colours_count)
    .setInferType(all_float32)
    .setInferShape(colours_shape);
