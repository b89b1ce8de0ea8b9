// All kernels for the instruction set of the including file, and their table CK_TABLE.
#include "gemm.h"

#include "attention_f32.h"
#include "elementwise.h"
#include "gemm_f32.h"
#include "norms.h"
#include "products.h"
#include "winograd.h"

#define CK_ENTRY(name, parameters, arguments) .name = k_##name,
const ck_table CK_TABLE = {CK_KERNELS(CK_ENTRY)};
#undef CK_ENTRY
