// The end of the matching module: what was brought to image 1, dimmed where the mask says that it is
// occluded, and the trade-off term that speaks there instead (see TradeOff).

#pragma once

#include <cmath>

#include "kernels.h"
#include "vector.h"

namespace {

using maskflownet::TradeOff;

constexpr long kFadedPixels = 256;  // of one image, at a time

// Calls visit(pixels' number, sigmoid of the mask there, pixels' place in the mask, in a channel 0)
// for all pixels, so many at a time; `visible` is padded with zeros to whole vectors.
template <class Visit>
void for_faded(const TradeOff& a, Visit visit) {
  const long P = a.height * a.width, parts = (P - 1) / kFadedPixels + 1;
#pragma omp parallel for schedule(static)
  for (long part = 0; part < a.batch * parts; ++part) {
    const long n = part / parts, first = part % parts * kFadedPixels;
    const long count = least(kFadedPixels, P - first), place = n * P + first;
    float visible[kFadedPixels] = {0};
    for (long i = 0; i < count; ++i) visible[i] = 1 / (1 + std::exp(-a.mask[place + i]));
    visit(count, visible, place, n * a.channels * P + first);
  }
}

template <class V>
void trade_off_forward(const TradeOff& a) {
  const long P = a.height * a.width;
  for_faded(a, [&](long count, const float* visible, long, long place) {
    for (long c = 0; c < a.channels; ++c)
      for (long i = 0; i < count; i += V::width) {
        const int valid = static_cast<int>(least(V::width, count - i));
        const long at = place + c * P + i;
        // Bit by bit what MXNet's own operators make of it.
        const V faded = rounded_alone(V::load_first(a.matched + at, valid) * V::load(visible + i));
        leaky(faded + V::load_first(a.term + at, valid), a.slope).store_first(a.result + at, valid);
      }
  });
}

template <class V>
void trade_off_backward(const TradeOff& a) {
  const long P = a.height * a.width;
  for_faded(a, [&](long count, const float* visible, long mask_place, long place) {
    float sums[kFadedPixels] = {0};  // of the gradient times what was matched
    for (long c = 0; c < a.channels; ++c)
      for (long i = 0; i < count; i += V::width) {
        const int valid = static_cast<int>(least(V::width, count - i));
        const long at = place + c * P + i;
        const V given = V::load_first(a.result_gradient + at, valid);
        const V g = where_positive(V::load_first(a.result + at, valid), given,
                                   given * V::all(a.slope));
        g.store_first(a.term_gradient + at, valid);
        (g * V::load(visible + i)).store_first(a.matched_gradient + at, valid);
        fma(g, V::load_first(a.matched + at, valid), V::load(sums + i)).store(sums + i);
      }
    for (long i = 0; i < count; ++i)
      a.mask_gradient[mask_place + i] = sums[i] * visible[i] * (1 - visible[i]);
  });
}

}  // namespace
