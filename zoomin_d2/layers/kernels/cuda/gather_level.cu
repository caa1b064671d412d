// Everything that a level of a coarse-to-fine network reads: `gather_level` in warp.py defines it.
//
// A block makes a tile of pixels. First a thread upsamples the motion of a pixel, and puts what the
// others need to know into shared memory: where the pixel is in both frames, and the channels of
// motion and time, rounded. Then the threads go over the tile's channels in memory's order, eight
// at a time: neighboring threads read and write neighboring bytes, and every position is only
// computed once.
//
// Constants: FIRST (channels of a frame), START (where the last part begins), LAST (where hidden
// does; between the two are zeros) and TOTAL (of the output), all multiples of 8; HIDDEN (channels,
// any number), WARP (0: features are copied, there is no motion), ROWS and COLUMNS (of a tile, both
// even), THREADS, BLOCKS (at a time on a multiprocessor), BATCH (chunks of 8 channels that a thread
// waits for at a time), BFLOAT16.
// Grid: (ceil(width / COLUMNS), ceil(height / ROWS), images).
// Shared memory: 16 * PIXELS * (2 + ENDS) bytes. The names are below.

#include "common.cuh"

static_assert(FIRST % 8 == 0 && START % 8 == 0 && LAST % 8 == 0 && TOTAL % 8 == 0, "16 bytes");
static_assert(2 * FIRST <= START && START <= LAST && LAST + HIDDEN + 6 <= TOTAL, "parts in order");
static_assert(ROWS % 2 == 0 && COLUMNS % 2 == 0, "a pixel of hidden is four of this grid");

constexpr int PIXELS = ROWS * COLUMNS;
constexpr int CHUNKS = FIRST / 8;              // of 8 channels, of a frame
constexpr int PARTIAL = HIDDEN % 8;            // hidden channels in the chunk where motion begins
constexpr int ENDS = (PARTIAL + 6 + 7) / 8;    // chunks with motion and time
constexpr int FULL = (LAST - START) / 8;       // where hidden begins, in chunks of the last part
constexpr int END = FULL + HIDDEN / 8;         // where the ends do
constexpr int LAST_CHUNKS = (TOTAL - START) / 8;
constexpr bool EVEN = WARP || HIDDEN > 0;      // the map's sides: below are maps of half the size

// Between the four neighbors: a, b above, c, d below.
__device__ __forceinline__ float bilinear(
    float a, float b, float c, float d, float over, float down
) {
    return (a * (1 - over) + b * over) * (1 - down) + (c * (1 - over) + d * over) * down;
}

__device__ __forceinline__ uint32_t bilinear_pair(
    uint32_t a, uint32_t b, uint32_t c, uint32_t d, float over, float down
) {
    const float2 p = unpack(a), q = unpack(b), r = unpack(c), s = unpack(d);
    return pack(bilinear(p.x, q.x, r.x, s.x, over, down), bilinear(p.y, q.y, r.y, s.y, over, down));
}

// The planes of the motion at a pixel of the finer grid (align_corners=False).
__device__ __forceinline__ void upsample(
    float (&finer)[5], const float* motion, int y, int x, int half_height, int half_width
) {
    const int odd_y = y & 1, odd_x = x & 1;
    const int above = max((y >> 1) - 1 + odd_y, 0) * half_width;
    const int below = min((y >> 1) + odd_y, half_height - 1) * half_width;
    const int left = max((x >> 1) - 1 + odd_x, 0), right = min((x >> 1) + odd_x, half_width - 1);
    const float down = 0.75f - 0.5f * odd_y, over = 0.75f - 0.5f * odd_x;
    const int plane = half_height * half_width;
#pragma unroll
    for (int i = 0; i < 5; i++, motion += plane)
        finer[i] = bilinear(
            motion[above + left], motion[above + right], motion[below + left],
            motion[below + right], over, down
        );
}

constexpr int OUTSIDE = -TOTAL;  // a `to` that stays negative with any chunk's number added

// Where a pixel comes from and goes to: what is to be added to the number of a chunk among those of
// both frames, to get its place in the tensors. 32 bits are enough to count chunks in large ones;
// with an image's offset of 64 bits, the loop over them would have a fifth more instructions.
struct Position {
    int from;
    float over, down;
    int to;
};

