// The cost volume. A row of features1 is multiplied with the rows of features2 that surround it:
// for one dy, the 2m + 1 values of dx are as many accumulators, all fed by unaligned loads from one
// row. The rows of features2 are copied with a frame of m zeros, so that nothing is tested inside.

#pragma once

#include <cstring>

#include "kernels.h"
#include "vector.h"

namespace {

using maskflownet::CostVolume;

// (C, H + 2m, row) with the image at (m, m); a row has room for a vector that starts on the last
// pixel of the image and is shifted by 2m.
template <class V>
struct Framed {
  long margin, height, row;

  Framed(const CostVolume& a)
      : margin(a.max_displacement),
        height(a.height + 2 * margin),
        row(round_up(a.width, V::width) + 2 * margin) {}

  long size(long channels) const { return channels * height * row; }
  const float* at(const float* frame, long channel, long y, long x) const {
    return frame + (channel * height + y) * row + x;
  }

  // Copies rows of `width` floats that are multiplied by `factor`, or by slope * factor where
  // `activated` is not positive.
  void fill(float* frame, const float* image, long channels, long h, long width,
            const float* activated, float factor, float slope) const {
#pragma omp for schedule(static)
    for (long line = 0; line < channels * height; ++line) {
      float* to = frame + line * row;
      std::memset(to, 0, row * sizeof(float));
      const long channel = line / height, y = line % height - margin;
      if (y < 0 || y >= h) continue;
      const long from = (channel * h + y) * width;
      for (long x = 0; x < width; x += V::width) {
        const int count = static_cast<int>(least(V::width, width - x));
        V value = V::load_first(image + from + x, count);
        if (activated) {
          const V sign = V::load_first(activated + from + x, count);
          value = where_positive(sign, value * V::all(factor), value * V::all(factor * slope));
        }
        value.store_first(to + margin + x, count);
      }
    }
  }

  void copy(float* frame, const float* image, long channels, long h, long width) const {
    fill(frame, image, channels, h, width, nullptr, 1, 1);
  }
};

template <class V, int M>
void cost_volume_forward(const CostVolume& a, float* frame2) {
  constexpr int D = 2 * M + 1;
  const long H = a.height, W = a.width, C = a.channels;
  const Framed<V> framed(a);
#pragma omp parallel
  for (long n = 0; n < a.batch; ++n) {
    const float* features1 = a.features1 + n * C * H * W;
    float* volume = a.volume + n * D * D * H * W;
    framed.copy(frame2, a.features2 + n * C * H * W, C, H, W);
#pragma omp for schedule(static)
    for (long y = 0; y < H; ++y) {
      for (long x = 0; x < W; x += V::width) {
        const int count = static_cast<int>(least(V::width, W - x));
        for (int dy = 0; dy < D; ++dy) {
          V sum[D];
          for (V& s : sum) s = V::zero();
          for (long c = 0; c < C; ++c) {
            const V one = V::load_first(features1 + (c * H + y) * W + x, count);
            const float* two = framed.at(frame2, c, y + dy, x);
            for (int dx = 0; dx < D; ++dx) sum[dx] = fma(one, V::load(two + dx), sum[dx]);
          }
          for (int dx = 0; dx < D; ++dx) {
            const V mean = sum[dx] * V::all(1.0f / C);
            leaky(mean, a.slope).store_first(volume + ((dy * D + dx) * H + y) * W + x, count);
          }
        }
      }
    }
  }
}

// With g = the volume's gradient before the activation, divided by C:
//   features1_gradient[c, y, x] = sum over d of g[d, y, x] * features2[c, y + dy, x + dx]
//   features2_gradient[c, y, x] = sum over d of g[d, y - dy, x - dx] * features1[c, y - dy, x - dx]
template <class V, int M>
void cost_volume_backward(const CostVolume& a, float* workspace) {
  constexpr int D = 2 * M + 1;
  const long H = a.height, W = a.width, C = a.channels;
  const Framed<V> framed(a);
  float* frame1 = workspace;
  float* frame2 = frame1 + framed.size(C);
  float* frame_g = frame2 + framed.size(C);
#pragma omp parallel
  for (long n = 0; n < a.batch; ++n) {
    const long image = n * C * H * W, volume = n * D * D * H * W;
    float* gradient1 = a.features1_gradient + image;
    float* gradient2 = a.features2_gradient + image;
    framed.copy(frame1, a.features1 + image, C, H, W);
    framed.copy(frame2, a.features2 + image, C, H, W);
    framed.fill(frame_g, a.volume_gradient + volume, D * D, H, W, a.volume + volume, 1.0f / C,
                a.slope);
#pragma omp for schedule(static)
    for (long y = 0; y < H; ++y) {
      for (long x = 0; x < W; x += V::width) {
        const int count = static_cast<int>(least(V::width, W - x));
        for (int dy = 0; dy < D; ++dy) {
          V g[D];
          for (int dx = 0; dx < D; ++dx)
            g[dx] = V::load(framed.at(frame_g, dy * D + dx, y + M, x + M));
          for (long c = 0; c < C; ++c) {
            float* to = gradient1 + (c * H + y) * W + x;
            V sum = dy ? V::load_first(to, count) : V::zero();
            const float* two = framed.at(frame2, c, y + dy, x);
            for (int dx = 0; dx < D; ++dx) sum = fma(g[dx], V::load(two + dx), sum);
            sum.store_first(to, count);
          }
          for (int dx = 0; dx < D; ++dx)
            g[dx] = V::load(framed.at(frame_g, dy * D + dx, y + 2 * M - dy, x + 2 * M - dx));
          for (long c = 0; c < C; ++c) {
            float* to = gradient2 + (c * H + y) * W + x;
            V sum = dy ? V::load_first(to, count) : V::zero();
            const float* one = framed.at(frame1, c, y + 2 * M - dy, x + 2 * M);
            for (int dx = 0; dx < D; ++dx) sum = fma(g[dx], V::load(one - dx), sum);
            sum.store_first(to, count);
          }
        }
      }
    }
  }
}

template <class V>
std::size_t cost_volume_workspace(const CostVolume& a, bool backward) {
  const Framed<V> framed(a);
  const long shifts = (2 * a.max_displacement + 1) * (2 * a.max_displacement + 1);
  return backward ? framed.size(2 * a.channels + shifts) : framed.size(a.channels);
}

}  // namespace
