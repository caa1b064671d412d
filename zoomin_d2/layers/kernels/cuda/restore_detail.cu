// A frame with stronger detail: `DetailKernels.restore` in detail.py.
//
// A block makes a tile. First a thread computes the gain of one of its cells, or of a cell next to
// the tile. Cells are smoothed where they are needed: a bilinear sample of means of 3 x 3 cells is
// a weighted sum of 4 x 4.
//
// Constants: those of detail.cuh, EPSILON, MAX_GAIN, MOTION (1: flows and mask are computed from
// motion and times, 0: they are given), AS_8BIT (of the result, which is float32 otherwise).
// Grid: (ceil(width / 32), ceil(height / 32), images). Threads: THREADS.
// Shared memory: 4 * (LUMA + SMOOTH + GAINS) bytes. The names are here and in detail.cuh.

#include "detail.cuh"

constexpr int AROUND = SIDE / CELL + 2;  // cells of a tile in a row, with those next to it
constexpr int GAINS = AROUND * AROUND;

static_assert(GAINS <= THREADS, "each thread computes one gain");
static_assert(CELL % 2 == 0, "a cell's first half of rows and columns lies before its center");
static_assert(!MOTION || CELL == 4, "a cell is 2 x 2 pixels of motion, which has half the size");

#if AS_8BIT
typedef unsigned char Result;
__device__ __forceinline__ Result result(float x) { return x * 255 + 0.5f; }
#else
typedef float Result;
__device__ __forceinline__ Result result(float x) { return x; }
#endif

// Unlike fminf and fmaxf, this keeps what is not a number, for those who look for it.
__device__ __forceinline__ float clamped(float x, float low, float high) {
    return x < low ? low : x > high ? high : x;
}

struct Grid {
    int height, width;
};

// Flows (dx, dy) of a cell to both frames, and the weight of the first one.
struct Moved {
    float x_1, y_1, x_2, y_2, mask;
};

__device__ __forceinline__ float mean_of_4(const float* plane, int width) {
    return (plane[0] + plane[1] + plane[width] + plane[width + 1]) / 4;
}

__device__ __forceinline__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// Of motion, 2 x 2 pixels are a cell.
__device__ __forceinline__ Moved moved_by_motion(
    const float* motion, float t, int size, int width
) {
    const float to_1 = t, to_2 = 1 - t;  // half of 2 t and of 2 (1 - t): cells are twice as wide
    const float shift = logf((1 - t) / t);
    const float* logits = motion + 4 * size;
    const float mask = (sigmoid(logits[0] + shift) + sigmoid(logits[1] + shift) +
                        sigmoid(logits[width] + shift) + sigmoid(logits[width + 1] + shift)) / 4;
    return {to_1 * mean_of_4(motion, width), to_1 * mean_of_4(motion + size, width),
            to_2 * mean_of_4(motion + 2 * size, width), to_2 * mean_of_4(motion + 3 * size, width),
            mask};
}

// The weights of first - 1 to first + 2 where the means of 3 at first and first + 1 are mixed.
__device__ __forceinline__ void weights_of(float (&weights)[4], int first, float over, int size) {
    const float a = (1 - over) * inverse_count(first, size);
    const float b = over * inverse_count(first + 1, size);
    weights[0] = first > 0 ? a : 0;
    weights[1] = a + b;
    weights[2] = first + 1 < size ? a + b : 0;
    weights[3] = first + 2 < size ? b : 0;
}

// Smoothed cells at a position, by the border rule of layers/warp.py.
__device__ __forceinline__ float smoothed_at(const float* cells, float y, float x, Grid grid) {
    y = fminf(fmaxf(y, 0), grid.height - 1);
    x = fminf(fmaxf(x, 0), grid.width - 1);
    const int top = y, left = x;
    float down[4], over[4];
    weights_of(down, top, y - top, grid.height);
    weights_of(over, left, x - left, grid.width);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float* row = cells + min(max(top - 1 + j, 0), grid.height - 1) * grid.width;
        float of_row = 0;
#pragma unroll
        for (int i = 0; i < 4; i++)
            of_row += over[i] * row[min(max(left - 1 + i, 0), grid.width - 1)];
        sum += down[j] * of_row;
    }
    return sum;
}

