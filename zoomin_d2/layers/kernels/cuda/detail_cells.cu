// The mean of D^2 in the cells of frames: `DetailKernels.cells` in detail.py.
//
// Constants: those of detail.cuh.
// Grid: (ceil(width / 32), ceil(height / 32), images). Threads: THREADS.
// Shared memory: 4 * (LUMA + SMOOTH) bytes. The names are in detail.cuh.

#include "detail.cuh"

static_assert((CELL & (CELL - 1)) == 0, "the threads of a cell add in pairs");

// first, second: as many ``frames`` each, with the strides of image, color, row, and pixel. cells:
// (images, h, w), of every first one, then of every second one.
extern "C" __global__ void __launch_bounds__(THREADS) detail_cells(
    const Number* __restrict__ first, const Number* __restrict__ second, float* __restrict__ cells,
    int frames, int height, int width, long long image_1, int color_1, int row_1, int pixel_1,
    long long image_2, int color_2, int row_2, int pixel_2
) {
    SHARED_MEMORY(shared);
    float* luma = reinterpret_cast<float*>(shared);
    float* smooth = luma + LUMA;
    const int left = blockIdx.x * SIDE, top = blockIdx.y * SIDE, image = blockIdx.z;
    const Frame frame = image < frames
                            ? Frame{first + image * image_1, color_1, row_1, pixel_1}
                            : Frame{second + (image - frames) * image_2, color_2, row_2, pixel_2};
    load_luma(luma, frame, top, left, height, width);
    __syncthreads();
    smooth_rows(smooth, luma, left, width);
    __syncthreads();
    float detail[CELL];
    detail_of_column(detail, luma, smooth, top, left, height, width);

    // A cell at a border is filled up by the frame's last row and column.
    const int row = threadIdx.x / 32, lane = threadIdx.x % 32, y = top + row * CELL;
    float square = 0, sum = 0;
#pragma unroll
    for (int k = 0; k < CELL; k++) {
        if (y + k < height) square = detail[k] * detail[k];
        sum += square;
    }
#pragma unroll
    for (int i = 1; i < CELL; i *= 2) sum += __shfl_xor_sync(~0u, sum, i);
    if (lane % CELL || y >= height || left + lane >= width) return;
    const int cells_high = (height + CELL - 1) / CELL, cells_wide = (width + CELL - 1) / CELL;
    float* own = cells + static_cast<long long>(image) * cells_high * cells_wide;
    own[y / CELL * cells_wide + (left + lane) / CELL] = sum / (CELL * CELL);
}