__device__ __forceinline__ uint4 as_chunk(const Position& p) {
    return make_uint4(p.from, __float_as_uint(p.over), __float_as_uint(p.down), p.to);
}

__device__ __forceinline__ Position as_position(const uint4& chunk) {
    return {int(chunk.x), __uint_as_float(chunk.y), __uint_as_float(chunk.z), int(chunk.w)};
}

// The pixel (y, x), moved.
__device__ __forceinline__ Position position_of(
    float y, float x, int height, int width, int pitch, int first, int to
) {
    x = fminf(fmaxf(x, 0), width - 1);
    y = fminf(fmaxf(y, 0), height - 1);
    const int left = x, top = y;
    return {first + (top * width + left) * pitch, x - left, y - top, to};
}

// A chunk of hidden for each of four pixels: of 32 neighboring numbers, every fourth one.
__device__ __forceinline__ void shuffle_pixels(uint4 (&four)[4], const uint4* from) {
    const uint4 read[4] = {from[0], from[1], from[2], from[3]};
    uint32_t pairs[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        pairs[0][i] = (read[i].x & 0xffff) | read[i].z << 16;
        pairs[1][i] = read[i].x >> 16 | (read[i].z & 0xffff0000);
        pairs[2][i] = (read[i].y & 0xffff) | read[i].w << 16;
        pairs[3][i] = read[i].y >> 16 | (read[i].w & 0xffff0000);
    }
#pragma unroll
    for (int k = 0; k < 4; k++)
        four[k] = make_uint4(pairs[k][0], pairs[k][1], pairs[k][2], pairs[k][3]);
}

