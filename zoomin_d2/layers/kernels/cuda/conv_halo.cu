// The 3 x 3 convolution of `FusedConv` on the tensor cores of a Hopper GPU (conv_halo.py).
//
// A block makes one tile of pixels after another. It fetches a tile with the pixels around it once,
// STEP channels at a time, while it computes with those that are there. The weights stay in shared
// memory, or are fetched with every tile where they are too many. Pixels go through registers: one
// that was read serves the three rows around it.
//
// Constants: OUTPUTS (channels that a block makes, a multiple of 8), STEP (16, 32, or 64), STRIDE (1
// or 2), DILATION (1 if the stride is 2), ROWS (that four warps make, each of 64 pixels), GROUPS (of
// four warps in a block, one below the other), STAGES (steps in shared memory), BLOCKS (at a time on
// a multiprocessor), RESIDENT (1: the weights stay), ADDED (0: nothing is), PLANES (1: the result
// and what is added are float32 in any layout; 0: they are like x).

#include "hopper.cuh"
#ifndef CUDA_ON_CPU
#include "multiply_64.cuh"
#endif

static_assert(STRIDE == 1 ? DILATION <= 4 : STRIDE == 2 && DILATION == 1, "a row has room for it");

constexpr int THREADS = 128 * GROUPS;
constexpr int TILE_Y = ROWS * GROUPS, TILE_X = 64;
constexpr int IN_X = TILE_X * STRIDE;              // columns of the input for a tile
constexpr int BESIDE = 2 * DILATION + 1 - STRIDE;  // and so many beside them
constexpr int HALO_Y = (TILE_Y - 1) * STRIDE + 2 * DILATION + 1;
constexpr int HALO_ROWS = (ROWS - 1) * STRIDE + 2 * DILATION + 1;  // that four warps need
constexpr int CHUNKS = STEP / 8;                                   // of 16 bytes, in a pixel
// In shared memory, in 16 bytes: a row of pixels, the weights of a step, both of them together.
constexpr int ROW = (IN_X + 8) * CHUNKS;
constexpr int STEP_TAPS = RESIDENT ? 0 : 9 * CHUNKS * OUTPUTS;
constexpr int STAGE = HALO_Y * ROW + STEP_TAPS;
constexpr int PAIRS = OUTPUTS / 8;  // of channels that a thread makes of a pixel

// Where a chunk of a column is in a row, so that those of eight columns a stride apart are in
// different banks: with a stride of 2, even columns come first. The same in every row.
__device__ __forceinline__ int place(int column, int chunk) {
    constexpr int PIXELS_OF_A_LINE = 8 / CHUNKS;
    const int pixel = STRIDE == 2 ? column % 2 * (TILE_X + 8) + column / 2 : column;
    return pixel * CHUNKS + (chunk ^ pixel / PIXELS_OF_A_LINE % CHUNKS);
}

// The tiles of a block, every gridDim.x-th one.
struct Tile {
    int image, y, x;

    __device__ Tile(int index, int across, int down) {
        x = index % across * TILE_X;
        y = index / across % down * TILE_Y;
        image = index / across / down;
    }
    __device__ void advance(const Tile& by, int across, int down) {
        x += by.x, y += by.y, image += by.image;
        if (x >= across * TILE_X) x -= across * TILE_X, y += TILE_Y;
        if (y >= down * TILE_Y) y -= down * TILE_Y, ++image;
    }
};

// For a slope of at most 1.
__device__ __forceinline__ float leaky(float x, float slope) { return fmaxf(x, x * slope); }

// COUNT pairs of 16-bit numbers.
template <int COUNT>
__device__ __forceinline__ void read(uint32_t* pairs, const unsigned short* from) {
    if constexpr (COUNT == 4) {
        const uint4 all = *reinterpret_cast<const uint4*>(from);
        pairs[0] = all.x, pairs[1] = all.y, pairs[2] = all.z, pairs[3] = all.w;
    } else if constexpr (COUNT == 2) {
        const uint2 all = *reinterpret_cast<const uint2*>(from);
        pairs[0] = all.x, pairs[1] = all.y;
    } else {
        pairs[0] = *reinterpret_cast<const uint32_t*>(from);
    }
}

