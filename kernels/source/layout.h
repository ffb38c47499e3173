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

// gradient *= the activation's derivative from block `activated_from` on, where `activated` holds
// the outputs; sums[c] = the gradient's sum over all pixels, for all channels.
template <class V>
void activation_gradient(const Extent& e, float* gradient, const float* activated, long channels,
                         long activated_from, float slope, float* sums) {
#pragma omp parallel for schedule(static)
  for (long c = 0; c < channels; c += V::width) {
    const long place = e.channel(c);
    V sum = V::zero();
    for (long p = place; p < place + e.plane(); p += kLane) {
      V g = V::load(gradient + p);
      if (c >= activated_from) {
        g = where_positive(V::load(activated + p), g, g * V::all(slope));
        g.store(gradient + p);
      }
      sum = sum + g;
    }
    sum.store_first(sums + c, static_cast<int>(least(V::width, channels - c)));
  }
}

}  // namespace