// Arguments as in warp.py; pitches in 16 bytes. features: every frame 1, then every frame 2.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) gather_level(
    const uint4* features, const float* motion, const uint4* hidden, const float* times, uint4* out,
    float* finer, int images, int height, int width, int feature_pitch, int hidden_pitch,
    int out_pitch
) {
    SHARED_MEMORY(shared);
    uint4* positions = reinterpret_cast<uint4*>(shared);  // (2, PIXELS), by frame
    uint4* ends = positions + 2 * PIXELS;                 // (ENDS, PIXELS)
    const int left = blockIdx.x * COLUMNS, top = blockIdx.y * ROWS, image = blockIdx.z;
    const unsigned thread = threadIdx.x;
    const int half_height = height >> 1, half_width = width >> 1;
    const int pixels = height * width, first_below = image * half_height * half_width;
    const int frame_1 = image * pixels * feature_pitch;
    const int frame_2 = frame_1 + images * pixels * feature_pitch - CHUNKS;
#pragma unroll
    for (int i = 0; i < PIXELS; i += THREADS) {
        const unsigned p = i + thread;
        if (PIXELS % THREADS && p >= PIXELS) break;
        const int y = top + int(p / COLUMNS), x = left + int(p % COLUMNS), pixel = y * width + x;
        const bool inside = y < height && x < width;
        const int to = inside ? (image * pixels + pixel) * out_pitch : OUTSIDE;
        const int from = inside ? pixel * feature_pitch : 0;
        Position first = {frame_1 + from, 0, 0, to}, second = {frame_2 + from, 0, 0, to};
        float end[8 * ENDS] = {};
        const float t = times[image];
        end[PARTIAL + 5] = t - 0.5f;
        if (PARTIAL && inside) {
            const int at = (first_below + (y >> 1) * half_width + (x >> 1)) * hidden_pitch;
            const uint4* below = hidden + at + HIDDEN / 8 * 4;
            const unsigned short* numbers = reinterpret_cast<const unsigned short*>(below);
#pragma unroll
            for (int c = 0; c < PARTIAL; c++)
                end[c] = unpack(numbers[4 * c + (y & 1) * 2 + (x & 1)]).x;
        }
        if (WARP && inside) {
            const float* planes = motion + size_t(image) * 5 * half_height * half_width;
            float unit[5];
            upsample(unit, planes, y, x, half_height, half_width);
            // Twice the pixels on the finer grid, and 2 t or 2 (1 - t) times unit time's motion.
            const float factor_1 = 2 * (2 * t), factor_2 = 2 * (2 * (1 - t));
            const float y_1 = y + factor_1 * unit[1], x_1 = x + factor_1 * unit[0];
            const float y_2 = y + factor_2 * unit[3], x_2 = x + factor_2 * unit[2];
            first = position_of(y_1, x_1, height, width, feature_pitch, frame_1, to);
            second = position_of(y_2, x_2, height, width, feature_pitch, frame_2, to);
            float* plane = finer + size_t(image) * 5 * pixels + pixel;
#pragma unroll
            for (int k = 0; k < 5; k++, plane += pixels) {
                end[PARTIAL + k] = k < 4 ? 2 * unit[k] : unit[k];
                *plane = end[PARTIAL + k];
            }
        }
        positions[p] = as_chunk(first);
        positions[PIXELS + p] = as_chunk(second);
#pragma unroll
        for (int k = 0; k < ENDS; k++) {
            const float* e = end + 8 * k;
            ends[k * PIXELS + p] =
                make_uint4(pack(e[0], e[1]), pack(e[2], e[3]), pack(e[4], e[5]), pack(e[6], e[7]));
        }
    }
    __syncthreads();

    // Features, frame 1's chunks of a pixel before frame 2's. A neighbor of weight zero may be
    // outside: the pixel itself is read instead.
    constexpr unsigned OF_A_PIXEL = 2 * CHUNKS, ITEMS = PIXELS * OF_A_PIXEL;
    const int row = width * feature_pitch;
#pragma unroll 1
    for (unsigned item = thread; item < ITEMS; item += BATCH * THREADS) {
        uint4 a[BATCH], b[BATCH], c[BATCH], d[BATCH];
        Position at[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            const unsigned own = item + k * THREADS, chunk = own % OF_A_PIXEL;
            const bool real = ITEMS % (BATCH * THREADS) == 0 || own < ITEMS;
            const unsigned p = real ? own / OF_A_PIXEL : 0;
            at[k] = as_position(positions[chunk < CHUNKS ? p : PIXELS + p]);
            at[k].to = real ? at[k].to + int(chunk) : OUTSIDE;
            const int from = at[k].from + int(chunk);
            a[k] = features[from];
            if (!WARP) continue;
            const int right = at[k].over > 0 ? feature_pitch : 0, down = at[k].down > 0 ? row : 0;
            b[k] = features[from + right];
            c[k] = features[from + down];
            d[k] = features[from + down + right];
        }
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            uint4 made = a[k];
            if (WARP) {
                const float over = at[k].over, down = at[k].down;
                made.x = bilinear_pair(a[k].x, b[k].x, c[k].x, d[k].x, over, down);
                made.y = bilinear_pair(a[k].y, b[k].y, c[k].y, d[k].y, over, down);
                made.z = bilinear_pair(a[k].z, b[k].z, c[k].z, d[k].z, over, down);
                made.w = bilinear_pair(a[k].w, b[k].w, c[k].w, d[k].w, over, down);
            }
            if (at[k].to >= 0) out[at[k].to] = made;
        }
    }

    // The rest, of four pixels at once: one of hidden has the numbers of all four.
    constexpr unsigned LAST_ITEMS = PIXELS / 4 * LAST_CHUNKS;
#pragma unroll 1
    for (unsigned item = thread; item < LAST_ITEMS; item += THREADS) {
        const unsigned quad = item / LAST_CHUNKS;
        const int chunk = item % LAST_CHUNKS;
        const int tile_y = quad / (COLUMNS / 2) * 2, tile_x = quad % (COLUMNS / 2) * 2;
        const int y = top + tile_y, x = left + tile_x;
        if (y >= height || x >= width) continue;
        uint4 four[4] = {};
        if (chunk >= FULL && chunk < END) {
            const int below = (first_below + (y >> 1) * half_width + (x >> 1)) * hidden_pitch;
            shuffle_pixels(four, hidden + (below + (chunk - FULL) * 4));
        } else if (chunk >= END && chunk < END + ENDS) {
            const uint4* own = ends + (chunk - END) * PIXELS + tile_y * COLUMNS + tile_x;
            four[0] = own[0], four[1] = own[1], four[2] = own[COLUMNS], four[3] = own[COLUMNS + 1];
        }
        uint4* to = out + ((image * pixels + y * width + x) * out_pitch + START / 8 + chunk);
        const bool has_right = EVEN || x + 1 < width, has_below = EVEN || y + 1 < height;
        to[0] = four[0];
        if (has_right) to[out_pitch] = four[1];
        to += width * out_pitch;
        if (has_below) to[0] = four[2];
        if (has_below && has_right) to[out_pitch] = four[3];
    }
}
