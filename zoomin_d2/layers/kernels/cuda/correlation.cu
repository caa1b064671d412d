// The cost volume of layers/correlation.py, by a GPU's matrix units.
//
// volume[dy, dx](y, x) = scale <f1(y - dy, x - dx), f2(y + dy, x + dx)>. For a row y and a dy, that
// is a product of two rows of pixels, i = x - dx of frame 1 and j = x + dx of frame 2, of which a
// band is wanted. As j - i = 2 dx is even, pixels of even and of odd columns never meet: with
// i = 2 a + p and j = 2 b + p, dx = b - a and x = a + b + p, and the band has no holes.
//
// A block makes ROWS rows of COLUMNS pixels for SHIFTS values of dy. All features that it needs,
// ROWS + SHIFTS - 1 rows of 32 pixels of either frame, are in shared memory at once: every copy is
// on its way before the first is waited for. Then a warp multiplies 16 x 16 pixels at a time: the
// 16 of one parity of a row, in both frames.
//
// Constants: RADIUS, CHANNELS (a multiple of 8), ROWS, SHIFTS (a divisor of 2 RADIUS + 1), BLOCKS (at
// a time on a multiprocessor), BFLOAT16.
// Threads: 256. Grid: (ceil(width / COLUMNS), ceil(height / ROWS), images * GROUPS).
// Shared memory: max(2 * FRAME_BYTES, ROWS * COLUMNS * STRIDE * 2) bytes. The names are below.

#include "common.cuh"

static_assert(CHANNELS % 8 == 0, "a pixel is copied 8 channels at a time");
static_assert(RADIUS >= 1 && RADIUS <= 12, "of 32 columns, some must be wanted");
static_assert((2 * RADIUS + 1) % SHIFTS == 0, "all blocks have as many displacements");

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / 32;
constexpr int DIAMETER = 2 * RADIUS + 1;
constexpr int WINDOW = 32;  // columns of features: 16 of either parity
constexpr int COLUMNS = WINDOW - 2 * RADIUS;
constexpr int GROUPS = DIAMETER / SHIFTS;
constexpr int FEATURE_ROWS = ROWS + SHIFTS - 1;

// A pixel's features are chunks of 8 numbers, 16 bytes; a product takes two. Of 8 consecutive
// pixels of one parity, a warp reads one chunk each, which should be in different banks: these
// repeat after 8 chunks. Exchanging the chunks within a pixel gives that without a gap between
// pixels, for any number of chunks.
constexpr int CHUNKS = (CHANNELS + 15) / 16 * 2;
constexpr int EXCHANGED = CHUNKS % 8 == 0 ? 8 : CHUNKS % 4 == 0 ? 4 : 2;
constexpr int ROW_BYTES = WINDOW * CHUNKS * 16;
constexpr int FRAME_BYTES = FEATURE_ROWS * ROW_BYTES;

// A pixel's results in shared memory begin at a multiple of 8 channels of the volume, as global
// memory is written 16 bytes at a time.
constexpr int SPAN = SHIFTS * DIAMETER;
constexpr int STRIDE = GROUPS == 1 ? (SPAN + 7) / 8 * 8 : (SPAN + 14) / 8 * 8;

// A warp's parity stays, and its task is a row and a dy.
constexpr int PAIRS_OF_WARPS = WARPS / 2;
constexpr int TASKS = ROWS * SHIFTS;
constexpr int TASKS_OF_WARP = (TASKS + PAIRS_OF_WARPS - 1) / PAIRS_OF_WARPS;

// Where a chunk of the pixel `place` is in its frame's row, which has the pixels of even columns
// first, then those of odd ones.
__device__ __forceinline__ int offset_of(int place, int chunk) {
    const int turn = place / (8 / EXCHANGED) % EXCHANGED;
    return (place * CHUNKS + (chunk ^ turn)) * 16;
}

// Starts the copies of both frames' rows, FEATURE_ROWS from top_1 and top_2, 32 columns from left.
__device__ __forceinline__ void copy_frames(
    unsigned char* shared, const unsigned short* first, const unsigned short* second, int pitch,
    int top_1, int top_2, int left, int height, int width
) {
    // Consecutive threads copy consecutive bytes of a pixel. A thread stays in its column, which
    // makes a copy few instructions. Addresses outside of the image are not read from.
    for (int i = threadIdx.x; i < WINDOW * CHUNKS; i += THREADS) {
        const int column = i / CHUNKS, chunk = i % CHUNKS, x = left + column;
        const bool inside = x >= 0 && x < width && chunk * 8 < CHANNELS;
        const long long row = static_cast<long long>(width) * pitch;
        const long long at = static_cast<long long>(x) * pitch + chunk * 8;
        const unsigned short* from_1 = first + top_1 * row + at;
        const unsigned short* from_2 = second + top_2 * row + at;
        unsigned char* to = shared + offset_of(column % 2 * 16 + column / 2, chunk);
#pragma unroll
        for (int r = 0; r < FEATURE_ROWS; r++) {
            const bool inside_1 = inside && top_1 + r >= 0 && top_1 + r < height;
            const bool inside_2 = inside && top_2 + r >= 0 && top_2 + r < height;
            copy_16(to + r * ROW_BYTES, from_1 + r * row, inside_1);
            copy_16(to + FRAME_BYTES + r * ROW_BYTES, from_2 + r * row, inside_2);
        }
    }
}