template <int COUNT>
__device__ __forceinline__ void write(unsigned short* to, const uint32_t* pairs) {
    if constexpr (COUNT == 4)
        *reinterpret_cast<uint4*>(to) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    else if constexpr (COUNT == 2)
        *reinterpret_cast<uint2*>(to) = make_uint2(pairs[0], pairs[1]);
    else
        *reinterpret_cast<uint32_t*>(to) = pairs[0];
}

// A thread makes eight neighboring channels of every 32 of a block, four of 16, or two of 8: of the
// group that begins with this pair, so many pairs, and from this channel on.
__device__ constexpr int count_from(int pair) {
    return PAIRS - pair >= 4 ? 4 : PAIRS - pair >= 2 ? 2 : 1;
}
__device__ __forceinline__ int channel_of(int pair, int quad) {
    return blockIdx.y * OUTPUTS + 8 * pair + quad * 2 * count_from(pair);
}

// Starts the copies of one step of a tile and of the pixels around it, with zeros outside of the
// frame. A thread copies the same chunk of the same column of many rows. source: the pixel (y, x).
__device__ __forceinline__ void copy_tile(
    uint4* stage, const unsigned short* source, int y, int x, int height, int width, int x_pixel
) {
    constexpr int PIXELS = THREADS / CHUNKS;  // at once
    constexpr int ROWS_AT_ONCE = PIXELS > IN_X ? PIXELS / IN_X : 1;
    const int thread = threadIdx.x, chunk = thread % CHUNKS, row_size = width * x_pixel;
    const int first = thread / CHUNKS % IN_X, first_row = thread / CHUNKS / IN_X;
    source += chunk * 8 - DILATION * row_size;
#pragma unroll
    for (int i = 0; i < IN_X; i += PIXELS) {
        const int column = i + first;
        const bool in_width = x + column < width;
        uint4* to = stage + place(column + DILATION, chunk) + first_row * ROW;
        const unsigned short* from = source + first_row * row_size + column * x_pixel;
#pragma unroll
        for (int row = 0; row < HALO_Y; row += ROWS_AT_ONCE) {
            if (HALO_Y % ROWS_AT_ONCE && row + first_row >= HALO_Y) break;
            const bool in_height = unsigned(y - DILATION + row + first_row) < unsigned(height);
            copy_16(to + row * ROW, from, in_width && in_height);
            from += ROWS_AT_ONCE * row_size;
        }
    }
#pragma unroll
    for (int i = 0; i < HALO_Y * BESIDE; i += PIXELS) {
        const int index = i + thread / CHUNKS, row = index / BESIDE, side = index % BESIDE;
        if (HALO_Y * BESIDE % PIXELS && index >= HALO_Y * BESIDE) break;
        const int column = (side < DILATION ? side : side + IN_X) - DILATION;
        const bool in_width = unsigned(x + column) < unsigned(width);
        const bool in_height = unsigned(y - DILATION + row) < unsigned(height);
        const unsigned short* from = source + row * row_size + column * x_pixel;
        copy_16(stage + row * ROW + place(column + DILATION, chunk), from, in_width && in_height);
    }
}

