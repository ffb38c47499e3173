// The tied deformable convolution (see TiedDeform): pixels whose nine taps all lie well inside of
// the image ("inner") take one bilinear sample of the response, which is the plain convolution. The
// others ("outer", most often a thin border) sample each tap by itself, V::width pixels side by side;
// those none of whose taps touches the image are zero, plus the bias.
//
// The response is in blocks of channels (arrays.h), so that a pixel's channels are read together.

#pragma once

#include <omp.h>

#include <cstring>
#include <vector>

#include "arrays.h"
#include "convolution.h"
#include "kernels.h"
#include "layout.h"
#include "vector.h"

namespace {

using maskflownet::TiedDeform;

constexpr int kTaps = 9;
constexpr int kCorners = 4;  // of a bilinear sample: (y0, x0), (y0, x1), (y1, x0), (y1, x1)
constexpr long kOuterPerChunk = 256;  // pixels whose columns are held at a time (backward)

// Where each pixel takes its sample of the response: pixel index[p] and its right, lower and lower
// right neighbours, with the fractions dy and dx. Of outer pixels none of these is used.
struct Plan {
  int* index;
  float *dy, *dx, *inner;  // inner is 1 or 0
  int* outer;              // the pixels that have a tap in the image but are not inner
  long outers;
};

inline long plan_size(long pixels) { return 5 * pixels; }

inline Plan make_plan(const TiedDeform& a, const float* flow, float* workspace) {
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

// Of each image.
inline std::vector<Plan> make_plans(const TiedDeform& a, float* workspace) {
  const long P = a.height * a.width;
  std::vector<Plan> plans(a.batch);
#pragma omp parallel for schedule(static)
  for (long n = 0; n < a.batch; ++n)
    plans[n] = make_plan(a, a.flow + n * 2 * P, workspace + n * plan_size(P));
  return plans;
}

// The corners and their weights of each tap of V::width outer pixels. Taps that are outside of the
// image, and lanes past the last pixel, have weight 0 (and `inside` 0) and index 0.
template <class V>
struct Taps {
  int corner[kTaps][kCorners][V::width];
  float weight[kTaps][kCorners][V::width];
  float dy[kTaps][V::width], dx[kTaps][V::width], inside[kTaps][V::width];
};

template <class V>
void make_taps(const TiedDeform& a, const float* flow, const int* pixels, int count, Taps<V>& taps) {
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
void sample_taps(const TiedDeform& a, const float* features, const Taps<V>& taps, float* column) {
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

// A bilinear sample: weights (1 - dy) (1 - dx) and so on of four neighbours in `from`, of which one
// row is `down` floats long.
template <class V>
inline V sample_inner(const float* from, long down, V dy, V dx) {
  const V v00 = V::load(from), v01 = V::load(from + kLane);
  const V v10 = V::load(from + down), v11 = V::load(from + down + kLane);
  const V upper = fma(dx, v01 - v00, v00), lower = fma(dx, v11 - v10, v10);
  return fma(dy, lower - upper, upper);
}

// Writes V::width pixels of a row, `kLane` channels each, to rows of single channels.
template <class V>
inline void write_channels(const float* pixels, int count, const float* bias, long channels,
                           float* to, long plane) {
  constexpr long kTogether = 8;
  int rows[V::width];
  for (int i = 0; i < V::width; ++i) rows[i] = i * static_cast<int>(kLane);
  for (long first = 0; first < channels; first += kTogether) {
    V own[kTogether];
    V::load_columns(pixels + first, rows, own);
    for (long i = 0; i < least(kTogether, channels - first); ++i) {
      const V value = bias ? own[i] + V::all(bias[first + i]) : own[i];
      value.store_first(to + (first + i) * plane, count);
    }
  }
}

// The inner pixels, and zeros for the others; with the bias.
template <class V>
void warp_inner(const TiedDeform& a, const Extent& e, const Plan& plan, const float* response,
                float* result) {
  const long W = a.width, P = a.height * W, down = W * kLane;
#pragma omp for schedule(static)
  for (long y = 0; y < a.height; ++y)
    for (long x = 0; x < W; x += V::width) {
      const int count = static_cast<int>(least(V::width, W - x));
      const long first = y * W + x;
      for (long o = 0; o < a.outputs; o += kLane) {
        const float* block = response + e.channel(o);
        float pixels[V::width * kLane];
        for (int i = 0; i < count; ++i)
          for (long c = 0; c < kLane; c += V::width) {
            const long p = first + i;
            const V value = plan.inner[p] == 0
                                ? V::zero()
                                : sample_inner(block + plan.index[p] * kLane + c, down,
                                               V::all(plan.dy[p]), V::all(plan.dx[p]));
            value.store(pixels + i * kLane + c);
          }
        for (long i = count * kLane; i < V::width * kLane; ++i) pixels[i] = 0;
        write_channels<V>(pixels, count, a.bias ? a.bias + o : nullptr,
                          least(kLane, a.outputs - o), result + o * P + first, P);
      }
    }
}

template <class V>
void convolve_outer(const TiedDeform& a, const Plan& plan, const float* features, const float* flow,
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
        (a.bias ? sum[i] + V::all(a.bias[o + i]) : sum[i]).store(lanes);
        for (int lane = 0; lane < count; ++lane) result[(o + i) * P + pixels[lane]] = lanes[lane];
      }
    }
  }
}

// What forward and backward share of the workspace.
struct DeformWork {
  Extent extent;
  ConvolutionWork convolution;
  float *features, *response;  // in blocks
  float* plans;

