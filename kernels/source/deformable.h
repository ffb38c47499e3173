// The tied deformable convolution (see TiedWarp): pixels whose nine taps all lie well inside of
// the image ("inner") take one bilinear sample of the response. The others ("outer", most often a
// thin border) sample each tap by itself, V::width pixels side by side; those none of whose taps
// touches the image stay zero.

#pragma once

#include <omp.h>

#include <cstring>

#include "kernels.h"
#include "vector.h"

namespace {

using maskflownet::TiedWarp;

constexpr int kTaps = 9;
constexpr int kCorners = 4;  // of a bilinear sample: (y0, x0), (y0, x1), (y1, x0), (y1, x1)
constexpr long kOuterPerChunk = 256;  // pixels whose columns are held at a time (backward)

// Where each pixel takes its sample of the response: pixel index[p] and its right, lower and lower
// right neighbours, with the fractions dy and dx. For outer pixels index is 0 and `inner` is 0.
struct Plan {
  int* index;
  float *dy, *dx, *inner;  // inner is 1 or 0
  int* outer;              // the pixels that have a tap in the image but are not inner
  long outers;
};

inline long plan_size(long pixels) { return 5 * pixels; }

inline Plan make_plan(const TiedWarp& a, const float* flow, float* workspace) {
  const long H = a.height, W = a.width, P = H * W;
  Plan plan;
  plan.dy = workspace;
  plan.dx = plan.dy + P;
  plan.inner = plan.dx + P;
  plan.index = reinterpret_cast<int*>(plan.inner + P);
  plan.outer = plan.index + P;
  plan.outers = 0;
  for (long p = 0; p < P; ++p) {
    const float y = p / W + flow[p], x = p % W + flow[P + p];
    // Written so that NaN is neither. y and x are rounded: at 1 a tap may lie just outside of the
    // image, at H + 1 one just inside, and only `make_taps` knows.
    const bool inner = y > 1 && x > 1 && y < H - 2 && x < W - 2;
    const bool touches = y >= -1 && x >= -1 && y <= H + 1 && x <= W + 1;
    const int y0 = inner ? static_cast<int>(y) : 0, x0 = inner ? static_cast<int>(x) : 0;
    plan.index[p] = static_cast<int>(y0 * W + x0);
    plan.dy[p] = inner ? y - y0 : 0;
    plan.dx[p] = inner ? x - x0 : 0;
    plan.inner[p] = inner;
    if (touches && !inner) plan.outer[plan.outers++] = static_cast<int>(p);
  }
  return plan;
}

inline bool has_inner(const TiedWarp& a) { return a.height > 3 && a.width > 3; }

// The corners and their weights of each tap of V::width outer pixels. Taps that are outside of the
// image, and lanes past the last pixel, have weight 0 (and `inside` 0) and index 0.
template <class V>
struct Taps {
  int corner[kTaps][kCorners][V::width];
  float weight[kTaps][kCorners][V::width];
  float dy[kTaps][V::width], dx[kTaps][V::width], inside[kTaps][V::width];
};

template <class V>
void make_taps(const TiedWarp& a, const float* flow, const int* pixels, int count, Taps<V>& taps) {
  const long H = a.height, W = a.width, P = H * W;
  std::memset(&taps, 0, sizeof(taps));
  for (int lane = 0; lane < count; ++lane) {
    const long p = pixels[lane];
    for (int tap = 0; tap < kTaps; ++tap) {
      // In MXNet's order of summation, so that the test for "inside" falls the same way.
      float y = p / W - 1 + tap / 3 + flow[p], x = p % W - 1 + tap % 3 + flow[P + p];
      if (!(y >= 0 && x >= 0 && y < H && x < W)) continue;
      const long y0 = static_cast<long>(y), x0 = static_cast<long>(x);
      const long y1 = least(y0 + 1, H - 1), x1 = least(x0 + 1, W - 1);
      const float dy = y1 > y0 ? y - y0 : 0, dx = x1 > x0 ? x - x0 : 0;
      const long at[kCorners] = {y0 * W + x0, y0 * W + x1, y1 * W + x0, y1 * W + x1};
      const float weight[kCorners] = {(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx};
      for (int k = 0; k < kCorners; ++k) {
        taps.corner[tap][k][lane] = static_cast<int>(at[k]);
        taps.weight[tap][k][lane] = weight[k];
      }
      taps.dy[tap][lane] = dy;
      taps.dx[tap][lane] = dx;
      taps.inside[tap][lane] = 1;
    }
  }
}

// column[c * 9 + tap][lane]: the samples that the weights (O, C * 9) are multiplied with.
template <class V>
void sample_taps(const TiedWarp& a, const float* features, const Taps<V>& taps, float* column) {
  for (long c = 0; c < a.channels; ++c) {
    const float* channel = features + c * a.height * a.width;
    for (int tap = 0; tap < kTaps; ++tap) {
      V sample = V::zero();
      for (int k = 0; k < kCorners; ++k)
        sample = fma(V::load(taps.weight[tap][k]), V::gather(channel, taps.corner[tap][k]), sample);
      // Chosen, not multiplied: the pixel that stands in for none may be no number.
      where_positive(V::load(taps.inside[tap]), sample, V::zero())
          .store(column + (c * kTaps + tap) * V::width);
    }
  }
}

template <class V>
void warp_inner(const TiedWarp& a, const Plan& plan, const float* response, float* result) {
  const long W = a.width, P = a.height * W;
#pragma omp for schedule(static)
  for (long o = 0; o < a.outputs; ++o) {
    const float* from = response + o * P;
    for (long p = 0; p < P; p += V::width) {
      const int count = static_cast<int>(least(V::width, P - p));
      int index[V::width] = {0};
      std::memcpy(index, plan.index + p, count * sizeof(int));
      const V dy = V::load_first(plan.dy + p, count), dx = V::load_first(plan.dx + p, count);
      const V v00 = V::gather(from, index), v01 = V::gather(from + 1, index);
      const V v10 = V::gather(from + W, index), v11 = V::gather(from + W + 1, index);
      const V upper = fma(dx, v01 - v00, v00), lower = fma(dx, v11 - v10, v10);
      const V inner = V::load_first(plan.inner + p, count);
      where_positive(inner, fma(dy, lower - upper, upper), V::zero())
          .store_first(result + o * P + p, count);
    }
  }
}

template <class V>
void convolve_outer(const TiedWarp& a, const Plan& plan, const float* features, const float* flow,
                    float* result, float* workspace) {
  constexpr int kTogether = 8;  // outputs that share a load of the column
  const long P = a.height * a.width, K = a.channels * kTaps;
  float* column = workspace + omp_get_thread_num() * K * V::width;
#pragma omp for schedule(dynamic)
  for (long first = 0; first < plan.outers; first += V::width) {
    const int count = static_cast<int>(least(V::width, plan.outers - first));
    const int* pixels = plan.outer + first;
    Taps<V> taps;
    make_taps(a, flow, pixels, count, taps);
    sample_taps(a, features, taps, column);
    for (long o = 0; o < a.outputs; o += kTogether) {
      const int outputs = static_cast<int>(least(kTogether, a.outputs - o));
      V sum[kTogether];
      for (V& s : sum) s = V::zero();
      for (long k = 0; k < K; ++k) {
        const V sample = V::load(column + k * V::width);
        for (int i = 0; i < kTogether; ++i) {
          const long row = o + (i < outputs ? i : 0);
          sum[i] = fma(V::all(a.weight[row * K + k]), sample, sum[i]);
        }
      }
      for (int i = 0; i < outputs; ++i) {
        float lanes[V::width];
        sum[i].store(lanes);
        for (int lane = 0; lane < count; ++lane) result[(o + i) * P + pixels[lane]] = lanes[lane];
      }
    }
  }
}

template <class V>
void tied_warp_forward(const TiedWarp& a, float* workspace) {
  const long P = a.height * a.width;
  for (long n = 0; n < a.batch; ++n) {
    const float* flow = a.flow + n * 2 * P;
    float* result = a.result + n * a.outputs * P;
    const Plan plan = make_plan(a, flow, workspace);
#pragma omp parallel
    {
      if (has_inner(a)) {
        warp_inner<V>(a, plan, a.response + n * a.outputs * P, result);
      } else {
#pragma omp single
        std::memset(result, 0, a.outputs * P * sizeof(float));
      }
      convolve_outer<V>(a, plan, a.features + n * a.channels * P, flow, result,
                        workspace + plan_size(P));
    }
  }
}

// d result / d flow of the inner pixels, through the response's bilinear sample.
template <class V>
void inner_flow_gradient(const TiedWarp& a, const Plan& plan, const float* response,
                         const float* gradient, float* flow_gradient) {
  const long W = a.width, P = a.height * W;
#pragma omp for schedule(static)
  for (long p = 0; p < P; p += V::width) {
    const int count = static_cast<int>(least(V::width, P - p));
    int index[V::width] = {0};
    std::memcpy(index, plan.index + p, count * sizeof(int));
    const V dy = V::load_first(plan.dy + p, count), dx = V::load_first(plan.dx + p, count);
    V sum_y = V::zero(), sum_x = V::zero();
    for (long o = 0; o < a.outputs; ++o) {
      const float* from = response + o * P;
      const V g = V::load_first(gradient + o * P + p, count);
      const V v00 = V::gather(from, index), v01 = V::gather(from + 1, index);
      const V v10 = V::gather(from + W, index), v11 = V::gather(from + W + 1, index);
      const V left = v10 - v00, right = v11 - v01, upper = v01 - v00, lower = v11 - v10;
      sum_y = fma(g, fma(dx, right - left, left), sum_y);
      sum_x = fma(g, fma(dy, lower - upper, upper), sum_x);
    }
    const V inner = V::load_first(plan.inner + p, count);
    where_positive(inner, sum_y, V::zero()).store_first(flow_gradient + p, count);
    where_positive(inner, sum_x, V::zero()).store_first(flow_gradient + P + p, count);
  }
}

inline void inner_response_gradient(const TiedWarp& a, const Plan& plan, const float* gradient,
                                    float* response_gradient) {
  const long W = a.width, P = a.height * W;
#pragma omp for schedule(static)
  for (long o = 0; o < a.outputs; ++o) {
    float* to = response_gradient + o * P;
    for (long p = 0; p < P; ++p) {
      if (plan.inner[p] == 0) continue;
      float* at = to + plan.index[p];
      const float g = gradient[o * P + p], dy = plan.dy[p], dx = plan.dx[p];
      at[0] += g * (1 - dy) * (1 - dx);
      at[1] += g * (1 - dy) * dx;
      at[W] += g * dy * (1 - dx);
      at[W + 1] += g * dy * dx;
    }
  }
}

// The outer pixels of a chunk: their taps, columns and what flows back into the columns.
template <class V>
struct Chunk {
  static constexpr long blocks = kOuterPerChunk / V::width;
  Taps<V>* taps;           // (blocks)
  float* columns;          // (pixels, C * 9)
  float* column_gradient;  // (blocks, C * 9, V::width)
  float* output_gradient;  // (O, pixels)

  static long size(const TiedWarp& a) {
    const long taps_size = sizeof(Taps<V>) / sizeof(float) * blocks;
    return taps_size + kOuterPerChunk * (2 * a.channels * kTaps + a.outputs);
  }

  Chunk(const TiedWarp& a, float* workspace) {
    taps = reinterpret_cast<Taps<V>*>(workspace);
    columns = reinterpret_cast<float*>(taps + blocks);
    column_gradient = columns + kOuterPerChunk * a.channels * kTaps;
    output_gradient = column_gradient + kOuterPerChunk * a.channels * kTaps;
  }
};

template <class V>
void outer_block_backward(const TiedWarp& a, const int* pixels, int count, long first,
                          const float* features, const float* flow, const float* gradient,
                          float* flow_gradient, Chunk<V>& chunk) {
  const long P = a.height * a.width, K = a.channels * kTaps;
  Taps<V>& taps = chunk.taps[first / V::width];
  float* back = chunk.column_gradient + first * K;
  make_taps(a, flow, pixels, count, taps);
  sample_taps(a, features, taps, back);
  for (long k = 0; k < K; ++k)
    for (int lane = 0; lane < V::width; ++lane)
      chunk.columns[(first + lane) * K + k] = back[k * V::width + lane];
  for (long o = 0; o < a.outputs; ++o)
    for (int lane = 0; lane < V::width; ++lane)
      chunk.output_gradient[o * kOuterPerChunk + first + lane] =
          lane < count ? gradient[o * P + pixels[lane]] : 0;
  V sum_y = V::zero(), sum_x = V::zero();
  for (long c = 0; c < a.channels; ++c) {
    const float* channel = features + c * P;
    V sum[kTaps];
    for (V& s : sum) s = V::zero();
    for (long o = 0; o < a.outputs; ++o) {
      const V g = V::load(chunk.output_gradient + o * kOuterPerChunk + first);
      const float* weight = a.weight + o * K + c * kTaps;
      for (int tap = 0; tap < kTaps; ++tap) sum[tap] = fma(V::all(weight[tap]), g, sum[tap]);
    }
    for (int tap = 0; tap < kTaps; ++tap) {
      sum[tap].store(back + (c * kTaps + tap) * V::width);
      const V v00 = V::gather(channel, taps.corner[tap][0]);
      const V v01 = V::gather(channel, taps.corner[tap][1]);
      const V v10 = V::gather(channel, taps.corner[tap][2]);
      const V v11 = V::gather(channel, taps.corner[tap][3]);
      const V dy = V::load(taps.dy[tap]), dx = V::load(taps.dx[tap]);
      const V left = v10 - v00, right = v11 - v01, upper = v01 - v00, lower = v11 - v10;
      const V g = sum[tap], inside = V::load(taps.inside[tap]);
      sum_y = where_positive(inside, fma(g, fma(dx, right - left, left), sum_y), sum_y);
      sum_x = where_positive(inside, fma(g, fma(dy, lower - upper, upper), sum_x), sum_x);
    }
  }
  float y[V::width], x[V::width];
  sum_y.store(y);
  sum_x.store(x);
  for (int lane = 0; lane < count; ++lane) {
    flow_gradient[pixels[lane]] = y[lane];
    flow_gradient[P + pixels[lane]] = x[lane];
  }
}

// weight_gradient[o, k] += sum over the chunk's pixels of output_gradient[o] * column[k].
template <class V>
void outer_weight_gradient(const TiedWarp& a, const Chunk<V>& chunk, long pixels) {
  const long K = a.channels * kTaps;
#pragma omp for schedule(static)
  for (long o = 0; o < a.outputs; ++o) {
    const float* g = chunk.output_gradient + o * kOuterPerChunk;
    for (long k = 0; k < K; k += V::width) {
      const int count = static_cast<int>(least(V::width, K - k));
      V sum = V::load_first(a.weight_gradient + o * K + k, count);
      for (long p = 0; p < pixels; ++p)
        sum = fma(V::all(g[p]), V::load_first(chunk.columns + p * K + k, count), sum);
      sum.store_first(a.weight_gradient + o * K + k, count);
    }
  }
}

template <class V>
void outer_features_gradient(const TiedWarp& a, const Chunk<V>& chunk, long pixels,
                             float* features_gradient) {
#pragma omp for schedule(static)
  for (long c = 0; c < a.channels; ++c) {
    float* to = features_gradient + c * a.height * a.width;
    for (long p = 0; p < pixels; ++p) {
      const Taps<V>& taps = chunk.taps[p / V::width];
      const int lane = static_cast<int>(p % V::width);
      const float* back = chunk.column_gradient + p / V::width * V::width * a.channels * kTaps;
      for (int tap = 0; tap < kTaps; ++tap) {
        const float g = back[(c * kTaps + tap) * V::width + lane];
        for (int k = 0; k < kCorners; ++k)
          to[taps.corner[tap][k][lane]] += taps.weight[tap][k][lane] * g;
      }
    }
  }
}

template <class V>
void tied_warp_backward(const TiedWarp& a, float* workspace) {
  const long P = a.height * a.width, N = a.batch;
  std::memset(a.response_gradient, 0, N * a.outputs * P * sizeof(float));
  std::memset(a.features_gradient, 0, N * a.channels * P * sizeof(float));
  std::memset(a.flow_gradient, 0, N * 2 * P * sizeof(float));
  std::memset(a.weight_gradient, 0, a.outputs * a.channels * kTaps * sizeof(float));
  Chunk<V> chunk(a, workspace + plan_size(P));
  for (long n = 0; n < N; ++n) {
    const float* features = a.features + n * a.channels * P;
    const float* flow = a.flow + n * 2 * P;
    const float* gradient = a.result_gradient + n * a.outputs * P;
    float* flow_gradient = a.flow_gradient + n * 2 * P;
    const Plan plan = make_plan(a, flow, workspace);
#pragma omp parallel
    {
      if (has_inner(a)) {
        inner_flow_gradient<V>(a, plan, a.response + n * a.outputs * P, gradient, flow_gradient);
        inner_response_gradient(a, plan, gradient, a.response_gradient + n * a.outputs * P);
      }
      for (long start = 0; start < plan.outers; start += kOuterPerChunk) {
        const long pixels = least(kOuterPerChunk, plan.outers - start);
#pragma omp for schedule(dynamic)
        for (long first = 0; first < pixels; first += V::width) {
          const int count = static_cast<int>(least(V::width, pixels - first));
          outer_block_backward<V>(a, plan.outer + start + first, count, first, features, flow,
                                  gradient, flow_gradient, chunk);
        }
        outer_weight_gradient<V>(a, chunk, pixels);
        outer_features_gradient<V>(a, chunk, pixels, a.features_gradient + n * a.channels * P);
      }
    }
  }
}

template <class V>
std::size_t tied_warp_workspace(const TiedWarp& a, bool backward) {
  const long own = backward ? Chunk<V>::size(a)
                            : omp_get_max_threads() * a.channels * kTaps * V::width;
  return plan_size(a.height * a.width) + own;
}

}  // namespace
