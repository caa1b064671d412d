// What the kernels share: 16-bit numbers and a GPU's asynchronous copies and matrix products.
//
// 16-bit numbers are float16, or bfloat16 with -DBFLOAT16. Everything is inline PTX of sm_80 and
// later, so that a kernel needs no header of the CUDA toolkit. tests/helpers/cuda_on_cpu.h has the
// same functions for a CPU.

#pragma once

#ifndef CUDA_ON_CPU

typedef unsigned int uint32_t;

#define SHARED_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]

__device__ __forceinline__ uint32_t shared_address(const void* shared) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Starts the copy of 16 bytes to shared memory, or writes zeros there and reads nothing.
__device__ __forceinline__ void copy_16(void* shared, const void* global, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
}

// Ends a group of this thread's copies.
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until only the N latest groups of this thread may still be on their way.
template <int N>
__device__ __forceinline__ void wait_for_all_but() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Four 8 x 8 matrices; lane l passes the address of row l % 8 of matrix l / 8, in shared memory.
// Of matrix i, it gets elements 2 (l % 4) and the next one of row l / 4.
__device__ __forceinline__ void load_matrix_x4(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// c += a b for a of 16 x 16, b of 16 x 8. With l the lane, g = l / 4 and q = 2 (l % 4):
// a[0] has row g, columns q and q + 1; a[1] row g + 8; a[2], a[3] the same of columns + 8;
// b0 has rows q and q + 1 of column g; b1 rows + 8; c[0], c[1] row g, columns q and q + 1; c[2],
// c[3] row g + 8.
__device__ __forceinline__ void multiply(
    float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1
) {
#if BFLOAT16
#define NUMBERS "bf16.bf16"
#else
#define NUMBERS "f16.f16"
#endif
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." NUMBERS ".f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#undef NUMBERS
}

// Two numbers rounded to 16 bits, the first in the lower half.
__device__ __forceinline__ uint32_t pack(float low, float high) {
    uint32_t packed;
#if BFLOAT16
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
#else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
#endif
    return packed;
}

// The numbers that `pack` packed.
__device__ __forceinline__ float2 unpack(uint32_t packed) {
    float2 pair;
#if BFLOAT16
    pair.x = __uint_as_float(packed << 16);
    pair.y = __uint_as_float(packed & 0xffff0000u);
#else
    asm("{.reg .f16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high;}"
        : "=f"(pair.x), "=f"(pair.y)
        : "r"(packed));
#endif
    return pair;
}

#endif
