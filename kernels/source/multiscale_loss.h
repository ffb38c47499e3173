// What training minimises: the end-point error of every level's flow, enlarged to full size, and its
// gradient (see MultiscaleLoss). A cell of a level is worked on at full size row by row: the level's
// rows are widened first, so that what is done at every pixel is a sum of two rows.

#pragma once

#include <omp.h>

#include <cmath>

#include "arrays.h"
#include "enlarge.h"
#include "kernels.h"
#include "vector.h"

namespace {

using maskflownet::MultiscaleLoss;

constexpr long kLossChannels = 2;
constexpr float kLossEpsilon = 1e-8f;  // under the root, and under the power

template <class V>
inline V end_point_error(const V* error) {
  V square = V::all(kLossEpsilon);
  for (long c = 0; c < kLossChannels; ++c) square = fma(error[c], error[c], square);
  return sqrt(square);
}

// base^exponent, by the library: once per pixel and level that is fast enough.
template <class V>
inline V power(V base, float exponent) {
  float lanes[V::width];
  base.store(lanes);
  for (float& lane : lanes) lane = std::pow(lane, exponent);
  return V::load(lanes);
}

template <class V>
inline V robust_base(const V* error) {
  V sum = V::all(kLossEpsilon);
  for (long c = 0; c < kLossChannels; ++c) sum = sum + max(error[c], V::zero() - error[c]);
  return sum;
}

template <class V>
inline V counted_error(const MultiscaleLoss& a, const V* error) {
  return a.exponent > 0 ? power(robust_base(error), a.exponent) : end_point_error(error);
}

// The derivative of counted_error by each channel's error, times what is valid.
template <class V>
inline void error_gradients(const MultiscaleLoss& a, const V* error, V valid, V* gradient) {
  if (a.exponent > 0) {
    const V none = V::zero();
    const V up = valid * V::all(a.exponent) * power(robust_base(error), a.exponent - 1);
    const V down = none - up;
    for (long c = 0; c < kLossChannels; ++c)
      gradient[c] = where_positive(error[c], up, where_positive(none - error[c], down, none));
  } else {
    const V factor = valid / end_point_error(error);
    for (long c = 0; c < kLossChannels; ++c) gradient[c] = error[c] * factor;
  }
}

// One row of cells of a level: `stride` rows of pixels.
struct LossBand {
  long n, level, row, number;  // the number counts a sample's bands
};

inline long level_rows(const MultiscaleLoss& a, long level) { return a.height / a.stride[level]; }
inline long level_columns(const MultiscaleLoss& a, long level) { return a.width / a.stride[level]; }

inline long bands_of_a_sample(const MultiscaleLoss& a) {
  long bands = 0;
  for (long level = 0; level < a.levels; ++level) bands += level_rows(a, level);
  return bands;
}

inline LossBand loss_band(const MultiscaleLoss& a, long number) {
  const long bands = bands_of_a_sample(a);
  LossBand band{number / bands, 0, number % bands, number % bands};
  while (band.row >= level_rows(a, band.level)) band.row -= level_rows(a, band.level++);
  return band;
}

// What a band works with: its level's row and the next, widened, per channel; and the gradients of
// both.
template <class V>
struct LossRows {
  float *value[kLossChannels][2], *gradient[kLossChannels][2];

