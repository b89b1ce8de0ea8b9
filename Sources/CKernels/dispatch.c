#include "table.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const ck_table *table_of(ck_level level) {
#if defined(__x86_64__)
    if (level >= CK_AVX512) return &ck_avx512_table;
    if (level == CK_AVX2) return &ck_avx2_table;
#endif
    (void)level;
    return &ck_portable_table;
}

#if defined(__x86_64__) && defined(__linux__)
// Whether the processor multiplies tiles of bfloat16 and Linux lets this process use their registers.
static bool amx_is_usable(void) {
    enum { LEAF = 7, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    if (!__builtin_cpu_supports("avx512bf16") || !__get_cpuid_count(LEAF, 0, &a, &b, &c, &d)) return false;
    return (d & AMX_BF16) && (d & AMX_TILE) && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#elif defined(__x86_64__)
static bool amx_is_usable(void) { return false; }
#endif

static ck_level level_of_processor(void) {
#if defined(__x86_64__)
    // __builtin_cpu_supports also checks that the operating system saves the wide registers.
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
        return __builtin_cpu_supports("avx512f") ? (amx_is_usable() ? CK_AMX : CK_AVX512) : CK_AVX2;
#endif
    return CK_PORTABLE;
}

// The level named by CK_KERNELS_VARIABLE; -1 without it, -2 if it names no level of this processor.
static int requested_level(void) {
    static const char *const names[] = {"portable", "avx2", "avx512", "amx"};
    const char *const name = getenv(CK_KERNELS_VARIABLE);
    if (!name || !*name) return -1;
    for (int level = 0; level <= (int)level_of_processor(); level++)
        if (strcmp(name, names[level]) == 0) return level;
    return -2;
}

bool ck_requested_level_is_valid(void) { return requested_level() != -2; }

ck_level ck_best_level(void) {
    static _Atomic int best = -1;
    int level = atomic_load_explicit(&best, memory_order_relaxed);
    if (level < 0) {
        // AMX only on request: it has not been tried on a processor that has it.
        const int known = (int)level_of_processor() < CK_AVX512 ? (int)level_of_processor() : CK_AVX512;
        level = requested_level() >= 0 ? requested_level() : known;
        atomic_store_explicit(&best, level, memory_order_relaxed);
    }
    return (ck_level)level;
}

// -1 until the first call; concurrent first calls store the same value.
static _Atomic int current_level = -1;

ck_level ck_current_level(void) {
    const int level = atomic_load_explicit(&current_level, memory_order_relaxed);
    return level >= 0 ? (ck_level)level : ck_set_level(CK_AMX);
}

ck_level ck_set_level(ck_level level) {
    const ck_level best = ck_best_level();
    const ck_level chosen = level < best ? level : best;
    atomic_store_explicit(&current_level, chosen, memory_order_relaxed);
    return chosen;
}

#define CK_DISPATCH(name, parameters, arguments) \
    void ck_##name parameters { table_of(ck_current_level())->name arguments; }
CK_KERNELS(CK_DISPATCH)
