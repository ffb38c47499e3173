// Adam (Kingma and Ba, ICLR 2015) over any number of arrays at once, on all threads: bit by bit what
// MXNet's `adam_update` makes of each. Memory is what it waits for, so it needs no vector unit beyond
// that of all x86-64 processors, whose products and sums are rounded one by one as MXNet's are.

//
// And what is asked of all gradients before: their sums of squares.

#pragma once

#include <emmintrin.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace maskflownet {

struct AdamArray {
  float* weight;
  const float* gradient;
  float *mean, *variance;
  int64_t size;
  float rate, decay;  // learning rate, with the moments' correction; weight decay
};

struct AdamConstants {
  float beta1, beta2, epsilon, scale;  // of the gradients
};

}  // namespace maskflownet

namespace {

using maskflownet::AdamArray;
using maskflownet::AdamConstants;

inline __m128 adam_step(const AdamArray& a, const AdamConstants& c, __m128 weight, __m128 gradient,
                        __m128& mean, __m128& variance) {
  auto times = [](float x, __m128 y) { return _mm_mul_ps(_mm_set1_ps(x), y); };
  gradient = _mm_add_ps(times(c.scale, gradient), times(a.decay, weight));
  mean = _mm_add_ps(times(c.beta1, mean), times(1.0f - c.beta1, gradient));
  variance = _mm_add_ps(times(c.beta2, variance),
                        _mm_mul_ps(times(1.0f - c.beta2, gradient), gradient));
  const __m128 root = _mm_add_ps(_mm_sqrt_ps(variance), _mm_set1_ps(c.epsilon));
  return _mm_sub_ps(weight, _mm_div_ps(times(a.rate, mean), root));
}

void adam_part(const AdamArray& a, const AdamConstants& c, int64_t begin, int64_t end) {
  int64_t i = begin;
  for (; i + 4 <= end; i += 4) {
    __m128 mean = _mm_loadu_ps(a.mean + i), variance = _mm_loadu_ps(a.variance + i);
    const __m128 weight = adam_step(a, c, _mm_loadu_ps(a.weight + i),
                                    _mm_loadu_ps(a.gradient + i), mean, variance);
    _mm_storeu_ps(a.weight + i, weight);
    _mm_storeu_ps(a.mean + i, mean);
    _mm_storeu_ps(a.variance + i, variance);
  }
  for (; i < end; ++i) {
    __m128 mean = _mm_set_ss(a.mean[i]), variance = _mm_set_ss(a.variance[i]);
    const __m128 weight =
        adam_step(a, c, _mm_set_ss(a.weight[i]), _mm_set_ss(a.gradient[i]), mean, variance);
    a.weight[i] = _mm_cvtss_f32(weight);
    a.mean[i] = _mm_cvtss_f32(mean);
    a.variance[i] = _mm_cvtss_f32(variance);
  }
}

}  // namespace

// Writes each gradient's sum of squares.
extern "C" void maskflownet_sums_of_squares(const AdamArray* arrays, int64_t count, double* sums) {
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < count; ++i) {
    const float* gradient = arrays[i].gradient;
    __m128d low = _mm_setzero_pd(), high = _mm_setzero_pd();
    int64_t k = 0;
    for (; k + 4 <= arrays[i].size; k += 4) {
      const __m128 four = _mm_loadu_ps(gradient + k);
      const __m128d one = _mm_cvtps_pd(four), other = _mm_cvtps_pd(_mm_movehl_ps(four, four));
      low = _mm_add_pd(low, _mm_mul_pd(one, one));
      high = _mm_add_pd(high, _mm_mul_pd(other, other));
    }
    low = _mm_add_pd(low, high);
    double sum = _mm_cvtsd_f64(low) + _mm_cvtsd_f64(_mm_unpackhi_pd(low, low));
    for (; k < arrays[i].size; ++k) sum += static_cast<double>(gradient[k]) * gradient[k];
    sums[i] = sum;
  }
}

// Updates weights, means and variances in place.
extern "C" void maskflownet_adam(const AdamArray* arrays, int64_t count,
                                 const AdamConstants* constants) {
  constexpr int64_t kPart = 1 << 15;
  struct Part {
    int64_t array, begin;
  };
  std::vector<Part> parts;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t begin = 0; begin < arrays[i].size; begin += kPart) parts.push_back({i, begin});
  const int64_t all = static_cast<int64_t>(parts.size());
#pragma omp parallel for schedule(static)
  for (int64_t p = 0; p < all; ++p) {
    const AdamArray& a = arrays[parts[p].array];
    adam_part(a, *constants, parts[p].begin, std::min(parts[p].begin + kPart, a.size));
  }
}
