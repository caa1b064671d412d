// Products of matrices in shared memory by four warps, as Hopper GPUs make them (wgmma, sm_90a).
//
// They run on while the warps go on: `start_products` before the first, `end_products` after the
// last, and `wait_for_products` before the sums are used or the matrices overwritten.

#pragma once

#include "common.cuh"

#ifndef CUDA_ON_CPU

struct Matrix {
    unsigned long long descriptor;
};

// 16 columns of 16-bit numbers. A row of 8 columns is 16 bytes, which the next row's follow; the other
// 8 columns begin `pitch` rows further. Nothing is swizzled.
__device__ __forceinline__ Matrix matrix(const uint4* first_row, int pitch) {
    const unsigned long long next_8_rows = 8, address = shared_address(first_row) >> 4;
    return {address | (unsigned long long)pitch << 16 | next_8_rows << 32};
}

// What `copy_16` wrote is visible to products after this and a barrier.
__device__ __forceinline__ void show_copies_to_products() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void start_products() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void end_products() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int N>
__device__ __forceinline__ void wait_for_products() {  // but the latest N groups
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

// Keeps the compiler from using sums before `wait_for_products`.
template <int N>
__device__ __forceinline__ void keep(float (&sum)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(sum[i])::"memory");
}

#endif
