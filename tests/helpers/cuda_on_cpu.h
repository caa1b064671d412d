// Compiles and runs the CUDA C++ kernels of zoomin_d2/layers/kernels/cuda on a CPU, for tests.
//
//     #include "cuda_on_cpu.h"
//     #include "some_kernel.cu"
//     EXPORT_RUN(name_of_the_kernel)
//
// compiled with `g++ -std=c++17 -shared -fPIC` makes a library with the function
// `run(grid_x, grid_y, grid_z, threads, shared_bytes, void** args)`; `args` points to the arguments
// one by one, as in cuLaunchKernel. cuda_on_cpu.py does all that.
//
// The threads of a block are coroutines of one thread of the CPU: a warp runs until it has to wait
// for the others. That needs no locks, is fast on two cores, and always happens in the same order.
// It also shows mistakes that a GPU may hide: without a barrier, the first warp is far ahead of the
// others; asynchronous copies only arrive when waited for; shared memory starts as NaN; and copies
// and matrices check their alignment.

#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#define CUDA_ON_CPU
#define __global__
#define __device__
#define __shared__ static  // blocks run one after another: threads share it, blocks reuse it
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// A block's dynamic shared memory: `extern __shared__ __align__(16) unsigned char name[]` on a GPU.
#define SHARED_MEMORY(name) unsigned char* const name = cuda_on_cpu::block.shared

#define VECTOR_2(name, type) struct alignas(2 * sizeof(type)) name { type x, y; }; \
    inline name make_##name(type x, type y) { return {x, y}; }
#define VECTOR_4(name, type) struct alignas(16) name { type x, y, z, w; }; \
    inline name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }
VECTOR_2(uint2, unsigned) VECTOR_2(float2, float)
VECTOR_4(uint4, unsigned)
template <typename T> T min(T a, T b) { return b < a ? b : a; }
template <typename T> T max(T a, T b) { return a < b ? b : a; }
struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;  // of the coroutine that runs

namespace cuda_on_cpu {

[[noreturn]] inline void fail(const char* message) {
    std::fprintf(stderr, "cuda_on_cpu: %s (block %u %u %u, thread %u)\n", message, blockIdx.x,
                 blockIdx.y, blockIdx.z, threadIdx.x);
    std::abort();
}

// Threads that wait for each other: a warp or a block. Those that have returned do not count.
struct Group {
    int alive = 0, arrived = 0;
    long meetings = 0;
    uint64_t exchange[32][4];  // what each lane of a warp shows the others

    void check() {
        if (arrived > 0 && arrived == alive) arrived = 0, meetings++;
    }
};

struct Copy { void* shared; const void* global; };  // from nullptr: zeros

// A matrix in shared memory (hopper.cuh), and a product that runs on while the warps go on.
struct Matrix { const unsigned char* first; long pitch; };
struct Product { float* sum; int size; const uint32_t* a; Matrix b; };

struct Thread {
    ucontext_t context;
    std::vector<char> stack;
    Group *warp, *waits_for;
    long until;
    bool finished;
    std::vector<std::vector<Copy>> copies;  // by group; the last is not committed yet
    std::vector<std::vector<Product>> products;  // likewise
    bool shows_copies;  // what it copied can be seen by products, after a barrier
};

struct Block {
    std::vector<Thread> threads;
    std::vector<Group> warps;
    Group all;
    Thread* current;
    ucontext_t scheduler;
    unsigned char* shared;
    int shared_bytes;
    void (*call)(void*);
    void* kernel;
};
static Block block;

inline void meet(Group& group) {
    Thread& me = *block.current;
    me.waits_for = &group, me.until = group.meetings + 1;
    group.arrived++;
    group.check();
    if (group.meetings < me.until) swapcontext(&me.context, &block.scheduler);
    me.waits_for = nullptr;
}

inline Group& whole_warp() {
    Group& warp = *block.current->warp;
    if (warp.alive != 32) fail("a warp's instruction needs all of its 32 threads");
    return warp;
}

inline int lane() { return threadIdx.x % 32; }

inline void start() {
    block.call(block.kernel);
    Thread& me = *block.current;
    me.finished = true;
    me.warp->alive--, block.all.alive--;
    me.warp->check(), block.all.check();
}

inline bool run_warp(int first, int end) {  // each thread to where it waits; whether any did
    bool progress = false;
    for (int i = first; i < end; i++) {
        Thread& thread = block.threads[i];
        if (thread.finished) continue;
        if (thread.waits_for && thread.waits_for->meetings < thread.until) continue;
        progress = true;
        threadIdx = {unsigned(i), 0, 0};
        block.current = &thread;
        swapcontext(&block.scheduler, &thread.context);
    }
    return progress;
}

inline void run_block(int threads) {
    std::memset(block.shared, 0xff, block.shared_bytes);  // NaN in float16, bfloat16 and float32
    block.warps.assign((threads + 31) / 32, Group());
    block.all = Group();
    block.threads.resize(threads);
    for (int i = 0; i < threads; i++) {
        Thread& thread = block.threads[i];
        thread.stack.resize(1 << 16);
        thread.warp = &block.warps[i / 32], thread.waits_for = nullptr, thread.finished = false;
        thread.copies.assign(1, {}), thread.products.assign(1, {}), thread.shows_copies = true;
        thread.warp->alive++, block.all.alive++;
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.data();
        thread.context.uc_stack.ss_size = thread.stack.size();
        thread.context.uc_link = &block.scheduler;
        makecontext(&thread.context, start, 0);
    }
    while (block.all.alive > 0) {
        bool progress = false;
        for (int first = 0; first < threads; first += 32)
            while (run_warp(first, min(first + 32, threads))) progress = true;
        if (!progress) fail("threads wait for each other at different places");
    }
}

template <typename... T, size_t... I>
void launch(void (*kernel)(T...), void** args, std::index_sequence<I...>, dim3 grid, int threads,
            int shared_bytes) {
    auto bound = [&] { kernel(*static_cast<std::decay_t<T>*>(args[I])...); };
    block.kernel = &bound;
    block.call = [](void* f) { (*static_cast<decltype(bound)*>(f))(); };
    std::vector<uint4> shared((shared_bytes + 15) / 16 + 1);
    block.shared = reinterpret_cast<unsigned char*>(shared.data());
    block.shared_bytes = shared_bytes;
    gridDim = grid, blockDim = {unsigned(threads), 1, 1};
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                blockIdx = {x, y, z};
                run_block(threads);
            }
}