// x: (images, in_height, in_width, channels), pixels x_pixel apart, rows dense; out and added: as
// their strides say, in elements. weight: (outputs / OUTPUTS, 9, channels / 8, OUTPUTS, 8), the
// outputs in the order that `channel_of` undoes. An image has fewer than 2^31 numbers.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv_halo(
    const uint4* weight, const unsigned short* x, const float* bias, const void* added, void* out,
    int images, int in_height, int in_width, int height, int width, int channels, int x_pixel,
    int num_out,
    long long added_image, int added_row, int added_pixel, int added_channel,
    long long out_image, int out_row, int out_pixel, int out_channel, float slope
) {
    SHARED_MEMORY(memory);
    const int steps = channels / STEP, tap_size = channels / 8 * OUTPUTS, num_taps = 9 * tap_size;
    uint4* taps = reinterpret_cast<uint4*>(memory);
    uint4* stages = RESIDENT ? taps + num_taps : taps;
    weight += blockIdx.y * num_taps;
    const int thread = threadIdx.x, lane = thread % 32, quad = lane % 4;
    const int first_row = thread / 128 * ROWS, first_column = thread % 128 / 32 * 16;

#pragma unroll 1
    for (int i = thread; RESIDENT && i < num_taps; i += THREADS)
        copy_16(taps + i, weight + i, true);

    const int across = (width + TILE_X - 1) / TILE_X, down = (height + TILE_Y - 1) / TILE_Y;
    const Tile by(gridDim.x, across, down);
    Tile tile(blockIdx.x, across, down), next = tile;
    int next_step = 0, next_stage = 0;
    auto fetch = [&] {
        if (next.image < images) {
            const int in_y = next.y * STRIDE, in_x = next.x * STRIDE;
            const long long pixel = (long long)(next.image * in_height + in_y) * in_width + in_x;
            uint4* stage = stages + next_stage * STAGE;
            const unsigned short* source = x + pixel * x_pixel + next_step * STEP;
            copy_tile(stage + STEP_TAPS, source, in_y, in_x, in_height, in_width, x_pixel);
            for (int i = thread; !RESIDENT && i < STEP_TAPS; i += THREADS) {
                const int tap = i / (CHUNKS * OUTPUTS), at = i % (CHUNKS * OUTPUTS);
                const uint4* from = weight + tap * tap_size + next_step * CHUNKS * OUTPUTS;
                copy_16(stage + i, from + at, true);
            }
            next_stage = next_stage + 1 == STAGES ? 0 : next_stage + 1;
            if (++next_step == steps) {
                next_step = 0;
                next.advance(by, across, down);
            }
        }
        commit();
    };
#pragma unroll
    for (int i = 0; i < STAGES - 1; ++i) fetch();

    int stage_index = 0;
    for (; tile.image < images; tile.advance(by, across, down)) {
        const int y = tile.y + first_row, at_x = tile.x + first_column + lane / 4;
        const int added_at = y * added_row + at_x * added_pixel;
        const long long added_corner = tile.image * added_image + added_at;
        // What is added travels while the products are made.
        uint32_t pairs[ROWS][2][PLANES || !ADDED ? 1 : PAIRS];
        float beside[ROWS][2][PLANES && ADDED ? 2 * PAIRS : 1];
#pragma unroll
        for (int row = 0; ADDED && row < ROWS; ++row)
#pragma unroll
            for (int side = 0; side < 2; ++side) {
                const bool inside = y + row < height && at_x + 8 * side < width;
                const long long at = added_corner + (row * added_row + side * 8 * added_pixel);
#pragma unroll
                for (int pair = 0; pair < PAIRS; pair += count_from(pair)) {
                    const int count = count_from(pair), channel = channel_of(pair, quad);
                    if (PLANES) {
                        const float* from = static_cast<const float*>(added) + at;
#pragma unroll
                        for (int i = 0; i < 2 * count; ++i) {
                            const bool there = inside && channel + i < num_out;
                            beside[row][side][PLANES && ADDED ? 2 * pair + i : 0] =
                                there ? from[(channel + i) * added_channel] : 0;
                        }
                        continue;
                    }
                    const unsigned short* from = static_cast<const unsigned short*>(added) + at;
                    uint32_t* to = &pairs[row][side][PLANES || !ADDED ? 0 : pair];
#pragma unroll
                    for (int i = 0; i < count; ++i) to[i] = 0;
                    if (!inside) continue;
                    if (count == 4) read<4>(to, from + channel);
                    else if (count == 2) read<2>(to, from + channel);
                    else read<1>(to, from + channel);
                }
            }

        float sum[ROWS][OUTPUTS / 2];
#pragma unroll
        for (int pair = 0; pair < PAIRS; pair += count_from(pair))
#pragma unroll
            for (int i = 0; i < 2 * count_from(pair); ++i) {
                const float shift = bias[channel_of(pair, quad) + i];
#pragma unroll
                for (int row = 0; row < ROWS; ++row)
#pragma unroll
                    for (int side = 0; side < 2; ++side)
                        sum[row][4 * (pair + i / 2) + 2 * side + i % 2] = shift;
            }
        for (int step = 0; step < steps; ++step) {
            wait_for_all_but<STAGES - 2>();
            show_copies_to_products();
            __syncthreads();  // everybody's copies are there
            const uint4* stage = stages + stage_index * STAGE;
            const uint4* step_taps = RESIDENT ? taps + step * CHUNKS * OUTPUTS : stage;
            const int tap_pitch = RESIDENT ? tap_size : CHUNKS * OUTPUTS;
            stage_index = stage_index + 1 == STAGES ? 0 : stage_index + 1;
            // Pixels go through registers, in two sets that take turns.
            uint32_t a[2][HALO_ROWS][4];
#pragma unroll
            for (int part = 0; part < 3 * (STEP / 16); ++part) {
                const int slice = part / 3, across = part % 3;
                const int column = (first_column + lane % 16) * STRIDE + across * DILATION;
                const uint4* from = stage + STEP_TAPS + first_row * STRIDE * ROW;
                from += place(column, 2 * slice + lane / 16);
                if (part >= 2) wait_for_products<1>();
#pragma unroll
                for (int row = 0; row < HALO_ROWS; ++row)
                    load_matrix_x4(a[part % 2][row], from + row * ROW);
                start_products();
#pragma unroll
                for (int row = 0; row < HALO_ROWS; ++row)
#pragma unroll
                    for (int down = 0; down < 3; ++down) {
                        const int below = row - down * DILATION, made = below / STRIDE;
                        if (below < 0 || below % STRIDE || made >= ROWS) continue;
                        const uint4* tap = step_taps + (down * 3 + across) * tap_pitch;
                        const Matrix b = matrix(tap + 2 * slice * OUTPUTS, OUTPUTS);
                        multiply_64(sum[made], a[part % 2][row], b);
                    }
                end_products();
            }
            fetch();  // into the stage before, which has been used
            wait_for_products<0>();
        }
#pragma unroll
        for (int row = 0; row < ROWS; ++row) keep(sum[row]);

        const long long corner = tile.image * out_image + y * out_row + at_x * out_pixel;
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
#pragma unroll
            for (int side = 0; side < 2; ++side) {
                if (y + row >= height || at_x + 8 * side >= width) continue;
                const long long at = corner + (row * out_row + side * 8 * out_pixel);
#pragma unroll
                for (int pair = 0; pair < PAIRS; pair += count_from(pair)) {
                    constexpr int MOST = 4;
                    const int count = count_from(pair), channel = channel_of(pair, quad);
                    uint32_t packed[MOST];
#pragma unroll
                    for (int i = 0; i < count; ++i) {
                        float low = sum[row][4 * (pair + i) + 2 * side];
                        float high = sum[row][4 * (pair + i) + 2 * side + 1];
                        if constexpr (ADDED && PLANES) {
                            low += beside[row][side][2 * (pair + i)];
                            high += beside[row][side][2 * (pair + i) + 1];
                        } else if constexpr (ADDED) {
                            const float2 more = unpack(pairs[row][side][pair + i]);
                            low += more.x, high += more.y;
                        }
                        low = leaky(low, slope), high = leaky(high, slope);
                        packed[i] = pack(low, high);
                        if (!PLANES) continue;
                        float* to = static_cast<float*>(out) + at;
                        const int first = channel + 2 * i;
                        if (first < num_out) to[first * out_channel] = low;
                        if (first + 1 < num_out) to[(first + 1) * out_channel] = high;
                    }
                    if (PLANES) continue;
                    unsigned short* to = static_cast<unsigned short*>(out) + at + channel;
                    if (count == 4) write<4>(to, packed);
                    else if (count == 2) write<2>(to, packed);
                    else write<1>(to, packed);
                }
            }
    }
}
