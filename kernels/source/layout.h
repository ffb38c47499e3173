// Between MXNet's arrays (N, C, H, W) and the kernels' own blocks (C / 16, N, H, W, 16).

#pragma once

#include "arrays.h"
#include "vector.h"

namespace {

// Channel c of an array (N, `channels`, H, W); `data` points to the channel in the first image.
struct Channel {
  const float* data;  // nullptr: zeros
  long channels;
};

// Fills a block from 16 channels, each from anywhere.
inline void to_block(const Extent& e, const Channel* from, float* block) {
  const long P = e.height * e.width;
#pragma omp for schedule(static) nowait
  for (long line = 0; line < e.batch * e.height; ++line) {
    const long n = line / e.height, y = line % e.height;
    float* to = block + line * e.width * kLane;
    for (long i = 0; i < kLane; ++i) {
      if (from[i].data) {
        const float* row = from[i].data + n * from[i].channels * P + y * e.width;
        for (long x = 0; x < e.width; ++x) to[x * kLane + i] = row[x];
      } else {
        for (long x = 0; x < e.width; ++x) to[x * kLane + i] = 0;
      }
    }
  }
}

// Some images of a stack.
struct Images {
  long first, count;
};

// Copies `channels` channels, from channel `first` of blocks, to an array (images, channels, H, W).
inline void from_blocks(const Extent& e, const Images& images, const float* blocks, long first,
                        long channels, float* to) {
  const long P = e.height * e.width;
#pragma omp parallel for schedule(static)
  for (long line = 0; line < images.count * e.height; ++line) {
    const long n = line / e.height, y = line % e.height;
    const long own = (images.first * e.height + line) * e.width * kLane;
    for (long c = 0; c < channels; ++c) {
      const float* from = blocks + e.channel(first + c) + own;
      float* row = to + (n * channels + c) * P + y * e.width;
      for (long x = 0; x < e.width; ++x) row[x] = from[x * kLane];
    }
  }
}

inline void from_blocks(const Extent& e, const float* blocks, long first, long channels,
                        float* to) {
  from_blocks(e, {0, e.batch}, blocks, first, channels, to);
}

// Writes an array (images, channels, H, W) to blocks, or adds it to what is there. What pads the
// last block is written as zero, or left.
inline void into_blocks(const Extent& e, const Images& images, const float* from, long channels,
                        bool added, float* blocks) {
  const long P = e.height * e.width;
#pragma omp parallel for schedule(static)
  for (long line = 0; line < images.count * e.height; ++line) {
    const long n = line / e.height, y = line % e.height;
    const long own = (images.first * e.height + line) * e.width * kLane;
    for (long c = 0; c < round_up(channels, kLane); ++c) {
      float* to = blocks + e.channel(c) + own;
      const float* row = from + (n * channels + c) * P + y * e.width;
      if (c >= channels) {
        for (long x = 0; !added && x < e.width; ++x) to[x * kLane] = 0;
      } else if (added) {
        for (long x = 0; x < e.width; ++x) to[x * kLane] += row[x];
      } else {
        for (long x = 0; x < e.width; ++x) to[x * kLane] = row[x];
      }
    }
  }
}

// Calls visit(place in the blocks, place in the array) for all elements of an array
// (N, channels, 2H, 2W) whose pixel (2y + a, 2x + b) of channel c is channel
// first + (2a + b) * channels + c of pixel (y, x) of the blocks.
template <class Visit>
void for_depth_and_space(const Extent& e, long first, long channels, Visit visit) {
#pragma omp parallel for schedule(static)
  for (long line = 0; line < e.batch * e.height; ++line) {
    const long n = line / e.height, y = line % e.height;
    for (long i = 0; i < 4 * channels; ++i) {
      const long c = i % channels, a = i / channels / 2, b = i / channels % 2;
      const long from = e.channel(first + i) + line * e.width * kLane;
      const long to = ((n * channels + c) * 2 * e.height + 2 * y + a) * 2 * e.width + b;
      for (long x = 0; x < e.width; ++x) visit(from + x * kLane, to + 2 * x);
    }
  }
}

// gradient *= the activation's derivative, for 16 channels from `place` on and some pixels; returns
// the gradient's sum over them. Without `activated` it is left as it is.
template <class V>
inline void activation_gradient_part(float* gradient, const float* activated, long pixels,
                                     float slope, V* sums) {
  for (long i = 0; i < kLane / V::width; ++i) sums[i] = V::zero();
  for (long p = 0; p < pixels * kLane; p += kLane)
    for (long i = 0; i < kLane / V::width; ++i) {
      float* own = gradient + p + i * V::width;
      V g = V::load(own);
      if (activated) {
        g = where_positive(V::load(activated + p + i * V::width), g, g * V::all(slope));
        g.store(own);
      }
      sums[i] = sums[i] + g;
    }
}

// gradient *= the activation's derivative from block `activated_from` on, where `activated` holds
// the outputs; sums[c] = the gradient's sum over all pixels, for all channels.
template <class V>
void activation_gradient(const Extent& e, float* gradient, const float* activated, long channels,
                         long activated_from, float slope, float* sums) {
  constexpr long kParts = 8;  // of the pixels: a fine level has one block of channels alone
  const long part_pixels = (e.pixels() - 1) / kParts + 1;
  for (long c0 = 0; c0 < channels; c0 += kLane * kParts) {  // so many blocks at a time
    const long blocks = least(kParts, (channels - c0 - 1) / kLane + 1);
    float parts[kParts][kParts][kLane];
#pragma omp parallel for schedule(static) collapse(2)
    for (long b = 0; b < blocks; ++b)
      for (long part = 0; part < kParts; ++part) {
        const long c = c0 + b * kLane, first = least(part * part_pixels, e.pixels());
        const long place = e.channel(c) + first * kLane;
        V sum[kLane / V::width];
        activation_gradient_part<V>(gradient + place,
                                    c >= activated_from ? activated + place : nullptr,
                                    least(part_pixels, e.pixels() - first), slope, sum);
        for (long i = 0; i < kLane / V::width; ++i) sum[i].store(parts[b][part] + i * V::width);
      }
    for (long i = 0; i < least(blocks * kLane, channels - c0); ++i) {
      float sum = 0;
      for (long part = 0; part < kParts; ++part) sum += parts[i / kLane][part][i % kLane];
      sums[c0 + i] = sum;
    }
  }
}

}  // namespace
