// Bilinear samples of an image: which four pixels, and how much of each.

#pragma once

namespace {

// A pixel's neighbours along an axis and their weights. In place of one that is outside the other is
// read, and weighs nothing.
struct Neighbours {
  long low, high;
  float low_weight, high_weight;

  bool are_outside() const { return low_weight == 0 && high_weight == 0; }
};

inline Neighbours neighbours(float place, long size, bool repeat_border) {
  const float last = static_cast<float>(size - 1);
  // A place that is not a number lies at 0 or outside.
  if (repeat_border) place = place > 0 ? (place < last ? place : last) : 0;
  if (!(place > -1 && place < static_cast<float>(size))) return {0, 0, 0, 0};
  const long low = static_cast<long>(place) - (place < 0), high = low + 1;  // from -1 on
  const float share = place - static_cast<float>(low);
  return {low < 0 ? 0 : low, high < size ? high : low, low < 0 ? 0 : 1 - share,
          high < size ? share : 0};
}

// to[c * to_plane] for all channels of an image (channels, height, width).
inline void sample(const float* image, long channels, long height, long width,
                   const Neighbours& rows, const Neighbours& columns, float* to, long to_plane) {
  if (rows.are_outside() || columns.are_outside()) {
    for (long c = 0; c < channels; ++c) to[c * to_plane] = 0;
    return;
  }
  const float* above = image + rows.low * width;
  const float* below = image + rows.high * width;
  for (long c = 0; c < channels; ++c, above += height * width, below += height * width)
    to[c * to_plane] = rows.low_weight * (columns.low_weight * above[columns.low] +
                                          columns.high_weight * above[columns.high]) +
                       rows.high_weight * (columns.low_weight * below[columns.low] +
                                           columns.high_weight * below[columns.high]);
}

}  // namespace