// frame, out: with the strides of image, color, row, and pixel. cells: (2 images, h, w), before:
// (images, h, w), of the frame itself. motion: (images, 5, motion_height, motion_width), and times
// (images); or flows (2 images, 2, h, w), and masks (images, h, w).
extern "C" __global__ void __launch_bounds__(THREADS) restore_detail(
    const Number* __restrict__ frames, const float* __restrict__ cells,
    const float* __restrict__ before, const float* __restrict__ motion,
    const float* __restrict__ times, Result* __restrict__ out, int height, int width,
    int motion_height, int motion_width, long long frame_image, int frame_color, int frame_row,
    int frame_pixel, long long out_image, int out_color, int out_row, int out_pixel, float strength
) {
    SHARED_MEMORY(shared);
    float* luma = reinterpret_cast<float*>(shared);
    float* smooth = luma + LUMA;
    float* gains = smooth + SMOOTH;  // (AROUND, AROUND) of g - 1
    const int left = blockIdx.x * SIDE, top = blockIdx.y * SIDE, thread = threadIdx.x;
    const long long image = blockIdx.z, images = gridDim.z;
    const Frame frame = {frames + image * frame_image, frame_color, frame_row, frame_pixel};
    load_luma(luma, frame, top, left, height, width);
    if (thread < GAINS) {
        // Outside of the grid, the cell at its border counts, as for `F.interpolate`.
        const Grid grid = {(height + CELL - 1) / CELL, (width + CELL - 1) / CELL};
        const int y = min(max(top / CELL - 1 + thread / AROUND, 0), grid.height - 1);
        const int x = min(max(left / CELL - 1 + thread % AROUND, 0), grid.width - 1);
        const int size = grid.height * grid.width;
#if MOTION
        const int motion_size = motion_height * motion_width;
        const float* own = motion + image * 5 * motion_size + 2 * y * motion_width + 2 * x;
        const Moved to = moved_by_motion(own, times[image], motion_size, motion_width);
#else
        const float* flow_1 = motion + image * 2 * size + y * grid.width + x;
        const float* flow_2 = flow_1 + images * 2 * size;
        const float mask = times[image * size + y * grid.width + x];
        const Moved to = {flow_1[0], flow_1[size], flow_2[0], flow_2[size], mask};
#endif
        const float* cells_1 = cells + image * size;
        const float* cells_2 = cells_1 + images * size;
        const float wanted = to.mask * smoothed_at(cells_1, y + to.y_1, x + to.x_1, grid) +
                             (1 - to.mask) * smoothed_at(cells_2, y + to.y_2, x + to.x_2, grid);
        const float found = smoothed_at(before + image * size, y, x, grid);
        const float gain = sqrtf((wanted + float(EPSILON)) / (found + float(EPSILON)));
        gains[thread] = clamped(gain, 1, MAX_GAIN) - 1;
    }
    __syncthreads();
    smooth_rows(smooth, luma, left, width);
    __syncthreads();
    const int row = thread / 32, lane = thread % 32, y = top + row * CELL, x = left + lane;
    float colors[CELL][3];  // on their way before they are needed; outside, of the border
#pragma unroll
    for (int k = 0; k < CELL; k++) {
        const Number* pixel = frame.first + min(y + k, height - 1) * frame_row;
        pixel += min(x, width - 1) * frame_pixel;
#pragma unroll
        for (int c = 0; c < 3; c++) colors[k][c] = unit(pixel[c * frame_color]);
    }
    float detail[CELL];
    detail_of_column(detail, luma, smooth, top, left, height, width);

    // Gains are those of the cells' centers: a pixel lies between two in each direction.
    if (x >= width) return;
    const float to_x = (lane + 0.5f) / CELL + 0.5f;
    const int column = to_x;
    const float over = to_x - column;
    float across[3];  // of the cells above this warp's, its own, and below
#pragma unroll
    for (int k = 0; k < 3; k++) {
        const float* gain = gains + (row + k) * AROUND + column;
        across[k] = (1 - over) * gain[0] + over * gain[1];
    }
    Result* to = out + image * out_image + y * out_row + x * out_pixel;
#pragma unroll
    for (int k = 0; k < CELL; k++) {
        if (y + k >= height) break;
        const int above = k < CELL / 2 ? 0 : 1;
        const float down = (k + 0.5f) / CELL + 0.5f - above;
        const float gain = (1 - down) * across[above] + down * across[above + 1];
        const float change = strength * gain * detail[k];
#pragma unroll
        for (int c = 0; c < 3; c++) {
            const float value = colors[k][c] + change;
            to[k * out_row + c * out_color] = result(clamped(value, 0, 1));
        }
    }
}
