// The feature pyramids of both images (see Pyramid), as one batch of 2N images in blocks of
// channels from the first layer to the last: nothing is rearranged in between.

#pragma once

#include <omp.h>

#include <cstring>

#include "arrays.h"
#include "convolution.h"
#include "kernels.h"
#include "layout.h"
#include "strided.h"
#include "vector.h"

namespace {

using maskflownet::kPyramidImages;
using maskflownet::kPyramidLayers;
using maskflownet::kPyramidLevels;
using maskflownet::kPyramidSkipped;
using maskflownet::Pyramid;

constexpr int kLayersPerLevel = kPyramidLayers / kPyramidLevels;

struct PyramidSizes {
  Extent image;
  long lanes;                                // of a pixel of the images
  Extent extent[kPyramidLayers];
  long inputs[kPyramidLayers];
  long floats[kPyramidLayers];               // of each layer's output
  long kept = 0, largest = 0;                // of them all, and of the largest
  // Room for any layer; see convolution.h and strided.h.
  long kernel = 0, gradients = 0, work = 0;

  explicit PyramidSizes(const Pyramid& a)
      : image{kPyramidImages * a.batch, a.height, a.width}, lanes(round_up(a.channels, kImageLanes)) {
    const long threads = omp_get_max_threads();
    auto raise = [](long& most, long size) { most = size > most ? size : most; };
    Extent e = image;
    long channels = a.channels;
    for (int i = 0; i < kPyramidLayers; ++i) {
      if (is_strided(i)) e = {e.batch, (e.height + 1) / 2, (e.width + 1) / 2};
      const long outputs = a.layer[i].outputs;
      extent[i] = e;
      inputs[i] = channels;
      floats[i] = e.channel(round_up(outputs, kLane));
      kept += floats[i];
      raise(largest, floats[i]);
      const long O = round_up(outputs, kLane), C = round_up(channels, kLane);
      const long widest = O > C ? O : C;
      raise(kernel, kernel_room(C, O));
      raise(kernel, kernel_room(O, C));
      raise(kernel, 9 * round_up(widest, kColumnStep) * widest);  // a strided one's
      raise(gradients, gradients_room(e, 1, O));
      raise(work, threads * thread_room(e, 1, widest));
      raise(work, threads * (9 * widest * O + kColumnStep * widest + gathered_size(widest)));
      channels = outputs;
    }
  }

  static bool is_strided(int layer) { return layer % kLayersPerLevel == 0; }
  static int level(int layer) { return layer / kLayersPerLevel - kPyramidSkipped; }
  static bool is_feature(int layer) {
    return (layer + 1) % kLayersPerLevel == 0 && level(layer) >= 0;
  }
};

// What forward and backward share of the workspace.
struct PyramidWork {
  float* images;
  ConvolutionWork convolution;

  PyramidWork(const Pyramid& a, const PyramidSizes& s, Arena& arena) {
    images = arena.take(s.image.pixels() * s.lanes);
    convolution.pieces = arena.take(pieces_room(s.extent[0], 1));
    convolution.kernel = arena.take(s.kernel);
    convolution.threads = arena.take(s.work);
    convolution.products = sensitive_products(a.products);
  }
};

// Both images as an array (2N, H, W, lanes).
inline void gather_images(const Pyramid& a, const PyramidSizes& s, float* to) {
  const long P = a.height * a.width;
#pragma omp parallel for schedule(static)
  for (long line = 0; line < s.image.batch * a.height; ++line) {
    const long n = line / a.height, y = line % a.height;
    const float* from = a.image[n / a.batch] + n % a.batch * a.channels * P + y * a.width;
    float* row = to + line * a.width * s.lanes;
    for (long c = 0; c < s.lanes; c += kImageLanes) {
      const float* channel[kImageLanes];
      for (long i = 0; i < kImageLanes; ++i) channel[i] = c + i < a.channels ? from + (c + i) * P : nullptr;
      long x = 0;
      for (; x + 4 <= a.width; x += 4) {
        __m128 four[kImageLanes];
        for (long i = 0; i < kImageLanes; ++i)
          four[i] = channel[i] ? _mm_loadu_ps(channel[i] + x) : _mm_setzero_ps();
        _MM_TRANSPOSE4_PS(four[0], four[1], four[2], four[3]);
        for (long i = 0; i < 4; ++i) _mm_storeu_ps(row + (x + i) * s.lanes + c, four[i]);
      }
      for (; x < a.width; ++x)
        for (long i = 0; i < kImageLanes; ++i) row[x * s.lanes + c + i] = channel[i] ? channel[i][x] : 0;
    }
  }
}

// Writes the images' gradients, given that array.
inline void scatter_images(const Pyramid& a, const PyramidSizes& s, const float* from) {
  const long P = a.height * a.width;
#pragma omp parallel for schedule(static)
  for (long line = 0; line < s.image.batch * a.height; ++line) {
    const long n = line / a.height, y = line % a.height;
    float* to = a.image_gradient[n / a.batch] + n % a.batch * a.channels * P + y * a.width;
    const float* row = from + line * a.width * s.lanes;
    for (long c = 0; c < a.channels; ++c)
      for (long x = 0; x < a.width; ++x) to[c * P + x] = row[x * s.lanes + c];
  }
}

// The input of layer i as the strided convolutions see it, given the output of the layer before.
inline Gridded pyramid_input(const PyramidSizes& s, const PyramidWork& work, int i,
                             const float* before) {
  if (i == 0) return {s.image, work.images, s.inputs[0], s.lanes};
  return {s.extent[i - 1], before, s.inputs[i], kLane};
}

template <class V>
void pyramid_forward(const Pyramid& a) {
  const PyramidSizes s(a);
  Arena arena{a.workspace};
  PyramidWork work(a, s, arena);
  float* turns[2] = {nullptr, nullptr};  // where nothing is kept
  if (!a.activations)
    for (float*& turn : turns) turn = arena.take(s.largest);
  gather_images(a, s, work.images);
  float *before = nullptr, *next = a.activations;
  for (int i = 0; i < kPyramidLayers; ++i) {
    float* out = a.activations ? next : turns[i % 2];
    const Extent& e = s.extent[i];
    const Layer& layer = a.layer[i];
    const Result result{layer.bias, a.slope, 0, false};
    const Taps3x3 kernel = Taps3x3::forward(layer.weight, layer.outputs, s.inputs[i]);
    if (PyramidSizes::is_strided(i)) {
      gathered_convolve<V>(pyramid_input(s, work, i, before), Reach::forward(), kernel, result, e,
                           kLane, out, work.convolution.kernel, work.convolution.threads);
    } else {
      convolve<V>(e, Pieces(e, 1, work.convolution.pieces), before, kernel, result, out,
                  work.convolution);
    }
    for (int image = 0; PyramidSizes::is_feature(i) && image < kPyramidImages; ++image)
      from_blocks(e, {image * a.batch, a.batch}, out, 0, layer.outputs,
                  a.features[image][PyramidSizes::level(i)]);
    before = out;
    next += s.floats[i];
  }
}

struct PyramidBackwardWork {
  PyramidWork shared;
  float* gradient[2];

