// Makes a Linux program believe that its CPU has AVX2, but neither AVX-512, VNNI, bfloat16, nor AMX.
//
//   gcc -O2 -shared -fPIC docs/lab/avx2_only.c -o avx2_only.so
//   LD_PRELOAD=$PWD/avx2_only.so python -m tests.stress cpu_backends ...
//
// The environment variables that limit PyTorch and oneDNN stop OpenVINO. So the instruction CPUID
// is made to fault (arch_prctl(2); the CPU needs the flag cpuid_fault), and answered here with these
// features removed. Clocks and caches stay those of the CPU.

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { SET_CPUID = 0x1012 };  // ARCH_SET_CPUID

static uint32_t bits(const int *places, int count) {
    uint32_t mask = 0;
    for (int i = 0; i < count; ++i) mask |= UINT32_C(1) << places[i];
    return mask;
}
#define BITS(...) bits((int[]){__VA_ARGS__}, sizeof((int[]){__VA_ARGS__}) / sizeof(int))

static void answer(int signal_number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)registers[REG_RIP];
    if (info->si_code != SI_KERNEL || code[0] != 0x0f || code[1] != 0xa2) {
        signal(signal_number, SIG_DFL);  // a real fault: it comes again
        return;
    }
    const uint32_t leaf = registers[REG_RAX], part = registers[REG_RCX];
    uint32_t a = leaf, b, c = part, d;
    syscall(SYS_arch_prctl, SET_CPUID, 1);
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    syscall(SYS_arch_prctl, SET_CPUID, 0);
    if (leaf == 7 && part == 0) {
        b &= ~BITS(16, 17, 21, 26, 27, 28, 30, 31);  // AVX-512 F, DQ, IFMA, PF, ER, CD, BW, VL
        c &= ~BITS(1, 6, 8, 10, 11, 12, 14);         // its VBMI, VNNI, ...; GFNI, VPCLMULQDQ
        d &= ~BITS(2, 3, 8, 22, 23, 24, 25);         // its 4VNNIW, FP16, ...; AMX
    }
    if (leaf == 7 && part == 1) {
        a &= ~BITS(4, 5, 21, 22, 23);  // AVX-VNNI, AVX-512 BF16, AMX FP16, HRESET, AVX-IFMA
        d &= ~BITS(4, 5, 10, 19, 21);  // AVX-VNNI-INT8, AVX-NE-CONVERT, ...
    }
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigaction(SIGSEGV, &action, NULL);
    syscall(SYS_arch_prctl, SET_CPUID, 0);  // for this thread and those that it starts
}