template <typename... T>
void launch(void (*kernel)(T...), void** args, dim3 grid, int threads, int shared_bytes) {
    launch(kernel, args, std::index_sequence_for<T...>(), grid, threads, shared_bytes);
}

}  // namespace cuda_on_cpu

#define EXPORT_RUN(kernel)                                                                     \
    extern "C" void run(int grid_x, int grid_y, int grid_z, int threads, int shared_bytes,     \
                        void** args) {                                                         \
        dim3 grid{unsigned(grid_x), unsigned(grid_y), unsigned(grid_z)};                       \
        cuda_on_cpu::launch(kernel, args, grid, threads, shared_bytes);                        \
    }

inline void __syncthreads() { cuda_on_cpu::meet(cuda_on_cpu::block.all); }
inline void __syncwarp(unsigned = ~0u) { cuda_on_cpu::meet(*cuda_on_cpu::block.current->warp); }
inline float __shfl_xor_sync(unsigned, float x, int lanes) {
    auto& warp = cuda_on_cpu::whole_warp();
    const int lane = cuda_on_cpu::lane();
    float other;
    std::memcpy(warp.exchange[lane], &x, 4);
    cuda_on_cpu::meet(warp);
    std::memcpy(&other, warp.exchange[lane ^ lanes], 4);
    cuda_on_cpu::meet(warp);
    return other;
}
inline float fmaxf(float a, float b) { return std::fmax(a, b); }
inline float __uint_as_float(unsigned x) { float y; return std::memcpy(&y, &x, 4), y; }
inline unsigned __float_as_uint(float x) { unsigned y; return std::memcpy(&y, &x, 4), y; }

// CUDA's 16-bit numbers: g++ 12 has none of its own in C++.