  PyramidBackwardWork(const Pyramid& a, const PyramidSizes& s, Arena& arena) : shared(a, s, arena) {
    for (float*& one : gradient) one = arena.take(s.largest);
    shared.convolution.products = backward_products(sensitive_products(a.products));
    shared.convolution.gradients = arena.take(s.gradients);
  }
};

template <class V>
void pyramid_backward(const Pyramid& a) {
  const PyramidSizes s(a);
  Arena arena{a.workspace};
  PyramidBackwardWork work(a, s, arena);
  const ConvolutionWork& shared = work.shared.convolution;
  gather_images(a, s, work.shared.images);
  const float* out = a.activations + s.kept;
  for (int i = kPyramidLayers - 1; i >= 0; --i) {
    const Layer& layer = a.layer[i];
    const Extent& e = s.extent[i];
    out -= s.floats[i];
    const float* before = i ? out - s.floats[i - 1] : nullptr;
    float *gradient = work.gradient[i % 2], *back = work.gradient[(i + 1) % 2];
    for (int image = 0; PyramidSizes::is_feature(i) && image < kPyramidImages; ++image)
      into_blocks(e, {image * a.batch, a.batch},
                  a.features_gradient[image][PyramidSizes::level(i)], layer.outputs,
                  i < kPyramidLayers - 1, gradient);
    activation_gradient<V>(e, gradient, out, layer.outputs, 0, a.slope, layer.bias_gradient);
    const Gridded given{e, gradient, layer.outputs, kLane};
    if (PyramidSizes::is_strided(i)) {
      strided_weight_gradient<V>(pyramid_input(s, work.shared, i, before), given,
                                 layer.weight_gradient, shared.threads);
      if (i)
        strided_input_gradient<V>(given, layer.weight, s.inputs[i], s.extent[i - 1], kLane, back,
                                  shared.kernel, shared.threads);
    } else {
      const Pieces pieces(e, 1, shared.pieces);
      convolution_weight_gradient<V>(e, pieces, before, s.inputs[i], gradient, layer.outputs,
                                     layer.weight_gradient, shared);
      convolve<V>(e, pieces, gradient, Taps3x3::backward(layer.weight, layer.outputs, s.inputs[i]),
                  kAsItIs, back, shared);
    }
  }
  // The images are not needed any more: their gradients take their place.
  const Gridded first{s.extent[0], work.gradient[0], a.layer[0].outputs, kLane};
  strided_input_gradient<V>(first, a.layer[0].weight, a.channels, s.image, s.lanes,
                            work.shared.images, shared.kernel, shared.threads);
  scatter_images(a, s, work.shared.images);
}

inline std::size_t pyramid_activations(const Pyramid& a) { return PyramidSizes(a).kept; }

inline std::size_t pyramid_workspace(const Pyramid& a, bool backward) {
  const PyramidSizes s(a);
  Arena arena{nullptr};
  if (backward) {
    PyramidBackwardWork(a, s, arena);
  } else {
    PyramidWork(a, s, arena);
    if (!a.activations) arena.take(2 * s.largest);
  }
  return arena.used;
}

}  // namespace
