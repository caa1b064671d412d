// The fine structure D of a tile of a frame: generators/detail.py defines it.
//
// The mean of 3 x 3 pixels is one of three columns, then of three rows, and so is the mean of the
// means. Both steps along a row are taken at once, from luma to `smooth`, then both along a column.
// At a border each step has fewer pixels: those outside are zeros, and the sum of the others is
// divided by their number.
//
// A tile has 32 columns, one for each thread of a warp, and as many rows: a row of cells for each
// warp. A thread computes D in its column of these.
//
// Constants: CELL (pixels, a power of 2), RED, GREEN, BLUE (of luma), BYTES (of a frame's number:
// 1 for 0 to 255, 2 or 4 for floats), BFLOAT16.

#pragma once

#include "common.cuh"

constexpr int SIDE = 32;
constexpr int WARPS = SIDE / CELL;
constexpr int THREADS = 32 * WARPS;
constexpr int HALO = 2;
constexpr int WIDE = SIDE + 2 * HALO;
constexpr int LUMA = WIDE * WIDE;    // floats in shared memory
constexpr int SMOOTH = WIDE * SIDE;  // likewise

static_assert(SIDE % CELL == 0, "no cell is in two tiles");

#if BYTES == 1
typedef unsigned char Number;
__device__ __forceinline__ float unit(Number x) { return x * (1 / 255.0f); }
#elif BYTES == 2
typedef unsigned short Number;
__device__ __forceinline__ float unit(Number x) { return unpack(x).x; }
#else
typedef float Number;
__device__ __forceinline__ float unit(Number x) { return x; }
#endif

// One image, with its strides in numbers. 32 bits are enough: no frame has more than 2^27 pixels
// (frames.py), and detail.py refuses views that are further apart.
struct Frame {
    const Number* first;
    int color, row, pixel;
};

// One through the number of places among i - 1, i, i + 1 that are inside; 0 if i is not.
__device__ __forceinline__ float inverse_count(int i, int size) {
    const int others = (i > 0) + (i + 1 < size);
    const float inverse = others == 2 ? 1 / 3.0f : others == 1 ? 0.5f : 1.0f;
    return i >= 0 && i < size ? inverse : 0.0f;
}

// The tile's luma (WIDE, WIDE), with HALO pixels around it.
__device__ __forceinline__ void load_luma(
    float* luma, const Frame& frame, int top, int left, int height, int width
) {
    // No branches: all pixels of a thread are on their way at once. Those outside of the frame read
    // a pixel at its border; threads without one read and write the last pixel of the tile.
    constexpr int LOADS = (LUMA + THREADS - 1) / THREADS;
    float values[LOADS];
#pragma unroll
    for (int k = 0; k < LOADS; k++) {
        const int i = min(k * THREADS + int(threadIdx.x), LUMA - 1);
        const int y = top - HALO + i / WIDE, x = left - HALO + i % WIDE;
        const int inside_y = min(max(y, 0), height - 1), inside_x = min(max(x, 0), width - 1);
        const Number* pixel = frame.first + inside_y * frame.row + inside_x * frame.pixel;
        const float red = unit(pixel[0]), green = unit(pixel[frame.color]);
        const float blue = unit(pixel[2 * frame.color]);
        const float value = float(RED) * red + float(GREEN) * green + float(BLUE) * blue;
        values[k] = y == inside_y && x == inside_x ? value : 0;
    }
#pragma unroll
    for (int k = 0; k < LOADS; k++)
        luma[min(k * THREADS + int(threadIdx.x), LUMA - 1)] = values[k];
}

// Means of means along rows, (WIDE, SIDE). Needs a barrier before and after.
__device__ __forceinline__ void smooth_rows(
    float* smooth, const float* luma, int left, int width
) {
    const int lane = threadIdx.x % 32, x = left + lane;
    const float before = inverse_count(x - 1, width), own = inverse_count(x, width);
    const float after = inverse_count(x + 1, width);
#pragma unroll
    for (int row = threadIdx.x / 32; row < WIDE; row += WARPS) {
        const float* l = luma + row * WIDE + lane;
        const float means = before * (l[0] + l[1] + l[2]) + own * (l[1] + l[2] + l[3]) +
                            after * (l[2] + l[3] + l[4]);
        smooth[row * SIDE + lane] = own * means;
    }
}

// D in the rows of this warp. A thread right of the frame gets that of the frame's last column.
__device__ __forceinline__ void detail_of_column(
    float (&detail)[CELL], const float* luma, const float* smooth, int top, int left, int height,
    int width
) {
    const int row = threadIdx.x / 32 * CELL, y = top + row;
    const int column = min(int(threadIdx.x % 32), width - 1 - left);
    const float* s = smooth + row * SIDE + column;
    float means[CELL + 2];  // of rows y - 1 to y + CELL
#pragma unroll
    for (int k = 0; k < CELL + 2; k++) {
        const float sum = s[k * SIDE] + s[(k + 1) * SIDE] + s[(k + 2) * SIDE];
        means[k] = inverse_count(y - 1 + k, height) * sum;
    }
#pragma unroll
    for (int k = 0; k < CELL; k++) {
        const float mean = inverse_count(y + k, height) * (means[k] + means[k + 1] + means[k + 2]);
        detail[k] = luma[(row + k + HALO) * WIDE + column + HALO] - mean;
    }
}