namespace cuda_on_cpu {

inline float half_to_float(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 0    ? std::ldexp(float(fraction), -24)
                 : exponent == 31 ? (fraction ? NAN : INFINITY)
                                  : std::ldexp(float(1024 + fraction), exponent - 25);
    return bits & 0x8000 ? -size : size;
}

inline uint16_t float_to_half(float x) {  // to the nearest, ties to even
    uint32_t bits = __float_as_uint(x), sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return 0x7fff;                     // NaN
    if (bits >= 0x477ff000) return sign | 0x7c00;             // at least 65520: infinity
    if (bits < 0x38800000)                                    // subnormal: multiples of 2^-24
        return sign | uint32_t(std::nearbyint(std::fabs(x) * 0x1p24f));
    return sign | (bits + 0xfff + (bits >> 13 & 1) - 0x38000000) >> 13;
}

inline float bfloat_to_float(uint16_t bits) { return __uint_as_float(uint32_t(bits) << 16); }

inline uint16_t float_to_bfloat(float x) {
    uint32_t bits = __float_as_uint(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

#if BFLOAT16
inline float from_16_bits(uint16_t bits) { return bfloat_to_float(bits); }
inline uint16_t to_16_bits(float x) { return float_to_bfloat(x); }
#else
inline float from_16_bits(uint16_t bits) { return half_to_float(bits); }
inline uint16_t to_16_bits(float x) { return float_to_half(x); }
#endif

}  // namespace cuda_on_cpu

// The wrappers of zoomin_d2/layers/kernels/cuda/common.cuh.

inline void copy_16(void* shared, const void* global, bool valid) {
    auto& block = cuda_on_cpu::block;
    auto* at = static_cast<unsigned char*>(shared);
    bool aligned = (uintptr_t(shared) | (valid ? uintptr_t(global) : 0)) % 16 == 0;
    if (!aligned) cuda_on_cpu::fail("copy_16 of addresses that are not multiples of 16");
    if (at < block.shared || at + 16 > block.shared + block.shared_bytes)
        cuda_on_cpu::fail("copy_16 to outside the shared memory");
    block.current->copies.back().push_back({shared, valid ? global : nullptr});
}

inline void commit() { cuda_on_cpu::block.current->copies.emplace_back(); }

template <int N> void wait_for_all_but() {
    auto& groups = cuda_on_cpu::block.current->copies;
    while (int(groups.size()) - 1 > N) {
        cuda_on_cpu::block.current->shows_copies = false;
        for (auto& copy : groups.front()) {
            if (copy.global) std::memcpy(copy.shared, copy.global, 16);
            else std::memset(copy.shared, 0, 16);
        }
        groups.erase(groups.begin());
    }
}

inline void load_matrix_x4(uint32_t (&r)[4], const void* row) {
    if (uintptr_t(row) % 16) cuda_on_cpu::fail("load_matrix_x4 of a row that is not on 16 bytes");
    auto& warp = cuda_on_cpu::whole_warp();
    const int lane = cuda_on_cpu::lane();
    warp.exchange[lane][0] = uintptr_t(row);
    cuda_on_cpu::meet(warp);
    for (int i = 0; i < 4; i++) {
        auto* from = reinterpret_cast<const unsigned char*>(warp.exchange[8 * i + lane / 4][0]);
        std::memcpy(&r[i], from + 4 * (lane % 4), 4);
    }
    cuda_on_cpu::meet(warp);
}

inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    auto& warp = cuda_on_cpu::whole_warp();
    const int lane = cuda_on_cpu::lane();
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    std::memcpy(warp.exchange[lane], mine, sizeof(mine));
    cuda_on_cpu::meet(warp);
    // Element `k` of a row of 16: its lane within the row's four, its register, its half.
    auto element = [&](int row, int k, int first_register, int per_k) {
        uint32_t registers[6];
        std::memcpy(registers, warp.exchange[4 * row + k % 8 / 2], sizeof(registers));
        return cuda_on_cpu::from_16_bits(registers[first_register + k / 8 * per_k] >> k % 2 * 16);
    };
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4, column = 2 * (lane % 4) + i % 2;
        for (int k = 0; k < 16; k++)
            c[i] += element(row, k, i / 2, 2) * element(column, k, 4, 1);
    }
    cuda_on_cpu::meet(warp);
}

inline uint32_t pack(float low, float high) {
    return cuda_on_cpu::to_16_bits(low) | uint32_t(cuda_on_cpu::to_16_bits(high)) << 16;
}

inline float2 unpack(uint32_t pair) {
    return {cuda_on_cpu::from_16_bits(pair), cuda_on_cpu::from_16_bits(pair >> 16)};
}

// The wrappers of hopper.cuh. Products are made when they are waited for, with what their operands
// are then: a thread that overwrites these too early, or uses a sum too early, gets something else.

using Matrix = cuda_on_cpu::Matrix;
inline Matrix matrix(const uint4* first_row, int pitch) {
    return {reinterpret_cast<const unsigned char*>(first_row), pitch * 16L};
}

template <int N> void multiply_64(float (&sum)[N], const uint32_t (&a)[4], Matrix b) {
    for (auto& thread : cuda_on_cpu::block.threads)
        if (!thread.shows_copies) cuda_on_cpu::fail("a product may not see all copies");
    cuda_on_cpu::block.current->products.back().push_back({sum, N, a, b});
}

namespace cuda_on_cpu {

inline void make(const Product& product) {
    auto& warp = whole_warp();
    std::memcpy(warp.exchange[lane()], product.a, 16);
    meet(warp);
    for (int i = 0; i < product.size; i++) {
        const int row = lane() / 4, column = i / 4 * 8 + lane() % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            uint32_t a[4];
            std::memcpy(a, warp.exchange[4 * row + k % 8 / 2], 16);
            uint16_t b;
            const auto* of_k = product.b.first + k / 8 * product.b.pitch + k % 8 * 2;
            std::memcpy(&b, of_k + column * 16, 2);
            const uint32_t pair = a[i / 2 % 2 + k / 8 * 2];
            product.sum[i] += from_16_bits(pair >> k % 2 * 16) * from_16_bits(b);
        }
    }
    meet(warp);
}

}  // namespace cuda_on_cpu

inline void show_copies_to_products() { cuda_on_cpu::block.current->shows_copies = true; }
inline void start_products() {}
inline void end_products() { cuda_on_cpu::block.current->products.emplace_back(); }
template <int N> void wait_for_products() {
    auto& groups = cuda_on_cpu::block.current->products;
    while (int(groups.size()) - 1 > N) {
        for (auto& product : groups.front()) cuda_on_cpu::make(product);
        groups.erase(groups.begin());
    }
}
template <int N> void keep(float (&)[N]) {}