// first, second: (images, height, width, feature_pitch), of which the first CHANNELS are read;
// volume: (images, height, width, volume_pitch), of which the first DIAMETER^2 are written. All are
// on 16 bytes, and the pitches are multiples of 8. No image has 2^31 numbers or more.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) correlation(
    const unsigned short* __restrict__ first, const unsigned short* __restrict__ second,
    unsigned short* __restrict__ volume, int feature_pitch, int volume_pitch, int height, int width,
    float scale
) {
    SHARED_MEMORY(shared);
    const int left = blockIdx.x * COLUMNS, top = blockIdx.y * ROWS;
    const int image = blockIdx.z / GROUPS, group = blockIdx.z % GROUPS;
    const int first_shift = group * SHIFTS - RADIUS;  // the lowest dy
    const size_t pixels = size_t(image) * height * width;
    first += pixels * feature_pitch;
    second += pixels * feature_pitch;
    volume += pixels * volume_pitch;

    // With y and dy counted from the block's first ones, y - dy is row y - dy + SHIFTS - 1 of what
    // the block has of frame 1, and y + dy is row y + dy of frame 2.
    copy_frames(
        shared, first, second, feature_pitch, top - first_shift - SHIFTS + 1, top + first_shift,
        left - RADIUS, height, width
    );
    commit();
    wait_for_all_but<0>();
    __syncthreads();

    // The remainder tells the compiler how large a warp's number is at most: with 4 rows, a task's
    // row is then known to be the same in all of the warp's tasks, and its dy to be a constant.
    const unsigned warp = threadIdx.x / 32 % WARPS, lane = threadIdx.x % 32;
    const int parity = warp % 2;

    // The chunks that this lane passes the address of (see load_matrix_x4 and multiply), for the
    // first products; after EXCHANGED chunks, the places repeat.
    constexpr int PERIOD = EXCHANGED / 2;
    int from_1[PERIOD], from_2[PERIOD];
#pragma unroll
    for (int k = 0; k < PERIOD; k++) {
        from_1[k] = offset_of(parity * 16 + lane % 16, 2 * k + lane / 16);
        from_2[k] = offset_of(parity * 16 + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2);
    }
    // The results wait in registers, rounded, until nobody reads the features any more.
    uint32_t results[TASKS_OF_WARP][4];
#pragma unroll
    for (unsigned i = 0; i < TASKS_OF_WARP; i++) {
        const unsigned task = i * PAIRS_OF_WARPS + warp / 2;
        const int row = task % ROWS, shift = task / ROWS;
        __syncwarp();  // or the compiler runs out of registers, having started all tasks at once
        if (shift >= SHIFTS) continue;
        const unsigned char* frame_1 = shared + (row - shift + SHIFTS - 1) * ROW_BYTES;
        const unsigned char* frame_2 = shared + FRAME_BYTES + (row + shift) * ROW_BYTES;
        float low[4] = {}, high[4] = {};  // of frame 2's pixels b of 0 to 7, and of 8 to 15
#pragma unroll
        for (int k = 0; k < CHUNKS / 2; k++) {
            uint32_t a[4], b[4];
            const int further = k / PERIOD * EXCHANGED * 16;
            load_matrix_x4(a, frame_1 + from_1[k % PERIOD] + further);
            load_matrix_x4(b, frame_2 + from_2[k % PERIOD] + further);
            multiply(low, a, b[0], b[1]);
            multiply(high, a, b[2], b[3]);
        }
        results[i][0] = pack(low[0] * scale, low[1] * scale);
        results[i][1] = pack(low[2] * scale, low[3] * scale);
        results[i][2] = pack(high[0] * scale, high[1] * scale);
        results[i][3] = pack(high[2] * scale, high[3] * scale);
    }
    __syncthreads();

    // Channel c of the volume is at c - begin of its pixel.
    const int start = group * SPAN, end = start + SPAN;
    const int begin = start / 8 * 8;
    unsigned short* staged = reinterpret_cast<unsigned short*>(shared) + start - begin;
    int place[8];  // of a lane's products in a row of results; negative: not wanted
#pragma unroll
    for (int k = 0; k < 8; k++) {
        const int a = lane / 4 + k / 2 % 2 * 8, b = lane % 4 * 2 + k % 2 + k / 4 * 8;
        const int shift_x = b - a, x = a + b + parity - RADIUS;
        const bool wanted = shift_x >= -RADIUS && shift_x <= RADIUS && x >= 0 && x < COLUMNS;
        place[k] = wanted ? x * STRIDE + shift_x + RADIUS : -1;
    }
#pragma unroll
    for (unsigned i = 0; i < TASKS_OF_WARP; i++) {
        const unsigned task = i * PAIRS_OF_WARPS + warp / 2;
        const int row = task % ROWS, shift = task / ROWS;
        if (shift >= SHIFTS) continue;
        unsigned short* to = staged + row * COLUMNS * STRIDE + shift * DIAMETER;
#pragma unroll
        for (int k = 0; k < 8; k++)
            if (place[k] >= 0) to[place[k]] = results[i][k / 2] >> k % 2 * 16;
    }
    __syncthreads();

    for (int i = threadIdx.x; i < ROWS * COLUMNS * (STRIDE / 8); i += THREADS) {
        const int pixel = i / (STRIDE / 8), channel = begin + i % (STRIDE / 8) * 8;
        const int y = top + pixel / COLUMNS, x = left + pixel % COLUMNS;
        if (y >= height || x >= width) continue;
        const uint4 eight = reinterpret_cast<const uint4*>(shared)[i];
        unsigned short* to = volume + (y * width + x) * volume_pitch + channel;
        if (channel >= start && channel + 8 <= end) {
            *reinterpret_cast<uint4*>(to) = eight;
        } else {
            const uint32_t pairs[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
            for (int k = 0; k < 8; k++)
                if (channel + k >= start && channel + k < end) to[k] = pairs[k / 2] >> k % 2 * 16;
        }
    }
}
