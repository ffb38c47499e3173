// Between MXNet's arrays (N, C, H, W) and the kernels' own (N, H, W, channels).

#pragma once

#include "vector.h"
#include "winograd.h"

namespace {

constexpr long kPixelsTogether = 64;  // as many rows of a transposition stay in the first cache

// to[p * stride + c] = from[n, c, p]; channels up to `padded` become zero.
inline void to_channels_last(const Extent& e, const float* from, long channels, long padded,
                             float* to, long stride) {
  const long P = e.height * e.width;
#pragma omp parallel for schedule(static)
  for (long start = 0; start < e.pixels(); start += kPixelsTogether) {
    for (long pixel = start; pixel < least(start + kPixelsTogether, e.pixels()); ++pixel) {
      const float* source = from + pixel / P * channels * P + pixel % P;
      float* own = to + pixel * stride;
      for (long c = 0; c < channels; ++c) own[c] = source[c * P];
      for (long c = channels; c < padded; ++c) own[c] = 0;
    }
  }
}

inline void to_channels_first(const Extent& e, const float* from, long stride, long channels,
                              float* to) {
  const long P = e.height * e.width;
#pragma omp parallel for schedule(static)
  for (long start = 0; start < e.pixels(); start += kPixelsTogether) {
    for (long c = 0; c < channels; ++c)
      for (long pixel = start; pixel < least(start + kPixelsTogether, e.pixels()); ++pixel)
        to[(pixel / P * channels + c) * P + pixel % P] = from[pixel * stride + c];
  }
}

// Channel (2a + b) * C + c of a pixel becomes pixel (2y + a, 2x + b) of channel c, activated:
// (N, H, W, 4C) -> (N, C, 2H, 2W).
inline void depth_to_space(const Extent& e, const float* from, long stride, long channels,
                           float slope, float* to) {
#pragma omp parallel for schedule(static)
  for (long line = 0; line < e.batch * e.height; ++line) {
    const long n = line / e.height, y = line % e.height;
    for (long c = 0; c < channels; ++c)
      for (long a = 0; a < 2; ++a) {
        float* row = to + ((n * channels + c) * 2 * e.height + 2 * y + a) * 2 * e.width;
        for (long x = 0; x < e.width; ++x)
          for (long b = 0; b < 2; ++b) {
            const float value = from[(line * e.width + x) * stride + (2 * a + b) * channels + c];
            row[2 * x + b] = value > 0 ? value : slope * value;
          }
      }
  }
}

// The gradient's way back; `activated` is what depth_to_space made.
inline void space_to_depth(const Extent& e, const float* gradient, const float* activated,
                           long channels, float slope, float* to, long stride) {
#pragma omp parallel for schedule(static)
  for (long line = 0; line < e.batch * e.height; ++line) {
    const long n = line / e.height, y = line % e.height;
    for (long c = 0; c < channels; ++c)
      for (long a = 0; a < 2; ++a) {
        const long row = ((n * channels + c) * 2 * e.height + 2 * y + a) * 2 * e.width;
        for (long x = 0; x < e.width; ++x)
          for (long b = 0; b < 2; ++b) {
            const long i = row + 2 * x + b;
            to[(line * e.width + x) * stride + (2 * a + b) * channels + c] =
                gradient[i] * (activated[i] > 0 ? 1 : slope);
          }
      }
  }
}

// gradient *= the activation's derivative (not if `activated` is null); sums[c] = its sum over all
// pixels, for the first `channels`.
template <class V>
void activation_gradient(const Extent& e, float* gradient, long stride, const float* activated,
                         long activated_stride, long channels, float slope, float* sums) {
#pragma omp parallel for schedule(static)
  for (long c = 0; c < channels; c += V::width) {
    V sum = V::zero();
    for (long p = 0; p < e.pixels(); ++p) {
      V g = V::load(gradient + p * stride + c);
      if (activated) {
        const V sign = V::load(activated + p * activated_stride + c);
        g = where_positive(sign, g, g * V::all(slope));
        g.store(gradient + p * stride + c);
      }
      sum = sum + g;
    }
    sum.store_first(sums + c, static_cast<int>(least(V::width, channels - c)));
  }
}

}  // namespace