  DeformWork(const TiedDeform& a, Arena& arena) : extent{a.batch, a.height, a.width} {
    const long C = round_up(a.channels, kLane), O = round_up(a.outputs, kLane);
    const long widest = most(C, O);
    convolution.pieces = arena.take(pieces_room(extent, 1));
    convolution.kernel = arena.take(kernel_room(widest, widest));
    convolution.threads = arena.take(omp_get_max_threads() * thread_room(extent, 1, widest));
    convolution.products = sensitive_products(a.products);
    features = arena.take(extent.channel(C));
    response = arena.take(extent.channel(O));
    plans = arena.take(a.batch * plan_size(a.height * a.width));
  }

  template <class V>
  void respond(const TiedDeform& a) const {
    into_blocks(extent, {0, a.batch}, a.features, a.channels, false, features);
    convolve<V>(extent, Pieces(extent, 1, convolution.pieces), features,
                Taps3x3::forward(a.weight, a.outputs, a.channels), kAsItIs, response, convolution);
  }
};

template <class V>
long columns_size(const TiedDeform& a) {
  return omp_get_max_threads() * a.channels * kTaps * V::width;
}

template <class V>
void tied_deform_forward(const TiedDeform& a) {
  Arena arena{a.workspace};
  DeformWork work(a, arena);
  float* columns = arena.take(columns_size<V>(a));
  work.respond<V>(a);
  const long P = a.height * a.width;
  const std::vector<Plan> plans = make_plans(a, work.plans);
#pragma omp parallel
  for (long n = 0; n < a.batch; ++n) {
    float* result = a.result + n * a.outputs * P;
    warp_inner<V>(a, work.extent, plans[n], work.response + n * P * kLane, result);
    convolve_outer<V>(a, plans[n], a.features + n * a.channels * P, a.flow + n * 2 * P, result,
                      columns);
  }
}

// --- Backward -----------------------------------------------------------------------------------

// d result / d flow of the inner pixels, through the response's bilinear sample.
template <class V>
void inner_flow_gradient(const TiedDeform& a, const Extent& e, const Plan& plan,
                         const float* response, const float* gradient, float* flow_gradient) {
  const long P = a.height * a.width, down = a.width * kLane;
#pragma omp for schedule(static)
  for (long p = 0; p < P; ++p) {
    if (plan.inner[p] == 0) continue;
    const V dy = V::all(plan.dy[p]), dx = V::all(plan.dx[p]);
    V sum_y = V::zero(), sum_x = V::zero();
    for (long o = 0; o < a.outputs; o += V::width) {
      const float* from = response + e.channel(o) + plan.index[p] * kLane;
      const V g = V::load(gradient + e.channel(o) + p * kLane);
      const V v00 = V::load(from), v01 = V::load(from + kLane);
      const V v10 = V::load(from + down), v11 = V::load(from + down + kLane);
      const V left = v10 - v00, right = v11 - v01, upper = v01 - v00, lower = v11 - v10;
      sum_y = fma(g, fma(dx, right - left, left), sum_y);
      sum_x = fma(g, fma(dy, lower - upper, upper), sum_x);
    }
    flow_gradient[p] = sum_y.sum();
    flow_gradient[P + p] = sum_x.sum();
  }
}

// Adds to the gradient of an image's response, in V::width channels.
template <class V>
void inner_response_gradient(const TiedDeform& a, const Plan& plan, const float* gradient,
                             float* response_gradient) {
  const long P = a.height * a.width, down = a.width * kLane;
  for (long p = 0; p < P; ++p) {
    if (plan.inner[p] == 0) continue;
    float* to = response_gradient + plan.index[p] * kLane;
    const float dy = plan.dy[p], dx = plan.dx[p];
    const V g = V::load(gradient + p * kLane);
    auto add = [g](float* at, float weight) { fma(V::all(weight), g, V::load(at)).store(at); };
    add(to, (1 - dy) * (1 - dx));
    add(to + kLane, (1 - dy) * dx);
    add(to + down, dy * (1 - dx));
    add(to + down + kLane, dy * dx);
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

  static long size(const TiedDeform& a) {
    const long taps_size = sizeof(Taps<V>) / sizeof(float) * blocks;
    return taps_size + kOuterPerChunk * (2 * a.channels * kTaps + a.outputs);
  }

  Chunk(const TiedDeform& a, float* workspace) {
    taps = reinterpret_cast<Taps<V>*>(workspace);
    columns = reinterpret_cast<float*>(taps + blocks);
    column_gradient = columns + kOuterPerChunk * a.channels * kTaps;
    output_gradient = column_gradient + kOuterPerChunk * a.channels * kTaps;
  }
};

template <class V>
void outer_block_backward(const TiedDeform& a, const int* pixels, int count, long first,
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
void outer_weight_gradient(const TiedDeform& a, const Chunk<V>& chunk, long pixels) {
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
void outer_features_gradient(const TiedDeform& a, const Chunk<V>& chunk, long pixels,
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

inline void bias_gradient(const TiedDeform& a) {
  const long P = a.height * a.width;
#pragma omp parallel for schedule(static)
  for (long o = 0; o < a.outputs; ++o) {
    double sum = 0;
    for (long n = 0; n < a.batch; ++n)
      for (long p = 0; p < P; ++p) sum += a.result_gradient[(n * a.outputs + o) * P + p];
    a.bias_gradient[o] = static_cast<float>(sum);
  }
}

struct DeformBackwardWork {
  DeformWork shared;
  float *gradient, *response_gradient;  // in blocks
  float* outer;

  template <class V>
  static DeformBackwardWork take(const TiedDeform& a, Arena& arena) {
    DeformBackwardWork work{DeformWork(a, arena), nullptr, nullptr, nullptr};
    const Extent& e = work.shared.extent;
    const long O = round_up(a.outputs, kLane);
    // Where the response's gradient has gone back to, the features' takes the result's place.
    work.gradient = arena.take(e.channel(most(O, round_up(a.channels, kLane))));
    work.response_gradient = arena.take(e.channel(O));
    work.shared.convolution.gradients = arena.take(gradients_room(e, 1, O));
    work.outer = arena.take(Chunk<V>::size(a));
    return work;
  }
};

// The inner pixels: through the warp, and through the convolution.
template <class V>
void inner_gradients(const TiedDeform& a, const std::vector<Plan>& plans,
                     DeformBackwardWork& work) {
  const Extent& e = work.shared.extent;
  const long P = a.height * a.width;
  work.shared.respond<V>(a);
  into_blocks(e, {0, a.batch}, a.result_gradient, a.outputs, false, work.gradient);
  std::memset(work.response_gradient, 0, e.channel(round_up(a.outputs, kLane)) * sizeof(float));
  std::memset(a.flow_gradient, 0, a.batch * 2 * P * sizeof(float));
#pragma omp parallel
  {
    for (long n = 0; n < a.batch; ++n)
      inner_flow_gradient<V>(a, e, plans[n], work.shared.response + n * P * kLane,
                             work.gradient + n * P * kLane, a.flow_gradient + n * 2 * P);
#pragma omp for schedule(static) collapse(2)
    for (long n = 0; n < a.batch; ++n)
      for (long o = 0; o < a.outputs; o += V::width) {
        const long place = e.channel(o) + n * P * kLane;
        inner_response_gradient<V>(a, plans[n], work.gradient + place,
                                   work.response_gradient + place);
      }
  }
  ConvolutionWork& own = work.shared.convolution;
  own.products = backward_products(own.products);
  const Pieces pieces(e, 1, own.pieces);
  convolution_weight_gradient<V>(e, pieces, work.shared.features, a.channels,
                                 work.response_gradient, a.outputs, a.weight_gradient, own);
  convolve<V>(e, pieces, work.response_gradient,
              Taps3x3::backward(a.weight, a.outputs, a.channels), kAsItIs, work.gradient, own);
  from_blocks(e, work.gradient, 0, a.channels, a.features_gradient);
}

// Adds those of the outer pixels; of the flow, they are written.
template <class V>
void add_outer_gradients(const TiedDeform& a, const std::vector<Plan>& plans,
                         DeformBackwardWork& work) {
  const long P = a.height * a.width;
  Chunk<V> chunk(a, work.outer);
  for (long n = 0; n < a.batch; ++n) {
    const float* features = a.features + n * a.channels * P;
    const float* flow = a.flow + n * 2 * P;
    const float* gradient = a.result_gradient + n * a.outputs * P;
    const Plan& plan = plans[n];
#pragma omp parallel
    for (long start = 0; start < plan.outers; start += kOuterPerChunk) {
      const long pixels = least(kOuterPerChunk, plan.outers - start);
#pragma omp for schedule(dynamic)
      for (long first = 0; first < pixels; first += V::width) {
        const int count = static_cast<int>(least(V::width, pixels - first));
        outer_block_backward<V>(a, plan.outer + start + first, count, first, features, flow,
                                gradient, a.flow_gradient + n * 2 * P, chunk);
      }
      outer_weight_gradient<V>(a, chunk, pixels);
      outer_features_gradient<V>(a, chunk, pixels, a.features_gradient + n * a.channels * P);
    }
  }
}

template <class V>
void tied_deform_backward(const TiedDeform& a) {
  Arena arena{a.workspace};
  auto work = DeformBackwardWork::take<V>(a, arena);
  if (a.bias) bias_gradient(a);
  const std::vector<Plan> plans = make_plans(a, work.shared.plans);
  inner_gradients<V>(a, plans, work);
  add_outer_gradients<V>(a, plans, work);
}

template <class V>
std::size_t tied_deform_workspace(const TiedDeform& a, bool backward) {
  Arena arena{nullptr};
  if (backward) {
    DeformBackwardWork::take<V>(a, arena);
  } else {
    DeformWork(a, arena);
    arena.take(columns_size<V>(a));
  }
  return arena.used;
}

}  // namespace
