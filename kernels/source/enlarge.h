// Bilinear enlarging by a whole factor, and its gradient (see Enlargement): rows of cells are widened
// first, so that what is done at every pixel is a sum of two rows.

#pragma once

#include <omp.h>

#include "arrays.h"
#include "kernels.h"
#include "vector.h"

namespace {

using maskflownet::Enlargement;

// A pixel t of a cell's `stride` has (stride - t) parts of the cell's own value and t of the next
// one's; the last cell is its own next.
inline void widen(const float* cells, long columns, long stride, float* row) {
  for (long j = 0; j < columns; ++j) {
    const float own = cells[j], rise = cells[least(j + 1, columns - 1)] - own;
    for (long t = 0; t < stride; ++t)
      row[j * stride + t] = own + rise * (static_cast<float>(t) / static_cast<float>(stride));
  }
}

// The transpose of `widen`.
inline void narrow(const float* row, long columns, long stride, float* cells) {
  for (long j = 0; j < columns; ++j) cells[j] = 0;
  for (long j = 0; j < columns; ++j) {
    float own = 0, next = 0;
    for (long t = 0; t < stride; ++t) {
      const float share = static_cast<float>(t) / static_cast<float>(stride);
      own += row[j * stride + t] * (1 - share);
      next += row[j * stride + t] * share;
    }
    cells[j] += own;
    cells[least(j + 1, columns - 1)] += next;
  }
}

// Rows of one thread: a plane's row of cells and the next, widened; in the backward pass their gradients.
inline long enlarging_room(const Enlargement& a) {
  return 2 * round_up(a.width * a.factor, kLane);
}

template <class V>
std::size_t enlarge_workspace(const Enlargement& a, bool backward) {
  return omp_get_max_threads() * (enlarging_room(a) + (backward ? 2 * a.width : 0));
}

template <class V>
void enlarge_forward(const Enlargement& a, float* workspace) {
  const long width = a.width * a.factor, room = enlarging_room(a);
#pragma omp parallel for schedule(static)
  for (long number = 0; number < a.planes * a.height; ++number) {
    const long row = number % a.height, next = least(row + 1, a.height - 1);
    const float* cells = a.cells + number * a.width;
    float* own = workspace + omp_get_thread_num() * room;
    float* below = own + room / 2;
    widen(cells, a.width, a.factor, own);
    widen(cells + (next - row) * a.width, a.width, a.factor, below);
    for (long t = 0; t < a.factor; ++t) {
      const V share = V::all(static_cast<float>(t) / static_cast<float>(a.factor));
      float* to = a.result + (number * a.factor + t) * width;
      for (long x = 0; x < width; x += V::width) {
        const int count = static_cast<int>(least(V::width, width - x));
        const V above = V::load_first(own + x, count);
        fma(share, V::load_first(below + x, count) - above, above).store_first(to + x, count);
      }
    }
  }
}

template <class V>
void enlarge_backward(const Enlargement& a, float* workspace) {
  const long width = a.width * a.factor, room = enlarging_room(a) + 2 * a.width;
#pragma omp parallel for schedule(static)
  for (long plane = 0; plane < a.planes; ++plane) {
    float* rows[2] = {workspace + omp_get_thread_num() * room, nullptr};
    rows[1] = rows[0] + enlarging_room(a) / 2;
    float* narrowed = rows[0] + enlarging_room(a);
    float* to = a.cells_gradient + plane * a.height * a.width;
    for (long i = 0; i < a.height * a.width; ++i) to[i] = 0;
    for (long row = 0; row < a.height; ++row) {
      for (float* own : rows)
        for (long x = 0; x < width; ++x) own[x] = 0;
      for (long t = 0; t < a.factor; ++t) {
        const V share = V::all(static_cast<float>(t) / static_cast<float>(a.factor));
        const float* from = a.result_gradient + ((plane * a.height + row) * a.factor + t) * width;
        for (long x = 0; x < width; x += V::width) {
          const int count = static_cast<int>(least(V::width, width - x));
          const V given = V::load_first(from + x, count);
          fma(V::all(1) - share, given, V::load_first(rows[0] + x, count))
              .store_first(rows[0] + x, count);
          fma(share, given, V::load_first(rows[1] + x, count)).store_first(rows[1] + x, count);
        }
      }
      for (long next = 0; next < 2; ++next) {
        narrow(rows[next], a.width, a.factor, narrowed);
        float* cells = to + least(row + next, a.height - 1) * a.width;
        for (long j = 0; j < a.width; ++j) cells[j] += narrowed[j];
      }
    }
  }
}

}  // namespace
