// CUDA's 16-bit numbers for cuda_on_cpu.h: g++ 12 has none of its own in C++.

#pragma once

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

// Each operation rounds once: float has more than twice the digits, so it does not round twice.
#define NUMBER_OF_16_BITS(number, pair, decode, encode)                                         \
    struct number {                                                                             \
        uint16_t bits;                                                                          \
        number() = default;                                                                     \
        number(float x) : bits(cuda_on_cpu::encode(x)) {}                                       \
        operator float() const { return cuda_on_cpu::decode(bits); }                            \
    };                                                                                          \
    struct alignas(4) pair { number x, y; };                                                    \
    inline number operator+(number a, number b) { return float(a) + float(b); }                 \
    inline number operator-(number a, number b) { return float(a) - float(b); }                 \
    inline number operator*(number a, number b) { return float(a) * float(b); }                 \
    inline number operator/(number a, number b) { return float(a) / float(b); }                 \
    inline number __float2##number(float x) { return x; }                                       \
    inline pair __hadd2(pair a, pair b) { return {a.x + b.x, a.y + b.y}; }                      \
    inline pair __hmul2(pair a, pair b) { return {a.x * b.x, a.y * b.y}; }                      \
    inline pair __hfma2(pair a, pair b, pair c) {                                               \
        return {std::fma(float(a.x), float(b.x), float(c.x)),                                   \
                std::fma(float(a.y), float(b.y), float(c.y))};                                  \
    }
NUMBER_OF_16_BITS(__half, __half2, half_to_float, float_to_half)
NUMBER_OF_16_BITS(__nv_bfloat16, __nv_bfloat162, bfloat_to_float, float_to_bfloat)
using half = __half;
using half2 = __half2;

inline float __half2float(__half x) { return x; }
inline __half __float2half(float x) { return x; }
inline __half __float2half_rn(float x) { return x; }
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline __half2 __float22half2_rn(float2 x) { return {x.x, x.y}; }
inline float2 __half22float2(__half2 x) { return {x.x, x.y}; }
inline float __low2float(__half2 x) { return x.x; }
inline float __high2float(__half2 x) { return x.y; }
inline __half2 __half2half2(__half x) { return {x, x}; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
inline float2 __bfloat1622float2(__nv_bfloat162 x) { return {x.x, x.y}; }