  static long room(const MultiscaleLoss& a) {
    return kLossChannels * 4 * round_up(a.width, kLane);
  }
  LossRows(const MultiscaleLoss& a, float* workspace) {
    const long width = round_up(a.width, kLane);
    for (auto& channel : value)
      for (float*& row : channel) row = workspace, workspace += width;
    for (auto& channel : gradient)
      for (float*& row : channel) row = workspace, workspace += width;
  }
};

// Calls at(x, error per channel from there on, valid) for vectors of a row.
template <class V, class At>
inline void for_errors(const MultiscaleLoss& a, const LossBand& band, const LossRows<V>& rows, long t,
                       At at) {
  const long P = a.height * a.width, stride = a.stride[band.level];
  const long place = (band.row * stride + t) * a.width;
  const float* label = a.label + band.n * kLossChannels * P + place;
  const float* valid = a.valid + band.n * P + place;
  const V below = V::all(static_cast<float>(t) / static_cast<float>(stride));
  for (long x = 0; x < a.width; x += V::width) {
    const int count = static_cast<int>(least(V::width, a.width - x));
    V error[kLossChannels];
    for (long c = 0; c < kLossChannels; ++c) {
      const V own = V::load(rows.value[c][0] + x);
      const V flow = fma(below, V::load(rows.value[c][1] + x) - own, own);
      error[c] = flow - V::load_first(label + c * P + x, count);
    }
    at(x, error, V::load_first(valid + x, count));
  }
}

template <class V>
void widen_rows(const MultiscaleLoss& a, const LossBand& band, const LossRows<V>& rows) {
  const long h = level_rows(a, band.level), w = level_columns(a, band.level);
  for (long c = 0; c < kLossChannels; ++c)
    for (long next = 0; next < 2; ++next) {
      const long row = least(band.row + next, h - 1);
      const float* cells =
          a.prediction[band.level] + ((band.n * kLossChannels + c) * h + row) * w;
      widen(cells, w, a.stride[band.level], rows.value[c][next]);
      for (long x = a.width; x < round_up(a.width, kLane); ++x) rows.value[c][next][x] = 0;
    }
}

// The sum of a sample's valid mask.
template <class V>
double valid_sum(const MultiscaleLoss& a, long n) {
  const long P = a.height * a.width;
  double sum = 0;
  for (long y = 0; y < a.height; ++y) {
    V row = V::zero();
    for (long x = 0; x < a.width; x += V::width)
      row = row + V::load_first(a.valid + n * P + y * a.width + x,
                                static_cast<int>(least(V::width, a.width - x)));
    sum += row.sum();
  }
  return sum;
}

template <class V>
void multiscale_loss_forward(const MultiscaleLoss& a, float* workspace) {
  const long bands = bands_of_a_sample(a), room = LossRows<V>::room(a);
  // Of each band: what counts, and the end-point error, which is told of the last level.
  float* sums = workspace + omp_get_max_threads() * room;
#pragma omp parallel for schedule(dynamic)
  for (long number = 0; number < a.batch * bands; ++number) {
    const LossBand band = loss_band(a, number);
    const LossRows<V> rows(a, workspace + omp_get_thread_num() * room);
    widen_rows(a, band, rows);
    const bool told = band.level == a.levels - 1;
    float total = 0, length = 0;
    for (long t = 0; t < a.stride[band.level]; ++t) {
      V sum = V::zero(), length_sum = V::zero();
      for_errors(a, band, rows, t, [&](long, const V* error, V valid) {
        sum = fma(counted_error(a, error), valid, sum);
        if (told) length_sum = fma(end_point_error(error), valid, length_sum);
      });
      total += sum.sum();
      length += length_sum.sum();
    }
    sums[2 * number] = total;
    sums[2 * number + 1] = length;
  }
  for (long n = 0; n < a.batch; ++n) {
    const double valid = valid_sum<V>(a, n);
    const double pixels = valid > 0 ? valid : 1;
    double loss = 0, length = 0;
    const float* own = sums + 2 * n * bands;
    for (long level = 0; level < a.levels; ++level) {
      double sum = 0;
      for (long row = 0; row < level_rows(a, level); ++row, own += 2) sum += own[0], length += own[1];
      loss += a.weight[level] * sum / pixels;
    }
    a.loss[n] = static_cast<float>(loss);
    a.error[n] = static_cast<float>(length / pixels);
  }
}

template <class V>
void multiscale_loss_backward(const MultiscaleLoss& a, float* workspace) {
  const long bands = bands_of_a_sample(a), room = LossRows<V>::room(a);
  // What each band gives its own row of cells and the next one, per channel.
  const long widest = level_columns(a, a.levels - 1), row_room = 2 * kLossChannels * widest;
  float* shares = workspace + omp_get_max_threads() * room;
#pragma omp parallel for schedule(dynamic)
  for (long number = 0; number < a.batch * bands; ++number) {
    const LossBand band = loss_band(a, number);
    const LossRows<V> rows(a, workspace + omp_get_thread_num() * room);
    widen_rows(a, band, rows);
    for (auto& channel : rows.gradient)
      for (float* row : channel)
        for (long x = 0; x < a.width; ++x) row[x] = 0;
    const long stride = a.stride[band.level];
    for (long t = 0; t < stride; ++t) {
      const V below = V::all(static_cast<float>(t) / static_cast<float>(stride));
      const V above = V::all(1) - below;
      for_errors(a, band, rows, t, [&](long x, const V* error, V valid) {
        V gradient[kLossChannels];
        error_gradients(a, error, valid, gradient);
        for (long c = 0; c < kLossChannels; ++c) {
          float *own = rows.gradient[c][0] + x, *next = rows.gradient[c][1] + x;
          fma(above, gradient[c], V::load(own)).store(own);
          fma(below, gradient[c], V::load(next)).store(next);
        }
      });
    }
    for (long c = 0; c < kLossChannels; ++c)
      for (long next = 0; next < 2; ++next)
        narrow(rows.gradient[c][next], level_columns(a, band.level), stride,
               shares + number * row_room + (2 * c + next) * widest);
  }
  for (long n = 0; n < a.batch; ++n) {
    const double valid = valid_sum<V>(a, n);
    const float* own = shares + n * bands * row_room;
    for (long level = 0; level < a.levels; ++level) {
      const long h = level_rows(a, level), w = level_columns(a, level);
      const float scale =
          static_cast<float>(a.loss_gradient[n] * a.weight[level] / (valid > 0 ? valid : 1));
      float* gradient = a.prediction_gradient[level] + n * kLossChannels * h * w;
      for (long c = 0; c < kLossChannels; ++c)
        for (long row = 0; row < h; ++row) {
          const float* here = own + row * row_room + 2 * c * widest;
          const float* before = row > 0 ? here - row_room + widest : nullptr;
          const float* last = row == h - 1 ? here + widest : nullptr;
          for (long j = 0; j < w; ++j) {
            const float sum = here[j] + (before ? before[j] : 0) + (last ? last[j] : 0);
            gradient[(c * h + row) * w + j] = scale * sum;
          }
        }
      own += h * row_room;
    }
  }
}

template <class V>
std::size_t multiscale_loss_workspace(const MultiscaleLoss& a, bool backward) {
  const long per_band = backward ? 2 * kLossChannels * level_columns(a, a.levels - 1) : 2;
  return omp_get_max_threads() * LossRows<V>::room(a) + a.batch * bands_of_a_sample(a) * per_band;
}

}  // namespace
